//! Trying a reward by itself: samples one by one, in their groups, and all at once.

use std::time::{Duration, Instant};

use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::reward::{Reward, Verdict};
use crate::sample::Sample;

/// What a reward said of the same samples, asked in three ways. For rewards that judge each sample by itself the three agree; one that
/// compares within a group differs alone, and one that looks at the whole batch, or remembers, differs in the batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trial {
    /// Each sample in a batch of its own.
    pub alone: Tried,
    /// The samples of one task in a batch, task by task.
    pub in_groups: Tried,
    /// All samples in one batch.
    pub in_one_batch: Tried,
}

fn says_the_same(left: &Verdict, right: &Verdict) -> bool {
    match (left, right) {
        (Ok(Some(left)), Ok(Some(right))) => left.value == right.value,
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// One way of asking.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried {
    /// What was said of each sample, in the order of the samples.
    pub scores: Vec<Verdict>,
    /// How long it took, all batches together.
    pub time: Duration,
    /// How many batches there were.
    pub batches: usize,
}

impl Tried {
    /// The places of the samples of which `other` said something else: another value, or another kind of answer. Both must be of the same
    /// samples.
    pub fn differences(&self, other: &Self) -> Vec<usize> {
        let pairs = self.scores.iter().zip(&other.scores).enumerate();
        let different = pairs.filter(|(_, (left, right))| !says_the_same(left, right));
        different.map(|(at, _)| at).collect()
    }
}

/// Asks `reward` about `samples` in all three ways. Samples of one task (by its id) are a group, wherever they stand.
pub fn try_out(reward: &dyn Reward, samples: &[Sample]) -> Trial {
    let alone = (0..samples.len()).map(|at| vec![at]).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| samples[group[0]].task.id == sample.task.id;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    let whole = vec![(0..samples.len()).collect()];
    Trial {
        alone: ask(reward, samples, alone),
        in_groups: ask(reward, samples, groups),
        in_one_batch: ask(reward, samples, whole),
    }
}

/// Asks about the samples of each of `batches`, given by their places.
fn ask(reward: &dyn Reward, samples: &[Sample], batches: Vec<Vec<usize>>) -> Tried {
    let attempt = Attempt::unlimited();
    let start = Instant::now();
    let mut scores: Vec<Option<Verdict>> = samples.iter().map(|_| None).collect();
    let mut count = 0;
    for batch in batches.iter().filter(|batch| !batch.is_empty()) {
        let asked: Vec<Sample> = batch.iter().map(|at| samples[*at]).collect();
        count += 1;
        for (at, score) in batch.iter().zip(reward.score_batch(&asked, &attempt)) {
            scores[*at] = Some(score);
        }
    }
    let missing = |at: usize| {
        let reason = "it gave no score for this sample of its batch";
        RewardError::judge(&samples[at], reward.name(), reason)
    };
    let scores = scores.into_iter().enumerate();
    Tried {
        scores: scores
            .map(|(at, score)| score.unwrap_or_else(|| Err(missing(at))))
            .collect(),
        time: start.elapsed(),
        batches: count,
    }
}

#[cfg(test)]
mod tests {
    use dunwu_datasets::{Prompt, Task};

    use super::*;
    use crate::reward::Score;

    /// Scores a sample by the size of the batch that it came in.
    struct BatchSize;

    impl Reward for BatchSize {
        fn name(&self) -> &str {
            "batch-size"
        }

        fn score(&self, _: &Sample) -> Result<Option<f64>, RewardError> {
            Ok(Some(1.0))
        }

        fn score_batch(&self, samples: &[Sample], _attempt: &Attempt) -> Vec<Verdict> {
            let value = samples.len() as f64;
            // Of more than four it forgets the last.
            let given = samples.len() - usize::from(samples.len() > 4);
            (0..given).map(|_| Ok(Some(Score::new(value)))).collect()
        }
    }

    #[test]
    fn a_reward_is_asked_alone_in_groups_and_in_one_batch() {
        let task = |id: &str| Task::new(id, Prompt::Text(String::new()), "");
        let tasks = ["a", "b", "a", "c", "a"].map(task);
        let samples: Vec<Sample> = tasks.iter().map(|task| Sample::new(task, "")).collect();
        let trial = try_out(&BatchSize, &samples);
        let values = |tried: &Tried| -> Vec<Option<f64>> {
            let value = |score: &Verdict| match score {
                Ok(Some(score)) => Some(score.value),
                _ => None,
            };
            tried.scores.iter().map(value).collect()
        };
        assert_eq!(values(&trial.alone), [Some(1.0); 5]);
        assert_eq!(
            values(&trial.in_groups),
            [3.0, 1.0, 3.0, 1.0, 3.0].map(Some)
        );
        let five = Some(5.0);
        assert_eq!(values(&trial.in_one_batch), [five, five, five, five, None]);
        let counts =
            [&trial.alone, &trial.in_groups, &trial.in_one_batch].map(|tried| tried.batches);
        assert_eq!(counts, [5, 3, 1]);
        assert_eq!(trial.alone.differences(&trial.in_groups), [0, 2, 4]);
        assert!(trial.alone.differences(&trial.alone).is_empty());
    }
}
