//! A completion on its way into the loss.

use super::loss::CompletionTokens;
use crate::{generation::Recorded, learner::Sequence};

/// What a critic thinks of the tokens of a completion, and what it is to think of them. One entry a sampled token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValueTargets {
    /// Its values before the step's updates: of the state that each token was drawn in.
    pub values: Vec<f64>,
    /// What they are drawn towards: advantage and value by the critic's own λ.
    pub returns: Vec<f64>,
}

/// A completion on its way into the loss. Lists have one entry a token.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its tokens.
    pub sequence: Sequence,
    /// The group it belongs to.
    pub group: usize,
    /// Whether it counts in the normaliser; one that was cut off may not.
    pub counts: bool,
    /// Whether it has a gradient. One with advantage 0 has none, unless something besides the
    /// advantage moves it.
    pub moves: bool,
    /// Whether it was cut off.
    pub truncated: bool,
    /// Advantage of each token.
    pub advantages: Vec<f32>,
    /// What a critic thinks of it; `None` without one.
    pub value: Option<ValueTargets>,
    /// Log-probabilities when it was drawn.
    pub sampling: Vec<f32>,
    /// Those that ratios start from; `None`: the current ones.
    pub old: Option<Vec<f32>>,
    /// Those of the reference.
    pub reference: Option<Vec<f32>>,
    /// Which tokens the gain is taken of; `None`: all.
    pub kept: Option<Vec<bool>>,
    /// Its forward pass by the policy that drew it, if that was kept.
    pub recorded: Option<Recorded>,
}

impl Example {
    /// Tokens of the completion that the model wrote.
    pub fn length(&self) -> usize {
        self.sequence.sampled()
    }

    /// A part of the completion, as the loss sees it.
    pub fn tokens<'a>(
        &'a self,
        part: std::ops::Range<usize>,
        logprobs: &'a [f32],
        entropy: &'a [f32],
        weights: Weights,
    ) -> CompletionTokens<'a> {
        CompletionTokens {
            logprobs,
            entropy,
            old: self.old.as_ref().map(|old| &old[part.clone()]),
            sampling: Some(&self.sampling[part.clone()]),
            reference: self.reference.as_ref().map(|r| &r[part.clone()]),
            advantages: &self.advantages[part.clone()],
            kept: self.kept.as_ref().map(|kept| &kept[part.clone()]),
            weight: weights.gain,
            entropy_weight: weights.entropy,
            length: self.length(),
        }
    }
}

/// What a token of an example counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// In the objective's normaliser.
    pub gain: f64,
    /// In the entropy bonus.
    pub entropy: f64,
}
