//! From rows to tasks and demonstrations.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::Ids;
use crate::error::DatasetError;
use crate::message::{self, Message, Role};
use crate::rows::{DataFiles, Part, Row, Rows, kind};
use crate::settings::expect_setting;
use crate::task::{Demonstration, Prompt, PromptStyle, Task};

/// Integers from here on are not all exact as floating-point numbers: 2⁵³.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

/// Where the answer stands in the answer field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerFormat {
    /// The field is the answer. It may be a number, which is taken as it is written.
    #[default]
    Verbatim,
    /// The answer follows the last `####`, as in GSM8K's worked solutions.
    AfterHashes,
}

/// Which fields of a record make a task, and how. A dotted name leads into a nested field, as `reward_model.ground_truth` does,
/// which stays in the task's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonlConfig {
    /// The field with the question.
    pub prompt_field: String,
    /// A field with text that goes before the question, on a line of its own; `Body` in SVAMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_field: Option<String>,
    /// The field with the answer.
    pub answer_field: String,
    /// The field, a string or an integer, that names the task. Without one the name is
    /// `<file name>:<line>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
    /// What kind of prompt a string becomes.
    pub prompt_style: PromptStyle,
    /// A system message before the question; only for chat prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Where the answer stands in its field.
    pub answer_format: AnswerFormat,
}

impl Default for JsonlConfig {
    fn default() -> Self {
        Self {
            prompt_field: "prompt".to_owned(),
            context_field: None,
            answer_field: "answer".to_owned(),
            id_field: None,
            prompt_style: PromptStyle::default(),
            system: None,
            answer_format: AnswerFormat::default(),
        }
    }
}

impl JsonlConfig {
    /// Checks that the settings agree with each other.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), DatasetError> {
        let Self {
            prompt_field,
            context_field,
            answer_field,
            id_field,
            prompt_style,
            system,
            ..
        } = self;
        if let (PromptStyle::Text, Some(system)) = (prompt_style, system) {
            let expected = "no system message with prompt_style = \"text\"";
            expect_setting(false, "system", format_args!("{system:?}"), expected)?;
        }
        let fields = [
            ("prompt_field", Some(prompt_field)),
            ("context_field", context_field.as_ref()),
            ("answer_field", Some(answer_field)),
            ("id_field", id_field.as_ref()),
        ];
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (setting, field) in fields {
            let Some(field) = field else { continue };
            if let Some(other) = seen.insert(field, setting) {
                let expected = format!("another field than {other}");
                expect_setting(false, setting, format_args!("{field:?}"), &expected)?;
            }
        }
        Ok(())
    }
}

/// Reads the tasks in `path`, a file or a directory of shards, in their order. Fields that the config does not name become
/// columns.
///
/// # Errors
/// [`DatasetError`] with the file, the row and the field; [`DatasetError::Empty`] if there is no
/// task.
pub fn read_tasks(path: &Path, config: &JsonlConfig) -> Result<Vec<Task>, DatasetError> {
    Tasks::of(&DataFiles::find(path, &Part::default())?, config)?.collect()
}

/// The tasks of a data set, made of one row after the other. It ends with the first error.
pub struct Tasks {
    rows: Rows,
    config: JsonlConfig,
    ids: Ids,
}

impl Tasks {
    /// The tasks of `files`, in their order, before any is read.
    ///
    /// # Errors
    /// As for [`JsonlConfig::validate`].
    pub fn of(files: &DataFiles, config: &JsonlConfig) -> Result<Self, DatasetError> {
        config.validate()?;
        Ok(Self {
            rows: Rows::of(files),
            config: config.clone(),
            ids: Ids::default(),
        })
    }

    fn task(&mut self, mut row: Row) -> Result<Task, DatasetError> {
        let config = &self.config;
        let id = match &config.id_field {
            Some(field) => {
                let id = id(&mut row, field)?;
                self.ids.give(&row, field, &id)?;
                id
            }
            None => row.place.name(),
        };
        let context = match &config.context_field {
            Some(field) => Some(row.take_text(field)?),
            None => None,
        };
        let prompt = prompt(&mut row, config, context)?;
        let answer = answer(&mut row, config)?;
        Ok(Task {
            id,
            prompt,
            answer,
            columns: row.fields,
        })
    }
}

