//! How far the policy is from its reference, estimated from the tokens that were drawn.

use serde::{Deserialize, Serialize};

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
