//! Rotary position embedding in the Hugging Face layout: of the values of a head that are rotated, which
//! come first, pairs are `(i, i + half)`.
//!
//! Burn's own rotary module pairs neighbours `(2i, 2i + 1)`; checkpoints with the Hugging Face
//! layout would be silently wrong under it, so the rotation is written here.

/// The angular frequency of each pair of one head, in radians per position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frequencies(Vec<f32>);

impl Frequencies {
    /// One for each pair, in radians per position.
    pub(crate) fn new(frequencies: Vec<f32>) -> Self {
        Self(frequencies)
    }

    /// How many pairs of values of a head are rotated.
    pub(crate) fn pairs(&self) -> usize {
        self.0.len()
    }

    /// Cosines and sines of one row per entry of `positions`, `[rows, pairs]` each.
    pub(crate) fn angles(&self, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let angles = || {
            positions
                .iter()
                .flat_map(|&p| self.0.iter().map(move |f| p as f32 * f))
        };
        (
            angles().map(f32::cos).collect(),
            angles().map(f32::sin).collect(),
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
