//! What a run does, stage by stage: each in a folder of its own.

pub mod config;
pub mod grpo;
pub mod rejection;
pub mod sft;

pub use config::{StageConfig, StageKind};
