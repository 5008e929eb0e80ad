//! Where the activations of a completion are that were computed while it was sampled.

use std::{ops::Range, sync::Arc};

use crate::compute::tape::{Place, Recording};

/// The places of a completion's tokens on a tape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// The tokens of its prompt, without the last.
    pub(crate) prompt: Range<usize>,
    /// The last token of its prompt and those that it was continued with, without the last: each
    /// computed the next one's distribution.
    pub(crate) tokens: Vec<usize>,
    /// The distributions that they computed.
    pub(crate) drawn: Vec<Place>,
}

/// A completion whose forward pass need not be computed again, as long as the weights are those
/// that it was sampled with. It keeps the activations of all completions sampled with it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub(crate) tape: Arc<dyn Recording>,
    pub(crate) track: Track,
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tape, &other.tape) && self.track == other.track
    }
}

impl Recorded {
    /// Whether the distributions that its tokens were drawn from are kept too.
    pub fn has_distributions(&self) -> bool {
        self.tape.has_distributions()
    }

    /// Tokens whose activations these completions keep.
    pub fn tokens<'a>(all: impl IntoIterator<Item = &'a Self>) -> usize {
        let mut tapes: Vec<&Arc<dyn Recording>> = Vec::new();
        for Self { tape, .. } in all {
            if !tapes.iter().any(|known| Arc::ptr_eq(known, tape)) {
                tapes.push(tape);
            }
        }
        tapes.iter().map(|tape| tape.tokens()).sum()
    }
}
