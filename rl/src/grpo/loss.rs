//! The clipped token-level objective.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What the token losses are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// The completion tokens of the whole step (DAPO, arXiv 2503.14476, eq. 8), not those of a
    /// micro-batch, so that splitting a step cannot change its gradient.
    #[default]
    Dapo,
    /// Each completion's own length, then the number of completions (GRPO, arXiv 2402.03300, eq. 3).
    Grpo,
    /// Completions times the longest allowed length (Dr. GRPO, arXiv 2503.20783, §3.2).
    DrGrpo,
}

impl LossKind {
    /// The weight of each token of a completion of `length` tokens, in a step of `completions`
    /// completions with `total` tokens in all, none longer than `max_tokens`.
    pub fn token_weight(
        self,
        length: usize,
        completions: usize,
        total: usize,
        max_tokens: usize,
    ) -> f64 {
        let divisor = match self {
            Self::Dapo => total,
            Self::Grpo => length * completions,
            Self::DrGrpo => max_tokens * completions,
        };
        1.0 / divisor.max(1) as f64
    }
}

/// The objective's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectiveConfig {
    /// The ratio is clipped below at `1 − epsilon`.
    pub epsilon: f64,
    /// The ratio is clipped above at `1 + epsilon_high` (clip-higher, DAPO §3.1).
    pub epsilon_high: f64,
    /// Weight of the KL penalty.
    pub beta: f64,
}

/// What the loss needs to know of each token besides its log-probability: `[tokens]` each.
#[derive(Debug, Clone)]
pub struct TokenInputs {
    /// Log-probability under the policy that the batch was sampled from; `None` when that is the
    /// current one, so that every ratio is 1.
    pub old_logprobs: Option<Tensor<1>>,
    /// Log-probability under the reference; needed when `beta` is above 0.
    pub ref_logprobs: Option<Tensor<1>>,
    /// Advantage of the token's completion.
    pub advantages: Tensor<1>,
    /// [`LossKind::token_weight`] of each token.
    pub weights: Tensor<1>,
}

/// `−Σ_t w_t [min(ρ_t A_t, clip(ρ_t, 1 − ε, 1 + ε_high) A_t) − β KL_t]` with
/// `ρ_t = exp(log π − log π_old)` (PPO, arXiv 1707.06347, eq. 7; GRPO eq. 3), and the estimator k3,
/// `KL_t = exp(log π_ref − log π) − (log π_ref − log π) − 1` (GRPO eq. 4).
///
/// # Shapes
/// - logprobs: `[tokens]`, tracked by autodiff
/// - output: `[1]`
///
/// # Panics
/// When `beta` is above 0 and there are no reference log-probabilities.
pub fn grpo_loss(logprobs: Tensor<1>, inputs: TokenInputs, config: ObjectiveConfig) -> Tensor<1> {
    let old = match inputs.old_logprobs {
        Some(old) => old,
        None => logprobs.clone().detach(),
    };
    let ratio = (logprobs.clone() - old).exp();
    let clipped = ratio
        .clone()
        .clamp(1.0 - config.epsilon, 1.0 + config.epsilon_high);
    let plain = ratio.mul(inputs.advantages.clone());
    let mut objective = plain.min_pair(clipped.mul(inputs.advantages));
    if config.beta > 0.0 {
        let reference = inputs
            .ref_logprobs
            .expect("a KL penalty needs reference log-probabilities");
        let difference = reference - logprobs;
        let kl = difference.clone().exp() - difference - 1.0;
        objective = objective - kl.mul_scalar(config.beta);
    }
    objective.mul(inputs.weights).sum().neg()
}

/// How tokens of a step moved away from the policy they were sampled from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClipCounts {
    /// Tokens whose ratio fell below `1 − ε` with a negative advantage: their gradient is cut.
    pub low: usize,
    /// Tokens whose ratio rose above `1 + ε_high` with a positive advantage.
    pub high: usize,
}

impl ClipCounts {
    /// Counts one token.
    pub fn add(&mut self, logprob: f32, old: f32, advantage: f32, config: ObjectiveConfig) {
        let ratio = f64::from(logprob - old).exp();
        self.low += usize::from(ratio < 1.0 - config.epsilon && advantage < 0.0);
        self.high += usize::from(ratio > 1.0 + config.epsilon_high && advantage > 0.0);
    }
}
