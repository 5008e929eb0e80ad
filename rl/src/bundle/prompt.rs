//! From a prompt to token ids.

use dunwu_datasets::{Message, Prompt, Role};

use crate::tokenizer::{ChatTemplate, TemplateError, Tokenizer, TokenizerError};

/// Why a prompt cannot be fed to the model.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A conversation, but no way to write it down.
    #[error(
        "the prompt is a conversation, but {model} has no chat template; hint: use a model that has one, or give the prompt as plain text"
    )]
    NoTemplate {
        /// Where the model is from.
        model: String,
    },
    /// The chat template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The text could not be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// No room for a completion.
    #[error(
        "the prompt of task {task} has {tokens} tokens; with sampling.max_tokens = {max_tokens} that is more than the model's context of {context}; hint: data.too_long = \"drop\" skips such problems; or lower sampling.max_tokens, or shorten the prompts"
    )]
    TooLong {
        /// The task's id.
        task: String,
        /// The prompt's length, in tokens.
        tokens: usize,
        /// Longest completion, in tokens.
        max_tokens: usize,
        /// Longest sequence of the model, in tokens.
        context: usize,
    },
    /// Longer than the config allows.
    #[error(
        "the prompt of task {task} has {tokens} tokens, more than data.max_prompt_tokens = {limit}; hint: data.too_long = \"drop\" skips such problems; or raise data.max_prompt_tokens"
    )]
    AboveLimit {
        /// The task's id.
        task: String,
        /// The prompt's length, in tokens.
        tokens: usize,
        /// What it may be, in tokens.
        limit: usize,
    },
    /// Sampling was broken off.
    #[error("sampling was broken off")]
    Cancelled,
    /// Nothing is left to feed.
    #[error("the prompt is empty")]
    Empty,
}

/// Renders and tokenises prompts for one model.
#[derive(Debug)]
pub struct PromptEncoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's chat template, if it has one.
    pub template: Option<ChatTemplate>,
    /// Where the model is from, for messages.
    pub origin: String,
}

impl PromptEncoder {
    /// The prompt as the model sees it: raw text as it is (its ids may begin with BOS), a conversation by the chat template,
    /// up to where the assistant speaks.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub fn text(&self, prompt: &Prompt) -> Result<String, PromptError> {
        match prompt {
            Prompt::Text(text) => Ok(text.clone()),
            Prompt::Chat(messages) => match &self.template {
                Some(template) => Ok(template.render(messages, true)?),
                None => Err(PromptError::NoTemplate {
                    model: self.origin.clone(),
                }),
            },
        }
    }

    /// Whether the chat template opens a thought where the model is to answer, so that a completion begins within it.
    pub fn opens_thought(&self) -> bool {
        let asked = [Message::new(Role::User, "?")];
        let template = self.template.as_ref();
        let text = template.and_then(|template| template.render(&asked, true).ok());
        text.is_some_and(|text| text.trim_end().ends_with("<think>"))
    }

    /// The prompt as text and as token ids.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub fn encode(&self, prompt: &Prompt) -> Result<(String, Vec<u32>), PromptError> {
        let text = self.text(prompt)?;
        let ids = match prompt {
            Prompt::Text(_) => self.tokenizer.encode_raw(&text)?,
            // A template writes such tokens itself.
            Prompt::Chat(_) => self.tokenizer.encode(&text)?,
        };
        if ids.is_empty() {
            Err(PromptError::Empty)
        } else {
            Ok((text, ids))
        }
    }

    /// The ids of a prompt, which are those of [`Self::encode`], and of a text that follows it.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub fn encode_pair(
        &self,
        prompt: &Prompt,
        continuation: &str,
    ) -> Result<(Vec<u32>, Vec<u32>), PromptError> {
        let text = self.text(prompt)?;
        let (ids, after) = match prompt {
            Prompt::Text(_) => self.tokenizer.encode_raw_pair(&text, continuation)?,
            Prompt::Chat(_) => {
                let mut pieces = self.tokenizer.encode_pieces(&[&text, continuation])?;
                let after = pieces.pop().unwrap_or_default();
                (pieces.pop().unwrap_or_default(), after)
            }
        };
        if ids.is_empty() {
            Err(PromptError::Empty)
        } else {
            Ok((ids, after))
        }
    }
}
