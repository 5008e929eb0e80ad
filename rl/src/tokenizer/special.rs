//! Tokens with a role, as checkpoints name them.

use serde_json::Value as Json;

use crate::formats::gguf::{GgufError, Metadata};

/// Tokens with a role, by their text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a sequence.
    pub bos_token: Option<String>,
    /// Ends an answer.
    pub eos_token: Option<String>,
    /// Fills up a batch.
    pub pad_token: Option<String>,
    /// Stands for what has no token.
    pub unk_token: Option<String>,
}

impl SpecialTokens {
    /// The tokens that a `tokenizer_config.json` or `special_tokens_map.json` names, as text or as `{"content": …}`.
    pub fn from_json(config: &Json) -> Self {
        let text = |field: &str| {
            let token = config.get(field)?;
            token
                .as_str()
                .or_else(|| token.get("content")?.as_str())
                .map(str::to_string)
        };
        Self {
            bos_token: text("bos_token"),
            eos_token: text("eos_token"),
            pad_token: text("pad_token"),
            unk_token: text("unk_token"),
        }
    }

    /// The tokens that GGUF metadata names by id.
    ///
    /// # Errors
    /// [`GgufError`] for a missing vocabulary or an id outside of it.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, GgufError> {
        let tokens = metadata.required_texts("tokenizer.ggml.tokens")?;
        let text = |key: &str| -> Result<Option<String>, GgufError> {
            let Some(id) = metadata.count(key)? else {
                return Ok(None);
            };
            let what = || format!("{key} is {id}, the vocabulary has {} tokens", tokens.len());
            tokens
                .get(id)
                .cloned()
                .map(Some)
                .ok_or_else(|| GgufError::Corrupt {
                    offset: 0,
                    what: what(),
                })
        };
        Ok(Self {
            bos_token: text("tokenizer.ggml.bos_token_id")?,
            eos_token: text("tokenizer.ggml.eos_token_id")?,
            pad_token: text("tokenizer.ggml.padding_token_id")?,
            unk_token: text("tokenizer.ggml.unknown_token_id")?,
        })
    }

    /// These tokens, with those of `other` where there are none.
    pub fn or(self, other: Self) -> Self {
        Self {
            bos_token: self.bos_token.or(other.bos_token),
            eos_token: self.eos_token.or(other.eos_token),
            pad_token: self.pad_token.or(other.pad_token),
            unk_token: self.unk_token.or(other.unk_token),
        }
    }
}
