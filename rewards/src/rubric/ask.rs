//! How a component is asked. Here, and nowhere else, a panic of a judge becomes an error, and a judge that answers more or
//! less than it was asked is found out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::component::{Component, Judge};
use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::reward::{Reward, Verdict};
use crate::sample::Sample;

impl Component {
    /// What the judge says of one sample.
    pub(super) fn ask_one(&self, sample: &Sample, attempt: &Attempt) -> Verdict {
        match &self.judge {
            Judge::Each(reward) => {
                let asked = std::slice::from_ref(sample);
                let mut said = guarded(self.name(), asked, || {
                    vec![reward.score_in_parts(sample, attempt)]
                });
                said.pop().expect("a verdict for each sample")
            }
            Judge::Group(_) => Err(self.needs_group(sample)),
        }
    }

    /// What the judge says of several samples, in their order.
    pub(super) fn ask_several(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        match &self.judge {
            Judge::Each(reward) if reward.takes_batches() => guarded(self.name(), samples, || {
                reward.score_batch(samples, attempt)
            }),
            Judge::Each(reward) => one_by_one(reward.as_ref(), samples, attempt),
            Judge::Group(_) => samples
                .iter()
                .map(|sample| Err(self.needs_group(sample)))
                .collect(),
        }
    }

    /// What the judge says of all completions of a task, in their order.
    pub(super) fn ask_group(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        match &self.judge {
            Judge::Each(_) => self.ask_several(samples, attempt),
            Judge::Group(reward) => guarded(self.name(), samples, || {
                reward.score_group(samples, attempt)
            }),
        }
    }

    fn needs_group(&self, sample: &Sample) -> RewardError {
        RewardError::NeedsGroup {
            task: sample.task.id.clone(),
            name: self.name().to_owned(),
        }
    }
}

/// What `ask` says of `samples`: as many verdicts, or one error for all.
fn guarded(name: &str, samples: &[Sample], ask: impl FnOnce() -> Vec<Verdict>) -> Vec<Verdict> {
    // What a judge was about when it panicked is its own affair: only it looks at its state again.
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(said) if said.len() == samples.len() => said,
        Ok(said) => {
            let reason = format!("{} scores for {} samples", said.len(), samples.len());
            let failed = |sample| Err(RewardError::judge(sample, name, reason.clone()));
            samples.iter().map(failed).collect()
        }
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            let panicked = |sample: &Sample| {
                Err(RewardError::Panicked {
                    task: sample.task.id.clone(),
                    name: name.to_owned(),
                    message: message.clone(),
                })
            };
            samples.iter().map(panicked).collect()
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// What a judge that takes no batches says of each sample, in their order, asked by as many threads as there are cores. A
/// panic over one sample says nothing of the others.
fn one_by_one(judge: &dyn Reward, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
    let name = judge.name();
    let judged = |part: &[Sample]| -> Vec<Verdict> {
        let verdicts = part.iter().flat_map(|sample| {
            guarded(name, std::slice::from_ref(sample), || {
                judge.score_batch(std::slice::from_ref(sample), attempt)
            })
        });
        verdicts.collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = samples.len().div_ceil(threads).max(1);
    if share >= samples.len() {
        return judged(samples);
    }
    std::thread::scope(|scope| {
        let judged = &judged;
        let parts: Vec<_> = samples
            .chunks(share)
            .map(|part| scope.spawn(move || judged(part)))
            .collect();
        let joined = parts.into_iter().map(|part| part.join());
        let said = joined.map(|said| said.expect("panics of judges are caught"));
        said.flatten().collect()
    })
}
