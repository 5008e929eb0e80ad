//! The family of objectives as data: a name stands for a choice of ratio, surrogate, normaliser and
//! advantage, each of which can be set apart.

use serde::{Deserialize, Serialize};

use super::{
    advantage::{Baseline, ScaleRewards},
    correction::CorrectionConfig,
    kl::KlEstimator,
};

/// An objective by the name its paper gave it. What each stands for is in [`Objective::parts`].
///
/// All are written as a loss to be minimised, with `ρ_t = π(y_t) / π_old(y_t)` of a token, `A` the
/// advantage of its completion `y`, and `G` the number of completions of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// `−1/G Σ_y 1/|y| Σ_t min(ρ_t A, clip(ρ_t) A)` (DeepSeekMath, arXiv 2402.03300, eq. 3).
    Grpo,
    /// The same terms over the tokens of a micro-batch, averaged over micro-batches: the local
    /// normaliser that TRL calls `bnpo`. The only objective whose gradient depends on how a step
    /// is split into micro-batches.
    Bnpo,
    /// The same terms over `G` times the longest allowed length, advantages without a standard
    /// deviation (arXiv 2503.20783, §3.2).
    DrGrpo,
    /// The same terms over all tokens of the update, clipped higher above than below (arXiv
    /// 2503.14476, eq. 8).
    #[default]
    Dapo,
    /// `−1/G Σ_y min(s A, clip(s) A)`, `s = exp(1/|y| Σ_t log ρ_t)`, clipped within a few
    /// ten-thousandths (arXiv 2507.18071, eq. 5 and 7).
    Gspo,
    /// The same with `s_t = sg[s] π_t / sg[π_t]`, so that tokens may have advantages of their own
    /// (arXiv 2507.18071, eq. 13 and 14).
    GspoToken,
    /// `−Σ sg[min(ρ_t, ε_high)] A log π_t` over all tokens: the weight is clipped and no token loses
    /// its gradient (MiniMax-M1, arXiv 2506.13585, eq. 4; `ε_high = 5` after ScaleRL, arXiv
    /// 2510.13786).
    Cispo,
    /// `−1/G Σ_y 1/|y| Σ_t 4/τ σ(τ (ρ_t − 1)) A`, τ by the advantage's sign: a soft gate instead of a
    /// clip (arXiv 2511.20347, eq. 5 to 7).
    Sapo,
    /// `−1/G Σ_y |y| min(s A, clip(s) A)` with GSPO's `s`: no bias towards short completions (arXiv
    /// 2602.05261).
    Luspo,
    /// `−1/G Σ_y min(p A, clip(p) A)` with the ratio `p = Π_t ρ_t` of the whole completion, and the
    /// mean reward of the others as the baseline (arXiv 2402.14740).
    Rloo,
    /// DAPO's normaliser, with rewards of the whole step whitened over its tokens instead of
    /// compared within groups (arXiv 2501.03262).
    #[serde(rename = "reinforce++")]
    ReinforcePlusPlus,
    /// `−1/G Σ_y A Π_t clip(ρ_t)^(1/|y|)`, the geometric mean, clipped token by token in the
    /// logarithm (arXiv 2507.20673, eq. 4).
    Gmpo,
}

/// What the ratio between two policies is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RatioLevel {
    /// Each token.
    Token,
    /// The geometric mean over a completion, with a gradient through every token of it.
    Sequence,
    /// The same value, with a gradient through the token at hand only.
    SequenceToken,
    /// The whole completion: the product of its tokens' ratios.
    Completion,
}

/// How a ratio and an advantage make a gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surrogate {
    /// `min(min(ρ, δ) A, clip(ρ, 1 − ε, 1 + ε_high) A)` (PPO, arXiv 1707.06347, eq. 7). `δ` bounds
    /// what a token with a negative advantage can cost (INTELLECT-2, arXiv 2505.07291, §3.4); it is
    /// the constant `c` of dual-clip PPO (arXiv 1912.09729, eq. 5), to which this is equal as long as
    /// `δ ≥ 1 + ε_high`.
    Clip,
    /// `sg[min(ρ, ε_high)] A log π`.
    Cispo,
    /// `4/τ σ(τ (ρ − 1)) A`.
    Sapo,
    /// `A exp(1/|y| Σ_t log ρ_t)`, each `log ρ_t` kept within `[−ε, ε_high]` where it would gain by
    /// leaving.
    GeometricMean,
}

/// What the sum over tokens is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalizer {
    /// The completion tokens of the update.
    Tokens,
    /// The completion tokens of the micro-batch, and the number of micro-batches.
    MicroBatchTokens,
    /// Each completion's own length, and the number of completions.
    Completions,
    /// The number of completions times the longest allowed length.
    LongestLength,
    /// The number of completions only: a completion weighs as much as it is long.
    CompletionsByLength,
}

impl Normalizer {
    /// The weight of each token of a completion of `length` tokens, in an update with `completions`
    /// completions and `total` tokens in all, none longer than `max_tokens`. Of
    /// [`Self::MicroBatchTokens`] it is 1: that weight is known when micro-batches are.
    pub fn token_weight(
        self,
        length: usize,
        completions: usize,
        total: usize,
        max_tokens: usize,
    ) -> f64 {
        let divisor = match self {
            Self::Tokens => total,
            Self::MicroBatchTokens => 1,
            Self::Completions => length * completions,
            Self::LongestLength => max_tokens * completions,
            Self::CompletionsByLength => completions,
        };
        1.0 / divisor.max(1) as f64
    }
}

