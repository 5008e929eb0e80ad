//! One step of GRPO, by name.

use std::{collections::BTreeMap, ops::Range, time::Instant};

use burn::tensor::Tensor;
use dunwu_datasets::{TaskSource, derive_seed};

use super::{
    GrpoConfig,
    advantage::{group_advantages, is_constant},
    loss::{ClipCounts, ObjectiveConfig, TokenInputs, grpo_loss},
};
use crate::{
    generation::SamplingConfig,
    metrics::{GrpoMetrics, RewardStatistics, deviation, mean},
    model::{Activations, Parameters, Transformer, parameters::from_host},
    policy::{
        BudgetError, GradientConfig, HeadConfig, MicroBatch, Sequence, batch_gradients,
        loss_device, pack, token_logprobs,
    },
    rollout::{Collected, RolloutCollector, RolloutGroup},
    run::{Learner, RunError},
};

/// What a GRPO stage works with; it holds no state of its own.
pub struct Trainer<'a> {
    /// The stage's settings.
    pub config: &'a GrpoConfig,
    /// How completions are drawn.
    pub sampling: &'a SamplingConfig,
    /// Samples and judges.
    pub collector: RolloutCollector<'a>,
    /// The frozen policy of the KL penalty, when there is one.
    pub reference: Option<&'a Transformer>,
    /// Tokens of a micro-batch.
    pub token_budget: usize,
    /// Threads that share the micro-batches.
    pub workers: usize,
    /// Bytes of one chunk of logits.
    pub head_chunk_bytes: usize,
    /// What is kept of the forward pass.
    pub activations: Activations,
    /// Seed of the stage.
    pub seed: u64,
}

/// A completion on its way into the loss.
struct Example {
    sequence: Sequence,
    sampling_logprobs: Vec<f32>,
    advantage: f32,
    weight: f32,
    old_logprobs: Option<Vec<f32>>,
    ref_logprobs: Option<Vec<f32>>,
}

/// Sums over the tokens that were trained on.
#[derive(Default)]
struct TokenSums {
    tokens: usize,
    loss: f64,
    entropy: f64,
    kl: f64,
    mismatch: f64,
    mismatch_max: f64,
    clips: ClipCounts,
}

