//! Judged groups as examples: with advantages, and with what other policies think of them.

use super::{
    Carried, GrpoConfig,
    advantage::{
        Advantages, GroupRewards, ScaleRewards, step_advantages, to_go, whiten, whiten_exactly,
    },
    config::OldPolicy,
    critic::{
        Critic, CriticConfig, CriticError,
        gae::{gae, token_rewards},
    },
    example::{Example, ValueTargets},
    objective::Normalizer,
};
use crate::{
    learner::{BudgetError, Scoring, Sequence, token_logprobs},
    model::Transformer,
    rollout::{Completion, RolloutGroup},
    stages::StageError,
    statistics::{deviation, mean},
};

/// The judged completions of a step.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// In the order of their groups.
    pub examples: Vec<Example>,
    /// Groups of the step.
    pub groups: usize,
    /// Mean over the tokens of the KL estimate that the reward is reduced by, in nats, without its
    /// weight; `None` where there is none.
    pub kl_reward: Option<f64>,
    /// The same as the mean over completions of the mean over their tokens.
    pub kl_of_completions: Option<f64>,
    /// Standard deviation of the advantages of the completions; with a critic, of those of the tokens.
    pub advantage_std: f64,
}

impl Batch {
    /// The judged completions of `groups`, with their advantages: compared within the step, or by the critic that is
    /// `carried` along. The weights of the rubric's components, in its order, are asked for where these are normalised one
    /// by one.
    ///
    /// # Errors
    /// When a completion does not fit into a micro-batch, or the critic's values are no numbers.
    pub fn new(
        config: &GrpoConfig,
        groups: &[RolloutGroup],
        weights: &[(String, f64)],
        reference: Option<&Transformer>,
        carried: &Carried,
        scoring: Scoring,
    ) -> Result<Self, StageError> {
        let mut examples = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let judged = group.completions.iter().filter(|c| c.reward().is_some());
            examples.extend(judged.map(|c| example(config, index, c)));
        }
        let mut batch = Self {
            examples,
            groups: groups.len(),
            ..Self::default()
        };
        let penalties = batch.penalties(config, reference, carried.kl.coefficient(), scoring)?;
        match (&config.critic, &carried.critic) {
            (Some(settings), Some(critic)) => {
                batch.estimate_advantages(settings, critic, groups, penalties)?;
            }
            (Some(_), None) => return Err(CriticError::Missing.into()),
            (None, _) => batch.set_advantages(config, groups, weights, penalties),
        }
        let moved_anyway = config.objective().beta > 0.0
            || config.entropy_coefficient > 0.0
            || config.objective().normalizer == Normalizer::MicroBatchTokens;
        for example in &mut batch.examples {
            let gains = example.advantages.iter().any(|&a| a != 0.0);
            example.moves = example.counts && (gains || moved_anyway);
        }
        Ok(batch)
    }

    /// The KL penalty of each token in the reward, example by example.
    fn penalties(
        &mut self,
        config: &GrpoConfig,
        reference: Option<&Transformer>,
        beta: f64,
        scoring: Scoring,
    ) -> Result<Option<Vec<Vec<f64>>>, BudgetError> {
        let Some(reference) = reference.filter(|_| beta > 0.0) else {
            return Ok(None);
        };
        self.score_reference(reference, scoring, |_| true)?;
        let penalty = |example: &Example| -> Vec<f64> {
            let reference = example.reference.as_deref().unwrap_or_default();
            let pairs = example.sampling.iter().zip(reference);
            // The policy that sampled is the one whose ratio is 1.
            pairs
                .map(|(&s, &r)| beta * config.kl_estimator.at(s.into(), r.into(), 1.0).0)
                .collect()
        };
        let penalties: Vec<Vec<f64>> = self.examples.iter().map(penalty).collect();
        let total: f64 = penalties.iter().flatten().sum();
        let tokens: usize = penalties.iter().map(Vec::len).sum();
        self.kl_reward = Some(total / (beta * tokens.max(1) as f64));
        let written = penalties.iter().filter(|tokens| !tokens.is_empty());
        let means: Vec<f64> = written.map(|tokens| mean(tokens) / beta).collect();
        self.kl_of_completions = Some(mean(&means));
        Ok(Some(penalties))
    }

    fn set_advantages(
        &mut self,
        config: &GrpoConfig,
        groups: &[RolloutGroup],
        weights: &[(String, f64)],
        penalties: Option<Vec<Vec<f64>>>,
    ) {
        let whitened = config.scale_rewards() == ScaleRewards::Whiten;
        let mut rewards: Vec<GroupRewards> = groups
            .iter()
            .map(|group| GroupRewards {
                totals: group.rewards(),
                components: if config.normalize_components {
                    components(group, weights)
                } else {
                    Vec::new()
                },
            })
            .collect();
        // Without whitening the penalty of a whole completion is part of its reward.
        if let Some(penalties) = penalties.as_ref().filter(|_| !whitened) {
            let mut sums = penalties.iter().map(|tokens| tokens.iter().sum::<f64>());
            let judged = rewards.iter_mut().flat_map(|g| &mut g.totals).flatten();
            judged.for_each(|total| *total -= sums.next().unwrap_or(0.0));
        }
        let advantages = step_advantages(&rewards, config.baseline(), config.scale_rewards());
        let known: Vec<f64> = advantages.into_iter().flatten().flatten().collect();
        self.advantage_std = deviation(&known);
        for (index, (example, advantage)) in self.examples.iter_mut().zip(known).enumerate() {
            let to_go = match penalties.as_ref().filter(|_| whitened) {
                Some(penalties) => to_go(advantage, &penalties[index]),
                None => vec![advantage; example.length()],
            };
            example.advantages = to_go.into_iter().map(|a| a as f32).collect();
        }
        if whitened {
            let counted = self.examples.iter_mut().filter(|e| e.counts);
            let mut lists: Vec<Vec<f32>> =
                counted.map(|e| std::mem::take(&mut e.advantages)).collect();
            whiten(&mut lists);
            let counted = self.examples.iter_mut().filter(|e| e.counts);
            counted
                .zip(lists)
                .for_each(|(example, list)| example.advantages = list);
        }
    }

    /// Advantages token by token, by what `critic` says of each state, and what its values are drawn towards.
    fn estimate_advantages(
        &mut self,
        config: &CriticConfig,
        critic: &Critic,
        groups: &[RolloutGroup],
        penalties: Option<Vec<Vec<f64>>>,
    ) -> Result<(), StageError> {
        let values = critic.values(&self.sequences(|_| true))?;
        finite(&values)?;
        let mut after = vec![0.0; self.examples.len()];
        if config.bootstrap_truncated {
            let cut = (0..after.len()).filter(|&index| self.examples[index].truncated);
            let cut: Vec<usize> = cut.collect();
            let said = critic.values_after(&self.sequences(|e| e.truncated))?;
            for (index, value) in cut.into_iter().zip(said) {
                finite(&[vec![value]])?;
                after[index] = f64::from(value);
            }
        }
        let scores = groups.iter().flat_map(|group| group.rewards()).flatten();
        let mut advantages = Vec::with_capacity(self.examples.len());
        for (index, (example, score)) in self.examples.iter_mut().zip(scores).enumerate() {
            let penalties = penalties.as_ref().map(|all| &all[index][..]);
            let rewards = token_rewards(score, penalties, example.length());
            let values: Vec<f64> = values[index].iter().map(|&v| f64::from(v)).collect();
            let estimate = |lam| gae(&rewards, &values, after[index], config.gamma, lam);
            let returns = estimate(config.lam_critic());
            let returns = returns.iter().zip(&values).map(|(a, v)| a + v).collect();
            advantages.push(estimate(config.lam));
            example.value = Some(ValueTargets { values, returns });
        }
        let all: Vec<f64> = advantages.iter().flatten().copied().collect();
        self.advantage_std = deviation(&all);
        if config.whiten {
            let counts: Vec<bool> = self.examples.iter().map(|e| e.counts).collect();
            whiten_where(&mut advantages, &counts);
        }
        for (example, advantages) in self.examples.iter_mut().zip(advantages) {
            example.advantages = advantages.into_iter().map(|a| a as f32).collect();
        }
        Ok(())
    }

    /// Scores the examples that move by the policies that the loss compares with: the old one when
    /// it is no longer the current one, the reference when there is a KL penalty; and finds the
    /// tokens of high entropy.
    ///
    /// # Errors
    /// When a completion does not fit into a micro-batch.
    pub fn score(
        &mut self,
        config: &GrpoConfig,
        model: &Transformer,
        reference: Option<&Transformer>,
        scoring: Scoring,
    ) -> Result<(), BudgetError> {
        let selects = config.top_entropy < 1.0;
        let keeps_old = config.updates() > 1 && config.old_policy == OldPolicy::Trainer;
        if config.old_policy == OldPolicy::Sampler {
            for example in &mut self.examples {
                example.old = Some(example.sampling.clone());
            }
        }
        if keeps_old || selects {
            let sequences = self.sequences(|e| e.moves);
            let scores = token_logprobs(model, &sequences, scoring.token_budget, scoring.head)?;
            let entropies: Vec<f32> = scores.iter().flat_map(|s| s.entropy.clone()).collect();
            let least = quantile(entropies, 1.0 - config.top_entropy);
            let moving = self.examples.iter_mut().filter(|e| e.moves);
            for (example, scores) in moving.zip(scores) {
                if selects {
                    example.kept = Some(scores.entropy.iter().map(|&e| e >= least).collect());
                }
                if keeps_old {
                    example.old = Some(scores.logprobs);
                }
            }
        }
        match reference.filter(|_| config.objective().beta > 0.0) {
            Some(reference) => self.score_reference(reference, scoring, |e| e.moves),
            None => Ok(()),
        }
    }

    fn score_reference(
        &mut self,
        reference: &Transformer,
        scoring: Scoring,
        of: impl Fn(&Example) -> bool,
    ) -> Result<(), BudgetError> {
        // The reference is another model: its tokens go where its own routers send them.
        let sequences = self.sequences(&of).into_iter();
        let sequences: Vec<Sequence> = sequences.map(|s| s.routed(None)).collect();
        let scores = token_logprobs(reference, &sequences, scoring.token_budget, scoring.head)?;
        let scored = self.examples.iter_mut().filter(|e| of(e));
        for (example, scores) in scored.zip(scores) {
            example.reference = Some(scores.logprobs);
        }
        Ok(())
    }

    fn sequences(&self, of: impl Fn(&Example) -> bool) -> Vec<Sequence> {
        let chosen = self.examples.iter().filter(|e| of(e));
        chosen.map(|e| e.sequence.clone()).collect()
    }

    /// The advantage of each completion of `groups`, from which the batch was made.
    pub fn advantages(&self, groups: &[RolloutGroup]) -> Advantages {
        let mut known = self.examples.iter().map(|example| {
            let sum: f64 = example.advantages.iter().map(|&a| f64::from(a)).sum();
            sum / example.length().max(1) as f64
        });
        let mut advantage = |c: &Completion| c.reward().and_then(|_| known.next());
        groups
            .iter()
            .map(|group| group.completions.iter().map(&mut advantage).collect())
            .collect()
    }

    /// Gives every example that counts a gradient, whatever its advantage.
    pub(super) fn move_all(&mut self) {
        for example in &mut self.examples {
            example.moves = example.counts;
        }
    }

    /// Gives no example a gradient: the policy waits.
    pub(super) fn move_none(&mut self) {
        for example in &mut self.examples {
            example.moves = false;
        }
    }

    /// The examples of a mini-batch, one of `parts`: groups that follow each other, as many in each. Those that move
    /// nothing, as those that fill a step up do, are dealt out by themselves, so that no update has only such.
    pub fn mini_batch(&self, part: usize, parts: usize) -> Vec<&Example> {
        let mut moves = vec![false; self.groups];
        for example in &self.examples {
            moves[example.group] |= example.moves;
        }
        let mut mine = vec![false; self.groups];
        for kind in [true, false] {
            let alike: Vec<usize> = (0..self.groups).filter(|&g| moves[g] == kind).collect();
            let share = part * alike.len() / parts..(part + 1) * alike.len() / parts;
            alike[share].iter().for_each(|&group| mine[group] = true);
        }
        self.examples.iter().filter(|e| mine[e.group]).collect()
    }
}

