//! What a model thinks of given tokens: log-probabilities, entropies, and gradients of whatever is to be done with each
//! of them, without ever holding a `[tokens, vocabulary]` tensor. It knows no algorithm.
//!
//! | file | subject |
//! |---|---|
//! | [`sequence`] | a prompt and what followed, sampled or given by segment |
//! | [`batch`] | sequences packed by a token budget, prompts shared |
//! | [`recall`] | forward passes that sampling has made already |
//! | [`head`] | what reads hidden states: the vocabulary in chunks, or a scalar |
//! | [`scoring`] | log-probabilities without a gradient |
//! | [`streams`] | what is to be done with each token |
//! | [`distance`] | how far a distribution is from another model's |
//! | [`gradient`] | one micro-batch forward and backward |
//! | [`optimizer`] | AdamW, clipping, learning-rate schedules |
//! | [`saved`] | moments and head on the disk |

pub mod batch;
pub mod distance;
pub mod gradient;
pub mod head;
pub mod memory;
pub mod optimizer;
mod policy;
pub mod recall;
pub mod saved;
pub mod scoring;
pub mod sequence;
pub mod streams;

pub use batch::{BudgetError, MicroBatch, pack};
pub use distance::{Distance, Divergence, TokenDistribution};
pub use gradient::{
    GradientConfig, MicroOutput, accumulate_gradients, batch_gradients, stream_gradients,
};
pub use head::{
    Head, HeadConfig, ScalarHead, accumulate_scalar_gradients, pack_ends, scalar_values,
};
pub use memory::{MemorySection, Scoring};
pub use optimizer::{AdamW, AdamWConfig, Schedule};
pub use policy::{Learner, visit_trained};
pub use saved::SavedError;
pub use scoring::{HiddenStates, TokenScores, batch_logprobs, token_logprobs};
pub use sequence::{Segment, Sequence};
pub use streams::{Likelihood, Streams, Upstream};
