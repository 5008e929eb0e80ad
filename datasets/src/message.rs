//! One turn of a conversation, and the forms that it comes in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who speaks in a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// Instructions of whoever built the program: what newer models call the system's.
    Developer,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// What a tool answered that the model had called.
    Tool,
}

impl Role {
    /// Whether its messages are instructions and no part of the problem.
    pub fn instructs(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    /// The role of that name in the data of OpenAI, ShareGPT and those who write like them.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" | "human" => Self::User,
            "assistant" | "gpt" | "model" | "chatgpt" | "bot" => Self::Assistant,
            "tool" | "function" | "ipython" | "observation" | "function_response" => Self::Tool,
            _ => return None,
        })
    }
}

/// One turn of a conversation.
///
/// In JSON: `{"role", "content"}` and whatever else is known of it, or `{"from", "value"}` as ShareGPT has it. The content
/// is a text, a list of parts that are texts, or, where tools are called, null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, without any of a chat template's markers. Empty where the model only calls tools.
    pub content: String,
    /// What else the message has, for chat templates that show it: `tool_calls`, `name`, `tool_call_id`,
    /// `reasoning_content`. None of it is null.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of `role` saying `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            extra: Map::new(),
        }
    }

    /// The same with one more key for chat templates.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// Whether the model may learn to say it: it is the assistant's, and neither `weight` is 0 (OpenAI) nor `train` false.
    pub fn is_learnt(&self) -> bool {
        let without_weight = self.extra.get("weight").and_then(Value::as_f64) == Some(0.0);
        let left_out = self.extra.get("train").and_then(Value::as_bool) == Some(false);
        self.role == Role::Assistant && !without_weight && !left_out
    }

    /// Whether nothing is said: no text, no call of a tool and no thought.
    pub fn is_blank(&self) -> bool {
        let other = ["tool_calls", "reasoning_content", "thinking", "reasoning"];
        self.content.trim().is_empty() && !other.iter().any(|key| self.extra.contains_key(*key))
    }
}

impl TryFrom<Value> for Message {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(mut fields) = value else {
            return Err("expected an object with role and content".to_owned());
        };
        let (key, name) = match (take(&mut fields, "role"), take(&mut fields, "from")) {
            (Some(role), _) => ("role", role),
            (None, Some(from)) => ("from", from),
            (None, None) => return Err("missing field `role`".to_owned()),
        };
        let Value::String(name) = name else {
            return Err(format!("`{key}` is {name}, expected a text"));
        };
        let said = take(&mut fields, "content").or_else(|| take(&mut fields, "value"));
        let text = said.map(text_of).transpose()?;
        fields.retain(|_, value| !value.is_null());
        if name == "function_call" {
            return called(&text.unwrap_or_default(), fields);
        }
        let role = Role::named(&name).ok_or_else(|| {
            format!(
                "unknown variant `{name}`, expected one of `system`, `developer`, `user`, `assistant`, `tool`"
            )
        })?;
        let message = Self {
            role,
            content: String::new(),
            extra: fields,
        };
        match text {
            Some(content) => Ok(Self { content, ..message }),
            None if message.is_blank() => Err("missing field `content`".to_owned()),
            None => Ok(message),
        }
    }
}

/// A turn that calls a tool, from `{"name", "arguments"}` in its text.
fn called(text: &str, mut extra: Map<String, Value>) -> Result<Message, String> {
    let call: Value = serde_json::from_str(text)
        .map_err(|error| format!("the call of a tool is no JSON: {error}"))?;
    if !call.get("name").is_some_and(Value::is_string) {
        return Err("the call of a tool has no `name`".to_owned());
    }
    let calls = json!([{ "type": "function", "function": call }]);
    extra.insert("tool_calls".to_owned(), calls);
    Ok(Message {
        role: Role::Assistant,
        content: String::new(),
        extra,
    })
}

fn take(fields: &mut Map<String, Value>, key: &str) -> Option<Value> {
    fields.shift_remove(key).filter(|value| !value.is_null())
}

