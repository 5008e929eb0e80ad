//! A prompt and the completions that compete for its reward.

use std::{collections::BTreeMap, sync::Arc};

use dunwu_datasets::Task;
use dunwu_rewards::Fault;

use super::{
    judge::{JudgeError, Verdict},
    trajectory::{SampledTurn, Trajectory, Turn},
};
use crate::generation::{Finish, Recorded};

/// One answer to a task, of one turn or several, and what became of it.
#[derive(Debug)]
pub struct Completion {
    /// What was written, with its prompt.
    pub trajectory: Trajectory,
    /// Where the activations are that sampling computed, if they were kept.
    pub recorded: Option<Recorded>,
    /// The rubric's verdict, or why there is none.
    pub outcome: Verdict,
}

impl Completion {
    /// An answer of one turn, of which nothing was recorded.
    pub fn of_one_turn(prompt: impl Into<Arc<[u32]>>, turn: SampledTurn, outcome: Verdict) -> Self {
        Self {
            trajectory: Trajectory {
                prompt: prompt.into(),
                turns: vec![Turn::Sampled(turn)],
                routed_experts: None,
            },
            recorded: None,
            outcome,
        }
    }

    /// The text of the model's last turn, without the end-of-sequence token: what judges are shown.
    pub fn text(&self) -> &str {
        self.trajectory.last().map_or("", |turn| &turn.text)
    }

    /// Why its last turn ended.
    pub fn finish(&self) -> Finish {
        self.trajectory
            .last()
            .map_or(Finish::Length, |turn| turn.finish)
    }

    /// Tokens that the model wrote, over all turns.
    pub fn sampled_tokens(&self) -> usize {
        self.trajectory.sampled_tokens()
    }

    /// The total reward; `None` when the judge failed.
    pub fn reward(&self) -> Option<f64> {
        self.outcome.as_ref().ok().map(|outcome| outcome.total)
    }

    /// Whether a judge could tell neither right nor wrong.
    pub fn undecided(&self) -> bool {
        self.outcome.as_ref().is_err_and(JudgeError::is_undecided)
    }

    /// Whether a judge failed; undecided is no failure.
    pub fn failed(&self) -> bool {
        self.outcome.is_err() && !self.undecided()
    }

    /// Whose doing it is that there is no verdict: `host`, `task` or `completion`, and `unknown` if a checkpoint of an earlier
    /// version did not say; `None` where there is a verdict.
    pub fn unjudged_by(&self) -> Option<&'static str> {
        let error = self.outcome.as_ref().err()?;
        Some(error.fault().map_or("unknown", Fault::name))
    }

    /// The value of the reward component `name`, if it was judged and applies.
    pub fn component(&self, name: &str) -> Option<f64> {
        let outcome = self.outcome.as_ref().ok()?;
        let found = outcome.components.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| *value)
    }

    /// Whether it was cut off at `max_tokens`.
    pub fn truncated(&self) -> bool {
        self.finish() == Finish::Length
    }
}

/// How many completions have no verdict, by whose doing that is (see [`Completion::unjudged_by`]).
pub fn count_by_fault<'c>(
    completions: impl Iterator<Item = &'c Completion>,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for whose in completions.filter_map(Completion::unjudged_by) {
        *counts.entry(whose.to_owned()).or_default() += 1;
    }
    counts
}

/// All completions of one task.
#[derive(Debug)]
pub struct RolloutGroup {
    /// What was asked.
    pub task: Task,
    /// The prompt as the model saw it.
    pub prompt_text: String,
    /// The same in tokens.
    pub prompt: Arc<[u32]>,
    /// The group, in the order of its seeds.
    pub completions: Vec<Completion>,
}

impl RolloutGroup {
    /// The total reward of each completion.
    pub fn rewards(&self) -> Vec<Option<f64>> {
        self.completions.iter().map(Completion::reward).collect()
    }
}
