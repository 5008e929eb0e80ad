//! Text to token ids and back.
//!
//! | file | subject |
//! |---|---|
//! | `mod.rs` | [`Tokenizer`]: one type for every source |
//! | `characters` | one token per character, for models that start from nothing |
//! | `gguf`, `words` | the tokenizer that a GGUF file describes, and its rules for cutting text into words |
//! | `sentencepiece`, `pieces` | the one that a `tokenizer.model` describes, and what both make of such pieces |
//! | `seams` | one text in several pieces |
//! | [`stream`] | decoding while tokens arrive |
//! | `special` | [`SpecialTokens`]: tokens with a role |
//! | [`template`], `jinja`, `methods`, `python` | chat messages to text |

mod characters;
mod gguf;
mod jinja;
mod methods;
mod pieces;
mod python;
mod seams;
mod sentencepiece;
mod special;
pub mod stream;
pub mod template;
mod words;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

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
    /// What begins a raw text: a BOS token, or nothing.
    prefix: Vec<u32>,
    /// Whether the first word of a text is marked as if a space stood before it.
    marks_words: bool,
}

/// What a file begins with that Git LFS has left in the place of another.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

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
        if bytes.starts_with(LFS_POINTER) {
            return Err(TokenizerError::LfsPointer { file });
        }
        let inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| TokenizerError::BadFile {
                file,
                what: error.to_string(),
            })?;
        Self::new(inner)
    }

    /// The tokenizer of a Hugging Face directory: `tokenizer.json`, or else the SentencePiece model `tokenizer.model`.
    ///
    /// As in transformers, `add_bos_token` of `tokenizer_config.json`, where it is set, decides whether a raw text begins
    /// with BOS; elsewhere the post-processor of `tokenizer.json` does.
    ///
    /// # Errors
    /// As [`Tokenizer::from_file`] and [`Tokenizer::from_sentencepiece`]; [`TokenizerError::NoFile`] when neither is there.
    pub fn from_hf_dir(
        dir: impl AsRef<Path>,
        config: Option<&Json>,
        special: &SpecialTokens,
    ) -> Result<Self, TokenizerError> {
        let dir = dir.as_ref();
        let (json, model) = (dir.join("tokenizer.json"), dir.join("tokenizer.model"));
        let mut tokenizer = if json.is_file() {
            Self::from_file(json)?
        } else if model.is_file() {
            Self::from_sentencepiece(model, config)?
        } else {
            return Err(TokenizerError::NoFile {
                dir: dir.display().to_string(),
            });
        };
        let adds = config.and_then(|config| config.get("add_bos_token")?.as_bool());
        if let Some(adds) = adds {
            let bos = special.bos_token.as_ref();
            let bos = bos.and_then(|token| tokenizer.token_id(token));
            tokenizer.prefix = bos.filter(|_| adds).into_iter().collect();
        }
        Ok(tokenizer)
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
            prefix: processed_prefix(&inner),
            marks_words: marks_words(&inner),
            inner: Arc::new(inner),
            vocab_size,
        })
    }

    /// The same tokenizer, with nothing put before a raw text.
    #[must_use]
    pub fn without_special_tokens(mut self) -> Self {
        self.prefix.clear();
        self
    }

    /// What begins a raw text: usually BOS, or nothing.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// Whether [`Self::prefix`] is what [`Self::to_json`] makes of a text, too.
    pub fn prefix_is_processed(&self) -> bool {
        self.prefix == processed_prefix(&self.inner)
    }

    /// The ids of a raw text: those of [`Self::encode`], behind [`Self::prefix`] unless the text itself begins with it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_raw(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.with_prefix(self.encode(text)?))
    }

    /// `ids` behind [`Self::prefix`], unless they begin with it.
    fn with_prefix(&self, ids: Vec<u32>) -> Vec<u32> {
        if ids.starts_with(&self.prefix) {
            return ids;
        }
        let mut all = self.prefix.clone();
        all.extend(ids);
        all
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

/// What the post-processor puts before a single text.
fn processed_prefix(inner: &tokenizers::Tokenizer) -> Vec<u32> {
    if inner.get_post_processor().is_none() {
        return Vec::new();
    }
    let ids = |special| {
        let encoding = inner.encode_fast("a", special).ok()?;
        Some(encoding.get_ids().to_vec())
    };
    let (Some(plain), Some(whole)) = (ids(false), ids(true)) else {
        return Vec::new();
    };
    if plain.is_empty() {
        return Vec::new();
    }
    let at = whole
        .windows(plain.len())
        .position(|window| window == plain);
    at.map_or_else(Vec::new, |at| whole[..at].to_vec())
}

/// Whether the first word of a text gets the mark of a space that is not there.
fn marks_words(inner: &tokenizers::Tokenizer) -> bool {
    let first = || {
        let encoding = inner.encode_fast("a", false).ok()?;
        inner.id_to_token(*encoding.get_ids().first()?)
    };
    first().is_some_and(|token| token.starts_with(['▁', 'Ġ']))
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
    /// A directory without a tokenizer.
    #[error(
        "{dir}: there is neither tokenizer.json nor tokenizer.model\n\
         hint: python -c 'from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(\"{dir}\").save_pretrained(\"{dir}\")' writes tokenizer.json"
    )]
    NoFile {
        /// The directory.
        dir: String,
    },
    /// What Git LFS leaves in the place of a file that it has not fetched.
    #[error(
        "{file}: a Git-LFS pointer, not the file itself\nhint: run git lfs pull in its repository"
    )]
    LfsPointer {
        /// The file.
        file: String,
    },
    /// A SentencePiece model that is damaged, or of a kind that is not read.
    #[error("{file}: {what}")]
    SentencePiece {
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
        "GGUF tokenizer model \"{model}\" is not supported; supported: gpt2 (byte-level BPE), llama and gemma4 (SentencePiece)\n\
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
