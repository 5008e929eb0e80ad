//! A judge that takes batches and can be held up, so that what is in a batch is known.

use std::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use dunwu_datasets::Prompt;
use dunwu_rewards::{Attempt, Component, Reward, Score};

use super::*;

/// Scores a completion by its length. One called `gate` says that it has come and waits for leave; `bad` and `panic`
/// spoil their whole batch, `slow` takes longer than any deadline here.
struct ByLength {
    calls: Arc<Mutex<Vec<usize>>>,
    come: Mutex<Sender<()>>,
    leave: Mutex<Receiver<()>>,
}

impl Reward for ByLength {
    fn name(&self) -> &str {
        "by_length"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        Ok(self
            .score_in_parts(sample, &Attempt::unlimited())?
            .map(|score| score.value))
    }

    fn score_in_parts(
        &self,
        sample: &Sample,
        attempt: &Attempt,
    ) -> Result<Option<Score>, RewardError> {
        self.score_batch(std::slice::from_ref(sample), attempt)
            .pop()
            .expect("one")
    }

    fn score_batch(
        &self,
        samples: &[Sample],
        _: &Attempt,
    ) -> Vec<Result<Option<Score>, RewardError>> {
        self.calls.lock().unwrap().push(samples.len());
        let has = |text: &str| samples.iter().any(|sample| sample.completion == text);
        if has("gate") {
            self.come.lock().unwrap().send(()).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
        }
        assert!(!has("panic"), "as told");
        if has("slow") {
            std::thread::sleep(Duration::from_secs(30));
        }
        let said = samples.iter().map(|sample| match has("bad") {
            true => Err(RewardError::judge(sample, "by_length", "as told")),
            false => Ok(Some(Score::new(sample.completion.len() as f64))),
        });
        said.collect()
    }

    fn takes_batches(&self) -> bool {
        true
    }
}

/// Verdicts of `texts`, which all come while another is being judged, and the lengths of the calls.
fn judged_together(texts: &[&str], deadline: Duration) -> (Vec<Verdict>, Vec<usize>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let ((come, has_come), (leave, may_leave)) = (channel(), channel());
    let reward = Box::new(ByLength {
        calls: calls.clone(),
        come: Mutex::new(come),
        leave: Mutex::new(may_leave),
    });
    let rubric = Rubric::new(vec![Component::new(reward)], None).unwrap();
    let judge = Judge::new(rubric, deadline).unwrap();
    let task = Arc::new(Task {
        id: "t".to_owned(),
        prompt: Prompt::Text("?".to_owned()),
        answer: String::new(),
        columns: Default::default(),
    });
    let submit = |text: &&str| {
        judge.submit(Submission {
            task: task.clone(),
            text: (*text).to_owned(),
            truncated: false,
            tokens: text.len(),
        })
    };
    let first = submit(&"gate");
    has_come.recv().unwrap();
    let pending: Vec<Pending> = texts.iter().map(submit).collect();
    leave.send(()).unwrap();
    assert_eq!(judge.verdict(first).unwrap().total, 4.0);
    let verdicts = pending.into_iter().map(|p| judge.verdict(p)).collect();
    let calls = calls.lock().unwrap().clone();
    (verdicts, calls)
}

#[test]
fn what_waits_is_judged_at_once_and_in_order() {
    let (verdicts, calls) = judged_together(&["a", "bb", "", "dddd"], Duration::from_secs(60));
    let totals: Vec<f64> = verdicts.into_iter().map(|v| v.unwrap().total).collect();
    assert_eq!(totals, [1.0, 2.0, 0.0, 4.0]);
    assert_eq!(calls, [1, 4]);
    let many = vec!["a"; LARGEST_BATCH + 2];
    let (_, calls) = judged_together(&many, Duration::from_secs(60));
    assert_eq!(calls, [1, LARGEST_BATCH, 2]);
}

#[test]
fn a_batch_that_fails_or_panics_is_the_fault_of_one_member_alone() {
    for (culprit, message) in [("bad", "as told"), ("panic", "panicked")] {
        let (verdicts, calls) = judged_together(&["a", culprit, "cc"], Duration::from_secs(60));
        assert_eq!(verdicts[0].as_ref().unwrap().total, 1.0);
        assert_eq!(verdicts[2].as_ref().unwrap().total, 2.0);
        let error = verdicts[1].as_ref().unwrap_err().to_string();
        assert!(error.contains(message), "{culprit}: {error}");
        assert_eq!(calls, [1, 3, 1, 1, 1]);
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