fn example(config: &GrpoConfig, index: usize, completion: &Completion) -> Example {
    Example {
        sequence: completion.trajectory.sequence(),
        group: index,
        counts: !(config.mask_truncated && completion.truncated()),
        moves: false,
        truncated: completion.truncated(),
        advantages: Vec::new(),
        value: None,
        sampling: completion.trajectory.sampling_logprobs(),
        old: None,
        reference: None,
        kept: None,
        recorded: completion.recorded.clone(),
    }
}

/// Whether values are numbers.
fn finite(values: &[Vec<f32>]) -> Result<(), CriticError> {
    for (completion, values) in values.iter().enumerate() {
        let odd = values.iter().enumerate().find(|(_, v)| !v.is_finite());
        if let Some((token, &value)) = odd {
            return Err(CriticError::NotFinite {
                value,
                token,
                completion,
            });
        }
    }
    Ok(())
}

/// Whitens the lists that count, by themselves.
fn whiten_where(lists: &mut [Vec<f64>], counts: &[bool]) {
    let counted = || counts.iter().enumerate().filter(|(_, counts)| **counts);
    let mut whitened: Vec<Vec<f64>> = counted()
        .map(|(index, _)| std::mem::take(&mut lists[index]))
        .collect();
    whiten_exactly(&mut whitened);
    for ((index, _), list) in counted().zip(whitened) {
        lists[index] = list;
    }
}

