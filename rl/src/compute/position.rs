//! Rotary position embedding in the Hugging Face layout: of the values of a head that are rotated, which
//! come first or last, pairs are `(i, i + half)`.
//!
//! Burn's own rotary module pairs neighbours `(2i, 2i + 1)`; checkpoints with the Hugging Face
//! layout would be silently wrong under it, so the rotation is written here.

/// The angular frequency of each pair of one head, in radians per position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frequencies {
    pairs: Vec<f32>,
    /// What cosines and sines are multiplied by.
    magnitude: f32,
    /// Which values of a head are rotated.
    side: Side,
}

/// Which values of a head are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The first.
    First,
    /// The last.
    Last,
}

impl Side {
    /// The place of the first of `rotated` values in a head of `width`.
    pub(crate) fn start(self, width: usize, rotated: usize) -> usize {
        match self {
            Self::First => 0,
            Self::Last => width - rotated,
        }
    }
}

impl Frequencies {
    /// One for each pair, in radians per position, and what cosines and sines are multiplied by.
    pub(crate) fn new(pairs: Vec<f32>, magnitude: f32, side: Side) -> Self {
        Self {
            pairs,
            magnitude,
            side,
        }
    }

    /// How many pairs of values of a head are rotated.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Which values of a head are rotated.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Cosines and sines of one row per entry of `positions`, `[rows, pairs]` each.
    pub(crate) fn angles(&self, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let angles = || {
            positions
                .iter()
                .flat_map(|&p| self.pairs.iter().map(move |f| p as f32 * f))
        };
        let scaled = |x: f32| x * self.magnitude;
        (
            angles().map(f32::cos).map(scaled).collect(),
            angles().map(f32::sin).map(scaled).collect(),
        )
    }
}

/// Which way [`Compute::rotate`](super::Compute::rotate) turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// By the angle of the position.
    Forward,
    /// Back, which is also the gradient.
    Backward,
}