/// What a named objective stands for where the config does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectiveParts {
    /// How a ratio and an advantage make a gain.
    pub surrogate: Surrogate,
    /// What the ratio is taken of.
    pub level: RatioLevel,
    /// What the sum is divided by.
    pub normalizer: Normalizer,
    /// The lower bound of the clip.
    pub epsilon: f64,
    /// The upper bound of the clip.
    pub epsilon_high: f64,
    /// What rewards are compared with.
    pub baseline: Baseline,
    /// What they are divided by.
    pub scale_rewards: ScaleRewards,
}

impl Objective {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Grpo,
        Self::Bnpo,
        Self::DrGrpo,
        Self::Dapo,
        Self::Gspo,
        Self::GspoToken,
        Self::Cispo,
        Self::Sapo,
        Self::Luspo,
        Self::Rloo,
        Self::ReinforcePlusPlus,
        Self::Gmpo,
    ];

    /// What the name stands for, with the constants of its paper. GRPO's and BNPO's ε is TRL's and
    /// verl's: DeepSeekMath states none.
    pub fn parts(self) -> ObjectiveParts {
        let grpo = ObjectiveParts {
            surrogate: Surrogate::Clip,
            level: RatioLevel::Token,
            normalizer: Normalizer::Completions,
            epsilon: 0.2,
            epsilon_high: 0.2,
            baseline: Baseline::Group,
            scale_rewards: ScaleRewards::Group,
        };
        let gspo = ObjectiveParts {
            level: RatioLevel::Sequence,
            epsilon: 3e-4,
            epsilon_high: 4e-4,
            ..grpo
        };
        match self {
            Self::Grpo => grpo,
            Self::Bnpo => ObjectiveParts {
                normalizer: Normalizer::MicroBatchTokens,
                ..grpo
            },
            Self::DrGrpo => ObjectiveParts {
                normalizer: Normalizer::LongestLength,
                scale_rewards: ScaleRewards::None,
                ..grpo
            },
            Self::Dapo => ObjectiveParts {
                normalizer: Normalizer::Tokens,
                epsilon_high: 0.28,
                ..grpo
            },
            Self::Gspo => gspo,
            Self::GspoToken => ObjectiveParts {
                level: RatioLevel::SequenceToken,
                ..gspo
            },
            Self::Cispo => ObjectiveParts {
                surrogate: Surrogate::Cispo,
                normalizer: Normalizer::Tokens,
                epsilon_high: 5.0,
                ..grpo
            },
            Self::Sapo => ObjectiveParts {
                surrogate: Surrogate::Sapo,
                ..grpo
            },
            Self::Luspo => ObjectiveParts {
                normalizer: Normalizer::CompletionsByLength,
                ..gspo
            },
            Self::Rloo => ObjectiveParts {
                level: RatioLevel::Completion,
                baseline: Baseline::LeaveOneOut,
                scale_rewards: ScaleRewards::None,
                ..grpo
            },
            Self::ReinforcePlusPlus => ObjectiveParts {
                normalizer: Normalizer::Tokens,
                baseline: Baseline::None,
                scale_rewards: ScaleRewards::Whiten,
                ..grpo
            },
            Self::Gmpo => ObjectiveParts {
                surrogate: Surrogate::GeometricMean,
                epsilon: 0.4,
                epsilon_high: 0.4,
                ..grpo
            },
        }
    }
}

/// The objective of a stage with all its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectiveConfig {
    /// How a ratio and an advantage make a gain.
    pub surrogate: Surrogate,
    /// What the ratio is taken of.
    pub level: RatioLevel,
    /// What the sum is divided by.
    pub normalizer: Normalizer,
    /// The ratio is clipped below at `1 − epsilon` (`exp(−epsilon)` for the geometric mean).
    pub epsilon: f64,
    /// The ratio is clipped above at `1 + epsilon_high` (`exp(epsilon_high)` for the geometric mean,
    /// `epsilon_high` itself for CISPO).
    pub epsilon_high: f64,
    /// The largest ratio that counts where the clip does not apply; `None`: no bound.
    pub delta: Option<f64>,
    /// SAPO's τ where the advantage is positive.
    pub tau_positive: f64,
    /// SAPO's τ elsewhere; larger, so that such tokens are let go sooner.
    pub tau_negative: f64,
    /// Weight of the KL penalty in the loss.
    pub beta: f64,
    /// How the KL divergence is estimated.
    pub kl: KlEstimator,
    /// Weight of the entropy bonus.
    pub entropy_coefficient: f64,
    /// How a difference between sampler and trainer is made up for.
    pub correction: Option<CorrectionConfig>,
}

impl ObjectiveConfig {
    /// The objective `name` with its own constants, without KL penalty, bonus or correction.
    pub fn named(name: Objective) -> Self {
        let parts = name.parts();
        Self {
            surrogate: parts.surrogate,
            level: parts.level,
            normalizer: parts.normalizer,
            epsilon: parts.epsilon,
            epsilon_high: parts.epsilon_high,
            delta: None,
            tau_positive: 1.0,
            tau_negative: 1.05,
            beta: 0.0,
            kl: KlEstimator::K3,
            entropy_coefficient: 0.0,
            correction: None,
        }
    }

    /// Whether the gain of a token depends on other tokens of its completion.
    pub fn couples_tokens(&self) -> bool {
        match self.surrogate {
            Surrogate::GeometricMean => true,
            _ => self.level != RatioLevel::Token,
        }
    }
}
