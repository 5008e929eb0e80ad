//! Prompts in, judged completions out.
//!
//! | file | subject |
//! |---|---|
//! | [`trajectory`] | the turns of a model and what was given between them |
//! | [`group`] | [`Completion`], [`RolloutGroup`] |
//! | [`environment`] | who answers a model's turn |
//! | [`judge`] | the rubric on its own threads, with a deadline for each piece of work |
//! | `pool` | those threads |
//! | `progress` | trajectories from turn to turn, and on to the judge |
//! | [`stop`] | texts that end a turn |
//! | [`thought`] | where a completion thinks |
//! | [`collector`] | prompts → ids → completions → judged groups |
//! | [`work`] | how many floating-point operations sampling and training need |
//! | [`reward_model`] | a reward model: its files, and how it judges |
//! | [`section`] | `[reward]` of a config |

pub mod collector;
pub mod environment;
pub mod group;
pub mod judge;
mod pool;
mod progress;
pub mod reward_model;
pub mod section;
pub mod stop;
pub mod thought;
pub mod trajectory;
pub mod work;

pub use collector::{Collected, RolloutCollector};
pub use environment::{Environment, Episode, Next, OneTurn};
pub use group::{Completion, RolloutGroup, count_by_fault};
pub use judge::{Judge, JudgeError, Verdict};
pub use reward_model::{RewardModel, RewardModelError};
pub use section::RewardSection;
pub use stop::StopTexts;
pub use trajectory::{GivenTurn, SampledTurn, Trajectory, Turn};
