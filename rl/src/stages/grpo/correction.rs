//! What to do where the policy that sampled is not the policy that is trained.
//!
//! Sampler and trainer can differ by rounding, or by versions when rollouts are asynchronous. A
//! token is then weighted by `w = π_old / π_sampler`, the old policy being the one that the trainer's
//! ratios start from. The weight is a constant: no gradient goes through it.

use serde::{Deserialize, Serialize};

use crate::checks::above_zero;

/// What happens to a weight out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorrectionKind {
    /// It is brought back to the bound (truncated importance sampling, TIS: Yao et al., "Your
    /// Efficient RL Framework Secretly Brings You Off-Policy RL Training", 2025).
    #[default]
    Truncate,
    /// It is 0: the token, or completion, is left out (IcePop, Ling team, arXiv 2510.18855).
    Mask,
}

/// What a weight is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorrectionLevel {
    /// Each token.
    #[default]
    Token,
    /// The whole completion: the product of its tokens' weights.
    Sequence,
}

/// Settings of the correction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorrectionConfig {
    /// What happens to a weight out of bounds.
    pub kind: CorrectionKind,
    /// What a weight is taken of.
    pub level: CorrectionLevel,
    /// The lower bound; 0: none.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Default for CorrectionConfig {
    /// TRL's cap for tokens, from above only.
    fn default() -> Self {
        Self {
            kind: CorrectionKind::Truncate,
            level: CorrectionLevel::Token,
            low: 0.0,
            high: 3.0,
        }
    }
}

impl CorrectionConfig {
    /// # Errors
    /// When the bounds hold no weight.
    pub fn validate(&self) -> Result<(), String> {
        above_zero("high", self.high)?;
        if self.low >= 0.0 && self.low < self.high {
            return Ok(());
        }
        Err(format!(
            "low = {} must be at least 0 and below high = {}",
            self.low, self.high
        ))
    }

    /// The weight of each token, and how many were out of bounds.
    pub fn weights(&self, old: &[f32], sampling: &[f32]) -> (Vec<f64>, usize) {
        let differences = old
            .iter()
            .zip(sampling)
            .map(|(old, sampled)| f64::from(*old) - f64::from(*sampled));
        match self.level {
            CorrectionLevel::Token => {
                let bounded: Vec<(f64, bool)> =
                    differences.map(|d| self.bounded(d.exp())).collect();
                let out = bounded.iter().filter(|(_, out)| *out).count();
                (bounded.into_iter().map(|(weight, _)| weight).collect(), out)
            }
            CorrectionLevel::Sequence => {
                let (weight, out) = self.bounded(differences.sum::<f64>().exp());
                (vec![weight; old.len()], usize::from(out) * old.len())
            }
        }
    }

    fn bounded(&self, weight: f64) -> (f64, bool) {
        let out = !(self.low..=self.high).contains(&weight);
        let weight = match (self.kind, out) {
            (_, false) => weight,
            (CorrectionKind::Truncate, true) => weight.clamp(self.low, self.high),
            (CorrectionKind::Mask, true) => 0.0,
        };
        (weight, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_out_of_bounds_are_brought_back_or_masked() {
        let old = [-1.0f32, -1.0, -1.0];
        let sampling = [-1.0f32, -3.0, -0.0];
        let config = CorrectionConfig {
            low: 0.5,
            ..CorrectionConfig::default()
        };
        assert_eq!(config.weights(&old, &sampling), (vec![1.0, 3.0, 0.5], 2));
        let mask = CorrectionConfig {
            kind: CorrectionKind::Mask,
            ..config
        };
        assert_eq!(mask.weights(&old, &sampling), (vec![1.0, 0.0, 0.0], 2));
        // Of the whole completion: exp(0 + 2 − 1) = 2.718.
        let sequence = CorrectionConfig {
            level: CorrectionLevel::Sequence,
            ..mask
        };
        let (weights, out) = sequence.weights(&old, &sampling);
        assert!(weights.iter().all(|w| (w - 1f64.exp()).abs() < 1e-6) && out == 0);
        let low = CorrectionConfig {
            high: 2.0,
            ..sequence
        };
        assert_eq!(low.weights(&old, &sampling), (vec![0.0; 3], 3));
    }

    #[test]
    fn bounds_that_hold_nothing_are_refused() {
        let config = CorrectionConfig {
            low: 3.0,
            ..CorrectionConfig::default()
        };
        assert!(config.validate().unwrap_err().contains("low = 3"));
    }
}
