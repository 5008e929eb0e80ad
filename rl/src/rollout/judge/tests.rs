//! A judge that takes batches, shown groups whose members end in any order.

use dunwu_datasets::Prompt;
use dunwu_rewards::{Component, GroupReward, Reward, Score};

use super::*;

/// Scores a completion by its length. One called `bad` or `panic` spoils its whole batch, `slow` takes longer than any
/// deadline here.
struct ByLength {
    calls: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Reward for ByLength {
    fn name(&self) -> &str {
        "by_length"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let said = self.score_in_parts(sample, &Attempt::unlimited())?;
        Ok(said.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample, attempt: &Attempt) -> dunwu_rewards::Verdict {
        self.score_batch(std::slice::from_ref(sample), attempt)
            .pop()
            .expect("one")
    }

    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<dunwu_rewards::Verdict> {
        let texts = samples.iter().map(|sample| sample.completion.to_owned());
        self.calls.lock().unwrap().push(texts.collect());
        let has = |text: &str| samples.iter().any(|sample| sample.completion == text);
        assert!(!has("panic"), "as told");
        if has("slow") {
            while !attempt.is_over() {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Nobody hears this: the deadline is over.
            std::thread::sleep(Duration::from_millis(200));
        }
        let said = samples.iter().map(|sample| {
            if has("bad") {
                Err(RewardError::judge(sample, "by_length", "as told"))
            } else {
                Ok(Some(Score::new(sample.completion.len() as f64)))
            }
        });
        said.collect()
    }

    fn takes_batches(&self) -> bool {
        true
    }
}

fn task() -> Arc<Task> {
    Arc::new(Task::new("t", Prompt::Text("?".to_owned()), ""))
}

fn submission(task: &Arc<Task>, texts: &[&str], place: usize) -> Submission {
    Submission {
        task: task.clone(),
        place,
        group: texts.len(),
        text: texts[place].to_owned(),
        truncated: false,
        tokens: texts[place].len(),
    }
}

/// Verdicts of a group of `texts`, which end from the last to the first, and what the judge was shown.
fn judged_together(texts: &[&str], deadline: Duration) -> (Vec<Verdict>, Vec<Vec<String>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let reward = Box::new(ByLength {
        calls: calls.clone(),
    });
    let rubric = Rubric::new(vec![Component::new(reward)], None).unwrap();
    let judge = Judge::new(rubric, deadline).unwrap();
    let task = task();
    let pending = (0..texts.len())
        .rev()
        .map(|place| judge.submit(submission(&task, texts, place)));
    let mut pending: Vec<Pending> = pending.collect();
    pending.reverse();
    let verdicts = pending.into_iter().map(|p| judge.verdict(p)).collect();
    let calls = calls.lock().unwrap().clone();
    (verdicts, calls)
}

#[test]
fn a_group_is_judged_at_once_and_in_order_whoever_ends_first() {
    let (verdicts, calls) = judged_together(&["a", "bb", "", "dddd"], Duration::from_secs(60));
    let totals: Vec<f64> = verdicts.into_iter().map(|v| v.unwrap().total).collect();
    assert_eq!(totals, [1.0, 2.0, 0.0, 4.0]);
    assert_eq!(calls, [["a", "bb", "", "dddd"]]);
}

#[test]
fn groups_that_are_sampled_side_by_side_are_kept_apart() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let reward = Box::new(ByLength {
        calls: calls.clone(),
    });
    let rubric = Rubric::new(vec![Component::new(reward)], None).unwrap();
    let judge = Judge::new(rubric, Duration::from_secs(60)).unwrap();
    // Two groups of tasks with one name.
    let (first, second) = (task(), task());
    let (these, those) = (["a", "bb"], ["ccc", "dddd"]);
    let pending = [
        judge.submit(submission(&first, &these, 1)),
        judge.submit(submission(&second, &those, 0)),
        judge.submit(submission(&second, &those, 1)),
        judge.submit(submission(&first, &these, 0)),
    ];
    let totals = pending.map(|pending| judge.verdict(pending).unwrap().total);
    assert_eq!(totals, [2.0, 3.0, 4.0, 1.0]);
    assert_eq!(*calls.lock().unwrap(), [["ccc", "dddd"], ["a", "bb"]]);
}

/// Compares, and is too slow for any deadline here when it is shown `slow`.
struct Rank;

impl GroupReward for Rank {
    fn name(&self) -> &str {
        "rank"
    }

    fn score_group(&self, samples: &[Sample], attempt: &Attempt) -> Vec<dunwu_rewards::Verdict> {
        let slow = samples.iter().any(|sample| sample.completion == "slow");
        while slow && !attempt.is_over() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if slow {
            std::thread::sleep(Duration::from_millis(200));
        }
        let shorter = |sample: &Sample| {
            let length = sample.completion.len();
            samples
                .iter()
                .filter(|other| other.completion.len() < length)
                .count()
        };
        samples
            .iter()
            .map(|sample| Ok(Some(Score::new(shorter(sample) as f64))))
            .collect()
    }
}

#[test]
fn a_judge_of_groups_is_never_asked_about_less() {
    let component = Component::of_group(Box::new(Rank));
    let rubric = Rubric::new(vec![component], None).unwrap();
    let judge = Judge::new(rubric, Duration::from_secs(1)).unwrap();
    for (texts, expected) in [
        (["ccc", "a", "bb"], Some([2.0, 0.0, 1.0])),
        (["a", "slow", "bb"], None),
    ] {
        let task = task();
        let pending = [0, 1, 2].map(|place| judge.submit(submission(&task, &texts, place)));
        let verdicts = pending.map(|pending| judge.verdict(pending));
        match expected {
            Some(expected) => {
                assert_eq!(verdicts.map(|verdict| verdict.unwrap().total), expected);
            }
            None => {
                for verdict in verdicts {
                    let error = verdict.unwrap_err();
                    assert!(matches!(error, JudgeError::Deadline { .. }), "{error}");
                    assert_eq!(error.fault(), Some(Fault::Host));
                }
            }
        }
    }
}

#[test]
fn a_batch_that_fails_or_panics_is_the_fault_of_one_member_alone() {
    for (culprit, message) in [("bad", "as told"), ("panic", "panicked")] {
        let (verdicts, calls) = judged_together(&["a", culprit, "cc"], Duration::from_secs(60));
        assert_eq!(verdicts[0].as_ref().unwrap().total, 1.0);
        assert_eq!(verdicts[2].as_ref().unwrap().total, 2.0);
        let error = verdicts[1].as_ref().unwrap_err().to_string();
        assert!(error.contains(message), "{culprit}: {error}");
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1, 1, 1]);
    }
}

#[test]
fn a_batch_that_hangs_costs_only_the_slow_member_its_verdict() {
    let (verdicts, _) = judged_together(&["a", "slow", "cc"], Duration::from_secs(2));
    assert_eq!(verdicts[0].as_ref().unwrap().total, 1.0);
    assert!(matches!(
        verdicts[1],
        Err(JudgeError::Deadline { seconds: 2.0 })
    ));
    assert_eq!(verdicts[2].as_ref().unwrap().total, 2.0);
}
