//! How far the policy is from its reference, estimated from the tokens that were drawn.

use serde::{Deserialize, Serialize};

use crate::checks::above_zero;

/// An estimator of `KL(π ‖ π_ref)` at one token, of `d = log π − log π_ref` (Schulman, "Approximating
/// KL Divergence", 2020). All but [`Self::K2`] estimate the divergence without bias when the token
/// was drawn from `π`; what differs is their variance, and what their gradients are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimator {
    /// `d`. Its gradient is 0 on average, so in the loss it holds nothing back; it is the one to use
    /// in the reward.
    K1,
    /// `d² / 2`. Biased; its gradient is on average that of the divergence.
    K2,
    /// `exp(−d) + d − 1`, never negative (GRPO, arXiv 2402.03300, eq. 4).
    #[default]
    K3,
    /// `ρ (exp(−d) + d − 1)` with the ratio `ρ = π / π_old` of the token: its gradient is that of the
    /// divergence also when tokens come from an older policy (DeepSeek-V3.2, arXiv 2512.02556, §3.1;
    /// TRL's `use_bias_correction_kl`).
    Unbiased,
}

impl KlEstimator {
    /// The estimate and its derivative by `log π`. `ratio` is `π / π_old` of the token.
    pub fn at(self, logprob: f64, reference: f64, ratio: f64) -> (f64, f64) {
        let difference = logprob - reference;
        let k3 = (-difference).exp_m1() + difference;
        match self {
            Self::K1 => (difference, 1.0),
            Self::K2 => (0.5 * difference * difference, difference),
            Self::K3 => (k3, -(-difference).exp_m1()),
            Self::Unbiased => (ratio * k3, ratio * (k3 - (-difference).exp_m1())),
        }
    }
}

pub use crate::stages::second::RefModel;

/// Where a KL penalty is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlPlace {
    /// Added to the loss of each token (GRPO).
    #[default]
    Loss,
    /// Subtracted from the reward of the completion before advantages are computed (RLHF; RLOO).
    Reward,
}

/// A weight of the KL penalty that follows the divergence (Ziegler et al., arXiv 1909.08593, §2.2), as verl's `kl_ctrl` of type
/// `adaptive`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveKl {
    /// The divergence that is aimed at, in nats a token: the mean over completions of the mean over their tokens.
    pub target_kl: f64,
    /// Completions in which the weight changes by about the relative error, which counts as 0.2 at most.
    pub horizon: f64,
}

impl Default for AdaptiveKl {
    /// verl's.
    fn default() -> Self {
        Self {
            target_kl: 0.1,
            horizon: 10_000.0,
        }
    }
}

impl AdaptiveKl {
    /// # Errors
    /// When a number is not above 0.
    pub(super) fn validate(&self) -> Result<(), String> {
        above_zero("adaptive_kl.target_kl", self.target_kl)?;
        above_zero("adaptive_kl.horizon", self.horizon)
    }
}

/// The weight of the KL penalty in the reward, from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlControl {
    coefficient: f64,
    adaptive: Option<AdaptiveKl>,
}

impl KlControl {
    /// A weight that is `coefficient` at first, and stays unless it is adaptive.
    pub fn new(coefficient: f64, adaptive: Option<AdaptiveKl>) -> Self {
        Self {
            coefficient,
            adaptive,
        }
    }

    /// The weight now.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// Learns the divergence of `completions` completions, in nats a token: `β ← β (1 + clip(kl / target − 1, ±0.2) n / horizon)`.
    /// One that is no number changes nothing.
    pub fn update(&mut self, kl: f64, completions: usize) {
        let Some(adaptive) = self.adaptive.filter(|_| kl.is_finite()) else {
            return;
        };
        let error = (kl / adaptive.target_kl - 1.0).clamp(-0.2, 0.2);
        // Below 0 it would reward what it is to hold back.
        let factor = 1.0 + error * completions as f64 / adaptive.horizon;
        self.coefficient *= factor.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_follows_the_divergence() {
        let adaptive = AdaptiveKl {
            target_kl: 0.5,
            horizon: 100.0,
        };
        let mut control = KlControl::new(0.2, Some(adaptive));
        control.update(5.0, 10);
        assert!((control.coefficient() - 0.2 * 1.02).abs() < 1e-12);
        control.update(0.45, 10);
        assert!((control.coefficient() - 0.2 * 1.02 * 0.99).abs() < 1e-12);
        let before = control;
        control.update(f64::NAN, 10);
        assert_eq!(control, before);
        let mut fixed = KlControl::new(0.2, None);
        fixed.update(5.0, 10);
        assert_eq!(fixed.coefficient(), 0.2);
    }
}
