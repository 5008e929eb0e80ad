//! The batches of a stage, sampled in turn with training or beside it.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use dunwu_datasets::TaskSource;

use super::sampler::{Sampler, StepRollouts};
use crate::{learner::Learner, model::Transformer, stages::StageError};

/// Hands out the batch of each step, in order.
pub enum Feed {
    /// A batch is sampled when it is asked for, by the policy as it is.
    InTurn {
        /// Samples and judges.
        sampler: Box<Sampler>,
        /// Where tasks come from.
        source: Box<dyn TaskSource>,
    },
    /// A thread samples the batch of step `t + ahead` while step `t` is trained, by the policy as it
    /// was before that step. Which version samples which batch is thus fixed, and with it every
    /// result: nothing depends on which of the two is faster.
    Beside(Ahead),
}

/// Batches that are sampled ahead of training.
#[derive(Debug)]
pub struct Ahead {
    /// None once it is told to end.
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<StepRollouts, StageError>>,
    thread: Option<JoinHandle<()>>,
    /// Sampled, and not yet asked for.
    ready: VecDeque<StepRollouts>,
    /// The step whose batch is asked for next.
    next: u64,
    /// Batches asked for and not yet there.
    under_way: usize,
    ahead: u64,
    steps: u64,
}

impl Drop for Ahead {
    /// Waits for the batch under way.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // if it panicked, whoever asked it for a batch has been told
        }
    }
}

/// A batch to sample.
#[derive(Debug)]
struct Job {
    model: Transformer,
    version: u64,
    step: u64,
}

impl Feed {
    /// A feed that samples when it is asked.
    pub fn in_turn(sampler: Sampler, source: Box<dyn TaskSource>) -> Self {
        let sampler = Box::new(sampler);
        Self::InTurn { sampler, source }
    }

    /// A feed that samples on a thread of its own, `max_staleness` batches ahead. `ready` are the
    /// batches of the steps from `step` on that an earlier session has sampled already; `source`
    /// stands behind them.
    pub fn beside(
        sampler: Sampler,
        mut source: Box<dyn TaskSource>,
        step: u64,
        ready: Vec<StepRollouts>,
    ) -> Self {
        let (ahead, steps) = (sampler.config.max_staleness, sampler.config.steps);
        let (jobs, incoming) = channel::<Job>();
        let (outgoing, results) = channel();
        let thread = std::thread::spawn(move || {
            for job in incoming {
                let batch = sampler.sample(&job.model, job.version, source.as_mut(), job.step);
                let failed = batch.is_err();
                if outgoing.send(batch).is_err() || failed {
                    break; // nobody asks any more, or nothing more can be sampled
                }
            }
        });
        Self::Beside(Ahead {
            jobs: Some(jobs),
            results,
            thread: Some(thread),
            next: step + ready.len() as u64,
            ready: ready.into(),
            under_way: 0,
            ahead,
            steps,
        })
    }

    /// The batch of `step`, which counts from 0.
    ///
    /// # Errors
    /// When tasks cannot be had or a prompt cannot be encoded.
    pub fn next(&mut self, learner: &Learner, step: u64) -> Result<StepRollouts, StageError> {
        match self {
            Self::InTurn { sampler, source } => {
                sampler.sample(&learner.model, learner.version, source.as_mut(), step)
            }
            Self::Beside(ahead) => ahead.next(learner, step),
        }
    }

    /// The batches that are sampled and not yet handed out; waits for those under way.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub fn pending(&mut self) -> Result<Vec<&StepRollouts>, StageError> {
        let Self::Beside(ahead) = self else {
            return Ok(Vec::new());
        };
        while ahead.under_way > 0 {
            let batch = ahead.receive()?;
            ahead.ready.push_back(batch);
        }
        Ok(ahead.ready.iter().collect())
    }
}

impl Ahead {
    fn next(&mut self, learner: &Learner, step: u64) -> Result<StepRollouts, StageError> {
        let last = (step + self.ahead).min(self.steps.saturating_sub(1));
        while self.next <= last {
            let job = Job {
                model: learner.model.clone(),
                version: learner.version,
                step: self.next,
            };
            let sent = self
                .jobs
                .as_ref()
                .is_some_and(|jobs| jobs.send(job).is_ok());
            if !sent {
                break; // the thread has ended; its last result says why
            }
            self.next += 1;
            self.under_way += 1;
        }
        match self.ready.pop_front() {
            Some(batch) => Ok(batch),
            None => self.receive(),
        }
    }

    fn receive(&mut self) -> Result<StepRollouts, StageError> {
        self.under_way = self.under_way.saturating_sub(1);
        self.results.recv().unwrap_or(Err(StageError::SamplerEnded))
    }
}
