//! The objective of one completion: its value and its derivatives by each token's log-probability
//! and entropy, in closed form and in `f64`.

use std::{fmt, sync::Arc};

use super::{
    correction::CorrectionLevel,
    objective::{ObjectiveConfig, RatioLevel, Surrogate},
};
use crate::learner::Upstream;

/// What the objective needs to know of the tokens of one completion, or of a part of them where it
/// takes tokens one by one (see [`needs_whole_completions`]). All lists are as long as `logprobs`.
#[derive(Debug, Clone, Copy)]
pub struct CompletionTokens<'a> {
    /// Log-probability of each token under the policy, in nats.
    pub logprobs: &'a [f32],
    /// Entropy of the distribution each was drawn from, in nats.
    pub entropy: &'a [f32],
    /// Log-probability under the policy that ratios start from; `None` when that is the current
    /// one, so that every ratio is 1.
    pub old: Option<&'a [f32]>,
    /// Log-probability when it was drawn; only a correction asks for it.
    pub sampling: Option<&'a [f32]>,
    /// Log-probability under the reference; needed for a KL penalty in the loss.
    pub reference: Option<&'a [f32]>,
    /// Advantage of each token. Where the ratio is the completion's with a gradient through all of it, so is the
    /// advantage: the first is taken.
    pub advantages: &'a [f32],
    /// Which tokens the gain is taken of; `None`: all.
    pub kept: Option<&'a [bool]>,
    /// Share of each token in the objective's normaliser.
    pub weight: f64,
    /// Share of each token in the entropy bonus: one over the tokens that it is taken of.
    pub entropy_weight: f64,
    /// Tokens of the whole completion.
    pub length: usize,
}

/// Value and derivatives of the loss.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenLosses {
    /// The share of these tokens in the loss.
    pub value: f64,
    /// Derivative by each log-probability.
    pub by_logprobs: Vec<f32>,
    /// Derivative by each entropy; empty when the loss does not depend on them.
    pub by_entropy: Vec<f32>,
    /// What was seen on the way.
    pub seen: Seen,
}

impl TokenLosses {
    /// A loss that depends on log-probabilities only, and of which nothing but the number of tokens is to be logged.
    pub fn of_logprobs(value: f64, by_logprobs: Vec<f32>) -> Self {
        let seen = Seen {
            tokens: by_logprobs.len(),
            ..Seen::default()
        };
        Self {
            value,
            by_logprobs,
            by_entropy: Vec::new(),
            seen,
        }
    }
}

/// An objective in place of those of the table: the loss of the tokens of one completion, with its derivatives.
pub type ObjectiveFn<'a> = dyn Fn(&CompletionTokens) -> TokenLosses + Send + Sync + 'a;

/// A function for [`OwnObjective`] that a stage's settings can hold. It is no part of a config file.
#[derive(Clone)]
pub struct SharedObjective(Arc<ObjectiveFn<'static>>);

impl SharedObjective {
    /// An objective that sees whole completions.
    pub fn new(losses: impl Fn(&CompletionTokens) -> TokenLosses + Send + Sync + 'static) -> Self {
        Self(Arc::new(losses))
    }

    /// As the trainer is given it.
    pub fn get(&self) -> OwnObjective<'_> {
        OwnObjective::new(&*self.0)
    }
}

impl fmt::Debug for SharedObjective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an objective of one's own")
    }
}

impl PartialEq for SharedObjective {
    /// Whether both are the same function.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An objective of one's own, and what a step has to know of it. Normaliser, advantages and the policies that it is
/// compared with are the config's.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct OwnObjective<'a> {
    /// The loss.
    pub losses: &'a ObjectiveFn<'a>,
    /// Whether it has to see all tokens of a completion at once; the head is then computed twice. Otherwise it is also
    /// asked for parts of a completion.
    pub whole_completions: bool,
    /// Whether completions with advantage 0 have a gradient.
    pub moves_without_advantage: bool,
}

