//! The forward pass of a micro-batch from what was recorded when its members were sampled.
//!
//! Until the policy is updated, the one that sampled is the one that is trained: each token has been
//! through the model once, one after the other, and its activations are those that the backward pass
//! asks for, up to rounding. So an on-policy step has no forward pass of its own.

use std::{any::Any, sync::Arc};

use crate::{
    compute::{
        Compute,
        tape::{Place, Recording},
    },
    generation::Recorded,
};

/// Where the activations of each row of a micro-batch are.
#[derive(Debug, Clone)]
pub struct Recall {
    tapes: Vec<Arc<dyn Recording>>,
    /// Tape, and place on it, of each row.
    rows: Vec<(usize, usize)>,
    /// Tape, and place on it, of the distribution of each target.
    drawn: Vec<(usize, Place)>,
}

impl Recall {
    /// `count` rows, if those of every member are known: `members` has the rows that predict each one's targets, and what was
    /// recorded of it.
    pub(super) fn new<'a>(
        count: usize,
        members: impl Iterator<Item = (&'a [usize], Option<&'a Recorded>)>,
    ) -> Option<Self> {
        let mut tapes: Vec<Arc<dyn Recording>> = Vec::new();
        let mut rows = vec![(0, 0); count];
        let mut drawn = Vec::new();
        for (own, recorded) in members {
            let Recorded { tape, track } = recorded?;
            // One segment is recorded: rows that follow each other, as many as its tokens.
            if own.len() != track.tokens.len() {
                return None;
            }
            let known = tapes.iter().position(|known| Arc::ptr_eq(known, tape));
            let tape = known.unwrap_or_else(|| {
                tapes.push(tape.clone());
                tapes.len() - 1
            });
            // A completion's first row is the last of its prompt, and stands behind the others of it.
            let prompt = own[0] - track.prompt.len()..own[0];
            let places = track.prompt.clone().chain(track.tokens.iter().copied());
            for (row, place) in prompt.chain(own.iter().copied()).zip(places) {
                rows[row] = (tape, place);
            }
            drawn.extend(track.drawn.iter().map(|&place| (tape, place)));
        }
        (!rows.is_empty()).then_some(Self { tapes, rows, drawn })
    }

    /// The tape and the place on it of each row, if this arithmetic can read them.
    pub(super) fn tokens<C: Compute>(&self) -> Option<Vec<(&C::Tape, usize)>> {
        let tapes = self.tapes_of::<C>()?;
        let row = |&(tape, place): &(usize, usize)| (tapes[tape], place);
        Some(self.rows.iter().map(row).collect())
    }

    /// The same of what each target was drawn from at `temperature`, if that was kept.
    pub(super) fn drawn<C: Compute>(&self, temperature: f64) -> Option<Vec<(&C::Tape, Place)>> {
        let tapes = self.tapes_of::<C>()?;
        let mut all = self.tapes.iter();
        let kept = all.all(|tape| tape.has_distributions_at(temperature));
        let place = |&(tape, place): &(usize, Place)| (tapes[tape], place);
        kept.then(|| self.drawn.iter().map(place).collect())
    }

    fn tapes_of<C: Compute>(&self) -> Option<Vec<&C::Tape>> {
        let tapes = self.tapes.iter();
        tapes
            .map(|tape| (&**tape as &dyn Any).downcast_ref())
            .collect()
    }
}
