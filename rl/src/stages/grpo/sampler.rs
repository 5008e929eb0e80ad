//! From tasks to judged groups worth training on.

use std::sync::Arc;

use dunwu_datasets::{Cursor, TaskResult, TaskSource, derive_seed};

use super::{GrpoConfig, RouterReplay, advantage::is_constant};
use crate::{
    bundle::Codec,
    eval::EvaluationSection,
    generation::{Recorded, SamplingConfig},
    learner::MemorySection,
    model::Transformer,
    rollout::{Collected, Completion, Environment, Judge, OneTurn, RolloutCollector, RolloutGroup},
    stages::{PromptLimit, StageError, collector},
    tasks::PromptRule,
};

/// What one step trains on, and what it took to get it.
#[derive(Debug, Default)]
pub struct StepRollouts {
    /// The groups of the step.
    pub groups: Vec<RolloutGroup>,
    /// Groups sampled besides, of which nothing could be learned (dynamic sampling).
    pub dropped: Vec<RolloutGroup>,
    /// How many of [`Self::groups`] teach nothing and fill the step up.
    pub filling: usize,
    /// Problems that were drawn and skipped because their prompts are too long; `None` where that is an error.
    pub skipped: Option<usize>,
    /// Version of the policy that sampled.
    pub version: u64,
    /// Times that groups were sampled.
    pub batches: usize,
    /// Seconds of sampling.
    pub generation_s: f64,
    /// Seconds of waiting for the judge after the last token.
    pub reward_s: f64,
    /// Tokens whose activations are kept for training.
    pub recorded_tokens: usize,
    /// Where the source of tasks stood afterwards.
    pub cursor: Cursor,
}

impl StepRollouts {
    /// All groups that were sampled.
    pub fn sampled(&self) -> impl Iterator<Item = &RolloutGroup> {
        self.groups.iter().chain(&self.dropped)
    }
}

impl From<Collected> for StepRollouts {
    /// Groups that were sampled at once by the policy at hand.
    fn from(collected: Collected) -> Self {
        Self {
            recorded_tokens: recorded_tokens(&collected.groups),
            groups: collected.groups,
            generation_s: collected.generation_s,
            reward_s: collected.reward_s,
            batches: 1,
            ..Self::default()
        }
    }
}

/// Samples and judges the batches of a stage. It owns what it needs, or shares it, so that it can work on a thread of its own.
#[derive(Clone)]
pub struct Sampler {
    /// The stage's settings.
    pub config: GrpoConfig,
    /// How completions are drawn.
    pub sampling: SamplingConfig,
    /// How much is decoded at a time.
    pub memory: MemorySection,
    /// Text to its tokens and back.
    pub codec: Arc<Codec>,
    /// Who judges completions.
    pub judge: Arc<Judge>,
    /// Answers the turns of completions.
    pub environment: Arc<dyn Environment>,
    /// The reward component that says whether an answer is right.
    pub correct: String,
    /// How long prompts may be.
    pub prompts: PromptRule,
    /// Seed of the stage.
    pub seed: u64,
    /// Activations of at most so many tokens of a step are kept for training.
    pub recorded_tokens: usize,
}

impl Sampler {
    /// One that draws and judges as a config does that says nothing else; it keeps nothing for training.
    pub fn new(config: GrpoConfig, codec: Arc<Codec>, judge: Arc<Judge>) -> Self {
        Self {
            config,
            sampling: SamplingConfig::default(),
            memory: MemorySection::default(),
            codec,
            judge,
            environment: Arc::new(OneTurn),
            correct: EvaluationSection::default().correct,
            prompts: PromptRule::default(),
            seed: 0,
            recorded_tokens: 0,
        }
    }

    /// Samples and judges the completions of a step, which counts from 0, with version `version` of
    /// the policy. With dynamic sampling, groups whose rewards are all the same are replaced as
    /// long as there are batches left, and fill the step up at the end.
    ///
    /// # Errors
    /// When tasks cannot be had or a prompt cannot be encoded.
    pub fn sample(
        &self,
        model: &Transformer,
        version: u64,
        source: &mut dyn TaskSource,
        step: u64,
    ) -> Result<StepRollouts, StageError> {
        let done = step as f64 / self.config.steps.max(1) as f64;
        let prompts = self.config.prompts;
        let most = self.config.dynamic_sampling.map_or(1, |d| d.max_batches);
        let context = model.config().max_position_embeddings;
        let limit = PromptLimit::new(self.prompts, &self.sampling, context);
        let mut rollouts = StepRollouts {
            version,
            skipped: limit.drops().then_some(0),
            ..StepRollouts::default()
        };
        while rollouts.groups.len() < prompts && rollouts.batches < most {
            let missing = prompts - rollouts.groups.len();
            let drawn = limit.draw(&self.codec.encoder, source, missing, done)?;
            rollouts.skipped = rollouts.skipped.map(|count| count + drawn.skipped);
            let tasks = drawn.tasks;
            let seed = match rollouts.batches as u64 {
                0 => derive_seed(self.seed, &[step]),
                batch => derive_seed(self.seed, &[step, batch]),
            };
            let group = self.config.group;
            let collector = RolloutCollector {
                record_routes: self.config.router_replay == RouterReplay::R3,
                recorded_tokens: self
                    .recorded_tokens
                    .saturating_sub(rollouts.recorded_tokens),
                ..collector(
                    &self.codec,
                    &self.judge,
                    self.environment.as_ref(),
                    &self.memory,
                )
            };
            let collected = collector.collect(model, &self.sampling, tasks, group, seed, |_| {})?;
            rollouts.recorded_tokens += recorded_tokens(&collected.groups);
            rollouts.batches += 1;
            rollouts.generation_s += collected.generation_s;
            rollouts.reward_s += collected.reward_s;
            source.observe(&self.results(&collected.groups));
            for group in collected.groups {
                let teaches = most == 1 || !is_constant(&group.rewards());
                if teaches {
                    rollouts.groups.push(group);
                } else {
                    rollouts.dropped.push(group);
                }
            }
        }
        let missing = prompts.saturating_sub(rollouts.groups.len());
        let filling = missing.min(rollouts.dropped.len());
        rollouts.filling = filling;
        rollouts.groups.extend(rollouts.dropped.drain(..filling));
        rollouts.cursor = source.cursor();
        Ok(rollouts)
    }

    /// How many completions of each task were right.
    fn results(&self, groups: &[RolloutGroup]) -> Vec<TaskResult> {
        let result = |group: &RolloutGroup| {
            let right = |c: &Completion| c.component(&self.correct).map(|value| value > 0.5);
            let verdicts: Vec<bool> = group.completions.iter().filter_map(right).collect();
            let passed = verdicts.iter().filter(|right| **right).count();
            TaskResult::new(&group.task.id, passed, verdicts.len())
        };
        groups.iter().map(result).collect()
    }
}

/// Tokens on the tapes of some groups.
fn recorded_tokens(groups: &[RolloutGroup]) -> usize {
    let completions = groups.iter().flat_map(|group| &group.completions);
    Recorded::tokens(completions.filter_map(|completion| completion.recorded.as_ref()))
}
