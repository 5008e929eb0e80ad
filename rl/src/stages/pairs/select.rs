//! Which completions make a pair.

use std::collections::HashSet;

use dunwu_datasets::Prompt;
use serde::{Deserialize, Serialize};

use super::PairsConfig;
use crate::{
    rollout::{Completion, RolloutGroup},
    stages::harvest::Tally,
};

/// A line of the data set: the explicit form of a pair, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairRow {
    /// What was asked, as the task has it.
    pub prompt: Prompt,
    /// The right completion, without its end-of-sequence token.
    pub chosen: String,
    /// The wrong one.
    pub rejected: String,
    /// By how much the right one is worth more.
    pub margin: f64,
    /// The task's id.
    pub task: String,
    /// What the right one is worth.
    pub reward_chosen: f64,
    /// What the wrong one is worth.
    pub reward_rejected: f64,
    /// Tokens of the right one, its end-of-sequence token included.
    pub tokens_chosen: usize,
    /// Tokens of the wrong one.
    pub tokens_rejected: usize,
}

/// What became of tasks and completions. Only counts, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Tasks sampled.
    pub tasks: usize,
    /// Tasks drawn again, which were not.
    pub repeated_tasks: usize,
    /// Tasks of which a pair was made.
    pub tasks_paired: usize,
    /// Tasks all of whose judged completions are right.
    pub tasks_all_right: usize,
    /// Tasks all of whose judged completions are wrong.
    pub tasks_all_wrong: usize,
    /// Completions sampled.
    pub completions: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Completions with a verdict.
    pub judged: usize,
    /// Completions that are worth the threshold.
    pub right: usize,
    /// Pairs.
    pub pairs: usize,
    /// Tokens of their right sides.
    pub chosen_tokens: usize,
    /// Tokens of their wrong sides.
    pub rejected_tokens: usize,
    /// Completions left out because they were cut off.
    pub truncated: usize,
    /// Completions left out because they say nothing.
    pub empty: usize,
    /// Completions left out because the same text was there before.
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
            tasks_paired,
            tasks_all_right,
            tasks_all_wrong,
            completions,
            tokens,
            judged,
            right,
            pairs,
            chosen_tokens,
            rejected_tokens,
            truncated,
            empty,
            duplicates,
            failed_judgements,
            undecided_judgements,
        } = other;
        self.tasks += tasks;
        self.repeated_tasks += repeated_tasks;
        self.tasks_paired += tasks_paired;
        self.tasks_all_right += tasks_all_right;
        self.tasks_all_wrong += tasks_all_wrong;
        self.completions += completions;
        self.tokens += tokens;
        self.judged += judged;
        self.right += right;
        self.pairs += pairs;
        self.chosen_tokens += chosen_tokens;
        self.rejected_tokens += rejected_tokens;
        self.truncated += truncated;
        self.empty += empty;
        self.duplicates += duplicates;
        self.failed_judgements += failed_judgements;
        self.undecided_judgements += undecided_judgements;
    }
}

impl Counts {
    /// Share of the judged completions that are right; `None` when none was judged.
    pub fn pass_rate(&self) -> Option<f64> {
        ratio(self.right, self.judged)
    }
}

/// A share or a mean; `None` of nothing.
pub(super) fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A completion that may be a side.
#[derive(Clone, Copy)]
struct Side<'a> {
    completion: &'a Completion,
    worth: f64,
}

/// Makes pairs of the completions of some tasks. A completion without a verdict is neither right nor wrong.
pub fn select(config: &PairsConfig, groups: &[RolloutGroup]) -> (Vec<PairRow>, Counts) {
    let mut rows = Vec::new();
    let mut counts = Counts::default();
    for group in groups {
        let made = select_group(config, group, &mut counts);
        counts.tasks_paired += usize::from(!made.is_empty());
        rows.extend(made);
    }
    (rows, counts)
}

