//! Examples for supervised fine-tuning, in the forms that people keep them in.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::records::{demonstration, messages};
use crate::error::DatasetError;
use crate::message::{self, Message, Role};
use crate::place::Place;
use crate::rows::{DataFiles, Part, Row, Rows};
use crate::task::{Example, Prompt};

/// Rows by which the forms of a data set are told: a later row of another form is an error.
const FIRST: usize = 1000;

/// How an example stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExampleForm {
    /// `messages`: a conversation.
    Messages,
    /// `conversations`, or `conversation`: a conversation, as ShareGPT has it.
    Conversations(&'static str),
    /// `prompt` and `completion`, both texts or both lists of messages.
    Completion,
    /// `instruction`, perhaps `input`, and an answer in this field: alpaca.
    Instruction(&'static str),
    /// A question and an answer in these fields.
    Pair(&'static str, &'static str),
    /// `text`: raw text to continue.
    Text,
}

/// Fields of a question and its answer.
const PAIRS: [(&str, &str); 6] = [
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("problem", "solution"),
    ("input", "output"),
];

impl ExampleForm {
    /// The form of a row, if it is one that is known.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let answer = ["output", "response"]
            .into_iter()
            .find(|name| row.has(name));
        let pair = PAIRS
            .into_iter()
            .find(|(question, answer)| row.has(question) && row.has(answer));
        let talk = ["conversations", "conversation"]
            .into_iter()
            .find(|name| row.has(name));
        if row.has("messages") {
            return Some(Self::Messages);
        }
        match (talk, answer, pair) {
            (Some(talk), _, _) => Some(Self::Conversations(talk)),
            _ if row.has("prompt") && row.has("completion") => Some(Self::Completion),
            (_, Some(answer), _) if row.has("instruction") => Some(Self::Instruction(answer)),
            (_, _, Some((question, answer))) => Some(Self::Pair(question, answer)),
            _ if row.has("text") => Some(Self::Text),
            // What is missing is told when it is looked for.
            _ if row.fields.contains_key("messages") => Some(Self::Messages),
            _ if row.has("prompt") || row.has("completion") => Some(Self::Completion),
            _ => None,
        }
    }

    /// The example in `row`.
    fn example(self, row: &mut Row) -> Result<Example, DatasetError> {
        match self {
            Self::Messages if row.has("completion") => {
                let reason = "stands beside `completion`, and only one of them can be learnt from; remove one";
                Err(row.field_error("messages", reason))
            }
            Self::Messages => conversation(row, "messages").map(Example::Conversation),
            Self::Conversations(field) => conversation(row, field).map(Example::Conversation),
            Self::Completion => completion(row),
            Self::Instruction(answer) => instruction(row, answer),
            Self::Pair(question, answer) => {
                let asked = row.take_text(question)?;
                answered(row, asked, answer)
            }
            Self::Text => row.take_text("text").map(Example::Text),
        }
    }
}

impl fmt::Display for ExampleForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages => f.write_str("a conversation in `messages`"),
            Self::Conversations(field) => write!(f, "a conversation in `{field}`"),
            Self::Completion => f.write_str("`prompt` with `completion`"),
            Self::Instruction(answer) => write!(f, "`instruction` with `{answer}`"),
            Self::Pair(question, answer) => write!(f, "`{question}` with `{answer}`"),
            Self::Text => f.write_str("`text` to continue"),
        }
    }
}

/// Reads the examples in `path`, a file or a directory of shards, in their order, each with its place.
///
/// # Errors
/// [`DatasetError`] with the file, the row and the field; [`DatasetError::Empty`] if there is no
/// row.
pub fn read_examples(path: &Path) -> Result<Vec<(Place, Example)>, DatasetError> {
    Examples::of(&DataFiles::find(path, &Part::default())?).collect()
}

/// The examples of a data set with their places, made of one row after the other. It ends with the first error.
pub struct Examples {
    rows: Rows,
    read: usize,
    /// The forms of the first rows.
    forms: Vec<ExampleForm>,
}

impl Examples {
    /// The examples of `files`, in their order, before any is read.
    pub fn of(files: &DataFiles) -> Self {
        Self {
            rows: Rows::of(files),
            read: 0,
            forms: Vec::new(),
        }
    }

    /// The forms that have been met, in the order in which they were.
    pub fn forms(&self) -> &[ExampleForm] {
        &self.forms
    }

    fn example(&mut self, mut row: Row) -> Result<(Place, Example), DatasetError> {
        let place = row.place.clone();
        let fields = row.names();
        let Some(form) = ExampleForm::of(&row) else {
            return Err(self.unknown(place, fields));
        };
        self.read += 1;
        if !self.forms.contains(&form) {
            if self.read > FIRST {
                return Err(DatasetError::FormChanges {
                    place,
                    form: form.to_string(),
                    before: named(&self.forms),
                    fields,
                });
            }
            self.forms.push(form);
        }
        Ok((place, form.example(&mut row)?))
    }

