//! How a question is put to the model: the text around it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::settings::expect_setting;
use crate::source::{Cursor, TaskResult, TaskSource};
use crate::task::PromptStyle;
use crate::task::{Prompt, Task};

/// The placeholder of the question itself.
const QUESTION: &str = "question";

/// Settings of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    /// The prompt. `{question}` stands for the question, any other `{name}` for the task's column of that name; at least
    /// one of them has to occur. `{{name}}` is `{name}` itself, and braces around anything but a name stay as they are.
    pub text: String,
    /// `text`: the prompt as it is, for a base model to continue. `chat`: a user message in the model's chat template.
    #[serde(default = "raw_text")]
    pub style: PromptStyle,
    /// A system message; only with `style = "chat"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

fn raw_text() -> PromptStyle {
    PromptStyle::Text
}

/// A prompt with gaps, filled in from a task.
///
/// It replaces the prompt that the task came with, so it does not decide on which side of the split a problem is: that is
/// settled by the problem as the file or the generator poses it, and changing the template moves nothing.
///
/// A list is written as Python writes it, `[44, 19, 35]`, a string without quotes, everything else as JSON.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    style: PromptStyle,
    system: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Question,
    Column(String),
}

impl Template {
    /// The template that `config` describes.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] if nothing of the task is in it, or if raw text has a system message.
    pub fn from_config(config: &TemplateConfig) -> Result<Self, DatasetError> {
        let TemplateConfig {
            text,
            style,
            system,
        } = config;
        let pieces = pieces(text);
        let varies = pieces
            .iter()
            .any(|piece| !matches!(piece, Piece::Literal(_)));
        let expected = "a text with {question}, or with a column's name in braces";
        expect_setting(varies, "text", format_args!("{text:?}"), expected)?;
        if let (PromptStyle::Text, Some(system)) = (style, system) {
            let expected = "no system message with style = \"text\"";
            expect_setting(false, "system", format_args!("{system:?}"), expected)?;
        }
        Ok(Self {
            pieces,
            style: *style,
            system: system.clone(),
        })
    }

    /// `task` with its prompt put this way.
    ///
    /// # Errors
    /// [`DatasetError::Template`] if a column is missing or null.
    pub fn apply(&self, task: Task) -> Result<Task, DatasetError> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Question => text.push_str(&task.prompt.problem_text()),
                Piece::Column(name) => match task.columns.get(name) {
                    Some(value) if !value.is_null() => text.push_str(&written(value)),
                    _ => {
                        return Err(DatasetError::Template {
                            task: task.id,
                            placeholder: name.clone(),
                            columns: names(&task.columns),
                        });
                    }
                },
            }
        }
        let prompt = match self.style {
            PromptStyle::Text => Prompt::Text(text),
            PromptStyle::Chat => Prompt::user(self.system.as_deref(), text),
        };
        Ok(Task { prompt, ..task })
    }
}

/// The columns' names, for a message.
fn names(columns: &Map<String, Value>) -> String {
    if columns.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
    names.join(", ")
}

/// A value as a prompt shows it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(written).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