impl<'a> OwnObjective<'a> {
    /// An objective that sees whole completions, also those with advantage 0: right for any function.
    pub fn new(losses: &'a ObjectiveFn<'a>) -> Self {
        Self {
            losses,
            whole_completions: true,
            moves_without_advantage: true,
        }
    }

    /// The same where each token's loss depends on that token alone, so that it may be asked for parts of a completion.
    #[must_use]
    pub fn by_token(mut self) -> Self {
        self.whole_completions = false;
        self
    }

    /// The same where an advantage of 0 means that there is nothing to learn.
    #[must_use]
    pub fn by_advantage(mut self) -> Self {
        self.moves_without_advantage = false;
        self
    }
}

/// Sums over tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    /// Tokens.
    pub tokens: usize,
    /// Tokens whose ratio fell below the lower bound with a negative advantage: their gradient is cut.
    pub clipped_low: usize,
    /// Tokens whose ratio rose above the upper bound with a positive advantage.
    pub clipped_high: usize,
    /// Sum of the ratios.
    pub ratio: f64,
    /// The largest ratio.
    pub ratio_max: f64,
    /// Sum of the KL estimates in the loss.
    pub kl: f64,
    /// Sum of the correction's weights.
    pub correction: f64,
    /// Tokens whose weight was out of the correction's bounds.
    pub corrected: usize,
    /// Tokens left out of the gain because of their low entropy.
    pub masked: usize,
}

impl Seen {
    /// Adds what was seen of other tokens.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
        self.ratio += other.ratio;
        self.ratio_max = self.ratio_max.max(other.ratio_max);
        self.kl += other.kl;
        self.correction += other.correction;
        self.corrected += other.corrected;
        self.masked += other.masked;
    }
}

/// Whether [`token_losses`] must see all tokens of a completion at once. Where all ratios are 1
/// (`moved` is false) and every token counts alike, coupled tokens come apart again.
pub fn needs_whole_completions(config: &ObjectiveConfig, moved: bool, masked: bool) -> bool {
    let by_sequence = config
        .correction
        .is_some_and(|c| c.level == CorrectionLevel::Sequence);
    by_sequence || (config.couples_tokens() && (moved || masked || config.correction.is_some()))
}

/// `Σ_t w (−m_t c_t g_t + β kl_t) − α v m_t H_t`: the gain `g` that the surrogate makes of ratio and
/// advantage, `m` the tokens kept, `c` the correction, `w` the weight, `α` the entropy coefficient and
/// `v` the entropy's own weight, so that `α` means the same whatever the normaliser.
///
/// # Panics
/// When there is a KL penalty and no reference, or a correction and no sampling log-probabilities.
pub fn token_losses(config: &ObjectiveConfig, tokens: &CompletionTokens) -> TokenLosses {
    let mut seen = Seen::default();
    let Upstream { value, derivatives } = losses_onto(config, tokens, &mut seen);
    TokenLosses {
        value,
        by_logprobs: derivatives.by_logprobs,
        by_entropy: derivatives.by_entropy,
        seen,
    }
}

