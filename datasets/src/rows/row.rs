//! One row of a data set.

use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::place::Place;

/// Named values, and where they stand.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) place: Place,
    /// What has not been taken out yet.
    pub(crate) fields: Map<String, Value>,
}

impl Row {
    /// Takes the field `name` out of the row. A dotted name leads into a nested field, which stays where it is.
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, DatasetError> {
        // `shift_remove` keeps the other columns in the file's order.
        let found = self
            .fields
            .shift_remove(name)
            .or_else(|| nested(&self.fields, name));
        match found {
            Some(Value::Null) => Err(self.field_error(name, "is null")),
            Some(value) => Ok(value),
            None => {
                let (unit, present) = (self.place.unit(), self.names());
                Err(self.field_error(name, format!("is missing; this {unit} has: {present}")))
            }
        }
    }

    /// Takes the field `name`, a string that is not blank, out of the row.
    pub(crate) fn take_text(&mut self, name: &str) -> Result<String, DatasetError> {
        let value = self.take(name)?;
        self.text(name, value)
    }

    /// `value` of the field `name` as a string that is not blank.
    pub(crate) fn text(&self, name: &str, value: Value) -> Result<String, DatasetError> {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                Err(self.field_error(name, "is an empty string"))
            }
            Value::String(text) => Ok(text),
            other => {
                Err(self.field_error(name, format!("expected a string, got {}", kind(&other))))
            }
        }
    }

    /// Whether the row has the field, or nested field, and it is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self.fields.get(name) {
            Some(value) => !value.is_null(),
            None => nested(&self.fields, name).is_some_and(|value| !value.is_null()),
        }
    }

    /// The names of its fields, for a message.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        names.join(", ")
    }

    /// An error about the field `name` of this row.
    pub(crate) fn field_error(&self, name: &str, reason: impl Into<String>) -> DatasetError {
        DatasetError::Field {
            place: self.place.clone(),
            field: name.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The value that a dotted name leads to. On the way objects are entered by key, lists by index from 0, and texts that are JSON as
/// what they hold: tables keep nested values that way.
fn nested(fields: &Map<String, Value>, name: &str) -> Option<Value> {
    let (first, rest) = name.split_once('.')?;
    let inner = fields.get(first)?;
    descend(inner, rest)
}

fn descend(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(found) => Some(found.clone()),
            None => nested(fields, name),
        },
        Value::Array(items) => {
            let (index, rest) = match name.split_once('.') {
                Some((index, rest)) => (index, Some(rest)),
                None => (name, None),
            };
            let item = items.get(index.parse::<usize>().ok()?)?;
            match rest {
                Some(rest) => descend(item, rest),
                None => Some(item.clone()),
            }
        }
        Value::String(text) if text.starts_with(['{', '[']) => {
            descend(&serde_json::from_str(text).ok()?, name)
        }
        _ => None,
    }
}

/// What sort of JSON value this is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
