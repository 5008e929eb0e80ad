//! Keys and values of completions under way.

use std::{ops::Range, sync::Arc};

use super::{
    Compute,
    heads::{Cached, Heads, Qkv},
};

/// How much a cache has to hold.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// Places for completions.
    pub(crate) slots: usize,
    /// Tokens of a prompt at most.
    pub(crate) prompt: usize,
    /// Tokens of a completion at most.
    pub(crate) completion: usize,
    /// Heads of each layer.
    pub(crate) heads: Vec<Heads>,
}

/// Keys and values of completions under way, each in a slot. Completions of one prompt share the
/// prompt's.
pub(crate) trait Cache<C: Compute> {
    /// Keys and values of a prompt in every layer.
    type Prefix;

    /// Empty slots.
    fn new(c: &C, extent: Extent) -> Self;
    /// A prompt of so many tokens, of which no layer is known yet.
    fn prefix(tokens: usize) -> Self::Prefix;
    /// Adds the next layer of a prompt: `rows` of these keys and values.
    fn extend(prefix: &mut Self::Prefix, cached: Cached<C::Rows>, rows: Range<usize>);
    /// Puts a new completion of a prompt into a slot.
    fn admit(&mut self, slot: usize, prefix: &Arc<Self::Prefix>);
    /// Drops what a slot holds.
    fn leave(&mut self, slot: usize);
    /// The slots that have a row when those of `wanted`, which are all different, are to be computed.
    fn computed(&self, wanted: &[usize]) -> Vec<usize>;
    /// Stores the keys and values of one new token for each of `slots`, which are all that are
    /// [computed](Self::computed), and mixes the values that each may see: `[slots, query heads * value_dim]`.
    fn attend(
        &mut self,
        layer: usize,
        slots: &[usize],
        qkv: &Qkv<C::Rows>,
    ) -> (C::Rows, C::Attended);
    /// Counts the token that every layer has stored for each of `slots`.
    fn advance(&mut self, slots: &[usize]);
    /// What adds several tokens to one slot at a time, if shapes allow that.
    fn runs(&mut self) -> Option<&mut dyn Runs<C>>;
}

/// Adds tokens that were not drawn to a slot, whose past is not read again.
pub(crate) trait Runs<C: Compute> {
    /// Stores the keys and values of new tokens of one slot, which follow each other, and mixes the values that each may
    /// see, itself and all before: `[tokens, query heads * value_dim]`.
    fn attend_run(
        &mut self,
        layer: usize,
        slot: usize,
        qkv: &Qkv<C::Rows>,
    ) -> (C::Rows, C::Attended);
    /// Counts `tokens` that every layer has stored for one slot.
    fn advance_run(&mut self, slot: usize, tokens: usize);
}