    fn unknown(&self, place: Place, fields: String) -> DatasetError {
        if self.forms.is_empty() {
            return DatasetError::UnknownFields {
                place,
                what: "what is to be learnt cannot be told of a row",
                fields,
                hint: "known are messages, conversations, prompt with completion, instruction with output, question with answer, and text; rename the columns".to_owned(),
            };
        }
        DatasetError::FormChanges {
            place,
            form: "of no form that is known".to_owned(),
            before: named(&self.forms),
            fields,
        }
    }
}

impl Iterator for Examples {
    type Item = Result<(Place, Example), DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|row| self.example(row)))
    }
}

fn named(forms: &[ExampleForm]) -> String {
    let names: Vec<String> = forms.iter().map(ToString::to_string).collect();
    names.join(" or ")
}

/// What follows a prompt: both are texts, or the prompt is a conversation and its completion a text or more of it.
fn completion(row: &mut Row) -> Result<Example, DatasetError> {
    let (field, reason) = match (row.fields.get("prompt"), row.fields.get("completion")) {
        (Some(Value::Array(_)), Some(Value::Array(_))) => return continued(row),
        (Some(Value::String(_)), Some(Value::Array(_))) => (
            "completion",
            "is a list of messages, and `prompt` is a text; write both as messages or both as texts",
        ),
        _ => return demonstration(row).map(Example::Completion),
    };
    Err(row.field_error(field, reason))
}

/// A conversation of which only what is in `completion` is learnt.
fn continued(row: &mut Row) -> Result<Example, DatasetError> {
    let asked = row.take("prompt")?;
    let mut talk = messages(row, "prompt", asked)?;
    for message in talk.iter_mut().filter(|message| message.is_learnt()) {
        message.extra.insert("weight".to_owned(), Value::from(0));
    }
    let said = row.take("completion")?;
    let said = message::messages(said).map_err(|error| row.field_error("completion", error))?;
    check_spoken(row, "completion", &said)?;
    talk.extend(said);
    Ok(Example::Conversation(talk))
}

/// A row of alpaca: the input stands below the instruction, and earlier turns before it.
fn instruction(row: &mut Row, answer: &str) -> Result<Example, DatasetError> {
    let mut asked = row.take_text("instruction")?;
    if let Some(Value::String(input)) = row.fields.get("input")
        && !input.trim().is_empty()
    {
        asked = format!("{asked}\n\n{input}");
    }
    let history = match row.fields.get("history") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => serde_json::from_value::<Vec<[String; 2]>>(list.clone())
            .map_err(|_| row.field_error("history", "expected a list of pairs of texts"))?,
    };
    let Example::Conversation(mut talk) = answered(row, asked, answer)? else {
        unreachable!("an answer makes a conversation");
    };
    let place = talk.iter().take_while(|m| m.role.instructs()).count();
    let earlier = history.into_iter().flat_map(|[asked, said]| {
        [
            Message::new(Role::User, asked),
            Message::new(Role::Assistant, said),
        ]
    });
    talk.splice(place..place, earlier);
    Ok(Example::Conversation(talk))
}

/// `asked`, and the answer in the field `answer`, below the system's message if the row has one.
fn answered(row: &mut Row, asked: String, answer: &str) -> Result<Example, DatasetError> {
    let said = row.take_text(answer)?;
    let Prompt::Chat(mut talk) = Prompt::user(system(row), asked) else {
        unreachable!("a user's prompt is a conversation");
    };
    talk.push(Message::new(Role::Assistant, said));
    Ok(Example::Conversation(talk))
}

/// The text of a column `system`, if it says anything.
fn system(row: &Row) -> Option<&str> {
    let text = row.fields.get("system")?.as_str()?;
    (!text.trim().is_empty()).then_some(text)
}

/// A conversation in which the assistant says something at least once, and never nothing.
fn conversation(row: &mut Row, field: &str) -> Result<Vec<Message>, DatasetError> {
    let list = row.take(field)?;
    let mut talk = message::messages(list).map_err(|error| row.field_error(field, error))?;
    check_spoken(row, field, &talk)?;
    if talk[0].role == Role::Assistant {
        let reason =
            "begins with a message of the assistant, expected one of the system or the user";
        return Err(row.field_error(field, reason));
    }
    if let (Some(system), false) = (system(row), talk[0].role.instructs()) {
        talk.insert(0, Message::new(Role::System, system));
    }
    Ok(talk)
}

fn check_spoken(row: &Row, field: &str, talk: &[Message]) -> Result<(), DatasetError> {
    if talk.is_empty() {
        return Err(row.field_error(field, "is an empty list"));
    }
    let blank = |message: &Message| message.is_learnt() && message.is_blank();
    if let Some(index) = talk.iter().position(blank) {
        let reason = format!("message {index} (from 0) is the assistant's and is empty");
        return Err(row.field_error(field, reason));
    }
    if talk.iter().any(Message::is_learnt) {
        return Ok(());
    }
    let reason =
        "has no message of the assistant that may be learnt, so there is nothing to learn from it";
    Err(row.field_error(field, reason))
}

#[cfg(test)]
mod tests;
