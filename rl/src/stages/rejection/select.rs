//! Which completions are kept.

use std::{cmp::Reverse, collections::HashSet};

use dunwu_datasets::Prompt;
use serde::{Deserialize, Serialize};

use super::{Pick, RejectionConfig};
use crate::{
    rollout::{Completion, RolloutGroup},
    stages::harvest::Tally,
};

/// A line of the data set. A supervised stage reads `prompt` and `completion`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was asked, as the task has it.
    pub prompt: Prompt,
    /// What the policy said, without its end-of-sequence token.
    pub completion: String,
    /// The total reward.
    pub reward: f64,
    /// The task's id.
    pub task: String,
    /// Share of the task's judged completions that were verified.
    pub pass_rate: f64,
    /// The completion's length, its end-of-sequence token included.
    pub tokens: usize,
}

/// What became of tasks and completions. Only counts, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Tasks sampled.
    pub tasks: usize,
    /// Tasks drawn again, which were not.
    pub repeated_tasks: usize,
    /// Tasks that were kept none of because their pass rate is out of range.
    pub tasks_out_of_range: usize,
    /// Tasks of which something was kept.
    pub tasks_kept: usize,
    /// Completions sampled.
    pub completions: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Completions with a verdict.
    pub judged: usize,
    /// Completions that are worth the threshold.
    pub verified: usize,
    /// Completions kept.
    pub kept: usize,
    /// Their tokens.
    pub kept_tokens: usize,
    /// Verified completions left out because they were cut off.
    pub truncated: usize,
    /// Verified completions left out because they say nothing that could be learnt.
    pub empty: usize,
    /// Verified completions left out because the same text was there before.
    pub duplicates: usize,
    /// Completions without a verdict because a judge failed.
    pub failed_judgements: usize,
    /// Completions of which a judge could tell neither right nor wrong.
    pub undecided_judgements: usize,
}

impl Tally for Counts {
    fn add(&mut self, other: &Self) {
        let Self {
            tasks,
            repeated_tasks,
            tasks_out_of_range,
            tasks_kept,
            completions,
            tokens,
            judged,
            verified,
            kept,
            kept_tokens,
            truncated,
            empty,
            duplicates,
            failed_judgements,
            undecided_judgements,
        } = other;
        self.tasks += tasks;
        self.repeated_tasks += repeated_tasks;
        self.tasks_out_of_range += tasks_out_of_range;
        self.tasks_kept += tasks_kept;
        self.completions += completions;
        self.tokens += tokens;
        self.judged += judged;
        self.verified += verified;
        self.kept += kept;
        self.kept_tokens += kept_tokens;
        self.truncated += truncated;
        self.empty += empty;
        self.duplicates += duplicates;
        self.failed_judgements += failed_judgements;
        self.undecided_judgements += undecided_judgements;
    }
}

impl Counts {
    /// Share of the judged completions that were verified; `None` when none was judged.
    pub fn pass_rate(&self) -> Option<f64> {
        ratio(self.verified, self.judged)
    }

    /// Mean length of the completions kept, in tokens; `None` when none was.
    pub fn kept_length_mean(&self) -> Option<f64> {
        ratio(self.kept_tokens, self.kept)
    }

    /// Mean length of all completions, in tokens; `None` when there is none.
    pub fn length_mean(&self) -> Option<f64> {
        ratio(self.tokens, self.completions)
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Chooses among the completions of some tasks. A completion without a verdict counts neither as
/// verified nor as wrong.
pub fn select(config: &RejectionConfig, groups: &[RolloutGroup]) -> (Vec<Row>, Counts) {
    let mut rows = Vec::new();
    let mut counts = Counts::default();
    for group in groups {
        let chosen = select_group(config, group, &mut counts);
        counts.tasks_kept += usize::from(!chosen.is_empty());
        rows.extend(chosen);
    }
    (rows, counts)
}

fn select_group(config: &RejectionConfig, group: &RolloutGroup, counts: &mut Counts) -> Vec<Row> {
    let worth = |completion: &Completion| match &config.component {
        Some(name) => completion.component(name),
        None => completion.reward(),
    };
    let all = &group.completions;
    let judged: Vec<(&Completion, f64)> = all.iter().filter_map(|c| Some((c, worth(c)?))).collect();
    let verified: Vec<&Completion> = judged
        .iter()
        .filter(|(_, worth)| *worth >= config.threshold)
        .map(|(completion, _)| *completion)
        .collect();
    counts.tasks += 1;
    counts.completions += all.len();
    counts.tokens += all.iter().map(|c| c.sampled_tokens()).sum::<usize>();
    counts.judged += judged.len();
    counts.verified += verified.len();
    counts.failed_judgements += all.iter().filter(|c| c.failed()).count();
    counts.undecided_judgements += all.iter().filter(|c| c.undecided()).count();
    let Some(pass_rate) = ratio(verified.len(), judged.len()) else {
        return Vec::new();
    };
    if !(config.pass_rate_min..=config.pass_rate_max).contains(&pass_rate) {
        counts.tasks_out_of_range += 1;
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut usable = Vec::new();
    for completion in verified {
        if completion.truncated() && !config.keep_truncated {
            counts.truncated += 1;
        } else if completion.text().is_empty() {
            counts.empty += 1;
        } else if config.distinct && !seen.insert(completion.text()) {
            counts.duplicates += 1;
        } else {
            usable.push(completion);
        }
    }
    // Sorting is stable: what is equal stays in the order in which it was sampled.
    match config.pick {
        Pick::First => {}
        Pick::Shortest => usable.sort_by_key(|c| c.sampled_tokens()),
        Pick::Longest => usable.sort_by_key(|c| Reverse(c.sampled_tokens())),
        Pick::Best => {
            let reward = |c: &Completion| c.reward().unwrap_or(f64::NEG_INFINITY);
            usable.sort_by(|a, b| reward(b).total_cmp(&reward(a)));
        }
    }
    usable.truncate(config.keep);
    counts.kept += usable.len();
    counts.kept_tokens += usable.iter().map(|c| c.sampled_tokens()).sum::<usize>();
    let row = |completion: &Completion| {
        Some(Row {
            prompt: group.task.prompt.clone(),
            completion: completion.text().to_owned(),
            reward: completion.reward()?,
            task: group.task.id.clone(),
            pass_rate,
            tokens: completion.sampled_tokens(),
        })
    };
    usable.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests;
