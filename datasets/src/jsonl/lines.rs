//! From a file to JSON objects, each with the place it came from.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::DatasetError;

/// One line's object, and where it stands.
pub(crate) struct Row<'a> {
    path: &'a Path,
    /// Counted from 1.
    pub(crate) line: usize,
    /// What has not been taken out yet.
    pub(crate) fields: Map<String, Value>,
}

impl Row<'_> {
    /// Takes the field `name` out of the row.
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, DatasetError> {
        // `shift_remove` keeps the other columns in the file's order.
        match self.fields.shift_remove(name) {
            Some(Value::Null) => Err(self.field_error(name, "is null")),
            Some(value) => Ok(value),
            None => {
                let present: Vec<&str> = self.fields.keys().map(String::as_str).collect();
                let reason = format!("is missing; this line has: {}", present.join(", "));
                Err(self.field_error(name, reason))
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

    /// An error about the field `name` of this row.
    pub(crate) fn field_error(&self, name: &str, reason: impl Into<String>) -> DatasetError {
        DatasetError::Field {
            path: self.path.to_owned(),
            line: self.line,
            field: name.to_owned(),
            reason: reason.into(),
        }
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

/// Reads `path` and hands every row to `convert`.
pub(crate) fn read<'a, T>(
    path: &'a Path,
    mut convert: impl FnMut(Row<'a>) -> Result<T, DatasetError>,
) -> Result<Vec<T>, DatasetError> {
    let bytes = std::fs::read(path).map_err(|error| DatasetError::Io {
        path: path.to_owned(),
        error,
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut records = Vec::new();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = index + 1;
        let fail = |reason: String| DatasetError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            fail(format!(
                "invalid UTF-8 after {} bytes of the line",
                error.valid_up_to()
            ))
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let fields = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(other) => return Err(fail(format!("expected an object, got {}", kind(&other)))),
            Err(error) => return Err(fail(json_reason(&error))),
        };
        let fields = super::digits::kept(text, fields);
        records.push(convert(Row { path, line, fields })?);
    }
    if records.is_empty() {
        return Err(DatasetError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(records)
}

/// What is wrong with a line. The parser sees one line only, so of its position just the column
/// means something.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("column {}: {what}", error.column())
}