/// [`token_losses`], added up with what was `seen` of the tokens before: the sums over the parts of a completion are
/// then those over the whole, to the bit.
pub(super) fn losses_onto(
    config: &ObjectiveConfig,
    tokens: &CompletionTokens,
    seen: &mut Seen,
) -> Upstream {
    let count = tokens.logprobs.len();
    let mut losses = Upstream::default();
    seen.tokens += count;
    let factors = factors(config, tokens, seen);
    let gains = gains(config, tokens, seen);
    // What a gradient through every token of the completion has to be multiplied by.
    let part = count < tokens.length;
    let coupled: f64 = if part {
        tokens.weight * tokens.length as f64
    } else {
        tokens.weight * factors.iter().sum::<f64>()
    };
    let mut by_logprobs = vec![0.0; count];
    for (t, by_logprob) in by_logprobs.iter_mut().enumerate() {
        losses.value -= tokens.weight * factors[t] * gains[t].value;
        *by_logprob -= tokens.weight * factors[t] * gains[t].own + coupled * gains[t].shared;
    }
    if config.beta > 0.0 {
        let reference = tokens
            .reference
            .expect("a KL penalty needs reference log-probabilities");
        for (t, by_logprob) in by_logprobs.iter_mut().enumerate() {
            let logprob = f64::from(tokens.logprobs[t]);
            let ratio = log_ratio(tokens, t).exp();
            let (kl, slope) = config.kl.at(logprob, f64::from(reference[t]), ratio);
            seen.kl += kl;
            losses.value += tokens.weight * config.beta * kl;
            *by_logprob += tokens.weight * config.beta * slope;
        }
    }
    losses.derivatives.by_logprobs = by_logprobs.into_iter().map(|by| by as f32).collect();
    if config.entropy_coefficient != 0.0 {
        let slope = -tokens.entropy_weight * config.entropy_coefficient;
        let kept = |t: usize| tokens.kept.is_none_or(|kept| kept[t]);
        let slopes = (0..count).map(|t| if kept(t) { slope } else { 0.0 });
        let entropies = tokens.entropy.iter().map(|&e| f64::from(e));
        losses.value += slopes
            .clone()
            .zip(entropies)
            .map(|(s, e)| s * e)
            .sum::<f64>();
        losses.derivatives.by_entropy = slopes.map(|slope| slope as f32).collect();
    }
    losses
}

/// What each token's gain is multiplied by besides its weight: 0 where it is left out, and the
/// correction.
fn factors(config: &ObjectiveConfig, tokens: &CompletionTokens, seen: &mut Seen) -> Vec<f64> {
    let mut factors = match &config.correction {
        None => vec![1.0; tokens.logprobs.len()],
        Some(correction) => {
            let sampling = tokens
                .sampling
                .expect("a correction needs sampling log-probabilities");
            let old = tokens.old.unwrap_or(tokens.logprobs);
            let (weights, out) = correction.weights(old, sampling);
            seen.corrected += out;
            weights
        }
    };
    factors.iter().for_each(|factor| seen.correction += factor);
    if let Some(kept) = tokens.kept {
        for (factor, _) in factors.iter_mut().zip(kept).filter(|(_, kept)| !**kept) {
            *factor = 0.0;
            seen.masked += 1;
        }
    }
    factors
}

/// What a token gains, and how that changes with log-probabilities.
#[derive(Debug, Clone, Copy)]
struct Gain {
    value: f64,
    /// By the token's own log-probability.
    own: f64,
    /// By the token's log-probability, of the gain of every token of the completion.
    shared: f64,
}

fn log_ratio(tokens: &CompletionTokens, t: usize) -> f64 {
    let old = tokens.old.map_or(tokens.logprobs[t], |old| old[t]);
    f64::from(tokens.logprobs[t]) - f64::from(old)
}

fn gains(config: &ObjectiveConfig, tokens: &CompletionTokens, seen: &mut Seen) -> Vec<Gain> {
    let count = tokens.logprobs.len();
    let log_ratios: Vec<f64> = (0..count).map(|t| log_ratio(tokens, t)).collect();
    if config.surrogate == Surrogate::GeometricMean {
        return geometric_mean(config, tokens, &log_ratios, seen);
    }
    let total: f64 = log_ratios.iter().sum();
    let length = tokens.length.max(1) as f64;
    (0..count)
        .map(|t| {
            let coupled = matches!(config.level, RatioLevel::Sequence | RatioLevel::Completion);
            let ratio = match config.level {
                RatioLevel::Token => log_ratios[t].exp(),
                RatioLevel::Sequence | RatioLevel::SequenceToken => (total / length).exp(),
                RatioLevel::Completion => total.exp(),
            };
            let advantage = f64::from(tokens.advantages[if coupled { 0 } else { t }]);
            let (value, slope) = surrogate(config, ratio, advantage, seen);
            if config.surrogate == Surrogate::Cispo {
                let logprob = f64::from(tokens.logprobs[t]);
                return Gain {
                    value: value * logprob,
                    own: value,
                    shared: 0.0,
                };
            }
            // d ratio / d log-probability of a token.
            let by_logprob = slope * ratio;
            match config.level {
                RatioLevel::Token | RatioLevel::SequenceToken => Gain {
                    value,
                    own: by_logprob,
                    shared: 0.0,
                },
                RatioLevel::Sequence => Gain {
                    value,
                    own: 0.0,
                    shared: by_logprob / length,
                },
                RatioLevel::Completion => Gain {
                    value,
                    own: 0.0,
                    shared: by_logprob,
                },
            }
        })
        .collect()
}