/// Each component's weight and scores; of completions without a total there is none.
fn components(group: &RolloutGroup, weights: &[(String, f64)]) -> Vec<(f64, Vec<Option<f64>>)> {
    let scores = |name: &str| {
        group
            .completions
            .iter()
            .map(|c| c.component(name))
            .collect()
    };
    weights
        .iter()
        .map(|(name, weight)| (*weight, scores(name)))
        .collect()
}

/// The value below which the share `at` of `values` lies, between neighbours by a straight line, as
/// `torch.quantile`. Of nothing, or at 0, everything is above it.
pub fn quantile(mut values: Vec<f32>, at: f64) -> f32 {
    if values.is_empty() || at <= 0.0 {
        return f32::NEG_INFINITY;
    }
    values.sort_by(f32::total_cmp);
    let place = at * (values.len() - 1) as f64;
    let (low, high) = (values[place as usize], values[place.ceil() as usize]);
    (f64::from(low) + (f64::from(high) - f64::from(low)) * place.fract()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let values = vec![4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(values.clone(), 0.5), 2.5);
        assert_eq!(quantile(values.clone(), 1.0), 4.0);
        assert_eq!(quantile(values, 0.0), f32::NEG_INFINITY);
        assert_eq!(quantile(Vec::new(), 0.5), f32::NEG_INFINITY);
    }

    /// Groups that fill a step up stand at its end: without dealing them out, the last update would have no other.
    #[test]
    fn every_mini_batch_has_its_share_of_what_moves() {
        let example = |group: usize, moves: bool| Example {
            sequence: Sequence::new([1], [2]),
            group,
            counts: true,
            moves,
            truncated: false,
            advantages: vec![f32::from(u8::from(moves))],
            value: None,
            sampling: vec![0.0],
            old: None,
            reference: None,
            kept: None,
            recorded: None,
        };
        let groups = |moves: &[bool]| -> Vec<Vec<usize>> {
            let examples = moves.iter().enumerate();
            let batch = Batch {
                examples: examples
                    .map(|(group, &moves)| example(group, moves))
                    .collect(),
                groups: moves.len(),
                ..Batch::default()
            };
            let part = |part| {
                batch
                    .mini_batch(part, 3)
                    .into_iter()
                    .map(|e| e.group)
                    .collect()
            };
            (0..3).map(part).collect()
        };
        let all = groups(&[true; 7]);
        assert_eq!(
            all,
            [vec![0, 1], vec![2, 3], vec![4, 5, 6]],
            "in their order"
        );
        let filled = groups(&[true, true, true, false, false, false]);
        assert_eq!(filled, [[0, 3], [1, 4], [2, 5]]);
    }
}
