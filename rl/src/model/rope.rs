//! Rotary position embedding in the Hugging Face layout: pairs are `(i, i + head_dim / 2)`.
//!
//! Burn's own rotary module pairs neighbours `(2i, 2i + 1)`; checkpoints with the Hugging Face
//! layout would be silently wrong under it, so the rotation is written here.

use super::config::ModelConfig;

/// The angular frequency of each pair of one head, in radians per position.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    frequencies: Vec<f32>,
}

impl Rope {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let dim = config.head_dim;
        let plain = (0..dim / 2).map(|i| {
            // transformers computes these in f32: follow it to the last bit.
            let exponent = (2 * i) as f32 / dim as f32;
            1.0 / (config.rope_theta as f32).powf(exponent)
        });
        let frequencies = match &config.rope_scaling {
            None => plain.collect(),
            Some(scaling) => plain
                .map(|f| f / scaling.divisor(f64::from(f)) as f32)
                .collect(),
        };
        Self { frequencies }
    }

    /// Cosines and sines of one row per entry of `positions`, `[rows, dim / 2]` each.
    pub(crate) fn angles(&self, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let angles = || {
            positions
                .iter()
                .flat_map(|&p| self.frequencies.iter().map(move |f| p as f32 * f))
        };
        (
            angles().map(f32::cos).collect(),
            angles().map(f32::sin).collect(),
        )
    }
}
