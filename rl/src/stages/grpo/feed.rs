//! The batches of a stage, sampled in turn with training or beside it.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, Sender, channel},
    thread::Scope,
};

use dunwu_datasets::TaskSource;

use super::sampler::{Sampler, StepRollouts};
use crate::{learner::Learner, model::Transformer, run::RunError};

/// Hands out the batch of each step, in order.
pub enum Feed<'a> {
    /// A batch is sampled when it is asked for, by the policy as it is.
    InTurn {
        /// Samples and judges.
        sampler: Sampler<'a>,
        /// Where tasks come from.
        source: Box<dyn TaskSource + 'a>,
    },
    /// A thread samples the batch of step `t + ahead` while step `t` is trained, by the policy as it
    /// was before that step. Which version samples which batch is thus fixed, and with it every
    /// result: nothing depends on which of the two is faster.
    Beside(Ahead),
}

/// Batches that are sampled ahead of training.
#[derive(Debug)]
pub struct Ahead {
    jobs: Sender<Job>,
    results: Receiver<Result<StepRollouts, RunError>>,
    /// Sampled, and not yet asked for.
    ready: VecDeque<StepRollouts>,
    /// The step whose batch is asked for next.
    next: u64,
    /// Batches asked for and not yet there.
    under_way: usize,
    ahead: u64,
    steps: u64,
}

/// A batch to sample.
#[derive(Debug)]
struct Job {
    model: Transformer,
    version: u64,
    step: u64,
}

impl<'a> Feed<'a> {
    /// A feed that samples when it is asked.
    pub fn in_turn(sampler: Sampler<'a>, source: Box<dyn TaskSource + 'a>) -> Self {
        Self::InTurn { sampler, source }
    }

    /// A feed that samples on a thread of `scope`, `max_staleness` batches ahead. `ready` are the
    /// batches of the steps from `step` on that an earlier sitting has sampled already; `source`
    /// stands behind them.
    pub fn beside<'scope>(
        scope: &'scope Scope<'scope, '_>,
        sampler: Sampler<'scope>,
        mut source: Box<dyn TaskSource + 'scope>,
        step: u64,
        ready: Vec<StepRollouts>,
    ) -> Self {
        let (ahead, steps) = (sampler.config.max_staleness, sampler.config.steps);
        let (jobs, incoming) = channel::<Job>();
        let (outgoing, results) = channel();
        scope.spawn(move || {
            for job in incoming {
                let batch = sampler.sample(&job.model, job.version, source.as_mut(), job.step);
                let failed = batch.is_err();
                if outgoing.send(batch).is_err() || failed {
                    break; // nobody asks any more, or nothing more can be sampled
                }
            }
        });
        Self::Beside(Ahead {
            jobs,
            results,
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
    pub fn next(&mut self, learner: &Learner, step: u64) -> Result<StepRollouts, RunError> {
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
    pub fn pending(&mut self) -> Result<Vec<&StepRollouts>, RunError> {
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
    fn next(&mut self, learner: &Learner, step: u64) -> Result<StepRollouts, RunError> {
        let last = (step + self.ahead).min(self.steps.saturating_sub(1));
        while self.next <= last {
            let job = Job {
                model: learner.model.clone(),
                version: learner.version,
                step: self.next,
            };
            if self.jobs.send(job).is_err() {
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

    fn receive(&mut self) -> Result<StepRollouts, RunError> {
        self.under_way = self.under_way.saturating_sub(1);
        self.results.recv().unwrap_or(Err(RunError::SamplerEnded))
    }
}
