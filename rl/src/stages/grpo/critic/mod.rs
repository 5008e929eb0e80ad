//! A value function beside the policy: PPO as an option of the stage (Schulman et al., arXiv 1707.06347).
//!
//! | file | subject |
//! |---|---|
//! | this one | the critic: values of completions, one update of it |
//! | [`config`] | what it can be set to |
//! | [`gae`] | rewards and values → advantages and targets; plain numbers, no tensors |
//! | [`loss`] | the clipped loss of a value |
//! | `start` | what it begins with, and how a checkpoint keeps it |

pub mod config;
pub mod gae;
pub mod loss;
mod start;

use std::sync::{Mutex, PoisonError};

use super::example::{Example, ValueTargets};
use crate::{
    learner::{
        BudgetError, Learner, MemorySection, MicroBatch, ScalarHead, Sequence,
        accumulate_scalar_gradients, pack, pack_ends, scalar_values,
    },
    model::{Activations, Parameters},
    parallel::in_parallel,
    stages::StageError,
};
pub use config::{CriticConfig, CriticStart, Trunk};
use loss::ValueSums;
pub(super) use start::Place;

/// A value function that learns: a trunk, a scalar head on it, an optimiser of their own.
pub struct Critic {
    learner: Learner,
    memory: MemorySection,
}

/// Why a critic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CriticError {
    /// Its values are no numbers.
    #[error(
        "the critic says {value} of token {token} of completion {completion} of the step, and no advantage follows from that; hint: lower critic.learning_rate, or look at the model that critic.from names"
    )]
    NotFinite {
        /// What it says.
        value: f32,
        /// Index of the token among the sampled ones of its completion.
        token: usize,
        /// Index of the completion among the judged ones of the step.
        completion: usize,
    },
    /// Settings ask for a critic, and the trainer was given none.
    #[error(
        "the stage's settings have a critic, and the trainer was given none; hint: Trainer::step_with takes it"
    )]
    Missing,
}

impl From<CriticError> for StageError {
    fn from(error: CriticError) -> Self {
        Self::Own(Box::new(error))
    }
}

impl Critic {
    /// A critic that is read by the scalar head of `learner`, and works on as much at a time as `memory` allows.
    ///
    /// # Panics
    /// When `learner` has no scalar head.
    pub fn new(learner: Learner, memory: MemorySection) -> Self {
        assert!(
            learner.head.scalar().is_some(),
            "a critic has a scalar head"
        );
        Self { learner, memory }
    }

    /// Its trunk, head and optimiser.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    fn head(&self) -> &ScalarHead {
        let head = self.learner.head.scalar();
        head.expect("a critic has a scalar head")
    }

    /// The value of the state that each sampled token of each sequence was drawn in.
    ///
    /// # Errors
    /// When a sequence has more tokens than a micro-batch.
    pub fn values(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>, BudgetError> {
        let batches = pack(sequences, self.memory.token_budget)?;
        let mut values = vec![Vec::new(); sequences.len()];
        for (batch, said) in batches.iter().zip(self.said(&batches)) {
            for (member, range) in batch.parts() {
                values[member] = said[range].to_vec();
            }
        }
        Ok(values)
    }

    /// The value of the state after the last sampled token of each sequence.
    ///
    /// # Errors
    /// When a sequence has more tokens than a micro-batch.
    pub fn values_after(&self, sequences: &[Sequence]) -> Result<Vec<f32>, BudgetError> {
        let whole = |sequence: &Sequence| sequence.truncated(usize::MAX);
        let sequences: Vec<Sequence> = sequences.iter().map(whole).collect();
        let batches = pack_ends(&sequences, self.memory.token_budget)?;
        let mut values = vec![0.0; sequences.len()];
        for (batch, said) in batches.iter().zip(self.said(&batches)) {
            for (&member, value) in batch.members.iter().zip(said) {
                values[member] = value;
            }
        }
        Ok(values)
    }

    /// What it says of each micro-batch.
    fn said(&self, batches: &[MicroBatch]) -> Vec<Vec<f32>> {
        let workers = self.memory.workers.clamp(1, batches.len().max(1));
        let (model, head) = (&self.learner.model, self.head());
        let parts = in_parallel(workers, |worker| {
            let mine = batches.iter().skip(worker).step_by(workers);
            mine.map(|batch| scalar_values(model, head, batch))
                .collect::<Vec<_>>()
        });
        interleaved(parts, batches.len())
    }

    /// One update by the clipped loss of the values of some completions, which is the mean over their tokens. Of those that
    /// do not count, and of nothing, nothing is learnt.
    ///
    /// # Errors
    /// When a completion has more tokens than a micro-batch.
    pub(super) fn update(
        &mut self,
        examples: &[&Example],
        cliprange: f64,
        learning_rate: f64,
    ) -> Result<(ValueSums, f64), BudgetError> {
        let counted: Vec<(&Example, &ValueTargets)> = examples
            .iter()
            .filter(|e| e.counts)
            .filter_map(|e| Some((*e, e.value.as_ref()?)))
            .collect();
        let sequences: Vec<Sequence> = counted.iter().map(|(e, _)| e.sequence.clone()).collect();
        let batches = pack(&sequences, self.memory.token_budget)?;
        if batches.is_empty() {
            return Ok((ValueSums::default(), 0.0));
        }
        let tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let targets: Vec<&ValueTargets> = counted.iter().map(|(_, targets)| *targets).collect();
        let (gradients, sums) = self.gradients(&batches, &targets, cliprange, tokens);
        let norm = if sums.loss.is_finite() {
            self.learner.update(gradients, learning_rate)
        } else {
            f64::NAN
        };
        Ok((sums, norm))
    }

    /// The gradient of the mean loss over `tokens` tokens. As in `stream_gradients`, workers share the micro-batches, each
    /// sums its own in order, and their sums are added in order.
    fn gradients(
        &mut self,
        batches: &[MicroBatch],
        targets: &[&ValueTargets],
        cliprange: f64,
        tokens: usize,
    ) -> (Parameters, ValueSums) {
        let activations: Activations = self.memory.activations();
        let workers = self.memory.workers.clamp(1, batches.len());
        let zeros = Mutex::new(self.learner.zeros());
        let (model, head) = (&self.learner.model, self.head());
        let parts = in_parallel(workers, |worker| {
            let mut gradients = match worker {
                0 => std::mem::take(&mut *zeros.lock().unwrap_or_else(PoisonError::into_inner)),
                _ => Parameters::default(),
            };
            let mine = batches.iter().skip(worker).step_by(workers);
            let seen: Vec<ValueSums> = mine
                .map(|batch| {
                    let mut sums = ValueSums::default();
                    let loss = |values: &[f32]| {
                        loss::of_batch(batch, values, targets, cliprange, tokens, &mut sums)
                    };
                    accumulate_scalar_gradients(
                        model,
                        head,
                        batch,
                        activations,
                        &mut gradients,
                        loss,
                    );
                    sums
                })
                .collect();
            (gradients, seen)
        });
        let mut sum = Parameters::default();
        let mut seen = Vec::with_capacity(parts.len());
        for (gradients, sums) in parts {
            sum.merge(gradients);
            seen.push(sums);
        }
        let mut sums = ValueSums::default();
        for part in interleaved(seen, batches.len()) {
            sums.merge(&part);
        }
        (sum, sums)
    }
}

/// What workers made of every so-and-so-many-th of `count` things, in the order of these.
fn interleaved<T>(parts: Vec<Vec<T>>, count: usize) -> Vec<T> {
    let workers = parts.len().max(1);
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let next = (0..count).filter_map(|index| parts[index % workers].next());
    next.collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
