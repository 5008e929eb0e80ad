//! Learning from preferences without a reward model: DPO and its family.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`PreferenceConfig`] |
//! | [`losses`] | the losses as data: a value and two derivatives of each pair, in closed form |
//! | [`kto`] | the loss of answers that are good or bad by themselves |
//! | `data` | what a stage learns from, beside what the reference thinks of it |
//! | [`reference`](mod@reference) | what the reference thinks of the data, asked once and kept |
//! | [`step`](mod@step) | scores, weights of tokens, gradient |
//!
//! A step scores its sequences without a gradient, which gives each whole answer's log-probability; the losses turn these
//! into a derivative by each, which is the weight of every token of that answer; and the gradient goes through the tokens
//! with these weights. Both passes see the same policy, so that the gradient is exact.

pub mod config;
mod data;
pub mod kto;
pub mod losses;
pub mod metrics;
pub mod reference;
mod stage;
pub mod step;

pub use config::{Length, LossType, PreferenceConfig};
pub use kto::{JudgedScores, Kto};
pub use losses::{Derived, PairScores, PreferenceLoss, Side};
pub use metrics::PreferenceMetrics;
