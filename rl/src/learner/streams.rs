//! What a learner is told to do with each token: it knows no algorithm.
//!
//! A loss is a sum over sampled tokens of terms of these kinds, each with its own weight, which holds its share of a
//! normaliser that is counted over the whole step:
//!
//! | stream | term of a token | who gives it |
//! |---|---|---|
//! | policy gradient | any function of log-probabilities, closed form in f64 with its derivatives | [`Streams::upstream`] |
//! | entropy | any function of the entropies, with its derivatives | [`Streams::upstream`] |
//! | likelihood | `−w log π(y_t)` | [`Likelihood`] |
//! | distance | a divergence from or to another distribution, whole or its top k | [`Streams::distance`] |
//! | regression | any function of a scalar that a head of its own reads off | [`super::head::scalar`] |

use std::ops::Range;

use super::{batch::MicroBatch, distance::Distance};
use crate::compute::HeadUpstream;

/// A loss and its derivatives, as learners ask for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Upstream {
    /// The loss of the tokens asked for.
    pub value: f64,
    /// Its derivatives, one a token.
    pub derivatives: HeadUpstream,
}

impl Upstream {
    /// A loss that depends on log-probabilities only.
    pub fn of_logprobs(value: f64, by_logprobs: Vec<f32>) -> Self {
        Self {
            value,
            derivatives: HeadUpstream {
                by_logprobs,
                by_entropy: Vec::new(),
            },
        }
    }

    /// Adds the loss of the tokens that follow.
    pub fn extend(&mut self, next: Self) {
        self.value += next.value;
        let derivatives = &mut self.derivatives;
        derivatives.by_logprobs.extend(next.derivatives.by_logprobs);
        derivatives.by_entropy.extend(next.derivatives.by_entropy);
    }

    /// The derivatives of some tokens.
    pub(super) fn part(&self, range: Range<usize>) -> HeadUpstream {
        let HeadUpstream {
            by_logprobs,
            by_entropy,
        } = &self.derivatives;
        HeadUpstream {
            by_logprobs: by_logprobs[range.clone()].to_vec(),
            by_entropy: if by_entropy.is_empty() {
                Vec::new()
            } else {
                by_entropy[range].to_vec()
            },
        }
    }
}

/// What is to be done with each token of a step.
pub trait Streams: Sync {
    /// What is kept of each micro-batch for the log.
    type Seen: Default + Send;

    /// The loss of a range of the targets of a micro-batch as a function of their log-probabilities and entropies, in
    /// nats, with its derivatives; the terms of [`Self::distance`] apart. Ranges come in their order.
    fn upstream(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        entropy: &[f32],
        seen: &mut Self::Seen,
    ) -> Upstream;

    /// The distribution that a target's own is drawn towards, if there is one.
    fn distance(&self, batch: &MicroBatch, target: usize) -> Option<Distance<'_>> {
        let _ = (batch, target);
        None
    }

    /// The distributions of [`Self::distance`] for a range of the targets, by their places in it: made where they are
    /// asked for, so that those of one chunk exist at a time. Ranges come in their order, each after [`Self::upstream`]
    /// was asked about it.
    fn distances(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        seen: &mut Self::Seen,
    ) -> Vec<(usize, Distance<'_>)> {
        let _ = seen;
        let targets = range.enumerate();
        targets
            .filter_map(|(place, target)| Some((place, self.distance(batch, target)?)))
            .collect()
    }

    /// Is shown the policy's probabilities at a target that has a distance, and what that comes to.
    fn measured(
        &self,
        target: usize,
        probabilities: &[f32],
        distance: &Distance,
        value: f64,
        seen: &mut Self::Seen,
    ) {
        let _ = (target, probabilities, distance, value, seen);
    }
}

/// The negative log-likelihood of every target, all with the same weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// What each token's log-probability is multiplied by: below 0 where it is to rise.
    scale: f64,
}

impl Likelihood {
    /// The mean over the `tokens` targets of a step.
    pub fn mean_of(tokens: usize) -> Self {
        Self {
            scale: -1.0 / tokens.max(1) as f64,
        }
    }
}

impl Streams for Likelihood {
    type Seen = ();

    fn upstream(
        &self,
        _: &MicroBatch,
        _: Range<usize>,
        logprobs: &[f32],
        _: &[f32],
        (): &mut (),
    ) -> Upstream {
        let sum: f64 = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        Upstream::of_logprobs(self.scale * sum, vec![self.scale as f32; logprobs.len()])
    }
}

/// A loss given as a function.
pub(super) struct ByFunction<F>(pub(super) F);

impl<F> Streams for ByFunction<F>
where
    F: Fn(&MicroBatch, Range<usize>, &[f32], &[f32]) -> Upstream + Sync,
{
    type Seen = ();

    fn upstream(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        entropy: &[f32],
        (): &mut (),
    ) -> Upstream {
        (self.0)(batch, range, logprobs, entropy)
    }
}
