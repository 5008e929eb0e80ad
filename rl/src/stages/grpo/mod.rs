//! Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300) and its family.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | what a stage can be set to |
//! | [`sampler`] | tasks → judged groups worth training on |
//! | [`feed`] | the batches of a stage, sampled in turn with training or beside it |
//! | [`saved`] | sampled batches on disk |
//! | [`advantage`] | rewards of a step → advantages |
//! | [`example`] | a completion on its way into the loss |
//! | [`batch`] | judged groups → examples with advantages and scores of other policies |
//! | [`objective`] | the family as data: ratio, surrogate, normaliser |
//! | [`loss`], [`kl`], [`correction`] | value and derivatives of the objective of one completion |
//! | [`critic`] | a value function, and advantages by it (PPO) |
//! | [`carried`] | what goes from step to step beside the policy |
//! | [`trainer`] | one step, by name |

pub mod advantage;
pub mod batch;
pub mod carried;
pub mod config;
pub mod correction;
pub mod critic;
pub mod example;
pub mod feed;
pub mod kl;
pub mod loss;
pub mod metrics;
pub mod objective;
pub mod preflight;
mod reference;
pub mod sampler;
pub mod saved;
mod stage;
mod statistics;
pub mod trainer;

pub use advantage::{Baseline, ScaleRewards, group_advantages};
pub use carried::Carried;
pub use config::{GrpoConfig, RouterReplay};
pub use critic::{Critic, CriticConfig};
pub use feed::Feed;
pub use kl::RefModel;
pub use metrics::{GrpoMetrics, RewardStatistics};
pub use objective::{Objective, ObjectiveConfig};
pub use sampler::{Sampler, StepRollouts};
pub use trainer::Trainer;
