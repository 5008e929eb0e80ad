//! The language model: one transformer, with data instead of copies where families differ.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the architecture as data, from a Hugging Face `config.json` or GGUF metadata |
//! | [`transformer`] | the forward and the backward pass |
//! | `block`, `layers`, `position` | what it is made of |
//! | [`lora`] | low-rank adapters |
//! | `precision` | how frozen weights are stored |
//! | [`parameters`] | the weights by their Hugging Face names |
//! | [`pretrained`], [`weights`] | models from disk and hub |

pub(crate) mod block;
pub mod config;
pub(crate) mod layers;
pub mod lora;
pub mod parameters;
mod position;
mod precision;
pub mod pretrained;
pub mod transformer;
pub mod weights;

pub use config::ModelConfig;
pub use parameters::{ParameterVisitor, Parameters};
pub use precision::{Precision, PrecisionError};
pub use pretrained::Pretrained;
pub use transformer::{Activations, Transformer};

pub use crate::compute::Engine;
