//! Whole numbers beyond 64 bits, which a JSON value has no room for.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Digits that may be more than 64 bits hold.
const MANY: usize = 19;

/// `fields` of the line `text`, where each list or object with a whole number beyond 64 bits is the text that it was read from: as a value it
/// would have lost digits. Judges read such columns from text as well.
pub(super) fn kept(text: &str, mut fields: Map<String, Value>) -> Map<String, Value> {
    if !has_many_digits(text) {
        return fields;
    }
    let Ok(raw) = serde_json::from_str::<HashMap<String, &RawValue>>(text) else {
        return fields;
    };
    for (name, value) in &mut fields {
        if let (Value::Array(_) | Value::Object(_), true) = (&*value, is_lossy(value))
            && let Some(raw) = raw.get(name)
        {
            *value = Value::String(raw.get().to_owned());
        }
    }
    fields
}

fn has_many_digits(text: &str) -> bool {
    let mut run = 0;
    text.bytes().any(|byte| {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        run >= MANY
    })
}

/// Whether a number in `value` was whole and is not any more.
fn is_lossy(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64()
                && number
                    .as_f64()
                    .is_some_and(|number| number.abs() >= 2f64.powi(63))
        }
        Value::Array(items) => items.iter().any(is_lossy),
        Value::Object(fields) => fields.values().any(is_lossy),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_lose_digits_becomes_text() {
        let line = r#"{"a": {"x": [1180591620717411303425]}, "b": [18446744073709551615], "c": "1180591620717411303425", "d": {"y": 1}}"#;
        let read: Map<String, Value> = serde_json::from_str(line).unwrap();
        let fields = kept(line, read.clone());
        assert_eq!(fields["a"], r#"{"x": [1180591620717411303425]}"#);
        for name in ["b", "c", "d"] {
            assert_eq!(fields[name], read[name]);
        }
    }
}
