//! One step of GRPO, by name.

use std::{ops::Range, time::Instant};

use super::{
    Carried, GrpoConfig, GrpoMetrics, RewardStatistics,
    advantage::Advantages,
    batch::Batch,
    config::RouterReplay,
    critic::{Critic, CriticConfig, loss::ValueSums},
    example::{Example, Weights},
    feed::Feed,
    loss::{CompletionTokens, OwnObjective, Seen, losses_onto, needs_whole_completions},
    objective::{Normalizer, ObjectiveConfig},
    sampler::StepRollouts,
    statistics::{CriticFigures, TokenSums},
};
use crate::{
    compute::HeadUpstream,
    generation::SamplingConfig,
    learner::{
        BudgetError, GradientConfig, Learner, MemorySection, MicroBatch, Scoring, Sequence,
        Streams, Upstream, pack, stream_gradients,
    },
    model::{Activations, Parameters, Routing, Transformer, routing::is_router},
    rollout::Judge,
    stages::StageError,
};

/// The frozen policy of the KL penalty.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Its weights.
    pub model: &'a Transformer,
    /// The step of the stage before which they were the policy's.
    pub since: u64,
}

/// What a step leaves behind.
#[derive(Debug)]
pub struct StepOutcome {
    /// Its figures.
    pub metrics: GrpoMetrics,
    /// What was sampled for it.
    pub rollouts: StepRollouts,
    /// The advantage of each completion of each group that was trained on, its tokens' mean where
    /// they differ; `None` without a verdict.
    pub advantages: Advantages,
}

/// What a GRPO stage works with; it holds no state of its own.
pub struct Trainer<'a> {
    /// The stage's settings.
    pub config: &'a GrpoConfig,
    /// How completions are drawn.
    pub sampling: &'a SamplingConfig,
    /// Who judged them.
    pub judge: &'a Judge,
    /// The frozen policy of the KL penalty, when there is one.
    pub reference: Option<Reference<'a>>,
    /// An objective of one's own in place of the config's.
    pub objective: Option<OwnObjective<'a>>,
    /// How much of the batch goes through the model at a time, and through its head.
    pub scoring: Scoring,
    /// Threads that share the micro-batches.
    pub workers: usize,
    /// What is kept of the forward pass.
    pub activations: Activations,
}

impl<'a> Trainer<'a> {
    /// One that trains by the config's objective and as much at a time as `memory` allows, without a reference.
    pub fn new(
        config: &'a GrpoConfig,
        sampling: &'a SamplingConfig,
        judge: &'a Judge,
        memory: &MemorySection,
    ) -> Self {
        Self {
            config,
            sampling,
            judge,
            reference: None,
            objective: None,
            scoring: memory.scoring(sampling),
            workers: memory.workers,
            activations: memory.activations(),
        }
    }
}

