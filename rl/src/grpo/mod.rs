//! Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300).
//!
//! | file | subject |
//! |---|---|
//! | [`advantage`] | rewards of a group → advantages |
//! | [`loss`] | the clipped token-level objective |
//! | [`trainer`] | one step, by name |

pub mod advantage;
pub mod loss;
pub mod trainer;

pub use advantage::{ScaleRewards, group_advantages};
pub use loss::{LossKind, ObjectiveConfig};
pub use trainer::{GrpoConfig, Trainer};
