//! Activations of sampled tokens, kept until they are trained on: what a tape can do.
//!
//! What the backward pass needs of the forward pass is a few numbers a token and layer, whether the
//! token went through the model alone, while it was sampled, or in a micro-batch. A tape keeps one
//! record for each token and layer, in the order in which tokens were computed; training picks the
//! records of its rows from it, a layer at a time. Where there is room for it, the softmax that each
//! token was drawn from is kept as well: what sampling leaves of the logits is what training starts
//! from.

use std::{any::Any, fmt::Debug};

use super::{Absent, Compute, HeadOutput};

/// A drawn token with what is known of the distribution that it was drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    /// Its log-probability, in nats.
    pub(crate) logprob: f32,
    /// Sum of the weights that the logits have become.
    pub(crate) sum: f32,
    /// In nats.
    pub(crate) entropy: f32,
}

/// The place of a distribution on a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which of the times that tokens were drawn.
    pub(crate) draws: usize,
    /// Row among those of that time.
    pub(crate) row: usize,
}

/// A tape of any implementation.
pub(crate) trait Recording: Any + Debug + Send + Sync {
    /// Tokens recorded; the place of the next.
    fn tokens(&self) -> usize;
    /// Whether what tokens were drawn from is kept.
    fn has_distributions(&self) -> bool;
    /// The same, and whether it was at this temperature.
    fn has_distributions_at(&self, temperature: f64) -> bool;
}

/// A tape of one implementation.
pub(crate) trait Tape<C: Compute>: Recording {
    /// Promises room for so many tokens more, if there is any.
    fn reserve(&mut self, tokens: usize) -> Option<&mut Self>;
    /// Takes back the promise of room that is not needed.
    fn release(&mut self, tokens: usize);
    /// Records a layer of the next tokens, which are `rows` of each part.
    fn record(&mut self, layer: usize, parts: &[&C::Rows], rows: &[usize]);
    /// The place of the next tokens' distributions, whether or not they will be kept.
    fn place(&self, row: usize) -> Place;
    /// Takes what drawing has left of the logits of some tokens, of which those in `rows` are recorded.
    fn keep_distributions(
        &mut self,
        weights: C::Rows,
        drawn: &[Drawn],
        rows: &[usize],
        temperature: f64,
    );
    /// Counts tokens of which every layer has been recorded.
    fn advance(&mut self, tokens: usize);
    /// A part of the records of some tokens, each of a tape of its own: `[tokens, width]`.
    fn gather(tokens: &[(&Self, usize)], layer: usize, part: usize) -> C::Rows;
    /// What some tokens were drawn from, each on a tape of its own, as the head would give it.
    fn gather_distributions(tokens: &[(&Self, Place)]) -> HeadOutput<C::Distribution>;
}

impl Recording for Absent {
    fn tokens(&self) -> usize {
        match *self {}
    }

    fn has_distributions(&self) -> bool {
        match *self {}
    }

    fn has_distributions_at(&self, _: f64) -> bool {
        match *self {}
    }
}

impl<C: Compute> Tape<C> for Absent {
    fn reserve(&mut self, _: usize) -> Option<&mut Self> {
        match *self {}
    }

    fn release(&mut self, _: usize) {
        match *self {}
    }

    fn record(&mut self, _: usize, _: &[&C::Rows], _: &[usize]) {
        match *self {}
    }

    fn place(&self, _: usize) -> Place {
        match *self {}
    }

    fn keep_distributions(&mut self, _: C::Rows, _: &[Drawn], _: &[usize], _: f64) {
        match *self {}
    }

    fn advance(&mut self, _: usize) {
        match *self {}
    }

    fn gather(tokens: &[(&Self, usize)], _: usize, _: usize) -> C::Rows {
        match *tokens[0].0 {}
    }

    fn gather_distributions(tokens: &[(&Self, Place)]) -> HeadOutput<C::Distribution> {
        match *tokens[0].0 {}
    }
}
