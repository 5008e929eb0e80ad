//! Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300).
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | what a stage can be set to |
//! | [`advantage`] | rewards of a group → advantages |
//! | [`loss`] | the clipped token-level objective |
//! | [`trainer`] | one step, by name |

pub mod advantage;
pub mod config;
pub mod loss;
pub mod trainer;

pub use advantage::{ScaleRewards, group_advantages};
pub use config::GrpoConfig;
pub use loss::{LossKind, ObjectiveConfig};
pub use trainer::Trainer;