impl Trainer<'_> {
    /// Takes the batch of `step`, which counts from 0, and updates the policy of `learner` by it, without a critic and with a
    /// fixed weight of a KL penalty.
    ///
    /// # Errors
    /// When tasks cannot be had, a prompt cannot be encoded, or the settings have a critic.
    pub fn step(
        &self,
        learner: &mut Learner,
        feed: &mut Feed,
        step: u64,
    ) -> Result<StepOutcome, StageError> {
        let mut carried = Carried::new(self.config, None);
        self.step_with(learner, &mut carried, feed, step)
    }

    /// The same with what is `carried` from step to step, which learns too.
    ///
    /// # Errors
    /// When tasks cannot be had, a prompt cannot be encoded, or the critic says what is no number.
    pub fn step_with(
        &self,
        learner: &mut Learner,
        carried: &mut Carried,
        feed: &mut Feed,
        step: u64,
    ) -> Result<StepOutcome, StageError> {
        let start = Instant::now();
        let rollouts = feed.next(learner, step)?;
        let (metrics, advantages) = self.learn_with(learner, carried, &rollouts, step)?;
        let step_s = start.elapsed().as_secs_f64();
        Ok(StepOutcome {
            metrics: GrpoMetrics { step_s, ..metrics },
            rollouts,
            advantages,
        })
    }

    /// Updates the policy of `learner` by judged completions, without a critic: `iterations` times `mini_batches`
    /// updates. Returns the advantages as well, as [`StepOutcome`] has them.
    ///
    /// # Errors
    /// When a completion does not fit into a micro-batch, or the settings have a critic.
    pub fn learn(
        &self,
        learner: &mut Learner,
        rollouts: &StepRollouts,
        step: u64,
    ) -> Result<(GrpoMetrics, Advantages), StageError> {
        let mut carried = Carried::new(self.config, None);
        self.learn_with(learner, &mut carried, rollouts, step)
    }

    /// The same with what is `carried` from step to step: the critic says advantages, and learns by the same completions.
    ///
    /// # Errors
    /// When a completion does not fit into a micro-batch, or the critic says what is no number.
    pub fn learn_with(
        &self,
        learner: &mut Learner,
        carried: &mut Carried,
        rollouts: &StepRollouts,
        step: u64,
    ) -> Result<(GrpoMetrics, Advantages), StageError> {
        let training = Instant::now();
        let config = self.config;
        let staleness = learner.version - rollouts.version.min(learner.version);
        let reference = self.reference.map(|reference| reference.model);
        let weights = self.judge.rubric().weights();
        let scoring = self.scoring;
        let groups = &rollouts.groups;
        let mut batch = Batch::new(config, groups, &weights, reference, carried, scoring)?;
        let waits = config
            .critic
            .as_ref()
            .is_some_and(|c| step < c.warmup_steps);
        if waits {
            batch.move_none();
        } else if self
            .objective
            .is_some_and(|own| own.moves_without_advantage)
        {
            batch.move_all();
        }
        batch.score(config, &learner.model, reference, scoring)?;
        let rate = config.learning_rate
            * config
                .schedule
                .factor(step, config.steps, config.warmup_steps);
        let rate = if waits { 0.0 } else { rate };
        let Updates {
            first,
            last,
            routing,
            grad_norm,
        } = if waits {
            Updates::default()
        } else {
            self.update(learner, &batch, rate, staleness == 0)?
        };
        let value = match (&config.critic, &mut carried.critic) {
            (Some(settings), Some(critic)) => {
                Some(self.update_critic(settings, critic, &batch, step)?)
            }
            _ => None,
        };
        let kl_coef = config.adaptive_kl.map(|_| carried.kl.coefficient());
        if let Some(kl) = batch.kl_of_completions {
            carried.kl.update(kl, batch.examples.len());
        }
        // When no group has two different rewards, nothing is trained: these are then null.
        let tokens = first.seen.tokens as f64;
        let per_token = |sum: f64| sum / tokens;
        let seen = last.seen;
        let rewards = RewardStatistics::of(rollouts, self.judge.rubric());
        let training_s = training.elapsed().as_secs_f64();
        let metrics = GrpoMetrics {
            loss: first.loss / config.mini_batches as f64,
            entropy: per_token(first.entropy),
            kl: (config.objective().beta > 0.0).then_some(per_token(first.seen.kl)),
            kl_reward: batch.kl_reward,
            kl_coef,
            clip_fraction_low: seen.clipped_low as f64 / seen.tokens as f64,
            clip_fraction_high: seen.clipped_high as f64 / seen.tokens as f64,
            ratio_mean: seen.ratio / seen.tokens as f64,
            ratio_max: seen.ratio_max,
            mismatch_mean: per_token(first.mismatch),
            mismatch_max: match first.seen.tokens {
                0 => f64::NAN,
                _ => first.mismatch_max,
            },
            staleness_mean: staleness as f64,
            staleness_max: staleness,
            correction_mean: config.correction.map(|_| per_token(first.seen.correction)),
            correction_clipped: config
                .correction
                .map(|_| per_token(first.seen.corrected as f64)),
            masked_tokens: per_token(first.seen.masked as f64),
            reference_age: self.reference.map(|reference| step - reference.since),
            advantage_std: batch.advantage_std,
            sampled_groups: rollouts.sampled().count(),
            kept_groups: rollouts.groups.len() - rollouts.filling,
            refill_batches: rollouts.batches.saturating_sub(1),
            skipped_prompts: rollouts.skipped,
            trained_tokens: first.seen.tokens,
            expert_load: first.routing.figure(Routing::imbalance),
            router_entropy: first.routing.figure(Routing::entropy),
            idle_experts: first.routing.figure(Routing::idle),
            routes_changed: (config.router_replay == RouterReplay::R3).then_some(routing.changed()),
            grad_norm,
            learning_rate: rate,
            policy_version: learner.version,
            generation_s: rollouts.generation_s,
            reward_s: rollouts.reward_s,
            training_s,
            step_s: rollouts.generation_s + rollouts.reward_s + training_s,
            generated_tokens_per_s: rewards.completion_tokens as f64 / rollouts.generation_s,
            ..rewards.into_metrics()
        };
        let metrics = match value {
            Some(value) => value.onto(metrics),
            None => metrics,
        };
        Ok((metrics, batch.advantages(&rollouts.groups)))
    }

    /// Updates the policy by a batch. `sampled_by` says whether it is the policy that sampled.
    fn update(
        &self,
        learner: &mut Learner,
        batch: &Batch,
        rate: f64,
        mut sampled_by: bool,
    ) -> Result<Updates, BudgetError> {
        let config = self.config;
        let (mut first, mut last) = (TokenSums::default(), TokenSums::default());
        let mut routing = Routing::default();
        let mut grad_norm = 0.0;
        for iteration in 0..config.iterations {
            last = TokenSums::default();
            for part in 0..config.mini_batches {
                let examples = batch.mini_batch(part, config.mini_batches);
                let (mut gradients, sums) = self.gradients(learner, &examples, sampled_by)?;
                // The policy that sampled is the one that is trained until it is updated.
                sampled_by = false;
                // NaN moves nothing; the figures say so, and an alarm.
                grad_norm = if sums.loss.is_finite() {
                    if config.freeze_router {
                        gradients.retain(|name| !is_router(name));
                    }
                    learner.update(gradients, rate)
                } else {
                    f64::NAN
                };
                last.merge(&sums);
                routing.merge(&sums.routing);
                if !grad_norm.is_finite() {
                    break;
                }
            }
            if iteration == 0 {
                first = last.clone();
            }
            if !grad_norm.is_finite() {
                break;
            }
        }
        Ok(Updates {
            first,
            last,
            routing,
            grad_norm,
        })
    }

    /// Updates the critic by a batch of which it has said values.
    fn update_critic(
        &self,
        settings: &CriticConfig,
        critic: &mut Critic,
        batch: &Batch,
        step: u64,
    ) -> Result<CriticFigures, BudgetError> {
        let config = self.config;
        let rate = settings.learning_rate * settings.schedule.factor(step, config.steps, 0);
        let mut figures = CriticFigures::of(batch, rate);
        let mini_batches = settings.mini_batches.unwrap_or(config.mini_batches);
        for iteration in 0..settings.iterations.unwrap_or(config.iterations) {
            let mut sums = ValueSums::default();
            for part in 0..mini_batches {
                let examples = batch.mini_batch(part, mini_batches);
                let (seen, norm) = critic.update(&examples, settings.cliprange_value, rate)?;
                sums.merge(&seen);
                figures.grad_norm = norm;
                if !norm.is_finite() {
                    break;
                }
            }
            figures.saw(iteration, &sums, mini_batches);
            if !figures.grad_norm.is_finite() {
                break;
            }
        }
        Ok(figures)
    }

    /// The gradient of an update, micro-batch by micro-batch, and what was seen on the way. Where the
    /// policy is the one that `sampled`, its forward passes are used as far as they were kept.
    fn gradients(
        &self,
        learner: &mut Learner,
        examples: &[&Example],
        sampled: bool,
    ) -> Result<(Parameters, TokenSums), BudgetError> {
        let objective = self.config.objective();
        let counted = || examples.iter().filter(|e| e.counts);
        let total: usize = counted().map(|e| e.length()).sum();
        let completions = counted().count();
        let moving: Vec<&Example> = examples.iter().copied().filter(|e| e.moves).collect();
        let sequences: Vec<Sequence> = moving.iter().map(|e| e.sequence.clone()).collect();
        let mut batches = pack(&sequences, self.scoring.token_budget)?;
        if sampled {
            for batch in &mut batches {
                batch.recall(|member| moving[member].recorded.as_ref());
            }
        }
        let longest = self.sampling.max_tokens;
        let kept = |e: &&Example| match &e.kept {
            Some(kept) => kept.iter().filter(|kept| **kept).count(),
            None => e.length(),
        };
        let entropy = 1.0 / moving.iter().map(kept).sum::<usize>().max(1) as f64;
        let weight = |e: &&Example| Weights {
            gain: objective
                .normalizer
                .token_weight(e.length(), completions, total, longest),
            entropy,
        };
        let mut weights: Vec<Weights> = moving.iter().map(weight).collect();
        if objective.normalizer == Normalizer::MicroBatchTokens {
            share_in_micro_batches(&batches, &mut weights);
        }
        let config = GradientConfig {
            head: self.scoring.head,
            activations: self.activations,
            whole: match self.objective {
                Some(own) => own.whole_completions,
                None => needs_whole_completions(
                    &objective,
                    moving.iter().any(|e| e.old.is_some()),
                    moving.iter().any(|e| e.kept.is_some()),
                ),
            },
            balance: 0.0,
        };
        let members = Members {
            examples: &moving,
            weights: &weights,
            objective: &objective,
            own: self.objective,
        };
        let zeros = learner.zeros();
        let model = &learner.model;
        let (gradients, outputs) =
            stream_gradients(model, &batches, config, self.workers, zeros, &members);
        let mut sums = TokenSums::default();
        for (batch, output) in batches.iter().zip(&outputs) {
            sums.add(batch, output, &moving);
        }
        Ok((gradients, sums))
    }
}

