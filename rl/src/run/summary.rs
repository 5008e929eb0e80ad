//! What a run tells at its end: `summary.json`.

use serde::{Deserialize, Serialize};

use super::stages::StageReport;
use crate::{analysis::RunCost, eval::EvalReport, rollout::RolloutGroup};

/// A held-out problem answered before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Showcase {
    /// The prompt as the model saw it.
    pub prompt: String,
    /// The right answer.
    pub answer: String,
    /// The greedy completion before GRPO.
    pub before: String,
    /// The same after it.
    pub after: String,
}

/// `summary.json`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// The device and why it was taken.
    pub device: String,
    /// Updates made.
    pub steps: u64,
    /// Seconds spent, over all sessions.
    pub seconds: f64,
    /// Whether every stage was finished.
    pub finished: bool,
    /// Greedy accuracy on held-out problems before the first GRPO stage.
    pub heldout_accuracy_before: Option<f64>,
    /// The same after the last.
    pub heldout_accuracy_after: Option<f64>,
    /// The whole measurement before.
    pub before: Option<EvalReport>,
    /// The whole measurement after.
    pub after: Option<EvalReport>,
    /// Every stage that has ended.
    pub stages: Vec<StageReport>,
    /// Problems answered before and after.
    pub showcase: Vec<Showcase>,
    /// Largest resident memory of this session, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// What the run cost, over all sessions, and what a point of held-out accuracy cost in it; `None` where its logs cannot be
    /// read.
    pub cost: Option<RunCost>,
}

/// The first problems of a measurement, with the answers given.
pub(super) fn showcase(groups: &[RolloutGroup]) -> Vec<Showcase> {
    let shown = groups.iter().take(3);
    shown
        .map(|group| Showcase {
            prompt: group.prompt_text.clone(),
            answer: group.task.answer.clone(),
            before: group
                .completions
                .first()
                .map_or(String::new(), |c| c.text().to_owned()),
            after: String::new(),
        })
        .collect()
}
