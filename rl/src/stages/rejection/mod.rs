//! Rejection sampling: what the policy itself says, where it was found right, becomes a data set.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`RejectionConfig`] |
//! | [`select`](mod@select) | which completions are kept |
//!
//! DeepSeek-R1 makes its second supervised stage this way (arXiv 2501.12948, section 2.3.3): from
//! the policy of its first reinforcement stage several completions a prompt are sampled, the right
//! ones are kept, and the base model is fine-tuned on them. RFT (arXiv 2308.01825) had done so for
//! mathematics, and found that what counts is how many distinct ways of reasoning are kept.

pub mod config;
pub mod metrics;
pub mod select;
mod stage;

pub use config::{Pick, RejectionConfig};
pub use metrics::RejectionMetrics;
pub use select::{Counts, Row, select};

/// A finished chunk of tasks.
pub type Chunk = crate::stages::harvest::Chunk<Counts>;
/// The finished chunks of a stage.
pub type Progress = crate::stages::harvest::Progress<Counts>;
