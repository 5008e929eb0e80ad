//! Supervised fine-tuning: the likelihood of given completions goes up.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`SftConfig`] |
//! | [`encode`](mod@encode) | an example as token ids, with a mark at each that is learnt |
//! | [`examples`] | the examples of a stage: read, made to fit, divided, in order |
//! | [`loss`] | the step, and the loss on what is held out |
//!
//! The loss of a step is `−Σ log π(y_t | y_<t) / N` over the tokens that are learnt, `N` in number,
//! of all its examples. Everything else that the model reads has no share in it.

pub mod config;
pub mod encode;
pub mod examples;
pub mod loss;
pub mod metrics;
mod stage;

pub use config::{Balance, Restart, SftConfig, TooLong, Turns};
pub use encode::{EncodeError, Encoded, encode};
pub use examples::{Epochs, ExampleError, ExampleSet, Limit};
pub use loss::{heldout_loss, pack_examples, step};
pub use metrics::SftMetrics;