/// What was seen of the updates by a batch.
#[derive(Default)]
struct Updates {
    /// The first time that it was gone through.
    first: TokenSums,
    /// The last time.
    last: TokenSums,
    /// Routes of all of them.
    routing: Routing,
    /// Global norm of the gradient of the last update.
    grad_norm: f64,
}

/// The examples of an update with their weights: what the learner is to do with each token of them.
struct Members<'a> {
    examples: &'a [&'a Example],
    weights: &'a [Weights],
    objective: &'a ObjectiveConfig,
    own: Option<OwnObjective<'a>>,
}

impl Streams for Members<'_> {
    /// Of each member of a micro-batch, in their order.
    type Seen = Vec<Seen>;

    /// The loss of a range of the tokens of a micro-batch, completion by completion.
    fn upstream(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        entropy: &[f32],
        seen: &mut Vec<Seen>,
    ) -> Upstream {
        seen.resize(batch.members.len(), Seen::default());
        let mut upstream = Upstream::default();
        for ((member, own), seen) in batch.parts().zip(seen) {
            let example = self.examples[member];
            let shared = own.start.max(range.start)..own.end.min(range.end);
            if shared.is_empty() {
                continue;
            }
            let part = shared.start - own.start..shared.end - own.start;
            let asked = shared.start - range.start..shared.end - range.start;
            let (logprobs, entropy) = (&logprobs[asked.clone()], &entropy[asked]);
            let tokens = example.tokens(part, logprobs, entropy, self.weights[member]);
            upstream.extend(self.losses(&tokens, seen));
        }
        upstream
    }
}

impl Members<'_> {
    fn losses(&self, tokens: &CompletionTokens, seen: &mut Seen) -> Upstream {
        let Some(own) = self.own else {
            return losses_onto(self.objective, tokens, seen);
        };
        let losses = (own.losses)(tokens);
        seen.add(&losses.seen);
        Upstream {
            value: losses.value,
            derivatives: HeadUpstream {
                by_logprobs: losses.by_logprobs,
                by_entropy: losses.by_entropy,
            },
        }
    }
}

/// Each token's share of its micro-batch, and of the number of micro-batches.
fn share_in_micro_batches(batches: &[MicroBatch], weights: &mut [Weights]) {
    for batch in batches {
        let share = 1.0 / (batch.targets.len() * batches.len()) as f64;
        for &member in &batch.members {
            weights[member].gain = share;
        }
    }
}