impl Trainer<'_> {
    /// Samples, judges, and updates the policy of `learner` once (`iterations` times). `step`
    /// counts from 0.
    ///
    /// # Errors
    /// When tasks cannot be had or a prompt cannot be encoded.
    pub fn step(
        &self,
        learner: &mut Learner,
        source: &mut dyn TaskSource,
        step: u64,
        progress: impl FnMut(usize) + Send,
    ) -> Result<(GrpoMetrics, Vec<RolloutGroup>), RunError> {
        let start = Instant::now();
        let rollouts = self.rollouts(&learner.model, source, step, progress)?;
        let metrics = self.learn(learner, &rollouts, step)?;
        let step_s = start.elapsed().as_secs_f64();
        Ok((GrpoMetrics { step_s, ..metrics }, rollouts.groups))
    }

    /// Samples and judges the completions of a step.
    ///
    /// # Errors
    /// When tasks cannot be had or a prompt cannot be encoded.
    pub fn rollouts(
        &self,
        model: &Transformer,
        source: &mut dyn TaskSource,
        step: u64,
        progress: impl FnMut(usize) + Send,
    ) -> Result<Collected, RunError> {
        let done = step as f64 / self.config.steps.max(1) as f64;
        let tasks = source.next_batch(self.config.prompts, done)?;
        let seed = derive_seed(self.seed, &[step]);
        let group = self.config.group;
        Ok(self
            .collector
            .collect(model, self.sampling, tasks, group, seed, progress)?)
    }

    /// Updates the policy of `learner` by judged completions, `iterations` times.
    ///
    /// # Errors
    /// When a completion does not fit into a micro-batch.
    pub fn learn(
        &self,
        learner: &mut Learner,
        rollouts: &Collected,
        step: u64,
    ) -> Result<GrpoMetrics, RunError> {
        let training = Instant::now();
        let mut examples = self.examples(&rollouts.groups);
        self.score_old_and_reference(&learner.model, &mut examples)?;
        let mut sums = TokenSums::default();
        let mut grad_norm = 0.0;
        let rate = self.config.learning_rate
            * self
                .config
                .schedule
                .factor(step, self.config.steps, self.config.warmup_steps);
        for iteration in 0..self.config.iterations {
            let (gradients, seen) = self.gradients(learner, &examples)?;
            // No number moves nothing; the figures say so, and an alarm.
            grad_norm = match seen.loss.is_finite() {
                true => learner.update(gradients, rate),
                false => f64::NAN,
            };
            if iteration == 0 {
                sums = seen;
            } else {
                sums.clips = seen.clips;
            }
            if !grad_norm.is_finite() {
                break;
            }
        }
        // When no group has two different rewards, nothing is trained: these are then null.
        let tokens = sums.tokens as f64;
        let rewards = RewardStatistics::of(&rollouts.groups, self.collector.judge.rubric());
        Ok(GrpoMetrics {
            loss: sums.loss,
            entropy: sums.entropy / tokens,
            kl: (self.config.beta > 0.0).then_some(sums.kl / tokens),
            clip_fraction_low: sums.clips.low as f64 / tokens,
            clip_fraction_high: sums.clips.high as f64 / tokens,
            mismatch_mean: sums.mismatch / tokens,
            mismatch_max: if sums.tokens > 0 {
                sums.mismatch_max
            } else {
                f64::NAN
            },
            trained_tokens: sums.tokens,
            grad_norm,
            learning_rate: rate,
            policy_version: learner.version,
            generation_s: rollouts.generation_s,
            reward_s: rollouts.reward_s,
            training_s: training.elapsed().as_secs_f64(),
            step_s: rollouts.generation_s + rollouts.reward_s + training.elapsed().as_secs_f64(),
            generated_tokens_per_s: rewards.completion_tokens as f64 / rollouts.generation_s,
            ..rewards.into_metrics()
        })
    }

    /// The completions that move the policy, each with its advantage and its tokens' weight. A
    /// completion whose advantage is 0 has no gradient, and without a KL penalty none at all: it
    /// counts in the normaliser and is otherwise left out.
    fn examples(&self, groups: &[RolloutGroup]) -> Vec<Example> {
        let counted = || {
            let all = groups.iter().flat_map(|group| &group.completions);
            all.filter(|c| c.reward().is_some() && !(self.config.mask_truncated && c.truncated()))
        };
        let total: usize = counted().map(|c| c.tokens.len()).sum();
        let completions = counted().count();
        let mut examples = Vec::new();
        for group in groups {
            let advantages = group_advantages(&group.rewards(), self.config.scale_rewards);
            for (completion, advantage) in group.completions.iter().zip(advantages) {
                let Some(advantage) = advantage else { continue };
                let masked = self.config.mask_truncated && completion.truncated();
                if masked || (advantage == 0.0 && self.config.beta == 0.0) {
                    continue;
                }
                let weight = self.config.loss.token_weight(
                    completion.tokens.len(),
                    completions,
                    total,
                    self.sampling.max_tokens,
                );
                examples.push(Example {
                    sequence: Sequence {
                        prompt: group.prompt.clone(),
                        completion: completion.tokens.clone(),
                    },
                    sampling_logprobs: completion.sampling_logprobs.clone(),
                    advantage: advantage as f32,
                    weight: weight as f32,
                    old_logprobs: None,
                    ref_logprobs: None,
                });
            }
        }
        examples
    }

    /// Old log-probabilities when a batch is used more than once, those of the reference when
    /// there is a KL penalty.
    fn score_old_and_reference(
        &self,
        model: &Transformer,
        examples: &mut [Example],
    ) -> Result<(), BudgetError> {
        let sequences: Vec<Sequence> = examples.iter().map(|e| e.sequence.clone()).collect();
        let score = |model| token_logprobs(model, &sequences, self.token_budget, self.head());
        if self.config.iterations > 1 {
            for (example, scores) in examples.iter_mut().zip(score(model)?) {
                example.old_logprobs = Some(scores.logprobs);
            }
        }
        if let Some(reference) = self.reference {
            for (example, scores) in examples.iter_mut().zip(score(reference)?) {
                example.ref_logprobs = Some(scores.logprobs);
            }
        }
        Ok(())
    }

    /// The gradient of the whole step, micro-batch by micro-batch.
    fn gradients(
        &self,
        learner: &mut Learner,
        examples: &[Example],
    ) -> Result<(Parameters, TokenSums), BudgetError> {
        let sequences: Vec<Sequence> = examples.iter().map(|e| e.sequence.clone()).collect();
        let objective = self.config.objective();
        let batches = pack(&sequences, self.token_budget)?;
        let members = |batch: &MicroBatch| -> Vec<&Example> {
            batch
                .members
                .iter()
                .map(|&member| &examples[member])
                .collect()
        };
        let config = GradientConfig {
            head: self.head(),
            activations: self.activations,
        };
        let zeros = learner.zeros();
        let loss = |batch: &MicroBatch, range: Range<usize>, logprobs: Tensor<1>| {
            let inputs = TokenInputs::of(&members(batch), range);
            grpo_loss(logprobs, inputs, objective)
        };
        let model = &learner.model;
        let (gradients, outputs) =
            batch_gradients(model, &batches, config, self.workers, zeros, loss);
        let mut sums = TokenSums::default();
        for (batch, output) in batches.iter().zip(&outputs) {
            sums.loss += output.loss;
            sums.add(
                &members(batch),
                &output.logprobs,
                &output.entropy,
                objective,
            );
        }
        Ok((gradients, sums))
    }

    fn head(&self) -> HeadConfig {
        HeadConfig {
            temperature: self.sampling.scoring_temperature(),
            chunk_bytes: self.head_chunk_bytes,
        }
    }
}

