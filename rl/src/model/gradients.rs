//! Which weights are trained, and where their gradients go.

use super::parameters::Parameters;

/// Where the gradients of a backward pass are added up.
pub(crate) struct Gradients<'a> {
    /// The sums, by name.
    pub(crate) sums: &'a mut Parameters,
    /// Which weights have gradients.
    pub(crate) trained: Trained,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// Every weight of the model.
    All,
    /// Low-rank adapters alone.
    Adapters,
}
