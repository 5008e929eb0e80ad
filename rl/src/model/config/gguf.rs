//! The architecture from the metadata of a GGUF file.

mod experts;
mod variation;

use std::f64::consts::PI;

use super::{ConfigError, Family, ModelConfig, RopeScaling, Variation};
use crate::formats::gguf::{GgufError, Metadata};
use crate::model::weights::WeightError;
use crate::model::weights::gguf::GgufFile;

/// The frequency factors of Llama 3.1 and later, which a GGUF stores only as `rope_freqs.weight`.
const LLAMA3_FREQUENCIES: (f64, f64, usize) = (1.0, 4.0, 8192);
/// How far stored frequency factors may be from computed ones; they are `f32`.
const FREQUENCY_TOLERANCE: f64 = 1e-3;

impl ModelConfig {
    /// Reads the architecture of a GGUF file from its metadata, and from its tensors what only they tell: the rows of
    /// the embedding, whether the head is tied, and the Llama 3 frequency factors.
    ///
    /// # Errors
    /// An architecture or setting that the transformer here does not implement is an error, never ignored; so is a
    /// missing or mistyped key, and a combination that [`ModelConfig::validate`] rejects.
    pub fn from_gguf(gguf: &GgufFile) -> Result<Self, ConfigError> {
        let file = gguf.path().display().to_string();
        let wrap = |source| ConfigError::Gguf {
            file: file.clone(),
            source,
        };
        let metadata = gguf.metadata();
        let architecture = metadata
            .required_text("general.architecture")
            .map_err(wrap)?;
        let experts = metadata.uniform_count(&format!("{architecture}.expert_count"));
        let mixes = experts.map_err(wrap)?.unwrap_or(0) > 0;
        let named = || {
            let all = Family::ALL.into_iter();
            all.filter(|family| family.gguf_architecture() == Some(architecture))
        };
        // Mixtral's files have the architecture of Llama; a family with experts may do without.
        let family = named().find(|family| family.has_experts() == mixes);
        let family = family.or_else(|| named().find(|family| family.has_experts()));
        let family = family.ok_or_else(|| ConfigError::UnsupportedArchitecture {
            file: file.clone(),
            architecture: architecture.to_string(),
        })?;
        let keys = Keys {
            metadata,
            family,
            architecture,
        };
        let mut config = keys.read(gguf).map_err(wrap)?;
        keys.vary(gguf, &mut config).map_err(wrap)?;
        keys.refuse_unsupported(&config, &file)?;
        config.rope_scaling = keys.rope_scaling(gguf, &config, &file)?;
        config.validate()?;
        Ok(config)
    }
}

/// Metadata keys below the architecture's name.
struct Keys<'a> {
    metadata: &'a Metadata,
    family: Family,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    fn count(&self, suffix: &str) -> Result<Option<usize>, GgufError> {
        self.metadata.uniform_count(&self.key(suffix))
    }

    fn flag(&self, suffix: &str) -> Result<Option<bool>, GgufError> {
        self.metadata.flag(&self.key(suffix))
    }

    fn number(&self, suffix: &str) -> Result<Option<f64>, GgufError> {
        self.metadata.number(&self.key(suffix))
    }

    fn required(&self, suffix: &str) -> Result<usize, GgufError> {
        self.count(suffix)?.ok_or_else(|| GgufError::MissingKey {
            key: self.key(suffix),
        })
    }

    /// Everything but the RoPE scaling.
    fn read(&self, gguf: &GgufFile) -> Result<ModelConfig, GgufError> {
        let hidden_size = self.required("embedding_length")?;
        let num_attention_heads = self.required("attention.head_count")?;
        let head_dim = match self.count("attention.key_length")? {
            Some(head_dim) => head_dim,
            None => hidden_size / num_attention_heads.max(1),
        };
        let eps_key = self.key("attention.layer_norm_rms_epsilon");
        let rms_norm_eps = self
            .metadata
            .number(&eps_key)?
            .ok_or(GgufError::MissingKey { key: eps_key })?;
        let embedding_rows = gguf
            .shape("model.embed_tokens.weight")
            .and_then(|shape| shape.first().copied());
        Ok(ModelConfig {
            family: self.family,
            vocab_size: match embedding_rows {
                Some(rows) => rows,
                None => self.required("vocab_size")?,
            },
            hidden_size,
            intermediate_size: self.required("feed_forward_length")?,
            num_hidden_layers: self.required("block_count")?,
            num_attention_heads,
            num_key_value_heads: self
                .count("attention.head_count_kv")?
                .unwrap_or(num_attention_heads),
            head_dim,
            rms_norm_eps,
            rope_theta: self
                .metadata
                .number(&self.key("rope.freq_base"))?
                .unwrap_or(10_000.0),
            rope_scaling: None,
            max_position_embeddings: self.required("context_length")?,
            tie_word_embeddings: gguf.shape("lm_head.weight").is_none(),
            attention_bias: matches!(self.family, Family::Qwen2 | Family::Qwen2Moe),
            qk_norm: matches!(
                self.family,
                Family::Qwen3 | Family::Gemma3 | Family::Olmo2 | Family::Qwen3Moe | Family::Olmoe
            ),
            variation: Variation::default(),
            experts: experts::read(self, gguf)?,
        })
    }

    /// Settings that would change the forward pass in a way that is not implemented.
    fn refuse_unsupported(&self, config: &ModelConfig, file: &str) -> Result<(), ConfigError> {
        let window = config.variation.window.as_ref();
        let value_length = match &config.variation.latent {
            Some(latent) => latent.kv_lora_rank,
            None => config.head_dim,
        };
        let refusals = [
            (
                "attention.sliding_window",
                window.map_or(0, |window| window.width),
                "sliding-window attention is not implemented for this architecture",
            ),
            (
                "rope.dimension_count",
                config.rotated(),
                "RoPE rotates whole heads of this architecture",
            ),
            (
                "attention.value_length",
                value_length,
                "keys and values have one width",
            ),
        ];
        for (suffix, supported, reason) in refusals {
            let found = self.count(suffix).map_err(|source| ConfigError::Gguf {
                file: file.to_string(),
                source,
            })?;
            if let Some(found) = found
                && found != supported
            {
                return Err(self.unsupported(suffix, found.to_string(), file, reason));
            }
        }
        Ok(())
    }

    fn unsupported(&self, suffix: &str, value: String, file: &str, reason: &str) -> ConfigError {
        ConfigError::Unsupported {
            file: file.to_string(),
            field: self.key(suffix),
            value,
            reason: reason.to_string(),
        }
    }

    /// Linear scaling is in the metadata, Llama 3's in a tensor of frequency divisors.
    fn rope_scaling(
        &self,
        gguf: &GgufFile,
        config: &ModelConfig,
        file: &str,
    ) -> Result<Option<RopeScaling>, ConfigError> {
        let wrap = |source| ConfigError::Gguf {
            file: file.to_string(),
            source,
        };
        if let Some(long) = self.long_rope(gguf, config, file)? {
            return Ok(Some(RopeScaling::LongRope(long)));
        }
        if let Some(shape) = gguf.shape("rope_freqs.weight") {
            let divisors = self.factors(gguf, ("rope_freqs.weight", shape), file)?;
            return llama3_scaling(&divisors, config).ok_or_else(|| {
                let reason = "only the frequency factors of Llama 3.1 to 3.3 are implemented";
                self.unsupported(
                    "rope_freqs.weight",
                    format!("{:?}", divisors.last()),
                    file,
                    reason,
                )
            });
        }
        match self
            .metadata
            .text(&self.key("rope.scaling.type"))
            .map_err(wrap)?
        {
            None | Some("none") => Ok(None),
            Some("linear") => {
                let key = self.key("rope.scaling.factor");
                let factor = self.metadata.number(&key).map_err(wrap)?;
                Ok(Some(RopeScaling::Linear {
                    factor: factor.ok_or(wrap(GgufError::MissingKey { key }))?,
                }))
            }
            Some("yarn") => self.yarn(file).map(|yarn| Some(RopeScaling::Yarn(yarn))),
            Some(other) => {
                let reason = "supported kinds of RoPE scaling: none, linear, llama3, yarn";
                Err(self.unsupported("rope.scaling.type", other.to_string(), file, reason))
            }
        }
    }
}

