//! A model as it comes from disk or hub: architecture, tokenizer, chat template, end tokens and weights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::{ConfigError, ModelConfig};
use super::weights::gguf::GgufFile;
use super::weights::{WeightError, WeightSource, hub};
use crate::formats::gguf::GgufError;
use crate::tokenizer::{ChatTemplate, SpecialTokens, TemplateError, Tokenizer, TokenizerError};

/// The key of `tokenizer_config.json` under which runs keep what their chat template is given.
pub(crate) const TEMPLATE_VARIABLES: &str = "template_variables";

/// Everything that a checkpoint says, opened and checked; the weights are read when they are asked for.
#[derive(Debug)]
pub struct Pretrained {
    /// The architecture.
    pub config: ModelConfig,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The chat template; base models have none.
    pub template: Option<ChatTemplate>,
    /// Tokens with a role.
    pub special: SpecialTokens,
    /// The ids that end an answer: at least one, ascending.
    pub eos_token_ids: Vec<u32>,
    /// The weights; every tensor of `config` is there in its shape.
    pub weights: WeightSource,
    /// Where it came from: the directory, file or hub name that was asked for.
    pub origin: String,
}

impl Pretrained {
    /// Opens a model: a directory in Hugging Face form, a GGUF file, or `owner/model` on the hub.
    ///
    /// # Errors
    /// [`PretrainedError::NotFound`] says what was tried; the other variants come from the parts.
    pub fn open(spec: &str) -> Result<Self, PretrainedError> {
        let path = Path::new(spec);
        if path.is_dir() {
            return Self::open_dir(path, spec);
        }
        if path.is_file() {
            return Self::open_gguf(path, spec);
        }
        if hub::is_hub_name(spec) && !spec.ends_with(".gguf") {
            return Self::open_dir(&hub::fetch(spec)?, spec);
        }
        Err(PretrainedError::NotFound {
            spec: spec.to_string(),
        })
    }

    fn open_dir(dir: &Path, origin: &str) -> Result<Self, PretrainedError> {
        let config_file = dir.join("config.json");
        if !config_file.is_file() {
            return Err(PretrainedError::NoConfig {
                dir: dir.to_path_buf(),
            });
        }
        let config_json = read_json(&config_file)?;
        let mut config =
            ModelConfig::from_hf_json(&config_json, &config_file.display().to_string())?;
        let mut special = special_tokens(dir)?;
        let tokenizer_config = read_optional_json(&dir.join("tokenizer_config.json"))?;
        let tokenizer = Tokenizer::from_hf_dir(dir, tokenizer_config.as_ref(), &special)?;
        if let (None, &[bos]) = (&special.bos_token, tokenizer.prefix()) {
            special.bos_token = tokenizer.token(bos);
        }
        let mut template = ChatTemplate::from_hf_dir(dir, special.clone())?;
        let variables = tokenizer_config.and_then(|mut config| {
            let variables = config.get_mut(TEMPLATE_VARIABLES)?.as_object_mut()?;
            Some(std::mem::take(variables))
        });
        if let Some(variables) = variables {
            template = match template {
                Some(template) => Some(template.with_variables(variables)?),
                None => None,
            };
        }
        let generation = read_optional_json(&dir.join("generation_config.json"))?;
        let mut eos = BTreeSet::new();
        for json in [Some(&config_json), generation.as_ref()]
            .into_iter()
            .flatten()
        {
            eos.extend(eos_ids(json));
        }
        eos.extend(
            special
                .eos_token
                .as_ref()
                .and_then(|token| tokenizer.token_id(token)),
        );
        let weights = WeightSource::open_dir(dir)?;
        // As transformers 5: a head of its own is used, whatever the config says.
        if config.tie_word_embeddings && weights.has_own_head(&config)? {
            config.tie_word_embeddings = false;
        }
        Self {
            config,
            tokenizer,
            template,
            special,
            eos_token_ids: Vec::new(),
            weights,
            origin: origin.to_string(),
        }
        .checked(eos, dir)
    }

