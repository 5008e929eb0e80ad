//! In what a family differs from Llama, from the metadata of a GGUF file.

use super::{Family, GgufError, GgufFile, Keys, ModelConfig};
use crate::{
    formats::gguf::{MetadataArray, MetadataValue},
    model::config::{
        Activation, ConfigError, ExpertsConfig, Latent, LocalRope, LongRope, NormPlacement,
        NormSpan, Scales, Variation, Window, Yarn,
    },
    model::router::Scores,
};

/// Gemma 3 has a layer without a window after so many with one, and its files do not say so.
const GEMMA_PATTERN: usize = 6;
/// The base of layers with a window, which they do not say either.
const GEMMA_LOCAL_THETA: f64 = 10_000.0;
/// The only Gemma 3 whose scores are scaled by the share of a head in the stream has so many layers.
const GEMMA_27B_LAYERS: usize = 62;
/// SmolLM3 has a layer that does not rotate after so many that do, which its files do not say.
const SMOLLM3_PATTERN: usize = 4;

impl Keys<'_> {
    /// Sets what the family has beyond a plain Llama.
    pub(super) fn vary(&self, gguf: &GgufFile, config: &mut ModelConfig) -> Result<(), GgufError> {
        let layers = config.num_hidden_layers;
        let plain = Variation::default();
        config.variation = match self.family {
            Family::Gemma3 => self.gemma(config)?,
            Family::Olmo2 => {
                let window = self.window(layers, |_| false)?;
                if window.is_some() {
                    // The converter calls both by one name.
                    config.family = Family::Olmo3;
                }
                Variation {
                    norms: NormPlacement::After,
                    qk_norm_span: NormSpan::Row,
                    local_rope: window.is_some().then_some(LocalRope {
                        theta: config.rope_theta,
                        scaling: None,
                    }),
                    window,
                    ..plain
                }
            }
            Family::SmolLm3 => Variation {
                rotates: Some(every(SMOLLM3_PATTERN, layers)),
                ..plain
            },
            Family::Olmoe => Variation {
                qk_norm_span: NormSpan::Row,
                ..plain
            },
            Family::Granite | Family::GraniteMoe => Variation {
                scales: Scales {
                    embedding: self.number("embedding_scale")?.unwrap_or(1.0),
                    residual: self.number("residual_scale")?.unwrap_or(1.0),
                    logits: self.number("logit_scale")?.unwrap_or(1.0),
                    attention: self.number("attention.scale")?,
                },
                ..plain
            },
            Family::Phi3 => Variation {
                rotated: self
                    .count("rope.dimension_count")?
                    .filter(|&rotated| rotated != config.head_dim),
                window: self.window(layers, |_| true)?,
                ..plain
            },
            Family::DeepseekV3 => {
                let softmax = |experts: &ExpertsConfig| experts.router.scores == Scores::Softmax;
                if config.experts.as_ref().is_some_and(softmax) {
                    // The converter calls both by one name.
                    config.family = Family::DeepseekV2;
                }
                let latent = self.latent()?;
                config.head_dim = latent.query_dim();
                config.num_key_value_heads = config.num_attention_heads;
                Variation {
                    latent: Some(latent),
                    ..plain
                }
            }
            _ => plain,
        };
        let bias = "model.layers.0.self_attn.o_proj.bias";
        config.attention_bias |= gguf.shape(bias).is_some();
        Ok(())
    }

    fn gemma(&self, config: &ModelConfig) -> Result<Variation, GgufError> {
        let width = if config.num_hidden_layers == GEMMA_27B_LAYERS {
            config.hidden_size as f64 / config.num_attention_heads as f64
        } else {
            config.head_dim as f64
        };
        let local = self.number("rope.freq_base_swa")?;
        Ok(Variation {
            norms: NormPlacement::Around,
            norm_offset: true,
            activation: Activation::GeluTanh,
            window: self.window(config.num_hidden_layers, |layer| {
                !(layer + 1).is_multiple_of(GEMMA_PATTERN)
            })?,
            local_rope: Some(LocalRope {
                theta: local.unwrap_or(GEMMA_LOCAL_THETA),
                scaling: None,
            }),
            scales: Scales {
                embedding: f64::from((config.hidden_size as f32).sqrt()),
                attention: Some(width.sqrt().recip()),
                ..Scales::default()
            },
            ..Variation::default()
        })
    }

    /// Which layers see how far: those that the file lists, or else those that `sliding` says; none where the width is 0.
    fn window(
        &self,
        layers: usize,
        sliding: impl Fn(usize) -> bool,
    ) -> Result<Option<Window>, GgufError> {
        let width = self.count("attention.sliding_window")?;
        let Some(width) = width.filter(|&width| width > 0) else {
            return Ok(None);
        };
        let key = self.key("attention.sliding_window_pattern");
        let layers: Vec<bool> = match self.metadata.get(&key) {
            Some(MetadataValue::Array(MetadataArray::Bool(listed))) => listed.clone(),
            Some(MetadataValue::Unsigned(interval)) => every(*interval as usize, layers),
            _ => (0..layers).map(sliding).collect(),
        };
        Ok(layers.contains(&true).then_some(Window { width, layers }))
    }

    fn latent(&self) -> Result<Latent, GgufError> {
        let rotated = self.required("rope.dimension_count")?;
        // Files without these two are older than the layout in which key and value lengths are those of the cache.
        let query = self.required("attention.key_length_mla")?;
        let value = self.required("attention.value_length_mla")?;
        Ok(Latent {
            q_lora_rank: self
                .count("attention.q_lora_rank")?
                .filter(|&rank| rank > 0),
            kv_lora_rank: self.required("attention.kv_lora_rank")?,
            qk_nope_head_dim: query.saturating_sub(rotated),
            qk_rope_head_dim: rotated,
            v_head_dim: value,
            rope_interleave: true,
        })
    }

    /// The settings of YaRN.
    pub(super) fn yarn(&self, file: &str) -> Result<Yarn, ConfigError> {
        let wrap = |source| ConfigError::Gguf {
            file: file.to_string(),
            source,
        };
        for suffix in ["rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"] {
            if let Some(factor) = self.number(suffix).map_err(wrap)?
                && factor != 1.0
            {
                let reason = "factors of cosines beside those of YaRN are not implemented";
                return Err(self.unsupported(suffix, factor.to_string(), file, reason));
            }
        }
        let required = |suffix: &str| {
            let missing = || GgufError::MissingKey {
                key: self.key(suffix),
            };
            let found = self.number(suffix)?;
            found.ok_or_else(missing)
        };
        let original = "rope.scaling.original_context_length";
        // The converter writes a tenth of what Hugging Face calls `mscale_all_dim`, and of `mscale` nothing.
        let magnitude = self
            .number("rope.scaling.yarn_log_multiplier")
            .map_err(wrap)?
            .map(|tenth| 10.0 * tenth);
        let number = |suffix: &str| self.number(suffix).map_err(wrap);
        Ok(Yarn {
            factor: required("rope.scaling.factor").map_err(wrap)?,
            original_max_position_embeddings: self.required(original).map_err(wrap)?,
            beta_fast: number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            attention_factor: None,
            mscale: magnitude,
            mscale_all_dim: magnitude,
            truncate: true,
        })
    }

    /// The factors of LongRoPE, which are tensors.
    pub(super) fn long_rope(
        &self,
        gguf: &GgufFile,
        config: &ModelConfig,
        file: &str,
    ) -> Result<Option<LongRope>, ConfigError> {
        let (short, long) = ("rope_factors_short.weight", "rope_factors_long.weight");
        let (Some(short_shape), Some(long_shape)) = (gguf.shape(short), gguf.shape(long)) else {
            return Ok(None);
        };
        let wrap = |source| ConfigError::Gguf {
            file: file.to_string(),
            source,
        };
        let original = self.required("rope.scaling.original_context_length");
        let original = original.map_err(wrap)?;
        let ratio = config.max_position_embeddings as f64 / original.max(1) as f64;
        let default = if ratio <= 1.0 {
            1.0
        } else {
            (1.0 + ratio.ln() / (original as f64).ln()).sqrt()
        };
        let given = self.number("rope.scaling.attn_factor").map_err(wrap)?;
        let factors = |name: (&str, &[usize])| -> Result<Vec<f64>, ConfigError> {
            let values = self.factors(gguf, name, file)?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        Ok(Some(LongRope {
            short_factor: factors((short, short_shape))?,
            long_factor: factors((long, long_shape))?,
            original_max_position_embeddings: original,
            attention_factor: given.unwrap_or(default),
        }))
    }
}

/// All layers but every `interval`-th.
fn every(interval: usize, layers: usize) -> Vec<bool> {
    let other = |layer: usize| !(layer + 1).is_multiple_of(interval.max(1));
    (0..layers).map(other).collect()
}
