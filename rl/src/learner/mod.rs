//! What a model thinks of given tokens: log-probabilities, entropies, and gradients of any loss
//! on them, without ever holding a `[tokens, vocabulary]` tensor.
//!
//! | file | subject |
//! |---|---|
//! | [`batch`] | sequences packed by a token budget, prompts shared |
//! | [`recall`] | forward passes that sampling has made already |
//! | [`head`] | the vocabulary head in chunks, and its gradient in closed form |
//! | [`scoring`] | log-probabilities without a gradient |
//! | [`gradient`] | one micro-batch forward and backward |
//! | [`optimizer`] | AdamW, clipping, learning-rate schedules |

pub mod batch;
pub mod gradient;
pub mod head;
mod learner;
pub mod memory;
pub mod optimizer;
pub mod recall;
pub mod scoring;

pub use batch::{BudgetError, MicroBatch, Sequence, pack};
pub use gradient::{GradientConfig, Upstream, accumulate_gradients, batch_gradients};
pub use head::HeadConfig;
pub use learner::Learner;
pub use memory::{MemorySection, Scoring};
pub use optimizer::{AdamW, AdamWConfig, Schedule};
pub use scoring::{TokenScores, batch_logprobs, token_logprobs};
