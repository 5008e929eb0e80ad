//! `[checkpoint]`: when the run is saved.

use serde::{Deserialize, Serialize};

use crate::checks::positive;

/// When the run is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSection {
    /// Steps between checkpoints; the last step of a stage is always saved.
    pub every: u64,
    /// Checkpoints kept; older ones are removed.
    pub keep: usize,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every: 25, keep: 2 }
    }
}

impl CheckpointSection {
    /// # Errors
    /// When a number is 0 or absurd.
    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("checkpoint.keep", self.keep)?;
        positive("checkpoint.every", self.every as usize)
    }
}
