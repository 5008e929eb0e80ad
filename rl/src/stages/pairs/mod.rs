//! Pairs from verifiers: of what the policy says to a task, something right beside something wrong.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`PairsConfig`] |
//! | [`select`](mod@select) | which completions make a pair |
//!
//! This is how iterative DPO is fed where answers can be checked (arXiv 2404.19733, §3: pairs of winning and losing
//! reasoning of one group). Lengths can be matched, since the length of an answer is the first thing that is learnt from
//! pairs (arXiv 2310.03716).

pub mod config;
pub mod metrics;
pub mod select;
mod stage;

pub use config::PairsConfig;
pub use metrics::PairsMetrics;
pub use select::{Counts, PairRow, select};
