//! What is kept of every stage that has ended: how long it was, and how good the policy is after it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{eval::EvalReport, stages::StageKind};

/// A stage that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageReport {
    /// Its index in the config, from 0.
    pub stage: usize,
    /// What it was.
    pub kind: StageKind,
    /// Steps of it.
    pub steps: u64,
    /// How good the policy was on held-out problems when it had ended.
    pub heldout: Option<EvalReport>,
    /// What the stage says of itself.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}