impl TokenInputs {
    /// What is known of a range of the tokens of some completions in a row.
    fn of(members: &[&Example], range: Range<usize>) -> Self {
        let tensor = |values: Vec<f32>| {
            let values = values[range.clone()].to_vec();
            from_host::<1>(values, [range.len()], loss_device())
        };
        let each = |value: fn(&Example) -> f32| {
            let spread = |e: &&Example| std::iter::repeat_n(value(e), e.sequence.completion.len());
            tensor(members.iter().flat_map(spread).collect())
        };
        let given = |values: fn(&Example) -> Option<&Vec<f32>>| {
            let lists: Option<Vec<&Vec<f32>>> = members.iter().map(|e| values(e)).collect();
            lists.map(|lists| tensor(lists.into_iter().flatten().copied().collect()))
        };
        Self {
            old_logprobs: given(|e| e.old_logprobs.as_ref()),
            ref_logprobs: given(|e| e.ref_logprobs.as_ref()),
            advantages: each(|e| e.advantage),
            weights: each(|e| e.weight),
        }
    }
}

impl TokenSums {
    fn add(
        &mut self,
        members: &[&Example],
        logprobs: &[f32],
        entropy: &[f32],
        objective: ObjectiveConfig,
    ) {
        self.tokens += logprobs.len();
        self.entropy += entropy.iter().map(|&e| f64::from(e)).sum::<f64>();
        let mut token = 0;
        for example in members {
            for (place, &sampled) in example.sampling_logprobs.iter().enumerate() {
                let logprob = logprobs[token];
                let difference = f64::from((logprob - sampled).abs());
                self.mismatch += difference;
                self.mismatch_max = self.mismatch_max.max(difference);
                if let Some(old) = &example.old_logprobs {
                    self.clips
                        .add(logprob, old[place], example.advantage, objective);
                }
                if let Some(reference) = &example.ref_logprobs {
                    let difference = f64::from(reference[place] - logprob);
                    self.kl += difference.exp() - difference - 1.0;
                }
                token += 1;
            }
        }
    }
}

impl RewardStatistics {
    /// What the rollouts of a step say, before any update.
    fn of(groups: &[RolloutGroup], rubric: &dunwu_rewards::Rubric) -> Self {
        let completions = || groups.iter().flat_map(|group| &group.completions);
        let rewards: Vec<f64> = completions().filter_map(|c| c.reward()).collect();
        let count = completions().count().max(1) as f64;
        let lengths: Vec<f64> = completions().map(|c| c.tokens.len() as f64).collect();
        let constant = groups.iter().filter(|g| is_constant(&g.rewards())).count();
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
            zero_variance_groups: constant as f64 / groups.len().max(1) as f64,
            truncated: completions().filter(|c| c.truncated()).count() as f64 / count,
            failed_judgements: completions().filter(|c| c.failed()).count(),
            undecided_judgements: completions().filter(|c| c.undecided()).count(),
            completions: completions().count(),
            completion_tokens: lengths.iter().sum::<f64>() as usize,
            length_mean: mean(&lengths),
            length_max: lengths.iter().copied().fold(0.0, f64::max) as usize,
        }
    }
}
