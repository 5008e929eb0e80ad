//! Rotary positions: the frequencies of a layer, and how they are stretched.

use crate::compute::Frequencies;

/// How rotary frequencies are stretched beyond the context of pre-training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Every frequency is divided by `factor`.
    Linear {
        /// The divisor, at least 1.
        factor: f64,
    },
    /// Llama 3.1: low frequencies are divided, high ones kept, those between blended.
    Llama3 {
        /// The divisor of the low frequencies, at least 1.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided by `factor`.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context of pre-training, in tokens.
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// What the rotary frequency `frequency` (radians per position) is divided by; 1 leaves it alone.
    ///
    /// The formulas are those of transformers' `modeling_rope_utils`.
    pub fn divisor(&self, frequency: f64) -> f64 {
        match *self {
            Self::Linear { factor } => factor,
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let context = original_max_position_embeddings as f64;
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                if wavelength < context / high_freq_factor {
                    1.0
                } else if wavelength > context / low_freq_factor {
                    factor
                } else {
                    let smooth = (context / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    1.0 / ((1.0 - smooth) / factor + smooth)
                }
            }
        }
    }
}

/// Rotary positions (arXiv 2104.09864).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PositionPlan {
    /// How many values of a head are rotated: the first, an even number.
    pub(crate) rotated: usize,
    /// Base of the frequencies.
    pub(crate) theta: f64,
    /// How the frequencies are stretched.
    pub(crate) scaling: Option<RopeScaling>,
}

impl PositionPlan {
    /// The angular frequency of each pair of one head.
    pub(crate) fn frequencies(&self) -> Frequencies {
        let plain = (0..self.rotated / 2).map(|i| {
            // transformers computes these in f32: follow it to the last bit.
            let exponent = (2 * i) as f32 / self.rotated as f32;
            1.0 / (self.theta as f32).powf(exponent)
        });
        Frequencies::new(match &self.scaling {
            None => plain.collect(),
            Some(scaling) => plain
                .map(|f| f / scaling.divisor(f64::from(f)) as f32)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Llama-3.2-1B: theta 500000, head_dim 64, factor 32. The reference is
    // transformers 5.x `_compute_llama3_parameters`: inv_freq_llama / inv_freq for dimensions 0, 13, 16, 17, 31.
    #[test]
    fn llama3_scaling_keeps_high_and_divides_low_frequencies() {
        let scaling = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let divisor = |pair: i32| scaling.divisor(500_000f64.powf(-f64::from(2 * pair) / 64.0));
        assert_eq!(divisor(0), 1.0);
        assert_eq!(divisor(31), 32.0);
        assert!(divisor(16) > 1.0 && divisor(16) < 32.0);
    }
}
