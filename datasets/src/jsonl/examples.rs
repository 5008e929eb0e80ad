//! Examples for supervised fine-tuning, from JSON objects: `{"prompt", "completion"}` or
//! `{"messages"}`.

use std::path::Path;

use serde_json::Value;

use super::lines::{Row, read};
use super::records::demonstration;
use crate::error::DatasetError;
use crate::task::{Example, Message, Role};

/// Reads the examples in `path`, in the file's order, each with its line (from 1).
///
/// A row has `prompt`, a string (raw text) or a list of messages, and `completion`, a string; or it
/// has `messages`, a list of `{"role", "content"}` in which the assistant speaks at least once.
/// Other fields are ignored; a row with both `messages` and `completion` is an error.
///
/// # Errors
/// [`DatasetError`] with the file, the line and the field; [`DatasetError::Empty`] if there is no
/// row.
pub fn read_examples(path: &Path) -> Result<Vec<(usize, Example)>, DatasetError> {
    read(path, |mut row| {
        let line = row.line;
        let example = match (
            row.fields.contains_key("messages"),
            row.fields.contains_key("completion"),
        ) {
            (true, true) => {
                let reason = "stands beside `completion`, and only one of them can be learnt from; remove one";
                return Err(row.field_error("messages", reason));
            }
            (true, false) => Example::Conversation(conversation(&mut row)?),
            (false, _) => Example::Completion(demonstration(&mut row)?),
        };
        Ok((line, example))
    })
}

/// A conversation in which the assistant says something at least once, and never nothing.
fn conversation(row: &mut Row<'_>) -> Result<Vec<Message>, DatasetError> {
    let field = "messages";
    let list = row.take(field)?;
    if !matches!(list, Value::Array(_)) {
        return Err(row.field_error(field, "expected a list of messages"));
    }
    let messages: Vec<Message> =
        serde_json::from_value(list).map_err(|error| row.field_error(field, error.to_string()))?;
    let mut spoken = 0;
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant {
            continue;
        }
        if message.content.trim().is_empty() {
            let reason = format!("message {index} (from 0) is the assistant's and is empty");
            return Err(row.field_error(field, reason));
        }
        spoken += 1;
    }
    match (messages.first().map(|message| message.role), spoken) {
        (None, _) => Err(row.field_error(field, "is an empty list")),
        (_, 0) => Err(row.field_error(
            field,
            "has no message of the assistant, so there is nothing to learn from it",
        )),
        (Some(Role::Assistant), _) => Err(row.field_error(
            field,
            "begins with a message of the assistant, expected one of the system or the user",
        )),
        _ => Ok(messages),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::task::{Demonstration, Prompt};

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    #[test]
    fn both_forms_are_read_with_their_lines() {
        let content = [
            r#"{"prompt":"1+1=","completion":"2","reward":1.1}"#,
            "",
            r#"{"prompt":[{"role":"user","content":"1+1?"}],"completion":"2"}"#,
            r#"{"id":7,"prompt":"ignored beside messages","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"}]}"#,
        ];
        let read = read_examples(file(&content.join("\n")).path()).unwrap();
        let lines: Vec<usize> = read.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4]);
        let completion = |prompt| {
            Example::Completion(Demonstration {
                prompt,
                completion: "2".to_owned(),
            })
        };
        assert_eq!(read[0].1, completion(Prompt::Text("1+1=".to_owned())));
        assert_eq!(read[1].1, completion(Prompt::user(None, "1+1?")));
        let Example::Conversation(messages) = &read[2].1 else {
            panic!("{:?}", read[2]);
        };
        assert_eq!(messages[1], Message::new(Role::Assistant, "Yes?"));
    }

    #[test]
    fn rows_that_teach_nothing_are_told() {
        let cases = [
            (r#"{"prompt":"1+1="}"#, "field `completion`: is missing"),
            (
                r#"{"messages":[{"role":"user","content":"Hi"}]}"#,
                "field `messages`: has no message of the assistant",
            ),
            (r#"{"messages":[]}"#, "field `messages`: is an empty list"),
            (
                r#"{"messages":"Hi"}"#,
                "field `messages`: expected a list of messages",
            ),
            (
                r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":" "}]}"#,
                "message 1 (from 0) is the assistant's and is empty",
            ),
            (
                r#"{"messages":[{"role":"assistant","content":"Hi"}]}"#,
                "begins with a message of the assistant",
            ),
            (
                r#"{"messages":[{"role":"tool","content":"Hi"}]}"#,
                "unknown variant `tool`",
            ),
            (
                r#"{"messages":[],"completion":"2"}"#,
                "stands beside `completion`",
            ),
        ];
        for (row, expected) in cases {
            let good = r#"{"prompt":"1","completion":"2"}"#;
            let file = file(&format!("{good}\n{row}\n"));
            let error = read_examples(file.path()).unwrap_err().to_string();
            assert!(
                error.contains(":2: ") && error.contains(expected),
                "{row}: {error}"
            );
        }
    }
}
