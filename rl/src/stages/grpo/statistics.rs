//! The figures of a step.

use std::collections::BTreeMap;

use dunwu_rewards::Rubric;

use super::{advantage::is_constant, batch::Example, loss::Seen, sampler::StepRollouts};
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
