//! Which weights are trained, and where their gradients go.

use std::ops::Range;

use super::{parameters::Parameters, routing::Routing};

/// Where the gradients of a backward pass are added up.
pub(crate) struct Gradients<'a> {
    /// The sums, by name.
    pub(crate) sums: &'a mut Parameters,
    /// Which weights have gradients.
    pub(crate) trained: Trained,
    /// What routers did with the rows.
    pub(crate) routing: Routing,
    /// The loss that spreads tokens over experts, if there is one.
    pub(crate) balance: Option<SequenceBalance>,
}

impl<'a> Gradients<'a> {
    /// Sums of a loss of tokens alone.
    pub(crate) fn new(sums: &'a mut Parameters, trained: Trained) -> Self {
        Self {
            sums,
            trained,
            routing: Routing::default(),
            balance: None,
        }
    }
}

/// `weight · Σ_sequences Σ_i f_i P_i` (arXiv 2412.19437, eq. 17 to 20), where `f_i` is how often a sequence's tokens chose
/// expert `i`, over how often they would if all were alike, and `P_i` its mean share of their scores.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SequenceBalance {
    /// α, over the sequences of the whole update.
    pub(crate) weight: f32,
    /// The rows of each sequence.
    pub(crate) sequences: Vec<Range<usize>>,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// Every weight of the model.
    All,
    /// Low-rank adapters alone.
    Adapters,
}
