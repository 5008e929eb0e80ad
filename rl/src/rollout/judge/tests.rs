//! A reward that takes batches, and rewards that take their time.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

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

fn judge(reward: impl Reward + 'static, deadline: Duration, threads: usize) -> Judge {
    let rubric = Rubric::new(vec![Component::new(Box::new(reward))], None).unwrap();
    Judge::with_threads(rubric, deadline, threads).unwrap()
}

fn submission(text: &str) -> Submission {
    Submission {
        task: task(),
        text: text.to_owned(),
        truncated: false,
        tokens: text.len(),
    }
}

/// Verdicts of a group, and what the reward was shown at each call.
fn judged_together(texts: &[&str], deadline: Duration) -> (Vec<Verdict>, Vec<Vec<String>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let judge = judge(
        ByLength {
            calls: calls.clone(),
        },
        deadline,
        2,
    );
    let group = texts.iter().map(|text| submission(text)).collect();
    let pending = judge.submit_group(group);
    let verdicts = pending.into_iter().map(|p| judge.verdict(p)).collect();
    let calls = calls.lock().unwrap().clone();
    (verdicts, calls)
}

#[test]
fn a_group_is_judged_whole_and_in_order() {
    let (verdicts, calls) = judged_together(&["a", "bb", "", "dddd"], Duration::from_secs(60));
    let totals: Vec<f64> = verdicts.into_iter().map(|v| v.unwrap().total).collect();
    assert_eq!(totals, [1.0, 2.0, 0.0, 4.0]);
    assert_eq!(calls, [["a", "bb", "", "dddd"]]);
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
    let judged = |texts: &[&str]| -> Vec<Verdict> {
        let group = texts.iter().map(|text| submission(text)).collect();
        let pending = judge.submit_group(group).into_iter();
        pending.map(|pending| judge.verdict(pending)).collect()
    };
    let totals = |texts: &[&str]| -> Vec<f64> {
        let verdicts = judged(texts).into_iter();
        verdicts.map(|verdict| verdict.unwrap().total).collect()
    };
    assert_eq!(totals(&["ccc", "a", "bb"]), [2.0, 0.0, 1.0]);
    assert_eq!(totals(&["alone"]), [0.0]);
    for verdict in judged(&["a", "slow", "bb"]) {
        let error = verdict.unwrap_err();
        assert!(matches!(error, JudgeError::Deadline { .. }), "{error}");
        assert_eq!(error.fault(), Some(Fault::Host));
    }
}

#[test]
fn a_group_that_fails_or_panics_is_the_fault_of_one_member_alone() {
    for (culprit, message) in [("bad", "as told"), ("panic", "panicked: as told")] {
        let (verdicts, mut calls) = judged_together(&["a", culprit, "cc"], Duration::from_secs(60));
        assert_eq!(verdicts[0].as_ref().unwrap().total, 1.0);
        assert_eq!(verdicts[2].as_ref().unwrap().total, 2.0);
        let error = verdicts[1].as_ref().unwrap_err().to_string();
        assert!(error.contains(message), "{culprit}: {error}");
        assert_eq!(calls.remove(0), ["a", culprit, "cc"]);
        calls.sort(); // two threads judge them, in whatever order
        let mut alone = ["a", culprit, "cc"].map(|text| vec![text.to_owned()]);
        alone.sort();
        assert_eq!(calls, alone);
    }
}

#[test]
fn a_group_that_hangs_costs_only_the_slow_member_its_verdict() {
    let (verdicts, _) = judged_together(&["a", "slow", "cc"], Duration::from_secs(2));
    assert_eq!(verdicts[0].as_ref().unwrap().total, 1.0);
    assert!(matches!(
        verdicts[1],
        Err(JudgeError::Deadline { seconds: 2.0 })
    ));
    assert_eq!(verdicts[2].as_ref().unwrap().total, 2.0);
}

/// Spins for 50 ms; `hang` waits until it may go on.
struct Spins {
    may_end: Arc<AtomicBool>,
}

impl Reward for Spins {
    fn name(&self) -> &str {
        "spins"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        while sample.completion == "hang" && !self.may_end.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(1.0))
    }
}

/// Waiting in line is not judging: 256 times 50 ms on two threads are 6.4 s, with a deadline of 1 s for each.
#[test]
fn the_deadline_counts_from_the_start_of_the_work() {
    let may_end = Arc::new(AtomicBool::new(false));
    let judge = judge(Spins { may_end }, Duration::from_secs(1), 2);
    let begun = Instant::now();
    let pending: Vec<Pending> = (0..256).map(|_| judge.submit(submission("x"))).collect();
    let verdicts = pending.into_iter().map(|p| judge.verdict(p));
    let missed = verdicts.filter(|verdict| verdict.is_err()).count();
    assert_eq!(missed, 0);
    assert!(begun.elapsed() > Duration::from_secs(6), "they had to wait");
    assert_eq!(judge.lost_threads(), 0);
}

#[test]
fn a_thread_that_hangs_is_replaced_and_counted_until_it_ends() {
    let may_end = Arc::new(AtomicBool::new(false));
    let reward = Spins {
        may_end: may_end.clone(),
    };
    let judge = judge(reward, Duration::from_millis(500), 1);
    let texts = ["hang", "x", "hang", "x"];
    let pending: Vec<Pending> = texts.map(|text| judge.submit(submission(text))).into();
    let verdicts: Vec<Verdict> = pending.into_iter().map(|p| judge.verdict(p)).collect();
    let judged: Vec<bool> = verdicts.iter().map(Result::is_ok).collect();
    assert_eq!(judged, [false, true, false, true]);
    assert!(matches!(verdicts[2], Err(JudgeError::Deadline { .. })));
    assert_eq!(judge.lost_threads(), 2);
    may_end.store(true, Ordering::Release);
    let begun = Instant::now();
    while judge.lost_threads() > 0 && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(judge.lost_threads(), 0, "they have ended, and are gone");
    assert_eq!(
        judge.verdict(judge.submit(submission("x"))).unwrap().total,
        1.0
    );
}
