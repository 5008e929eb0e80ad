//! Text to token ids and back.
//!
//! | file | subject |
//! |---|---|
//! | `mod.rs` | [`Tokenizer`]: one type for every source |
//! | `characters` | one token per character, for models that start from nothing |
//! | `gguf` | the tokenizer that a GGUF file describes |
//! | [`stream`] | decoding while tokens arrive |
//! | `special` | [`SpecialTokens`]: tokens with a role |
//! | [`template`] | chat messages to text |

mod characters;
mod gguf;
mod python;
mod special;
pub mod stream;
pub mod template;

use std::path::Path;
use std::sync::Arc;

pub use special::SpecialTokens;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, TemplateError};

use crate::formats::gguf::GgufError;

/// A tokenizer: `tokenizer.json` of Hugging Face, or one built here in the same form.
///
/// It is cheap to clone and may be used from several threads.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    vocab_size: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Truncation and padding that the file may ask for are switched off.
    ///
    /// # Errors
    /// [`TokenizerError::Io`] or [`TokenizerError::BadFile`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let file = path.as_ref().display().to_string();
        let bytes = std::fs::read(path.as_ref()).map_err(|source| TokenizerError::Io {
            file: file.clone(),
            source,
        })?;
        let inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| TokenizerError::BadFile {
                file,
                what: error.to_string(),
            })?;
        Self::new(inner)
    }

    /// Wraps a tokenizer, without truncation and padding.
    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| TokenizerError::Build {
                what: error.to_string(),
            })?;
        let highest = inner.get_vocab(true).into_values().max();
        let vocab_size = highest.map_or(0, |id| id as usize + 1);
        Ok(Self {
            inner: Arc::new(inner),
            vocab_size,
        })
    }

    /// The ids of a text. Special tokens in the text are recognised; none are added.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownCharacter`] for a character that the vocabulary lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(self.explain_failure(text, &error.to_string())),
        }
    }

    /// Names the first character that has no token, if that is what went wrong.
    fn explain_failure(&self, text: &str, reason: &str) -> TokenizerError {
        let mut plain = text.to_string();
        for token in self.inner.get_added_tokens_decoder().into_values() {
            plain = plain.replace(&token.content, "");
        }
        let mut buffer = [0; 4];
        let unknown = plain
            .chars()
            .find(|c| self.inner.token_to_id(c.encode_utf8(&mut buffer)).is_none());
        match unknown {
            Some(character) => TokenizerError::UnknownCharacter { character },
            None => TokenizerError::Encode {
                what: reason.to_string(),
            },
        }
    }

    /// The text of ids, without special tokens such as EOS.
    ///
    /// Bytes that are not UTF-8 become U+FFFD, and so does a character that is cut in half.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`] for an id that has no token.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.decode_inner(ids, true)
    }

    /// The text of ids, special tokens included.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.decode_inner(ids, false)
    }

    fn decode_inner(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(TokenizerError::UnknownId {
                id,
                vocab_size: self.vocab_size,
            });
        }
        self.inner
            .decode(ids, skip_special)
            .map_err(|error| TokenizerError::Decode {
                what: error.to_string(),
            })
    }

    /// The id of a token by its exact text, special or not.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of a token as the vocabulary spells it: byte-level vocabularies write a space as `Ġ`.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the highest id. The embedding of a model may have more rows, never fewer.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The `tokenizer.json` that transformers loads with the same ids.
    ///
    /// # Errors
    /// [`TokenizerError::Build`] if the tokenizer cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        self.inner
            .to_string(true)
            .map_err(|error| TokenizerError::Build {
                what: error.to_string(),
            })
    }
}

/// Why a tokenizer could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The operating system refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A file that is not a tokenizer.
    #[error("{file}: not a tokenizer.json: {what}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A vocabulary that cannot be made into a tokenizer.
    #[error("cannot build the tokenizer: {what}")]
    Build {
        /// What is wrong.
        what: String,
    },
    /// GGUF metadata is missing or mistyped.
    #[error("cannot build the tokenizer: {0}")]
    Gguf(#[from] GgufError),
    /// A kind of GGUF tokenizer that is not implemented.
    #[error(
        "GGUF tokenizer model \"{model}\" is not supported; supported: gpt2 (byte-level BPE)\n\
         hint: use the Hugging Face directory of the model, whose tokenizer.json works for every kind"
    )]
    UnsupportedModel {
        /// `tokenizer.ggml.model`.
        model: String,
    },
    /// A way of splitting words that is not implemented; a wrong guess would silently give other ids.
    #[error(
        "GGUF pre-tokenizer \"{pre}\" is not supported; supported: {supported}\n\
         hint: use the Hugging Face directory of the model, whose tokenizer.json works for every kind"
    )]
    UnsupportedPreTokenizer {
        /// `tokenizer.ggml.pre`.
        pre: String,
        /// Those that are.
        supported: String,
    },
    /// A character that the vocabulary lacks.
    #[error("character {character:?} (U+{:04X}) is not in the tokenizer's alphabet", u32::from(*character))]
    UnknownCharacter {
        /// The character.
        character: char,
    },
    /// An id without a token.
    #[error("token id {id} is outside of the vocabulary of {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// One more than the highest id.
        vocab_size: usize,
    },
    /// Encoding failed.
    #[error("cannot encode text: {what}")]
    Encode {
        /// What is wrong.
        what: String,
    },
    /// Decoding failed.
    #[error("cannot decode token ids: {what}")]
    Decode {
        /// What is wrong.
        what: String,
    },
}
