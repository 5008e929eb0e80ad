//! A reward model: one number for a prompt and an answer, learnt from what people, or verifiers, like better.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`RewardModelConfig`] |
//! | [`loss`] | Bradley–Terry and pointwise, in closed form |
//! | [`questions`] | the answers of each prompt, and how they compare |
//! | [`train`] | the step, and scores without a gradient |
//! | [`measure`] | accuracy, by length too, and calibration |
//! | [`metrics`] | the figures of a step |
//!
//! The stage leaves the policy as it is. It trains a copy of it, with a scalar head that is read at the last token of each
//! sequence, and leaves a directory that the reward component `model` reads.

pub mod config;
pub mod loss;
pub mod measure;
pub mod metrics;
pub mod questions;
mod stage;
pub mod train;

pub use config::{HeadInit, PairAverage, RewardModelConfig};
pub use loss::{Comparison, Opinion};
pub use measure::Measured;
pub use metrics::RewardModelMetrics;
pub use questions::Question;