impl Iterator for Tasks {
    type Item = Result<Task, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|row| self.task(row)))
    }
}

/// A row with `prompt`, a string (raw text) or a list of messages, and `completion`, a string.
pub(super) fn demonstration(row: &mut Row) -> Result<Demonstration, DatasetError> {
    let config = JsonlConfig {
        prompt_style: PromptStyle::Text,
        ..Default::default()
    };
    let prompt = match row.fields.get("prompt") {
        Some(list @ Value::Array(_)) => Prompt::Chat(messages(row, "prompt", list.clone())?),
        _ => prompt(row, &config, None)?,
    };
    Ok(Demonstration {
        prompt,
        completion: row.take_text("completion")?,
    })
}

fn id(row: &mut Row, field: &str) -> Result<String, DatasetError> {
    match row.take(field)? {
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Number(_) => Err(row.field_error(field, "expected a string or an integer")),
        other => row.text(field, other),
    }
}

fn prompt(
    row: &mut Row,
    config: &JsonlConfig,
    context: Option<String>,
) -> Result<Prompt, DatasetError> {
    let field = &config.prompt_field;
    match (row.take(field)?, config.prompt_style) {
        (list @ Value::Array(_), PromptStyle::Chat) => {
            let mut messages = messages(row, field, list)?;
            if context.is_some() {
                let reason = "is a list of messages, which context_field does not go with";
                return Err(row.field_error(field, reason));
            }
            if let Some(system) = &config.system {
                if messages[0].role == Role::System {
                    let reason = "has a system message already; remove `system` from the settings";
                    return Err(row.field_error(field, reason));
                }
                messages.insert(0, Message::new(Role::System, system));
            }
            Ok(Prompt::Chat(messages))
        }
        (value, style) => {
            let question = row.text(field, value)?;
            let text = match context {
                Some(context) => format!("{context}\n{question}"),
                None => question,
            };
            Ok(match style {
                PromptStyle::Chat => Prompt::user(config.system.as_deref(), text),
                PromptStyle::Text => Prompt::Text(text),
            })
        }
    }
}

/// A conversation that a model can answer: not empty, and the last word is the user's or a tool's.
pub(super) fn messages(row: &Row, field: &str, list: Value) -> Result<Vec<Message>, DatasetError> {
    let messages = message::messages(list).map_err(|error| row.field_error(field, error))?;
    match messages.last().map(|message| message.role) {
        Some(Role::User | Role::Tool) => Ok(messages),
        Some(role) => {
            let reason = format!("ends with a message of role {role:?}, expected one of the user");
            Err(row.field_error(field, reason))
        }
        None => Err(row.field_error(field, "is an empty list")),
    }
}

fn answer(row: &mut Row, config: &JsonlConfig) -> Result<String, DatasetError> {
    let field = &config.answer_field;
    let text = match row.take(field)? {
        Value::Number(number) => number_text(row, field, &number)?,
        Value::String(text) => row.text(field, Value::String(text))?,
        other => {
            let reason = format!("expected a string or a number, got {}", kind(&other));
            return Err(row.field_error(field, reason));
        }
    };
    match config.answer_format {
        AnswerFormat::Verbatim => Ok(text),
        AnswerFormat::AfterHashes => match text.rsplit_once("####").map(|(_, last)| last.trim()) {
            None => Err(row.field_error(field, "has no `####` before an answer")),
            Some("") => Err(row.field_error(field, "has nothing after `####`")),
            Some(answer) => Ok(answer.to_owned()),
        },
    }
}

/// The digits of a number, unless reading it has already cost some of them.
fn number_text(row: &Row, field: &str, number: &Number) -> Result<String, DatasetError> {
    let inexact = number.is_f64()
        && number
            .as_f64()
            .is_some_and(|value| value.abs() >= FIRST_INEXACT);
    if inexact {
        let reason = format!("{number} is too large to be exact; write it as a string");
        return Err(row.field_error(field, reason));
    }
    Ok(number.to_string())
}

#[cfg(test)]
mod tests;
