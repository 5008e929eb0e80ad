//! The architecture of a model as data: what `config.json` or GGUF metadata say, checked once.
//!
//! One [`ModelConfig`] describes every family that this crate reads; the families differ only in a few fields. Reading
//! is in [`hf`] (both directions) and [`gguf`]. What a model is made of for a configuration is a plan
//! (`model::plan`).

mod error;
mod experts;
mod family;
pub mod gguf;
pub mod hf;
mod plan;
mod scaling;
mod sizes;
mod variation;

use std::fmt;

pub use super::position::{LongRope, RopeScaling, Yarn};
pub use error::ConfigError;
pub use experts::ExpertsConfig;
pub use family::Family;
pub use variation::{
    Activation, Latent, LocalRope, NormPlacement, NormSpan, Scales, Variation, Window,
};

/// Largest accepted value of any width or count in a configuration, so that products of three of them fit in 64 bits.
const MAX_DIMENSION: usize = 1 << 21;

/// Largest accepted number of layers.
const MAX_LAYERS: usize = 1 << 12;

/// The architecture of a decoder-only transformer.
///
/// Values come from a checkpoint through [`ModelConfig::from_hf_json`] or [`ModelConfig::from_gguf`], or are written
/// by hand for a model that starts from nothing: then call [`ModelConfig::validate`].
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family, which names the architecture in exports.
    pub family: Family,
    /// Rows of the embedding and of the head; at least the tokenizer's vocabulary, often padded beyond it.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the feed-forward block.
    pub intermediate_size: usize,
    /// Transformer blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head of queries, even; `num_attention_heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary frequencies are stretched, if they are.
    pub rope_scaling: Option<RopeScaling>,
    /// Longest context, in tokens.
    pub max_position_embeddings: usize,
    /// The head is the embedding matrix; there is no `lm_head.weight`.
    pub tie_word_embeddings: bool,
    /// Biases on the query, key and value projections, and with families other than Qwen2 on the output projection; in latent
    /// attention on the maps to latents and on the output projection.
    pub attention_bias: bool,
    /// An RMS norm over queries and keys, before RoPE.
    pub qk_norm: bool,
    /// Layers that are mixtures of experts; without it all are dense.
    pub experts: Option<ExpertsConfig>,
    /// In what it differs from Llama besides.
    pub variation: Variation,
}

impl ModelConfig {
    /// Checks what the transformer relies on.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] names the field, its value and the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let dimensions = [
            ("vocab_size", self.vocab_size, MAX_DIMENSION),
            ("hidden_size", self.hidden_size, MAX_DIMENSION),
            ("intermediate_size", self.intermediate_size, MAX_DIMENSION),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            (
                "num_attention_heads",
                self.num_attention_heads,
                MAX_DIMENSION,
            ),
            (
                "num_key_value_heads",
                self.num_key_value_heads,
                MAX_DIMENSION,
            ),
            ("head_dim", self.head_dim, MAX_DIMENSION),
        ];
        for (field, value, limit) in dimensions {
            if value == 0 || value > limit {
                return Err(invalid(
                    field,
                    value,
                    format!("must be between 1 and {limit}"),
                ));
            }
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            let rule = format!(
                "must divide num_attention_heads = {}",
                self.num_attention_heads
            );
            return Err(invalid(
                "num_key_value_heads",
                self.num_key_value_heads,
                rule,
            ));
        }
        if self.variation.latent.is_none() && !self.head_dim.is_multiple_of(2) {
            return Err(invalid(
                "head_dim",
                self.head_dim,
                "must be even, since RoPE rotates pairs".to_string(),
            ));
        }
        if self.max_position_embeddings == 0 {
            return Err(invalid(
                "max_position_embeddings",
                0,
                "must be at least 1".to_string(),
            ));
        }
        for (field, value) in [
            ("rms_norm_eps", self.rms_norm_eps),
            ("rope_theta", self.rope_theta),
        ] {
            positive(field, value)?;
        }
        self.rope_scaling
            .as_ref()
            .map_or(Ok(()), scaling::validate)?;
        self.variation
            .validate(self.num_hidden_layers, self.head_dim)?;
        if let Some(experts) = &self.experts {
            experts.validate()?;
        }
        scaling::validate_pairs(self)
    }

    /// The number of trainable values, counting a tied head once.
    pub fn parameter_count(&self) -> u64 {
        self.tensors()
            .iter()
            .map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>())
            .sum()
    }

    /// Every tensor of a checkpoint by its Hugging Face name with its shape, in the order of the forward pass.
    ///
    /// # Shapes
    /// Linear weights are `[out, in]`, the embedding and the head `[vocab_size, hidden_size]`, norms and biases
    /// `[width]`. A tied head is not listed.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.plan().tensors()
    }
}

fn positive(field: &str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(invalid(
        field,
        value,
        "must be a positive number".to_string(),
    ))
}

fn invalid(field: &str, value: impl fmt::Display, rule: String) -> ConfigError {
    ConfigError::Invalid {
        field: field.to_string(),
        value: value.to_string(),
        rule,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn smollm2_135m() -> ModelConfig {
        ModelConfig {
            family: Family::Llama,
            vocab_size: 49152,
            hidden_size: 576,
            intermediate_size: 1536,
            num_hidden_layers: 30,
            num_attention_heads: 9,
            num_key_value_heads: 3,
            head_dim: 64,
            rms_norm_eps: 1e-5,
            rope_theta: 100_000.0,
            rope_scaling: None,
            max_position_embeddings: 8192,
            tie_word_embeddings: true,
            attention_bias: false,
            qk_norm: false,
            experts: None,
            variation: Variation::default(),
        }
    }

    #[test]
    fn smollm2_has_its_published_parameter_count() {
        let config = smollm2_135m();
        config.validate().unwrap();
        assert_eq!(config.parameter_count(), 134_515_008);
        assert_eq!(config.tensors().len(), 272);
    }

    #[test]
    fn an_invalid_head_count_names_both_fields() {
        let config = ModelConfig {
            num_key_value_heads: 2,
            ..smollm2_135m()
        };
        let message = config.validate().unwrap_err().to_string();
        assert_eq!(
            message,
            "model configuration: num_key_value_heads = 2 must divide num_attention_heads = 9"
        );
    }
}
