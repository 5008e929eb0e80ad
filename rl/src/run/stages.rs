//! What is kept of every stage that has ended: how long it was, and how good the policy is after it.

use serde::{Deserialize, Serialize};

use super::{console::Console, train::Run, RunError};
use crate::{eval::{EvalReport, Moment}, stages::{config::StageKind, rejection::Counts, StageConfig}};

/// A stage that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageReport {
    /// Its index in the config, from 0.
    pub stage: usize,
    /// What it was.
    pub kind: StageKind,
    /// Steps of it.
    pub steps: u64,
    /// How good the policy was on held-out problems when it had ended.
    pub heldout: Option<EvalReport>,
    /// The loss on held-out examples of a supervised stage at its end, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout_loss: Option<f64>,
    /// Examples that a supervised stage learnt from; absent when they never end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<usize>,
    /// Examples that were left out because they were too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_long: Option<usize>,
    /// What became of the tasks and completions of rejection sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Counts>,
}

impl Run<'_> {
    /// Measures the policy after a stage. Before the first GRPO stage that is done there: see
    /// [`Self::measured_before`].
    ///
    /// # Errors
    /// When a held-out prompt cannot be encoded.
    pub(super) fn measure_stage(
        &mut self,
        console: &Console,
    ) -> Result<Option<EvalReport>, RunError> {
        let index = self.state.stage;
        let next = self.config.stages.get(index + 1);
        if self.state.before.is_none() && matches!(next, Some(StageConfig::Grpo(_))) {
            return Ok(None);
        }
        let kind = self.config.stages[index].kind();
        let label = format!("held-out after stage {index} ({kind})");
        Ok(Some(self.evaluate(console, &label, 0, Moment::After)?.0))
    }

    /// The measurement before the first GRPO stage is the one after the stage before.
    pub(super) fn measured_before(&mut self, report: &EvalReport) {
        if let Some(last) = self.state.stages.last_mut() {
            last.heldout.get_or_insert_with(|| report.clone());
        }
    }

    /// The report of the stage under way, which is about to end; details are for the caller to add.
    pub(super) fn stage_report(&self, heldout: Option<EvalReport>) -> StageReport {
        StageReport {
            stage: self.state.stage,
            kind: self.config.stages[self.state.stage].kind(),
            steps: self.state.stage_step + 1,
            heldout,
            heldout_loss: None,
            examples: None,
            too_long: None,
            rejection: None,
        }
    }
}
