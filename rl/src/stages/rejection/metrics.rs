//! What is logged of a step of rejection sampling: a chunk of tasks.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Chunk;
use crate::{
    alarms::Vitals,
    glossary::metrics,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a chunk of rejection sampling.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct RejectionMetrics {
        "rejection-sampling" {
            tasks: usize {
                unit: "tasks",
                formula: "tasks of the chunk that were sampled",
                healthy: "`chunk`, in the last step what is left",
            }
            repeated_tasks: usize {
                unit: "tasks",
                formula: "tasks drawn whose prompt was sampled before in the stage; they are not sampled again",
                healthy: "0",
                otherwise: "the data has fewer problems than `tasks`: lower it",
            }
            completions: usize {
                unit: "completions",
                formula: "`tasks · samples`",
            }
            pass_rate: Option<f64> {
                unit: "share",
                formula: "completions worth at least `threshold`, of those with a verdict; `null` without any",
                healthy: "well above 0",
                otherwise: "near 0: few rows are kept; more `samples`, easier tasks, a better policy, or another `component` and `threshold`",
            }
            tasks_kept: usize {
                unit: "tasks",
                formula: "tasks of which at least one completion was kept",
                healthy: "most of `tasks`",
                otherwise: "more `samples`",
            }
            tasks_out_of_range: usize {
                unit: "tasks",
                formula: "tasks of which none was kept because their share of verified completions is outside `pass_rate_min` … `pass_rate_max`",
            }
            kept: usize {
                unit: "rows",
                formula: "completions kept: rows of the data set, at most `keep` a task",
                healthy: "near `tasks · keep`",
            }
            duplicates: usize {
                unit: "completions",
                formula: "verified completions left out because the task has the same text already",
                healthy: "few",
                otherwise: "many: the policy says the same thing each time; raise `sampling.temperature`",
            }
            truncated: usize {
                unit: "completions",
                formula: "verified completions left out because they were cut off at `sampling.max_tokens`",
                healthy: "0",
                otherwise: "raise `sampling.max_tokens`",
            }
            length_mean: Option<f64> {
                unit: "tokens",
                formula: "mean length of the completions sampled",
            }
            kept_length_mean: Option<f64> {
                unit: "tokens",
                formula: "mean length of those kept; `null` when none was",
                otherwise: "far below `length_mean`: only short answers are right, and thinking will be unlearnt",
            }
            failed_judgements: usize {
                unit: "completions",
                formula: "completions without a verdict because a judge failed; they are neither kept nor counted as wrong",
                healthy: "0",
                otherwise: "mend the reward or raise `reward.deadline_s`",
            }
            undecided_judgements: usize {
                unit: "completions",
                formula: "completions of which a judge could tell neither right nor wrong; they are not kept",
                healthy: "near 0",
            }
            generation_s: f64 {
                unit: "s",
                formula: "sampling, and handing completions to the judge",
            }
            reward_s: f64 {
                unit: "s",
                formula: "waiting for the judge after the last token",
            }
            generated_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "tokens sampled / `generation_s`",
            }
        }
    }
}

impl From<&Chunk> for RejectionMetrics {
    fn from(chunk: &Chunk) -> Self {
        let counts = &chunk.counts;
        Self {
            tasks: counts.tasks,
            repeated_tasks: counts.repeated_tasks,
            completions: counts.completions,
            pass_rate: counts.pass_rate(),
            tasks_kept: counts.tasks_kept,
            tasks_out_of_range: counts.tasks_out_of_range,
            kept: counts.kept,
            duplicates: counts.duplicates,
            truncated: counts.truncated,
            length_mean: counts.length_mean(),
            kept_length_mean: counts.kept_length_mean(),
            failed_judgements: counts.failed_judgements,
            undecided_judgements: counts.undecided_judgements,
            generation_s: chunk.generation_s,
            reward_s: chunk.reward_s,
            generated_tokens_per_s: if chunk.generation_s > 0.0 {
                counts.tokens as f64 / chunk.generation_s
            } else {
                0.0
            },
        }
    }
}

impl StepMetrics for RejectionMetrics {
    fn figures(&self) -> serde_json::Result<Map<String, Value>> {
        fields(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn vitals(&self) -> Vitals {
        Vitals::default() // nothing is learnt
    }

    fn line(&self) -> String {
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let mut line = format!(
            "kept {} of {}  pass rate {:.3}  length {:.1}  kept {:.1}  {:.0} tok/s",
            self.kept,
            self.completions,
            number(self.pass_rate),
            number(self.length_mean),
            number(self.kept_length_mean),
            self.generated_tokens_per_s,
        );
        if self.failed_judgements > 0 {
            line += &format!("  FAILED JUDGEMENTS {}", self.failed_judgements);
        }
        line
    }
}