fn select_group(config: &PairsConfig, group: &RolloutGroup, counts: &mut Counts) -> Vec<PairRow> {
    let worth = |completion: &Completion| match &config.component {
        Some(name) => completion.component(name),
        None => completion.reward(),
    };
    let all = &group.completions;
    let judged = all.iter().filter_map(|completion| {
        let worth = worth(completion)?;
        Some(Side { completion, worth })
    });
    let (right, wrong): (Vec<Side>, Vec<Side>) =
        judged.partition(|side| side.worth >= config.threshold);
    counts.tasks += 1;
    counts.completions += all.len();
    counts.tokens += all.iter().map(|c| c.sampled_tokens()).sum::<usize>();
    counts.judged += right.len() + wrong.len();
    counts.right += right.len();
    counts.tasks_all_right += usize::from(wrong.is_empty() && !right.is_empty());
    counts.tasks_all_wrong += usize::from(right.is_empty() && !wrong.is_empty());
    counts.failed_judgements += all.iter().filter(|c| c.failed()).count();
    counts.undecided_judgements += all.iter().filter(|c| c.undecided()).count();
    let mut seen = HashSet::new();
    let mut usable = |sides: Vec<Side<'_>>| -> Vec<usize> {
        let kept = sides.iter().enumerate().filter(|(_, side)| {
            let completion = side.completion;
            if completion.truncated() && !config.keep_truncated {
                counts.truncated += 1;
                false
            } else if completion.text().trim().is_empty() {
                counts.empty += 1;
                false
            } else if config.distinct && !seen.insert(completion.text().to_owned()) {
                counts.duplicates += 1;
                false
            } else {
                true
            }
        });
        kept.map(|(index, _)| index).collect()
    };
    let rights: Vec<Side> = usable(right.clone())
        .into_iter()
        .map(|i| right[i])
        .collect();
    let wrongs: Vec<Side> = usable(wrong.clone())
        .into_iter()
        .map(|i| wrong[i])
        .collect();
    let made = paired(config, &rights, &wrongs);
    counts.pairs += made.len();
    made.into_iter()
        .map(|(right, wrong)| {
            let (chosen, rejected) = (right.completion, wrong.completion);
            counts.chosen_tokens += chosen.sampled_tokens();
            counts.rejected_tokens += rejected.sampled_tokens();
            PairRow {
                prompt: group.task.prompt.clone(),
                chosen: chosen.text().to_owned(),
                rejected: rejected.text().to_owned(),
                margin: right.worth - wrong.worth,
                task: group.task.id.clone(),
                reward_chosen: right.worth,
                reward_rejected: wrong.worth,
                tokens_chosen: chosen.sampled_tokens(),
                tokens_rejected: rejected.sampled_tokens(),
            }
        })
        .collect()
}

/// The pairs of a task: each time the likeliest pair of those sides that are left, in the order of sampling, or nearest in
/// length first.
fn paired<'a>(
    config: &PairsConfig,
    rights: &[Side<'a>],
    wrongs: &[Side<'a>],
) -> Vec<(Side<'a>, Side<'a>)> {
    let mut candidates: Vec<(usize, usize)> = Vec::new();
    for (i, right) in rights.iter().enumerate() {
        for (j, wrong) in wrongs.iter().enumerate() {
            if right.worth - wrong.worth >= config.min_difference {
                candidates.push((i, j));
            }
        }
    }
    if config.match_length {
        let tokens = |side: &Side| side.completion.sampled_tokens();
        // Sorting is stable: what is equally near stays in the order in which it was sampled.
        candidates.sort_by_key(|&(i, j)| tokens(&rights[i]).abs_diff(tokens(&wrongs[j])));
    }
    let (mut used_right, mut used_wrong) = (HashSet::new(), HashSet::new());
    let mut made = Vec::new();
    for (i, j) in candidates {
        if made.len() == config.pairs_per_task {
            break;
        }
        if !used_right.contains(&i) && !used_wrong.contains(&j) {
            used_right.insert(i);
            used_wrong.insert(j);
            made.push((rights[i], wrongs[j]));
        }
    }
    made
}

#[cfg(test)]
mod tests;