/// The literal and the variable parts of `text`, in their order.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inner) = rest.strip_prefix("{{").and_then(name)
            && rest[2 + inner.len()..].starts_with("}}")
        {
            literal.push_str(&rest[1..inner.len() + 3]);
            rest = &rest[inner.len() + 4..];
        } else if let Some(inner) = rest.strip_prefix('{').and_then(name)
            && rest[1 + inner.len()..].starts_with('}')
        {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(match inner {
                QUESTION => Piece::Question,
                column => Piece::Column(column.to_owned()),
            });
            rest = &rest[inner.len() + 2..];
        } else {
            literal.push('{');
            rest = &rest[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// The name that `text` begins with: letters, digits and `_`, not a digit first.
fn name(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let name = &text[..end];
    let first = name.chars().next()?;
    (!first.is_numeric()).then_some(name)
}

/// What cursors of a [`TemplateSource`] say they are of.
const KIND: &str = "a source with a template";

/// A source whose tasks are put by a template.
pub struct TemplateSource {
    source: Box<dyn TaskSource>,
    template: Template,
    /// Tasks that were drawn and could not be put: they are the first of the next batch.
    undelivered: VecDeque<Task>,
}

/// What a [`TemplateSource`] keeps in its cursor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateState {
    /// The place of the source within.
    within: Cursor,
    /// Tasks that were drawn and not handed out.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    undelivered: VecDeque<Task>,
}

impl TemplateSource {
    /// The tasks of `source`, put by `template`.
    pub fn new(source: Box<dyn TaskSource>, template: Template) -> Self {
        Self {
            source,
            template,
            undelivered: VecDeque::new(),
        }
    }
}

impl TaskSource for TemplateSource {
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError> {
        let missing = count.saturating_sub(self.undelivered.len());
        let mut tasks: Vec<Task> = Vec::with_capacity(count);
        let fresh = if missing > 0 {
            self.source.next_batch(missing, progress)?
        } else {
            Vec::new()
        };
        self.undelivered.extend(fresh);
        for task in self.undelivered.iter().take(count) {
            tasks.push(self.template.apply(task.clone())?);
        }
        self.undelivered.drain(..count);
        Ok(tasks)
    }

    fn observe(&mut self, results: &[TaskResult]) {
        self.source.observe(results);
    }

    fn cursor(&self) -> Cursor {
        let within = self.source.cursor();
        Cursor::at(KIND, within.epoch, within.index).with_state(&TemplateState {
            within,
            undelivered: self.undelivered.clone(),
        })
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_source(KIND)?;
        let TemplateState {
            within,
            undelivered,
        } = cursor.read_state()?;
        self.source.restore(&within)?;
        self.undelivered = undelivered;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{CountdownConfig, Generator, GeneratorConfig, GeneratorSource};
    use crate::split::Split;

    fn template(text: &str) -> Result<Template, DatasetError> {
        Template::from_config(&TemplateConfig {
            text: text.to_owned(),
            style: PromptStyle::Text,
            system: None,
        })
    }

    fn task() -> Task {
        serde_json::from_str(
            r#"{"id":"a","prompt":[{"role":"system","content":"Be brief."},{"role":"user","content":"1+1?"}],
                "answer":"2","columns":{"numbers":[44,19,"x"],"target":98,"note":"so","none":null}}"#,
        )
        .unwrap()
    }

    #[test]
    fn gaps_are_filled_and_the_rest_stays() {
        let cases = [
            (
                "User: {question}\nAssistant: <think>",
                "User: 1+1?\nAssistant: <think>",
            ),
            ("{numbers} to {target}, {note}", "[44, 19, x] to 98, so"),
            ("{question}{question}", "1+1?1+1?"),
            // LaTeX, JSON and lone braces are no placeholders; doubled ones are a way to write one.
            (
                r"\boxed{} \frac{1}{2} {question}",
                r"\boxed{} \frac{1}{2} 1+1?",
            ),
            ("{{question}} {question}", "{question} 1+1?"),
            ("{\"a\": {question}}", "{\"a\": 1+1?}"),
            ("{{x} {question} {", "{{x} 1+1? {"),
        ];
        for (text, expected) in cases {
            // `{x}` is a placeholder in the last case, so it needs a column.
            let mut task = task();
            task.columns.insert("x".to_owned(), Value::from("{x}"));
            let put = template(text).unwrap().apply(task).unwrap();
            assert_eq!(put.prompt, Prompt::Text(expected.to_owned()), "{text}");
            assert_eq!((put.id.as_str(), put.answer.as_str()), ("a", "2"));
        }
        let chat = Template::from_config(&TemplateConfig {
            text: "{question} Think first.".to_owned(),
            style: PromptStyle::Chat,
            system: Some("Be right.".to_owned()),
        });
        let expected = Prompt::user(Some("Be right."), "1+1? Think first.");
        assert_eq!(chat.unwrap().apply(task()).unwrap().prompt, expected);
    }

    #[test]
    fn the_answer_is_no_placeholder() {
        for (placeholder, text) in [("answer", "{question}{answer}"), ("none", "{none}")] {
            let error = template(text).unwrap().apply(task()).unwrap_err();
            let expected = format!(
                "task a: the template has {{{placeholder}}}, and the task has no such column; there are: numbers, target, note, none"
            );
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_template_without_a_task_is_refused() {
        for text in ["Say something.", "{{question}}", "{}", ""] {
            let error = template(text).unwrap_err().to_string();
            assert!(error.contains("expected a text with {question}"), "{error}");
        }
        let error = Template::from_config(&TemplateConfig {
            text: "{question}".to_owned(),
            style: PromptStyle::Text,
            system: Some("Be brief.".to_owned()),
        });
        let expected = "system is \"Be brief.\": expected no system message with style = \"text\"";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_source_keeps_its_problems_and_its_place() {
        let config = GeneratorConfig::Countdown(CountdownConfig::default());
        let plain = || -> Box<dyn TaskSource> {
            let generator = Generator::from_config(&config).unwrap();
            Box::new(GeneratorSource::new(generator, 3, Split::Train))
        };
        let mut source = TemplateSource::new(plain(), template("{numbers}={target}").unwrap());
        let put = source.next_batch(4, 0.0).unwrap();
        for (task, original) in put.iter().zip(plain().next_batch(4, 0.0).unwrap()) {
            let (numbers, target) = (&task.columns["numbers"], &task.columns["target"]);
            let expected = format!("{}={target}", written(numbers));
            assert_eq!(task.prompt, Prompt::Text(expected));
            assert_eq!((&task.id, &task.columns), (&original.id, &original.columns));
        }
        let saved = source.cursor();
        let next = source.next_batch(3, 0.0).unwrap();
        let mut resumed = TemplateSource::new(plain(), template("{numbers}={target}").unwrap());
        resumed.restore(&saved).unwrap();
        assert_eq!(resumed.next_batch(3, 0.0).unwrap(), next);
        let error = resumed.restore(&plain().cursor()).unwrap_err().to_string();
        assert!(error.contains("one in a generator, which"), "{error}");

        let mut source = TemplateSource::new(plain(), template("{nums}").unwrap());
        assert!(source.next_batch(4, 0.0).is_err());
        // What was drawn waits: another template puts the same tasks.
        let mut mended = TemplateSource::new(plain(), template("{numbers}={target}").unwrap());
        mended.restore(&source.cursor()).unwrap();
        assert_eq!(mended.next_batch(4, 0.0).unwrap(), put);
    }
}