/// The surrogate and its derivative by the ratio. Of CISPO: what `log π` is multiplied by.
fn surrogate(config: &ObjectiveConfig, ratio: f64, advantage: f64, seen: &mut Seen) -> (f64, f64) {
    seen.ratio += ratio;
    seen.ratio_max = seen.ratio_max.max(ratio);
    match config.surrogate {
        Surrogate::Clip => {
            let (low, high) = (1.0 - config.epsilon, 1.0 + config.epsilon_high);
            seen.clipped_low += usize::from(ratio < low && advantage < 0.0);
            seen.clipped_high += usize::from(ratio > high && advantage > 0.0);
            let most = config.delta.unwrap_or(f64::INFINITY);
            let (plain, clipped) = (ratio.min(most), ratio.clamp(low, high));
            if plain * advantage <= clipped * advantage {
                (
                    plain * advantage,
                    if ratio <= most { advantage } else { 0.0 },
                )
            } else {
                let inside = (low..=high).contains(&ratio);
                (clipped * advantage, if inside { advantage } else { 0.0 })
            }
        }
        Surrogate::Cispo => {
            seen.clipped_high += usize::from(ratio > config.epsilon_high && advantage > 0.0);
            (ratio.min(config.epsilon_high) * advantage, 0.0)
        }
        Surrogate::Sapo => {
            let tau = if advantage > 0.0 {
                config.tau_positive
            } else {
                config.tau_negative
            };
            let gate = 1.0 / (1.0 + (-tau * (ratio - 1.0)).exp());
            let slope = 4.0 * gate * (1.0 - gate) * advantage;
            (4.0 / tau * gate * advantage, slope)
        }
        Surrogate::GeometricMean => unreachable!("it takes all tokens together"),
    }
}

fn geometric_mean(
    config: &ObjectiveConfig,
    tokens: &CompletionTokens,
    log_ratios: &[f64],
    seen: &mut Seen,
) -> Vec<Gain> {
    let advantage = f64::from(tokens.advantages.first().copied().unwrap_or(0.0));
    let length = tokens.length.max(1) as f64;
    let mut total = 0.0;
    let mut free = Vec::with_capacity(log_ratios.len());
    for &d in log_ratios {
        let cut_high = d > config.epsilon_high && advantage > 0.0;
        let cut_low = d < -config.epsilon && advantage < 0.0;
        seen.clipped_high += usize::from(cut_high);
        seen.clipped_low += usize::from(cut_low);
        seen.ratio += d.exp();
        seen.ratio_max = seen.ratio_max.max(d.exp());
        total += match (cut_high, cut_low) {
            (true, _) => config.epsilon_high,
            (_, true) => -config.epsilon,
            _ => d,
        };
        free.push(!(cut_high || cut_low));
    }
    let value = advantage * (total / length).exp();
    let gain = |free| Gain {
        value,
        own: 0.0,
        shared: if free { value / length } else { 0.0 },
    };
    free.into_iter().map(gain).collect()
}

#[cfg(test)]
mod tests;