/// The text of a content: as it is, or its parts in lines.
fn text_of(content: Value) -> Result<String, String> {
    let parts = match content {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => return Err(format!("`content` is {other}, expected a text")),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        if !matches!(kind, "text" | "input_text" | "output_text") {
            return Err(format!(
                "part {index} (from 0) of `content` is of the type `{kind}`, and only text can be read"
            ));
        }
        match part {
            Value::String(text) => texts.push(text),
            Value::Object(mut part) => match part.shift_remove("text") {
                Some(Value::String(text)) => texts.push(text),
                _ => return Err(format!("part {index} (from 0) of `content` has no text")),
            },
            _ => return Err(format!("part {index} (from 0) of `content` is no text")),
        }
    }
    Ok(texts.join("\n"))
}

/// The messages in a list.
///
/// # Errors
/// What is wrong with which of them.
pub(crate) fn messages(list: Value) -> Result<Vec<Message>, String> {
    let Value::Array(list) = list else {
        return Err("expected a list of messages".to_owned());
    };
    let read = |(index, value)| {
        Message::try_from(value).map_err(|error| format!("{error} (message {index}, from 0)"))
    };
    list.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Message, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn messages_of_openai_keep_what_templates_show() {
        let call =
            json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let message = read(json!({"role": "assistant", "content": null, "tool_calls": call, "name": null, "refusal": null})).unwrap();
        assert_eq!(
            message,
            Message::new(Role::Assistant, "").with("tool_calls", call.clone())
        );
        assert!(!message.is_blank());
        let back = serde_json::to_value(&message).unwrap();
        assert_eq!(
            back,
            json!({"role": "assistant", "content": "", "tool_calls": call})
        );
        let tool = json!({"role": "tool", "content": "7", "tool_call_id": "c1", "name": "f"});
        assert_eq!(
            serde_json::to_value(read(tool.clone()).unwrap()).unwrap(),
            tool
        );
        let thought =
            read(json!({"role": "assistant", "content": "7", "reasoning_content": "3+4"})).unwrap();
        assert_eq!(thought.extra["reasoning_content"], "3+4");
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(
            read(json!({"role": "developer", "content": parts})).unwrap(),
            Message::new(Role::Developer, "a\nb")
        );
    }

    #[test]
    fn turns_of_sharegpt_are_messages() {
        let cases = [
            ("human", Role::User),
            ("gpt", Role::Assistant),
            ("system", Role::System),
        ];
        for (from, role) in cases {
            let read = read(json!({"from": from, "value": "x"})).unwrap();
            assert_eq!(read, Message::new(role, "x"));
        }
        let call = r#"{"name": "f", "arguments": {"x": 1}}"#;
        let called = read(json!({"from": "function_call", "value": call})).unwrap();
        assert_eq!(
            called.extra["tool_calls"],
            json!([{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}])
        );
        let answered = read(json!({"from": "observation", "value": "2"})).unwrap();
        assert_eq!(answered.role, Role::Tool);
    }

    #[test]
    fn what_is_no_message_is_told() {
        let image = json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]);
        let cases = [
            (json!("x"), "expected an object with role and content"),
            (json!({"content": "x"}), "missing field `role`"),
            (json!({"role": "user"}), "missing field `content`"),
            (
                json!({"role": "assistant", "content": null}),
                "missing field `content`",
            ),
            (
                json!({"role": "robot", "content": "x"}),
                "unknown variant `robot`",
            ),
            (
                json!({"role": "user", "content": 3}),
                "`content` is 3, expected a text",
            ),
            (
                json!({"role": "user", "content": image}),
                "part 1 (from 0) of `content` is of the type `image_url`",
            ),
            (
                json!({"from": "function_call", "value": "f(1)"}),
                "the call of a tool is no JSON",
            ),
        ];
        for (value, expected) in cases {
            let error = read(value.clone()).unwrap_err();
            assert!(error.contains(expected), "{value}: {error}");
        }
        let error = messages(json!([{"role": "user", "content": "a"}, {"role": "x"}])).unwrap_err();
        assert!(error.ends_with("(message 1, from 0)"), "{error}");
    }

    #[test]
    fn what_is_not_to_be_learnt_is_known() {
        let said = Message::new(Role::Assistant, "x");
        assert!(said.is_learnt());
        assert!(!said.clone().with("weight", 0).is_learnt());
        assert!(said.clone().with("weight", 1).is_learnt());
        assert!(!said.with("train", false).is_learnt());
        assert!(!Message::new(Role::User, "x").is_learnt());
    }
}
