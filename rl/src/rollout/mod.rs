//! Prompts in, judged completions out.
//!
//! | file | subject |
//! |---|---|
//! | [`group`] | [`Completion`], [`RolloutGroup`] |
//! | [`judge`] | the rubric on its own threads, with a deadline |
//! | [`collector`] | prompts → ids → completions → judged groups |
//! | [`section`] | `[reward]` of a config |

pub mod collector;
pub mod group;
pub mod judge;
pub mod section;

pub use collector::{Collected, RolloutCollector};
pub use group::{Completion, RolloutGroup};
pub use judge::{Judge, JudgeError};
pub use section::RewardSection;
