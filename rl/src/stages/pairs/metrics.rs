//! What is logged of a step that makes pairs: a chunk of tasks.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Counts, select::ratio};
use crate::{
    alarms::Vitals,
    glossary::metrics,
    stages::{StepMetrics, harvest::Chunk, stage::fields},
};

metrics! {
    /// Figures of a chunk of pairs.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct PairsMetrics {
        "pairs" {
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
                healthy: "far from 0 and from 1",
                otherwise: "near 0 or 1: few tasks have both sides; easier or harder tasks, more `samples`",
            }
            tasks_paired: usize {
                unit: "tasks",
                formula: "tasks of which at least one pair was made",
                healthy: "most of `tasks`",
                otherwise: "more `samples`",
            }
            tasks_all_right: usize {
                unit: "tasks",
                formula: "tasks all of whose judged completions are right",
            }
            tasks_all_wrong: usize {
                unit: "tasks",
                formula: "tasks all of whose judged completions are wrong",
            }
            pairs: usize {
                unit: "pairs",
                formula: "rows of the data set, at most `pairs_per_task` a task",
                healthy: "near `tasks_paired · pairs_per_task`",
            }
            chosen_length_mean: Option<f64> {
                unit: "tokens",
                formula: "mean length of the right sides; `null` without pairs",
                healthy: "near `rejected_length_mean`",
                otherwise: "far from it: length is learnt with the rest; set `match_length`",
            }
            rejected_length_mean: Option<f64> {
                unit: "tokens",
                formula: "mean length of the wrong sides; `null` without pairs",
            }
            duplicates: usize {
                unit: "completions",
                formula: "completions left out because the task has the same text already",
                healthy: "few",
                otherwise: "many: the policy says the same thing each time; raise `sampling.temperature`",
            }
            truncated: usize {
                unit: "completions",
                formula: "completions left out because they were cut off at `sampling.max_tokens`",
                healthy: "0",
                otherwise: "raise `sampling.max_tokens`",
            }
            failed_judgements: usize {
                unit: "completions",
                formula: "completions without a verdict because a judge failed; they are no side of a pair",
                healthy: "0",
                otherwise: "mend the reward or raise `reward.deadline_s`",
            }
            undecided_judgements: usize {
                unit: "completions",
                formula: "completions of which a judge could tell neither right nor wrong; they are no side of a pair",
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

impl From<&Chunk<Counts>> for PairsMetrics {
    fn from(chunk: &Chunk<Counts>) -> Self {
        let counts = &chunk.counts;
        Self {
            tasks: counts.tasks,
            repeated_tasks: counts.repeated_tasks,
            completions: counts.completions,
            pass_rate: counts.pass_rate(),
            tasks_paired: counts.tasks_paired,
            tasks_all_right: counts.tasks_all_right,
            tasks_all_wrong: counts.tasks_all_wrong,
            pairs: counts.pairs,
            chosen_length_mean: ratio(counts.chosen_tokens, counts.pairs),
            rejected_length_mean: ratio(counts.rejected_tokens, counts.pairs),
            duplicates: counts.duplicates,
            truncated: counts.truncated,
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

impl StepMetrics for PairsMetrics {
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
            "{} pairs of {} tasks  pass rate {:.3}  chosen {:.1}  rejected {:.1} tokens  {:.0} tok/s",
            self.pairs,
            self.tasks,
            number(self.pass_rate),
            number(self.chosen_length_mean),
            number(self.rejected_length_mean),
            self.generated_tokens_per_s,
        );
        if self.failed_judgements > 0 {
            line += &format!("  FAILED JUDGEMENTS {}", self.failed_judgements);
        }
        line
    }
}
