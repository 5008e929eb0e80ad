//! What is asked and what is right.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::{Message, Role};

/// What the model is given. In JSON a string is raw text and a list is a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Fed to the tokenizer as it is; the model continues it.
    Text(String),
    /// Rendered by the model's chat template; the model answers it.
    Chat(Vec<Message>),
}

impl Prompt {
    /// A conversation with one user message, after `system` if there is one.
    pub fn user(system: Option<&str>, content: impl Into<String>) -> Self {
        let system = system.map(|text| Message::new(Role::System, text));
        Self::Chat(
            system
                .into_iter()
                .chain([Message::new(Role::User, content)])
                .collect(),
        )
    }

    /// The text that poses the problem: raw text as it is, or the contents of all messages but the system's, one per
    /// line. Instructions are left out so that changing them does not move a problem from one split to the other.
    pub fn problem_text(&self) -> String {
        match self {
            Prompt::Text(text) => text.clone(),
            Prompt::Chat(messages) => {
                let spoken = messages.iter().filter(|message| !message.role.instructs());
                spoken
                    .map(|message| message.content.as_str())
                    .collect::<Vec<_>>()
                    .join("\n")
            }
        }
    }
}

/// What kind of prompt a string becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptStyle {
    /// A user message ([`Prompt::Chat`]). The field may hold a list of messages as well.
    #[default]
    Chat,
    /// Raw text ([`Prompt::Text`]).
    Text,
}

/// A problem with a known answer.
///
/// As one line of JSON: `{"id":"a1","prompt":"3+5=","answer":"8","columns":{"terms":[3,5]}}`, where `prompt` is a
/// string or a list of `{"role":…,"content":…}`, and `columns` may be absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Task {
    /// Unique within its source and the same in every run.
    pub id: String,
    /// What is asked.
    pub prompt: Prompt,
    /// A right answer, as text. It is never shown to the model.
    pub answer: String,
    /// Whatever else is known about the problem, for rewards that need more than the answer.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub columns: Map<String, Value>,
}

impl Task {
    /// A problem of which nothing but the answer is known.
    pub fn new(id: impl Into<String>, prompt: Prompt, answer: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            prompt,
            answer: answer.into(),
            columns: Map::new(),
        }
    }

    /// The same with these columns and no others.
    #[must_use]
    pub fn with_columns(self, columns: Map<String, Value>) -> Self {
        Self { columns, ..self }
    }

    /// The same with one more column.
    #[must_use]
    pub fn with_column(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.columns.insert(name.into(), value.into());
        self
    }
}

/// An example for supervised fine-tuning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demonstration {
    /// What is asked.
    pub prompt: Prompt,
    /// What the model should say: raw text, without the end-of-sequence token.
    pub completion: String,
}

/// Something to learn from by imitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Example {
    /// A prompt and what to say to it.
    Completion(Demonstration),
    /// A conversation; what the assistant says in it is to be learnt, but for what [`Message::is_learnt`] leaves out.
    Conversation(Vec<Message>),
    /// Raw text, all of which is to be learnt, as in pretraining.
    Text(String),
}

impl Example {
    /// The text that poses the problem, which decides on which side of a split the example is: that
    /// of its prompt, of a conversation up to the assistant's first word, or the raw text.
    pub fn problem_text(&self) -> String {
        match self {
            Self::Completion(demonstration) => demonstration.prompt.problem_text(),
            Self::Text(text) => text.clone(),
            Self::Conversation(messages) => {
                let before = messages.iter().take_while(|m| m.role != Role::Assistant);
                Prompt::Chat(before.cloned().collect()).problem_text()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_survives_json() {
        let lines = [
            r#"{"id":"a1","prompt":"3+5=","answer":"8","columns":{"terms":[3,5]}}"#,
            r#"{"id":"a2","prompt":[{"role":"system","content":"Be brief."},{"role":"user","content":"1+1?"}],"answer":"2"}"#,
        ];
        for line in lines {
            let task: Task = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&task).unwrap(), line);
        }
        assert!(
            serde_json::from_str::<Task>(r#"{"id":"a","prompt":"1","answer":"1","anser":"2"}"#)
                .is_err()
        );
    }

    #[test]
    fn instructions_are_no_part_of_the_problem() {
        let plain = Prompt::user(None, "1+1?");
        assert_eq!(plain.problem_text(), "1+1?");
        assert_eq!(
            Prompt::user(Some("Think first."), "1+1?").problem_text(),
            plain.problem_text()
        );
    }
}
