//! Chat messages to the text that a model was trained on, by the template that comes with the model.

use std::path::Path;
use std::sync::Arc;

use dunwu_datasets::{Message, Role};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::{Map, Value as Json};

use super::{SpecialTokens, jinja, methods, python};
use crate::formats::gguf::{GgufError, Metadata};

const TEMPLATE_NAME: &str = "chat_template";

/// A compiled chat template: Jinja with the functions, filters and whitespace rules of transformers.
///
/// It is cheap to clone and may be used from several threads.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    special: SpecialTokens,
    variables: Map<String, Json>,
    environment: Arc<Environment<'static>>,
}

/// What a template is given by the conversation, and no variable may replace.
const OWN: [&str; 2] = ["messages", "add_generation_prompt"];

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with the line.
    pub fn new(source: impl Into<String>, special: SpecialTokens) -> Result<Self, TemplateError> {
        let source = source.into();
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(false);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(methods::call);
        environment.set_formatter(python::print);
        environment.add_filter("tojson", python::to_json);
        environment.add_filter("string", python::string);
        environment.add_test("iterable", python::is_iterable);
        environment.add_function("strftime_now", |format: &str| python::strftime_now(format));
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(TEMPLATE_NAME, jinja::prepare(&source))
            .map_err(|error| TemplateError::Syntax {
                line: error.line(),
                what: describe(&error),
            })?;
        Ok(Self {
            source,
            special,
            variables: Map::new(),
            environment: Arc::new(environment),
        })
    }

    /// The same template, given these variables besides the conversation: `enable_thinking`, `date_string`, `tools` or whatever
    /// else it asks for. They go before the tokens with a role and before those that it was given earlier.
    ///
    /// # Errors
    /// [`TemplateError::OwnVariable`] for a name that is the conversation's.
    pub fn with_variables(mut self, variables: Map<String, Json>) -> Result<Self, TemplateError> {
        if let Some(name) = OWN.into_iter().find(|name| variables.contains_key(*name)) {
            return Err(TemplateError::OwnVariable { name });
        }
        self.variables.extend(variables);
        Ok(self)
    }

    /// What it is given besides the conversation.
    pub fn variables(&self) -> &Map<String, Json> {
        &self.variables
    }

    /// The ChatML form that SmolLM and Qwen use: `<|im_start|>role`, the text, `<|im_end|>`; no default system message.
    ///
    /// # Errors
    /// None in practice; the template is fixed.
    pub fn chatml(special: SpecialTokens) -> Result<Self, TemplateError> {
        let source = "{% for message in messages %}\
            {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
            {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        Self::new(source, special)
    }

    /// The template of a Hugging Face directory, if it has one: `chat_template.jinja`, else `chat_template.json`, else
    /// `chat_template` in `tokenizer_config.json`, where of several named templates "default" is taken.
    ///
    /// # Errors
    /// [`TemplateError::Io`] and [`TemplateError::BadFile`] for files that cannot be read,
    /// [`TemplateError::Syntax`].
    pub fn from_hf_dir(
        dir: impl AsRef<Path>,
        special: SpecialTokens,
    ) -> Result<Option<Self>, TemplateError> {
        let dir = dir.as_ref();
        if let Some(source) = read_optional(&dir.join("chat_template.jinja"))? {
            return Self::new(source, special).map(Some);
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let file = dir.join(name);
            let Some(text) = read_optional(&file)? else {
                continue;
            };
            let bad = |what: String| TemplateError::BadFile {
                file: file.display().to_string(),
                what,
            };
            let json: Json = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
            match json.get("chat_template") {
                None | Some(Json::Null) => {}
                Some(Json::String(source)) => return Self::new(source.as_str(), special).map(Some),
                Some(named) => {
                    let what = "chat_template is neither a string nor a list with a template named \"default\"";
                    let source = default_template(named).ok_or_else(|| bad(what.to_string()))?;
                    return Self::new(source, special).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The template of a GGUF file, if it has one.
    ///
    /// # Errors
    /// [`TemplateError::Gguf`] for a value of another type, [`TemplateError::Syntax`].
    pub fn from_gguf(
        metadata: &Metadata,
        special: SpecialTokens,
    ) -> Result<Option<Self>, TemplateError> {
        metadata
            .text("tokenizer.chat_template")?
            .map(|source| Self::new(source, special))
            .transpose()
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the model is to answer.
    ///
    /// # Errors
    /// [`TemplateError::Refused`] when the template rejects the conversation (two user turns in a row, a system
    /// message that it has no place for, …), [`TemplateError::Render`] for any other failure.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let SpecialTokens {
            bos_token,
            eos_token,
            pad_token,
            unk_token,
        } = &self.special;
        let messages: Vec<Value> = messages.iter().map(|message| self.shown(message)).collect();
        // As in transformers: a token that does not exist is undefined, which prints as nothing; tools and documents
        // are none.
        let mut given = Map::new();
        for name in ["tools", "documents"] {
            given.insert(name.to_owned(), Json::Null);
        }
        for (name, token) in [
            ("bos_token", bos_token),
            ("eos_token", eos_token),
            ("pad_token", pad_token),
            ("unk_token", unk_token),
        ] {
            let token = token.clone().map(Json::String);
            given.extend(token.map(|token| (name.to_owned(), token)));
        }
        given.extend(self.variables.clone());
        let given = Value::from_serialize(&given);
        let template = self
            .environment
            .get_template(TEMPLATE_NAME)
            .map_err(|error| render_error(&error))?;
        template
            .render(context! {
                messages,
                add_generation_prompt,
                ..given
            })
            .map_err(|error| render_error(&error))
    }

    /// A message as the template sees it: what else it has stands beside role and content.
    fn shown(&self, message: &Message) -> Value {
        let role = match message.role {
            // What models that do not know the word take for it.
            Role::Developer if !self.source.contains("developer") => Role::System,
            role => role,
        };
        let mut fields = serde_json::Map::new();
        fields.insert("role".to_owned(), role_name(role).into());
        fields.insert("content".to_owned(), message.content.clone().into());
        fields.extend(message.extra.clone());
        if !self.source.contains("arguments is string") {
            parse_arguments(&mut fields);
        }
        Value::from_serialize(&fields)
    }

    /// The template as it came with the model.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The tokens that the template may name.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::Tool => "tool",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Makes objects of the arguments of tool calls, which data in OpenAI's form have as JSON in a text. Templates that do not look
/// for texts would write them as a text within JSON, which no model answers.
fn parse_arguments(message: &mut serde_json::Map<String, Json>) {
    let calls = message.get_mut("tool_calls").and_then(Json::as_array_mut);
    for call in calls.into_iter().flatten() {
        let call = match call.get_mut("function") {
            Some(function) => function,
            None => call,
        };
        let Some(arguments) = call.get_mut("arguments") else {
            continue;
        };
        let parsed = arguments
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        if let Some(object @ Json::Object(_)) = parsed {
            *arguments = object;
        }
    }
}

/// The text of a file, or nothing when there is none.
fn read_optional(path: &Path) -> Result<Option<String>, TemplateError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TemplateError::Io {
            file: path.display().to_string(),
            source,
        }),
    }
}

/// `[{"name": "default", "template": "…"}, …]` → the template of that name.
fn default_template(named: &Json) -> Option<&str> {
    let entries = named.as_array()?;
    let default = entries
        .iter()
        .find(|entry| entry.get("name").and_then(Json::as_str) == Some("default"))?;
    default.get("template")?.as_str()
}

/// Marks an error that the template raised itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn render_error(error: &Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return TemplateError::Refused {
                message: message.clone(),
            };
        }
        cause = current.source();
    }
    TemplateError::Render {
        line: error.line(),
        what: describe(error),
    }
}

fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Why a chat template could not be read or rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The operating system refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A file without a usable template.
    #[error("{file}: {what}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// GGUF metadata is mistyped.
    #[error("chat template: {0}")]
    Gguf(#[from] GgufError),
    /// The template is not valid Jinja, or uses what is not implemented.
    #[error("chat template{}: {what}", at_line(*line))]
    Syntax {
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// A variable that is the conversation's.
    #[error("template_variables: {name} is given by the conversation itself")]
    OwnVariable {
        /// Its name.
        name: &'static str,
    },
    /// The template itself rejects the conversation.
    #[error("the chat template refuses these messages: {message}")]
    Refused {
        /// What the template says.
        message: String,
    },
    /// Rendering failed.
    #[error("chat template{}: {what}", at_line(*line))]
    Render {
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
