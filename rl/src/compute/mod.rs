//! The arithmetic of the model, in two implementations behind one trait.
//!
//! The forward and backward pass of the transformer are written once, against `Compute`. What only one
//! implementation can do is a type of it that the other has no value of (`Absent`), so nothing above
//! this module asks which one runs.
//!
//! | file | subject |
//! |---|---|
//! | `operations` | the trait `Compute` |
//! | `engine` | which implementation runs a model |
//! | `heads`, `position`, [`packing`] | how rows are laid out for attention, and which may attend to which |
//! | `cache`, `draw`, `tape` | what decoding needs: keys and values, tokens drawn, activations kept |
//! | `host` | the CPU: vectorised loops and matrix products on slices, ragged rows, nothing padded |
//! | `tensor` | any Burn device: tensor operations with static shapes |
//! | `elementwise` | vectorised loops over one row |
//! | `buffers` | values in and out of tensors, and Burn's CPU tensors as slices |

pub(crate) mod buffers;
pub(crate) mod cache;
pub(crate) mod draw;
pub(crate) mod elementwise;
mod engine;
pub(crate) mod heads;
#[cfg(feature = "flex")]
pub(crate) mod host;
mod operations;
pub mod packing;
pub(crate) mod position;
pub(crate) mod tape;
pub(crate) mod tensor;

pub use engine::Engine;
pub use operations::HeadUpstream;

pub(crate) use engine::with_compute;
pub(crate) use heads::{Cached, Heads, LatentHeads, Qkv};
pub(crate) use operations::{Attended, Compute, HeadOutput};
pub(crate) use position::{Direction, Frequencies, Side};

/// What an implementation of the arithmetic lacks: there is no value of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Absent {}
