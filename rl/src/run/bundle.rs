//! A model with everything that turns text into its tokens and back.

use burn::tensor::Device;
use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;

use super::RunError;
use crate::{
    config::{ModelSection, ScratchModel},
    model::{ModelConfig, Pretrained, Transformer, config::Family, weights::HostTensor},
    rollout::PromptEncoder,
    tokenizer::{SpecialTokens, Tokenizer},
};

/// The end-of-sequence token of a model made from scratch.
const SCRATCH_EOS: &str = "<eos>";

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
    ) -> Result<Self, RunError> {
        match section {
            ModelSection::Scratch(scratch) => Self::scratch(scratch, seed, device),
            ModelSection::Pretrained(pretrained) => {
                let path = expand(&pretrained.path).map_err(RunError::Config)?;
                Self::open(&path, device)
            }
        }
    }

    /// A model from a directory, a GGUF file, the hub, or a run's directory (its last checkpoint).
    ///
    /// # Errors
    /// When it cannot be found, read or understood.
    pub fn open(spec: &str, device: &Device) -> Result<Self, RunError> {
        let last = crate::checkpoint::latest(std::path::Path::new(spec))?;
        let spec = match &last {
            Some(checkpoint) => checkpoint
                .join(crate::checkpoint::MODEL)
                .display()
                .to_string(),
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

    fn scratch(scratch: &ScratchModel, seed: u64, device: &Device) -> Result<Self, RunError> {
        let mut special: Vec<&str> = scratch.special_tokens.iter().map(String::as_str).collect();
        special.push(SCRATCH_EOS);
        let tokenizer = Tokenizer::characters(&scratch.alphabet, &special)?;
        let eos = tokenizer.token_id(SCRATCH_EOS).into_iter().collect();
        let config = scratch_config(scratch, tokenizer.vocab_size());
        let mut index = 0;
        let model = Transformer::build(config, device, |name, shape| {
            index += 1;
            Ok::<_, RunError>(initial(
                name,
                shape,
                scratch.layers,
                derive_seed(seed, &[index]),
            ))
        })?;
        Ok(Self {
            model,
            codec: Codec {
                encoder: PromptEncoder {
                    tokenizer,
                    template: None,
                    origin: "a model from scratch".to_owned(),
                },
                eos,
                special: SpecialTokens {
                    eos_token: Some(SCRATCH_EOS.to_owned()),
                    ..SpecialTokens::default()
                },
            },
        })
    }
}

pub(crate) fn scratch_config(scratch: &ScratchModel, vocab_size: usize) -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocab_size,
        hidden_size: scratch.hidden_size,
        intermediate_size: scratch.intermediate_size,
        num_hidden_layers: scratch.layers,
        num_attention_heads: scratch.heads,
        num_key_value_heads: scratch.kv_heads,
        head_dim: scratch.hidden_size / scratch.heads,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: scratch.context,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: false,
    }
}

/// Norm weights are 1; matrices are normal with standard deviation 0.02 (the embedding, as GPT-2)
/// or `1 / sqrt(inputs)`, divided by `sqrt(2 · layers)` where they write to the residual stream.
fn initial(name: &str, shape: &[usize], layers: usize, seed: u64) -> HostTensor {
    let count: usize = shape.iter().product();
    let values = match shape {
        [_] => vec![1.0; count],
        _ => {
            let fan_in = *shape.last().expect("weights have a shape") as f64;
            let writes = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
            let std = match (name.contains("embed_tokens"), writes) {
                (true, _) => 0.02,
                (false, false) => fan_in.sqrt().recip(),
                (false, true) => (fan_in * 2.0 * layers as f64).sqrt().recip(),
            };
            normal(count, std, seed)
        }
    };
    HostTensor {
        shape: shape.to_vec(),
        values,
    }
}

/// Normal numbers by the Box–Muller transform, on the host: the same on every device.
fn normal(count: usize, std: f64, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed);
    let mut one = || {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        (std * radius * angle.cos()) as f32
    };
    (0..count).map(|_| one()).collect()
}

/// Replaces `${NAME}` and `${NAME:-default}` by environment variables.
pub(crate) fn expand(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, tail) = after
            .split_once('}')
            .ok_or_else(|| format!("model.path = {text:?}: `${{` without `}}`"))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        let value = value.or(default.map(str::to_owned)).ok_or_else(|| {
            format!("model.path = {text:?}: the environment variable {name} is not set; hint: set it, or --set model.path=PATH")
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
