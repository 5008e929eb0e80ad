//! A model with everything that turns text into its tokens and back.
//!
//! | file | subject |
//! |---|---|
//! | this one | opening a model, wherever it is |
//! | [`section`] | `[model]` of a config |
//! | `fingerprint` | weights in a few letters |
//! | [`prompt`] | text or conversation → token ids |
//! | `scratch`, `scratch_family` | a new model over characters, and its family |
//! | [`save`](mod@save) | a model as a Hugging Face directory |
//! | [`checkpoints`] | where the checkpoints of a run lie |

pub mod checkpoints;
mod fingerprint;
pub mod prompt;
pub mod save;
pub(crate) mod scratch;
mod scratch_family;
pub mod section;

use std::path::Path;

use burn::tensor::Device;

use crate::{
    model::{
        ModelConfig, Pretrained, Transformer,
        pretrained::PretrainedError,
        weights::{WeightError, WeightSource},
    },
    tokenizer::{SpecialTokens, TemplateError, TokenizerError},
};

pub use checkpoints::ListError;
pub use fingerprint::fingerprint;
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
    Template(#[from] TemplateError),
    #[error(transparent)]
    Checkpoints(#[from] ListError),
    /// There is no template to give variables to.
    #[error("model.template_variables: {0} has no chat template; hint: leave them out")]
    NoTemplate(String),
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

    /// Whether the token ends what a model says.
    pub fn ends(&self, id: u32) -> bool {
        self.eos.contains(&id) || self.end() == Some(id)
    }

    /// Sets what a config says of the text side.
    ///
    /// # Errors
    /// A variable that no template can be given, or no template to give it to.
    fn apply(&mut self, section: &PretrainedModel) -> Result<(), BundleError> {
        let PretrainedModel {
            path,
            add_special_tokens,
            template_variables,
            ..
        } = section;
        let encoder = &mut self.encoder;
        if !add_special_tokens {
            encoder.tokenizer = encoder.tokenizer.clone().without_special_tokens();
        }
        if template_variables.is_empty() {
            return Ok(());
        }
        let template = encoder.template.take();
        let template = template.ok_or_else(|| BundleError::NoTemplate(path.clone()))?;
        encoder.template = Some(template.with_variables(template_variables.clone())?);
        Ok(())
    }

    /// The text side of a model that [`Bundle::open`] would open, and its longest sequence in tokens. No weights are read.
    ///
    /// # Errors
    /// When it cannot be found, read or understood.
    pub fn open(spec: &str) -> Result<(Self, usize), BundleError> {
        let (Outline { config, codec }, _) = outline(spec)?;
        Ok((codec, config.max_position_embeddings))
    }
}

/// What a model is like, without its weights in memory.
#[derive(Debug)]
pub struct Outline {
    /// Its shape.
    pub config: ModelConfig,
    /// Its text.
    pub codec: Codec,
}

impl Outline {
    /// That of a config's model. Of one on the hub the files are fetched, if they are not there.
    ///
    /// # Errors
    /// When it cannot be found or understood, or lacks weights.
    pub fn of(section: &ModelSection) -> Result<Self, BundleError> {
        match section {
            ModelSection::Scratch(scratch) => scratch::outline(scratch),
            ModelSection::Pretrained(pretrained) => {
                let (mut outline, _) = outline(&pretrained.place()?)?;
                outline.codec.apply(pretrained)?;
                Ok(outline)
            }
        }
    }
}

/// A model's outline and where its weights are; `spec` as for [`Bundle::open`].
fn outline(spec: &str) -> Result<(Outline, WeightSource), BundleError> {
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
    let codec = Codec {
        encoder: PromptEncoder {
            tokenizer,
            template,
            origin,
        },
        eos: eos_token_ids,
        special,
    };
    Ok((Outline { config, codec }, weights))
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
                let mut bundle = Self::open(&pretrained.place()?, device)?;
                bundle.codec.apply(pretrained)?;
                Ok(bundle)
            }
        }
    }

    /// A model from a directory, a GGUF file, the hub, or a run's directory (its last checkpoint).
    ///
    /// # Errors
    /// When it cannot be found, read or understood.
    pub fn open(spec: &str, device: &Device) -> Result<Self, BundleError> {
        let (Outline { config, codec }, weights) = outline(spec)?;
        Ok(Self {
            model: Transformer::load(config, &weights, device)?,
            codec,
        })
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` in the value of `key` by environment variables.
///
/// # Errors
/// [`BundleError::Path`] when a variable without a default is not set, or `${` has no `}`.
pub(crate) fn expand(key: &str, text: &str) -> Result<String, BundleError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, tail) = after
            .split_once('}')
            .ok_or_else(|| BundleError::Path(format!("{key} = {text:?}: `${{` without `}}`")))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        let value = value.or(default.map(str::to_owned)).ok_or_else(|| {
            BundleError::Path(format!("{key} = {text:?}: the environment variable {name} is not set; hint: set it, write ${{{name}:-a default}}, or --set {key}=…"))
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// A path with the home directory in place of a `~` in front; `None` for one without, or where there is no home.
pub(crate) fn at_home(path: &str) -> Option<String> {
    let rest = path.strip_prefix('~')?;
    if !(rest.is_empty() || rest.starts_with(['/', '\\'])) {
        return None; // `~somebody` is a file of that name: whose home it would be only the system knows
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?;
    Some(format!("{}{rest}", home.display()))
}