    fn open_gguf(path: &Path, origin: &str) -> Result<Self, PretrainedError> {
        let file = GgufFile::open(path)?;
        let config = ModelConfig::from_gguf(&file)?;
        let wrap = |source| PretrainedError::Gguf {
            file: path.to_path_buf(),
            source,
        };
        let metadata = file.metadata();
        let tokenizer = Tokenizer::from_gguf(metadata)?;
        let special = SpecialTokens::from_gguf(metadata).map_err(wrap)?;
        let template = ChatTemplate::from_gguf(metadata, special.clone())?;
        let mut eos = BTreeSet::new();
        // Chat models that end a turn with another token than a document name it as EOT or EOM.
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            let id = metadata
                .count(&format!("tokenizer.ggml.{key}"))
                .map_err(wrap)?;
            eos.extend(id.and_then(|id| u32::try_from(id).ok()));
        }
        let weights = WeightSource::Gguf(file);
        Self {
            config,
            tokenizer,
            template,
            special,
            eos_token_ids: Vec::new(),
            weights,
            origin: origin.to_string(),
        }
        .checked(eos, path)
    }

    /// Checks that the parts fit together, and sets the EOS ids.
    fn checked(mut self, eos: BTreeSet<u32>, file: &Path) -> Result<Self, PretrainedError> {
        let (vocab_size, tokens) = (self.config.vocab_size, self.tokenizer.vocab_size());
        if tokens > vocab_size {
            return Err(PretrainedError::VocabularyTooLarge {
                file: file.to_path_buf(),
                tokens,
                vocab_size,
            });
        }
        if eos.is_empty() {
            return Err(PretrainedError::NoEos {
                file: file.to_path_buf(),
            });
        }
        if let Some(&id) = eos.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(PretrainedError::EosOutside {
                file: file.to_path_buf(),
                id,
                vocab_size,
            });
        }
        let stored = self.config.stored_tensors();
        self.weights
            .verify_but(&stored, |name| self.config.skips(name))?;
        self.eos_token_ids = eos.into_iter().collect();
        Ok(self)
    }
}

fn read_json(file: &Path) -> Result<Value, PretrainedError> {
    let text = std::fs::read_to_string(file).map_err(|source| WeightError::Io {
        action: "cannot read",
        file: file.to_path_buf(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| PretrainedError::Json {
        file: file.to_path_buf(),
        source,
    })
}

fn read_optional_json(file: &Path) -> Result<Option<Value>, PretrainedError> {
    if file.is_file() {
        read_json(file).map(Some)
    } else {
        Ok(None)
    }
}

/// The tokens named in `tokenizer_config.json`, and in the older `special_tokens_map.json` where that is silent.
fn special_tokens(dir: &Path) -> Result<SpecialTokens, PretrainedError> {
    let mut special = SpecialTokens::default();
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        if let Some(json) = read_optional_json(&dir.join(name))? {
            special = special.or(SpecialTokens::from_json(&json));
        }
    }
    Ok(special)
}

/// `eos_token_id`, one or a list.
fn eos_ids(json: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match json.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// Nothing of that name.
    #[error(
        "no model \"{spec}\": there is no such directory or file, and it is not a hub name of the form owner/model\n\
         hint: give a directory with config.json, tokenizer.json and safetensors, a .gguf file, or owner/model"
    )]
    NotFound {
        /// What was asked for.
        spec: String,
    },
    /// A directory that is no checkpoint.
    #[error(
        "{}: there is no config.json\n\
         hint: give the directory of a Hugging Face checkpoint, or name a .gguf file itself", dir.display()
    )]
    NoConfig {
        /// The directory.
        dir: PathBuf,
    },
    /// A file that is not JSON.
    #[error("{}: not JSON: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// GGUF metadata is missing or mistyped.
    #[error("{}: {source}", file.display())]
    Gguf {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: GgufError,
    },
    /// Nothing says which token ends an answer.
    #[error(
        "{}: no end-of-sequence token is named\n\
         hint: set eos_token_id in generation_config.json, or eos_token in tokenizer_config.json", file.display()
    )]
    NoEos {
        /// The directory or file.
        file: PathBuf,
    },
    /// An EOS id without a row in the embedding.
    #[error("{}: end-of-sequence id {id} is outside of the vocabulary of {vocab_size}", file.display())]
    EosOutside {
        /// The directory or file.
        file: PathBuf,
        /// The id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// Tokens without a row in the embedding.
    #[error("{}: the tokenizer has {tokens} tokens, the model embeds {vocab_size}", file.display())]
    VocabularyTooLarge {
        /// The directory or file.
        file: PathBuf,
        /// One more than the highest id.
        tokens: usize,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
}

#[cfg(test)]
mod tests;