impl Keys<'_> {
    /// Frequency factors out of a tensor.
    fn factors(
        &self,
        gguf: &GgufFile,
        (name, shape): (&str, &[usize]),
        file: &str,
    ) -> Result<Vec<f32>, ConfigError> {
        let read = gguf.read(name, shape).map_err(|error| match error {
            WeightError::Gguf { source, .. } => ConfigError::Gguf {
                file: file.to_string(),
                source,
            },
            other => self.unsupported(name, "unreadable".to_string(), file, &other.to_string()),
        });
        read.map(|host| host.values)
    }
}

/// The scaling whose divisors these are: `Some(None)` when all are 1, `None` when no known scaling fits.
fn llama3_scaling(divisors: &[f32], config: &ModelConfig) -> Option<Option<RopeScaling>> {
    if divisors.len() != config.head_dim / 2 {
        return None;
    }
    let frequency = |pair: usize| {
        config
            .rope_theta
            .powf(-2.0 * pair as f64 / config.head_dim as f64)
    };
    let (low_freq_factor, high_freq_factor, original_max_position_embeddings) = LLAMA3_FREQUENCIES;
    // The last pair turns slowest and so is divided most: by the whole factor, unless it lies in the blended band.
    let last = f64::from(*divisors.last()?);
    let turns =
        original_max_position_embeddings as f64 * frequency(divisors.len() - 1) / (2.0 * PI);
    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
    let factor = (1.0 - kept) / (1.0 / last - kept);
    let rounded = factor.round();
    let factor = if (factor - rounded).abs() <= FREQUENCY_TOLERANCE * rounded {
        rounded
    } else {
        factor
    };
    let scaling = RopeScaling::Llama3 {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings,
    };
    let fits = divisors.iter().enumerate().all(|(pair, &divisor)| {
        let expected = scaling.divisor(frequency(pair));
        (f64::from(divisor) - expected).abs() <= FREQUENCY_TOLERANCE * expected
    });
    let unscaled = divisors.iter().all(|&divisor| divisor == 1.0);
    match (unscaled, fits) {
        (true, _) => Some(None),
        (false, true) => Some(Some(scaling)),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::smollm2_135m;

    // Llama-3.2-1B: 32 divisors of rope_freqs.weight as llama.cpp's converter computes them, from factor 32,
    // low_freq_factor 1, high_freq_factor 4, original_max_position_embeddings 8192, theta 500000, head_dim 64.
    #[test]
    fn llama3_scaling_is_recognised_by_its_divisors() {
        let config = ModelConfig {
            rope_theta: 500_000.0,
            ..smollm2_135m()
        };
        let scaling = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let divisor =
            |pair: i32| scaling.divisor(500_000f64.powf(-2.0 * f64::from(pair) / 64.0)) as f32;
        let divisors: Vec<f32> = (0..32).map(divisor).collect();
        assert_eq!(llama3_scaling(&divisors, &config), Some(Some(scaling)));
        assert_eq!(llama3_scaling(&[1.0; 32], &config), Some(None));
        assert_eq!(llama3_scaling(&[2.0; 32], &config), None);
        assert_eq!(llama3_scaling(&divisors[1..], &config), None);
    }
}
