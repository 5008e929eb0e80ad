//! The figures of a step.

use std::collections::BTreeMap;

use dunwu_rewards::Rubric;

use super::{
    GrpoMetrics,
    advantage::is_constant,
    batch::Batch,
    critic::{gae::explained_variance, loss::ValueSums},
    example::Example,
    loss::Seen,
    sampler::StepRollouts,
};
use crate::{
    learner::{MicroBatch, gradient::MicroOutput},
    model::Routing,
    rollout::count_by_fault,
    stages::grpo::RewardStatistics,
    statistics::{deviation, mean},
};

/// Sums over the tokens that an update was made with.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenSums {
    pub(super) loss: f64,
    pub(super) entropy: f64,
    pub(super) mismatch: f64,
    pub(super) mismatch_max: f64,
    pub(super) seen: Seen,
    pub(super) routing: Routing,
}

impl TokenSums {
    /// Adds what a micro-batch saw.
    pub(super) fn add(
        &mut self,
        batch: &MicroBatch,
        output: &MicroOutput<Vec<Seen>>,
        examples: &[&Example],
    ) {
        self.loss += output.loss;
        self.entropy += output.entropy.iter().map(|&e| f64::from(e)).sum::<f64>();
        for (member, range) in batch.parts() {
            let sampling = &examples[member].sampling;
            for (logprob, sampled) in output.logprobs[range].iter().zip(sampling) {
                let difference = f64::from((logprob - sampled).abs());
                self.mismatch += difference;
                self.mismatch_max = self.mismatch_max.max(difference);
            }
        }
        output.seen.iter().for_each(|seen| self.seen.add(seen));
        self.routing.merge(&output.routing);
    }

    /// Adds another update with the same batch of rollouts.
    pub(super) fn merge(&mut self, other: &Self) {
        self.loss += other.loss;
        self.entropy += other.entropy;
        self.mismatch += other.mismatch;
        self.mismatch_max = self.mismatch_max.max(other.mismatch_max);
        self.seen.add(&other.seen);
        self.routing.merge(&other.routing);
    }
}

/// What was seen of a critic in a step.
#[derive(Debug, Clone)]
pub(super) struct CriticFigures {
    value_mean: f64,
    return_mean: f64,
    explained_variance: f64,
    loss: f64,
    clip_fraction: f64,
    /// Global norm of the gradient of the last update.
    pub(super) grad_norm: f64,
    learning_rate: f64,
}

impl CriticFigures {
    /// What it said of the tokens of `batch` that count, before any update.
    pub(super) fn of(batch: &Batch, learning_rate: f64) -> Self {
        let counted = batch.examples.iter().filter(|e| e.counts);
        let (mut values, mut returns) = (Vec::new(), Vec::new());
        for targets in counted.filter_map(|e| e.value.as_ref()) {
            values.extend(&targets.values);
            returns.extend(&targets.returns);
        }
        Self {
            value_mean: mean(&values),
            return_mean: mean(&returns),
            explained_variance: explained_variance(&values, &returns),
            loss: f64::NAN,
            clip_fraction: f64::NAN,
            grad_norm: 0.0,
            learning_rate,
        }
    }

    /// Adds what was seen in going through the batch once more, in so many updates.
    pub(super) fn saw(&mut self, iteration: u64, sums: &ValueSums, updates: usize) {
        if iteration == 0 {
            self.loss = sums.loss / updates as f64;
        }
        self.clip_fraction = sums.clipped as f64 / sums.tokens as f64;
    }

    /// These figures among those of the step.
    pub(super) fn onto(self, metrics: GrpoMetrics) -> GrpoMetrics {
        GrpoMetrics {
            value_loss: Some(self.loss),
            explained_variance: Some(self.explained_variance),
            value_clip_fraction: Some(self.clip_fraction),
            value_mean: Some(self.value_mean),
            return_mean: Some(self.return_mean),
            critic_grad_norm: Some(self.grad_norm),
            critic_learning_rate: Some(self.learning_rate),
            ..metrics
        }
    }
}

impl RewardStatistics {
    /// What the rollouts of a step say, before any update; groups that were dropped included.
    pub(super) fn of(rollouts: &StepRollouts, rubric: &Rubric) -> Self {
        let completions = || rollouts.sampled().flat_map(|group| &group.completions);
        let groups = rollouts.sampled().count();
        let rewards: Vec<f64> = completions().filter_map(|c| c.reward()).collect();
        let count = completions().count().max(1) as f64;
        let lengths: Vec<f64> = completions().map(|c| c.sampled_tokens() as f64).collect();
        let constant = rollouts
            .sampled()
            .filter(|g| is_constant(&g.rewards()))
            .count();
        let (mut components, mut components_std) = (BTreeMap::new(), BTreeMap::new());
        for name in rubric.component_names() {
            let values: Vec<f64> = completions().filter_map(|c| c.component(name)).collect();
            components.insert(name.to_owned(), mean(&values));
            components_std.insert(name.to_owned(), deviation(&values));
        }
        Self {
            reward_mean: mean(&rewards),
            reward_std: deviation(&rewards),
            components,
            components_std,
            zero_variance_groups: constant as f64 / groups.max(1) as f64,
            truncated: completions().filter(|c| c.truncated()).count() as f64 / count,
            failed_judgements: completions().filter(|c| c.failed()).count(),
            undecided_judgements: completions().filter(|c| c.undecided()).count(),
            unjudged_by: Some(count_by_fault(completions())).filter(|by| !by.is_empty()),
            completions: completions().count(),
            completion_tokens: lengths.iter().sum::<f64>() as usize,
            length_mean: mean(&lengths),
            length_max: lengths.iter().copied().fold(0.0, f64::max) as usize,
        }
    }
}
