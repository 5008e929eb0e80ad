//! Prompts in, judged completions out.
//!
//! | file | subject |
//! |---|---|
//! | [`group`] | [`Completion`], [`RolloutGroup`] |
//! | [`judge`] | the rubric on its own threads, with a deadline |
//! | [`collector`] | prompts → ids → completions → judged groups |
//! | [`prompt`] | text or conversation → token ids |

pub mod collector;
pub mod group;
pub mod judge;
pub mod prompt;

pub use collector::{Collected, RolloutCollector};
pub use group::{Completion, RolloutGroup};
pub use judge::{Judge, JudgeError};
pub use prompt::{PromptEncoder, PromptError};
