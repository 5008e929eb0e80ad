//! Rotary positions: the frequencies of a layer, and how they are stretched.
//!
//! The formulas are those of transformers' `modeling_rope_utils`, in its precision.

use std::f64::consts::PI;

use crate::compute::{Frequencies, Side};

/// How rotary frequencies are stretched beyond the context of pre-training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
    /// YaRN (arXiv 2309.00071): as [`Self::Llama3`], blended along the pairs, and cosines and sines are scaled.
    Yarn(Yarn),
    /// LongRoPE (arXiv 2402.13753): a divisor for each pair, others beyond the context of pre-training.
    LongRope(LongRope),
}

/// The settings of YaRN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yarn {
    /// The divisor of the low frequencies, at least 1.
    pub factor: f64,
    /// The context of pre-training, in tokens.
    pub original_max_position_embeddings: usize,
    /// Pairs that turn more often than this within that context are kept.
    pub beta_fast: f64,
    /// Pairs that turn less often than this are divided by `factor`.
    pub beta_slow: f64,
    /// What cosines and sines are multiplied by, where it does not follow from the next two.
    pub attention_factor: Option<f64>,
    /// With `mscale_all_dim`, cosines and sines are multiplied by `m(mscale) / m(mscale_all_dim)`, where
    /// `m(x) = 0.1 x ln(factor) + 1`; without both, by `m(1)`.
    pub mscale: Option<f64>,
    /// In latent attention, scores are multiplied by `m(mscale_all_dim)²` besides.
    pub mscale_all_dim: Option<f64>,
    /// Whether the first and last blended pair are rounded outwards.
    pub truncate: bool,
}

/// The settings of LongRoPE.
#[derive(Debug, Clone, PartialEq)]
pub struct LongRope {
    /// Divisors of the frequencies within the context of pre-training, one a pair.
    pub short_factor: Vec<f64>,
    /// Those beyond it, which are kept for exports: longer sequences are not run.
    pub long_factor: Vec<f64>,
    /// The context of pre-training, in tokens.
    pub original_max_position_embeddings: usize,
    /// What cosines and sines are multiplied by.
    pub attention_factor: f64,
}

impl Yarn {
    /// `0.1 · scale · ln(factor) + 1`, or 1 where nothing is stretched.
    fn magnitude_of(&self, scale: f64) -> f64 {
        if self.factor <= 1.0 {
            1.0
        } else {
            0.1 * scale * self.factor.ln() + 1.0
        }
    }

    /// What cosines and sines are multiplied by.
    pub fn magnitude(&self) -> f64 {
        let given = |x: Option<f64>| x.filter(|&x| x != 0.0);
        match (
            self.attention_factor,
            given(self.mscale),
            given(self.mscale_all_dim),
        ) {
            (Some(factor), ..) => factor,
            (None, Some(one), Some(all)) => self.magnitude_of(one) / self.magnitude_of(all),
            _ => self.magnitude_of(1.0),
        }
    }

    /// What the scores of latent attention are multiplied by (DeepSeek-V2's `mscale` squared).
    pub fn score_factor(&self) -> f64 {
        self.mscale_all_dim
            .map_or(1.0, |all| self.magnitude_of(all).powi(2))
    }

