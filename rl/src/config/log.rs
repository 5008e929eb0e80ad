//! `[log]`: what a run writes down besides its figures.

use serde::{Deserialize, Serialize};

/// What a run writes down besides its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// The completions of every so many steps go into `completions.jsonl`, from the first step on; 0: of none.
    pub completions_every: u64,
    /// Figures also go into event files for TensorBoard, in the folder `tensorboard` of the run.
    pub tensorboard: bool,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            completions_every: 1,
            tensorboard: false,
        }
    }
}
