//! Supervised fine-tuning: the likelihood of given completions goes up.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`SftConfig`] |
//! | [`loss`] | the step, and the loss on what is held out |
//!
//! The loss of a step is `−Σ log π(y_t | y_<t) / N` over the tokens that are learnt, `N` in number,
//! of all its examples. Everything else that the model reads has no share in it.

pub mod config;
pub mod loss;
pub mod metrics;
mod stage;

pub use config::{Balance, Restart, SftConfig};
pub use loss::{heldout_loss, pack_examples, step};
pub use metrics::SftMetrics;
