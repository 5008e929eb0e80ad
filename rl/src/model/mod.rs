//! The language model: one transformer, with data instead of copies where families differ.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the architecture as data, from a Hugging Face `config.json` or GGUF metadata |
//! | [`transformer`] | the one forward pass, cached and uncached |
//! | `attention`, `feed_forward`, `layers`, `rope` | its blocks |
//! | [`cache`] | keys and values of the tokens already seen |
//! | [`parameters`] | the weights by their Hugging Face names |
//! | [`pretrained`], [`weights`] | models from disk and hub |

mod attention;
pub mod cache;
pub mod config;
mod feed_forward;
mod layers;
pub mod parameters;
pub mod pretrained;
mod rope;
pub mod transformer;
pub mod weights;

pub use cache::KvCache;
pub use config::ModelConfig;
pub use parameters::{ParameterVisitor, Parameters};
pub use pretrained::Pretrained;
pub use transformer::Transformer;
