//! A model with everything that turns text into its tokens and back.
//!
//! | file | subject |
//! |---|---|
//! | this one | opening a model, wherever it is |
//! | [`section`] | `[model]` of a config |
//! | [`prompt`] | text or conversation → token ids |
//! | `scratch`, `scratch_family` | a new model over characters, and its family |
//! | [`save`](mod@save) | a model as a Hugging Face directory |
//! | [`checkpoints`] | where the checkpoints of a run lie |

pub mod checkpoints;
pub mod prompt;
pub mod save;
pub(crate) mod scratch;
mod scratch_family;
pub mod section;

use std::path::Path;

use burn::tensor::Device;

use crate::{
    model::{Pretrained, Transformer, pretrained::PretrainedError, weights::WeightError},
    tokenizer::{SpecialTokens, TokenizerError},
};

pub use checkpoints::ListError;
pub use prompt::{PromptEncoder, PromptError};
pub use section::{
    ModelSection, PretrainedModel, ScratchAttention, ScratchExperts, ScratchLatent, ScratchModel,
};

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BundleError {
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Checkpoints(#[from] ListError),
    /// `model.path` speaks of an environment variable that is not there.
    #[error("{0}")]
    Path(String),
}

/// What turns text into a model's tokens and back.
#[derive(Debug)]
pub struct Codec {
    /// Prompts to ids.
    pub encoder: PromptEncoder,
    /// Tokens that end a completion.
    pub eos: Vec<u32>,
    /// Tokens with a role.
    pub special: SpecialTokens,
}

impl Codec {
    /// The token that ends what the model is taught to say.
    pub fn end(&self) -> Option<u32> {
        let named = self.special.eos_token.as_deref();
        let named = named.and_then(|token| self.encoder.tokenizer.token_id(token));
        named.or(self.eos.first().copied())
    }
}

/// A loaded model.
#[derive(Debug)]
pub struct Bundle {
    /// The weights.
    pub model: Transformer,
    /// Its text.
    pub codec: Codec,
}

impl Bundle {
    /// The model of a config; `seed` draws the weights of a new one.
    ///
    /// # Errors
    /// When it cannot be found, read or understood.
    pub fn from_section(
        section: &ModelSection,
        seed: u64,
        device: &Device,
    ) -> Result<Self, BundleError> {
        match section {
            ModelSection::Scratch(scratch) => scratch::open(scratch, seed, device),
            ModelSection::Pretrained(pretrained) => {
                let path = expand(&pretrained.path)?;
                Self::open(&path, device)
            }
        }
    }

    /// A model from a directory, a GGUF file, the hub, or a run's directory (its last checkpoint).
    ///
    /// # Errors
    /// When it cannot be found, read or understood.
    pub fn open(spec: &str, device: &Device) -> Result<Self, BundleError> {
        let last = checkpoints::latest(Path::new(spec))?;
        let spec = match &last {
            Some(checkpoint) => checkpoint.join(checkpoints::MODEL).display().to_string(),
            None => spec.to_owned(),
        };
        let Pretrained {
            config,
            tokenizer,
            template,
            special,
            eos_token_ids,
            weights,
            origin,
        } = Pretrained::open(&spec)?;
        Ok(Self {
            model: Transformer::load(config, &weights, device)?,
            codec: Codec {
                encoder: PromptEncoder {
                    tokenizer,
                    template,
                    origin,
                },
                eos: eos_token_ids,
                special,
            },
        })
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` by environment variables.
///
/// # Errors
/// [`BundleError::Path`] when a variable without a default is not set, or `${` has no `}`.
pub(crate) fn expand(text: &str) -> Result<String, BundleError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, tail) = after.split_once('}').ok_or_else(|| {
            BundleError::Path(format!("model.path = {text:?}: `${{` without `}}`"))
        })?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        let value = value.or(default.map(str::to_owned)).ok_or_else(|| {
            BundleError::Path(format!("model.path = {text:?}: the environment variable {name} is not set; hint: set it, or --set model.path=PATH"))
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
