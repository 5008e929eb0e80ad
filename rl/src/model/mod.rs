//! The language model: one transformer made of parts, by data where families differ.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the architecture as data, from a Hugging Face `config.json` or GGUF metadata |
//! | [`transformer`] | the forward and the backward pass |
//! | `plan` | what a model is made of, as data: a plan a layer |
//! | `table`, `names`, `stored` | the one table of names and shapes, names outside of layers, and how checkpoints store all these |
//! | [`router`], [`routing`], [`routed_experts`] | which experts a token goes to, how busy they were, and what was chosen while sampling |
//! | `block` | a layer: `attention`, `feed_forward`, `norm`, `position` |
//! | `module`, `linear`, `gradients`, `kept`, `build` | what the parts have in common |
//! | [`lora`] | low-rank adapters |
//! | `precision` | how frozen weights are stored |
//! | [`parameters`] | the weights by their Hugging Face names |
//! | [`pretrained`], [`weights`] | models from disk and hub |

pub(crate) mod attention;
pub(crate) mod block;
mod build;
pub mod config;
pub(crate) mod feed_forward;
pub(crate) mod gradients;
mod kept;
pub(crate) mod linear;
pub mod lora;
mod module;
pub(crate) mod names;
pub(crate) mod norm;
pub mod parameters;
pub(crate) mod plan;
mod position;
mod precision;
pub mod pretrained;
pub mod routed_experts;
pub mod router;
pub mod routing;
pub(crate) mod stored;
pub(crate) mod table;
pub mod transformer;
pub mod weights;

pub use config::ModelConfig;
pub use parameters::{ParameterVisitor, Parameters};
pub use precision::{Precision, PrecisionError};
pub use pretrained::Pretrained;
pub use routed_experts::RoutedExperts;
pub use router::Router;
pub use routing::Routing;
pub use transformer::{Activations, Transformer};

pub use crate::compute::Engine;
