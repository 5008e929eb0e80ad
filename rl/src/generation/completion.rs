//! A completion in tokens, and why it ended.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::recorded::Recorded;
use crate::model::RoutedExperts;

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// With an end-of-sequence token, which is its last.
    Eos,
    /// With a stop text.
    Stop,
    /// It reached `max_tokens`: it is truncated.
    Length,
}

/// A completion, in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Token ids after the prompt, end-of-sequence tokens included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token that was drawn, at that time, in nats, see [`super::SamplingConfig`].
    pub logprobs: Vec<f32>,
    /// The runs of `tokens` that were not drawn but given between turns, in order; empty after a single turn.
    pub given: Vec<Range<usize>>,
    /// Why its last turn ended.
    pub finish: Finish,
    /// Where its activations are, when [`super::Generator::recorded_tokens`] asked for them and had room for it.
    pub recorded: Option<Recorded>,
    /// Which experts its tokens and those of its prompt went to, when [`super::Generator::record_routes`] asked for it and the model
    /// has experts.
    pub routed_experts: Option<RoutedExperts>,
}

impl Generated {
    /// One that was cut off before its first token.
    pub(super) fn empty() -> Self {
        Self {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            given: Vec::new(),
            finish: Finish::Length,
            recorded: None,
            routed_experts: None,
        }
    }
}

/// Tells from the tokens of a turn so far whether it ends here.
pub type Stop<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);