    /// The frequency of each of `plain`, which are those of `theta` over `rotated` values.
    fn stretch(&self, plain: &[f32], rotated: usize, theta: f64) -> Vec<f32> {
        let dim = rotated as f64;
        let context = self.original_max_position_embeddings as f64;
        // The pair that turns `turns` times within the context.
        let pair = |turns: f64| dim * (context / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (pair(self.beta_fast), pair(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let (low, width) = (low as f32, (high - low) as f32);
        let blend = |(pair, &f): (usize, &f32)| {
            let kept = 1.0 - ((pair as f32 - low) / width).clamp(0.0, 1.0);
            f / self.factor as f32 * (1.0 - kept) + f * kept
        };
        plain.iter().enumerate().map(blend).collect()
    }
}

impl RopeScaling {
    /// What the rotary frequency `frequency` (radians per position) is divided by, where that depends on the frequency
    /// alone; 1 leaves it alone.
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
                let wavelength = 2.0 * PI / frequency;
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
            Self::Yarn(_) | Self::LongRope(_) => 1.0,
        }
    }

    /// The divisors of the frequencies of `theta` over `rotated` values, one a pair.
    #[cfg(test)]
    pub(crate) fn divisors(&self, rotated: usize, theta: f64) -> Vec<f64> {
        let plain = plain(rotated, theta);
        let stretched = self.stretch(&plain, rotated, theta);
        let pairs = plain.iter().zip(stretched);
        pairs
            .map(|(plain, stretched)| f64::from(*plain) / f64::from(stretched))
            .collect()
    }

    /// The frequency of each of `plain`, which are those of `theta` over `rotated` values.
    fn stretch(&self, plain: &[f32], rotated: usize, theta: f64) -> Vec<f32> {
        match self {
            Self::Linear { .. } | Self::Llama3 { .. } => plain
                .iter()
                .map(|&f| f / self.divisor(f64::from(f)) as f32)
                .collect(),
            Self::Yarn(yarn) => yarn.stretch(plain, rotated, theta),
            Self::LongRope(long) => {
                let pairs = plain.iter().zip(&long.short_factor);
                pairs.map(|(f, &factor)| f / factor as f32).collect()
            }
        }
    }

    /// What cosines and sines are multiplied by.
    pub(crate) fn magnitude(&self) -> f64 {
        match self {
            Self::Linear { .. } | Self::Llama3 { .. } => 1.0,
            Self::Yarn(yarn) => yarn.magnitude(),
            Self::LongRope(long) => long.attention_factor,
        }
    }
}

/// Rotary positions (arXiv 2104.09864).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PositionPlan {
    /// How many values of a head are rotated, an even number.
    pub(crate) rotated: usize,
    /// Which these are.
    pub(crate) side: Side,
    /// Base of the frequencies.
    pub(crate) theta: f64,
    /// How the frequencies are stretched.
    pub(crate) scaling: Option<RopeScaling>,
}

impl PositionPlan {
    /// The angular frequency of each pair of one head.
    pub(crate) fn frequencies(&self) -> Frequencies {
        let plain = plain(self.rotated, self.theta);
        let (stretched, magnitude) = match &self.scaling {
            None => (plain, 1.0),
            Some(scaling) => (
                scaling.stretch(&plain, self.rotated, self.theta),
                scaling.magnitude(),
            ),
        };
        Frequencies::new(stretched, magnitude as f32, self.side)
    }
}

/// The frequencies of pre-training; transformers computes these in f32: follow it to the last bit.
fn plain(rotated: usize, theta: f64) -> Vec<f32> {
    let pair = |i: usize| {
        let exponent = (2 * i) as f32 / rotated as f32;
        1.0 / (theta as f32).powf(exponent)
    };
    (0..rotated / 2).map(pair).collect()
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

    /// DeepSeek-V3: theta 10000 over 64 values, factor 40 over 4096.
    fn deepseek() -> Yarn {
        Yarn {
            factor: 40.0,
            original_max_position_embeddings: 4096,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
            mscale: Some(1.0),
            mscale_all_dim: Some(1.0),
            truncate: true,
        }
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_divides_slow_ones() {
        let divisors = RopeScaling::Yarn(deepseek()).divisors(64, 10_000.0);
        // d(32) = 10.47…, d(1) = 22.5…: pairs up to 10 are kept, from 23 on divided.
        assert!(divisors[..=10].iter().all(|d| (d - 1.0).abs() < 1e-6));
        assert!(divisors[23..].iter().all(|d| (d - 40.0).abs() < 1e-4));
        assert!(
            divisors
                .windows(2)
                .all(|pair| pair[0] <= pair[1] * 1.000_001)
        );
        let whole = Yarn {
            truncate: false,
            ..deepseek()
        };
        let exact = RopeScaling::Yarn(whole).divisors(64, 10_000.0);
        assert!(exact[11] < divisors[11] && exact[22] > divisors[22]);
    }

    #[test]
    fn yarn_scales_cosines_or_scores_as_its_settings_say() {
        let one = 0.1 * 40f64.ln() + 1.0;
        assert_eq!(deepseek().magnitude(), 1.0);
        assert!((deepseek().score_factor() - one * one).abs() < 1e-12);
        let bare = Yarn {
            mscale: None,
            mscale_all_dim: None,
            ..deepseek()
        };
        assert!((bare.magnitude() - one).abs() < 1e-12);
        assert_eq!(bare.score_factor(), 1.0);
        let given = Yarn {
            attention_factor: Some(1.25),
            ..deepseek()
        };
        assert_eq!(given.magnitude(), 1.25);
    }
}
