//! The rotary frequencies of a model.

use super::config::ModelConfig;
use crate::compute::Frequencies;

/// The angular frequency of each pair of one head.
pub(crate) fn frequencies(config: &ModelConfig) -> Frequencies {
    let dim = config.head_dim;
    let plain = (0..dim / 2).map(|i| {
        // transformers computes these in f32: follow it to the last bit.
        let exponent = (2 * i) as f32 / dim as f32;
        1.0 / (config.rope_theta as f32).powf(exponent)
    });
    Frequencies::new(match &config.rope_scaling {
        None => plain.collect(),
        Some(scaling) => plain
            .map(|f| f / scaling.divisor(f64::from(f)) as f32)
            .collect(),
    })
}
