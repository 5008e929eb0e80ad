//! A GRPO stage, from its first step or a checkpoint to its end.

use std::{fs, path::Path, sync::Arc};

use dunwu_datasets::Cursor;
use serde_json::{Map, Value, json};

use super::{
    Carried, Critic, Feed, GrpoConfig, Sampler, StepRollouts, Trainer,
    config::RouterReplay,
    critic,
    kl::KlControl,
    loss::SharedObjective,
    metrics::pass_rate,
    preflight,
    reference::{Place, Reference},
    saved::SavedRollouts,
    trainer::StepOutcome,
};
use crate::{
    bundle::Codec,
    generation::SamplingConfig,
    learner::{AdamWConfig, MemorySection},
    model::ModelConfig,
    rollout::{
        Completion, Judge, RolloutGroup,
        thought::thinking,
        work::{Amount, Spent},
    },
    seeds::Purpose,
    stages::{
        Context, Demand, Measuring, Saved, SecondModel, Settings, Stage, StageError, StepReport,
        Surroundings,
    },
};

/// What has been sampled and not yet trained on, in a checkpoint.
const PENDING: &str = "rollouts.json";

/// Updates that the critic has made, in the state of a checkpoint.
const CRITIC_UPDATES: &str = "critic_updates";

/// The bits of the adaptive weight of the KL penalty there.
const KL_COEFFICIENT: &str = "kl_coefficient_bits";

impl Settings for GrpoConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        GrpoConfig::validate(self, around)
    }

    fn resolve(&mut self) {
        *self = std::mem::take(self).resolved();
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn optimizer(&self) -> AdamWConfig {
        self.optimizer
    }

    fn demand(&self, around: &Surroundings, _model: &ModelConfig) -> Demand {
        let rollouts = self.prompts * self.group;
        Demand {
            rollouts,
            tokens: rollouts * around.sampling.max_tokens,
            recorded_tokens: around.memory.recorded_tokens(self.at_once()),
            reference: self.second_model(around),
            samples_ahead: self.max_staleness > 0,
            critic: self.critic.as_ref().map_or(SecondModel::None, |critic| {
                critic.second_model(around.lora.is_some())
            }),
        }
    }

    fn describe(&self, around: &Surroundings) -> String {
        let rollouts = self.prompts * self.group;
        let tokens = (rollouts * around.sampling.max_tokens) as u64;
        let mut words = format!(
            "{} steps of {rollouts} completions, {tokens} completion tokens a step, {} in all",
            self.steps,
            tokens * self.steps
        );
        if let Some(critic) = &self.critic {
            words += &critic.describe(around.lora.is_some());
        }
        words
    }

    fn measuring(&self) -> Measuring {
        Measuring::Throughout
    }

    fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        let step = saved.as_ref().map_or(0, |saved| saved.step);
        if self.router_replay == RouterReplay::R3 && context.learner.model.routed_shape().is_none()
        {
            return Err(StageError::Config(
                "grpo: router_replay = \"r3\", but the model has no experts; hint: remove it"
                    .to_owned(),
            ));
        }
        if saved.is_none() && context.preflight {
            look_ahead(self, context)?;
        }
        let mut source = context.tasks.source(context.seed(Purpose::Tasks))?;
        let mut cursor = Cursor::default();
        let mut ready = Vec::new();
        if let Some(saved) = &saved {
            cursor = serde_json::from_value(saved.state["cursor"].clone())
                .map_err(|error| unusable(context.stage, &error))?;
            source.restore(&cursor)?;
            ready = pending(context.stage, &saved.files)?;
        }
        let sampler = Sampler {
            config: self.clone(),
            sampling: context.sampling.clone(),
            memory: context.memory.clone(),
            codec: context.codec.clone(),
            judge: context.judge.clone(),
            environment: context.environment.clone(),
            correct: context.evaluation.correct.clone(),
            prompts: context.tasks.prompts,
            seed: context.seed(Purpose::Rollouts),
            recorded_tokens: context.memory.recorded_tokens(self.at_once()),
        };
        let feed = if self.max_staleness == 0 {
            Feed::in_turn(sampler, source)
        } else {
            Feed::beside(sampler, source, step, ready)
        };
        let place = Place {
            directory: context.directory.to_owned(),
            codec: context.codec.clone(),
            device: context.learner.model.device(),
            stage: context.stage,
            precision: context.memory.frozen,
        };
        let known = saved
            .as_ref()
            .and_then(|saved| saved.state["reference"].as_str());
        let reference = Reference::open(self, place, step, &context.learner.model, known)?;
        let carried = carry(self, context, saved.as_ref())?;
        Ok(Box::new(GrpoStage {
            codec: context.codec.clone(),
            carried,
            config: self.clone(),
            sampling: context.sampling.clone(),
            memory: context.memory.clone(),
            judge: context.judge.clone(),
            correct: context.evaluation.correct.clone(),
            feed,
            reference,
            cursor,
        }))
    }
}

/// A GRPO stage under way.
struct GrpoStage {
    config: GrpoConfig,
    codec: Arc<Codec>,
    carried: Carried,
    sampling: SamplingConfig,
    memory: MemorySection,
    judge: Arc<Judge>,
    /// The reward component that says whether an answer is right.
    correct: String,
    feed: Feed,
    reference: Reference,
    /// Where the source of tasks stood after the last batch that was trained on.
    cursor: Cursor,
}

impl Stage for GrpoStage {
    fn steps(&self) -> u64 {
        self.config.steps
    }

    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError> {
        self.reference
            .renew(&self.config, step, &context.learner.model)?;
        let trainer = Trainer {
            reference: self.reference.get(),
            objective: self.config.own_objective.as_ref().map(SharedObjective::get),
            ..Trainer::new(&self.config, &self.sampling, &self.judge, &self.memory)
        };
        let carried = &mut self.carried;
        let mut outcome = trainer.step_with(context.learner, carried, &mut self.feed, step)?;
        outcome.metrics.pass_rate = pass_rate(outcome.rollouts.sampled(), &self.correct);
        self.cursor = outcome.rollouts.cursor.clone();
        self.count(&outcome, context.spent);
        Ok(StepReport {
            completions: completion_lines(&outcome),
            metrics: Box::new(outcome.metrics),
        })
    }

    fn save(&mut self, files: &Path) -> Result<Value, StageError> {
        let pending = self.feed.pending()?;
        // What is sampled ahead is part of the checkpoint, and the source stands behind it.
        let newest = pending.last().map(|batch| batch.cursor.clone());
        let cursor = newest.unwrap_or_else(|| self.cursor.clone());
        if !pending.is_empty() {
            let path = files.join(PENDING);
            let pending: Vec<SavedRollouts> = pending.iter().map(|&batch| batch.into()).collect();
            let text = serde_json::to_string(&pending)
                .map_err(|error| StageError::file(&path)(error.into()))?;
            fs::write(&path, text).map_err(StageError::file(&path))?;
        }
        let mut state = json!({ "cursor": cursor, "reference": self.reference.fingerprint() });
        if let Some(critic) = &self.carried.critic {
            state[CRITIC_UPDATES] = json!(critic.save(files, &self.codec)?);
        }
        if self.config.adaptive_kl.is_some() {
            state[KL_COEFFICIENT] = json!(self.carried.kl.coefficient().to_bits());
        }
        Ok(state)
    }

    fn saved(&mut self, oldest: u64) -> Result<(), StageError> {
        // Whoever goes back to the oldest checkpoint needs its reference.
        self.reference.forget_before(oldest)
    }
}

/// What the stage carries from step to step, as it begins or as its checkpoint has it.
fn carry(
    config: &GrpoConfig,
    context: &Context,
    saved: Option<&Saved>,
) -> Result<Carried, StageError> {
    let mut carried = Carried::new(config, None);
    let place = critic::Place {
        codec: context.codec.clone(),
        memory: context.memory.clone(),
        stage: context.stage,
    };
    let number = |saved: &Saved, key: &str| {
        let missing = || unusable(context.stage, &format!("{key} is not in its state"));
        saved.state[key].as_u64().ok_or_else(missing)
    };
    let policy = &context.learner.model;
    if let Some(settings) = &config.critic {
        carried.critic = Some(match saved {
            None => Critic::begin(settings, &place, policy)?,
            Some(saved) => {
                let updates = number(saved, CRITIC_UPDATES)?;
                Critic::resume(settings, &place, policy, &saved.files, updates)?
            }
        });
    }
    if let Some(saved) = saved.filter(|_| config.adaptive_kl.is_some()) {
        let bits = number(saved, KL_COEFFICIENT)?;
        carried.kl = KlControl::new(f64::from_bits(bits), config.adaptive_kl);
    }
    Ok(carried)
}

impl GrpoStage {
    /// Counts what went through the policy for a step.
    fn count(&self, outcome: &StepOutcome, spent: &mut Spent) {
        let StepOutcome {
            rollouts,
            advantages,
            ..
        } = outcome;
        spent.forward(Amount::sampled(rollouts.sampled()));
        // Without a penalty an advantage of 0 moves nothing.
        let all_move = self.config.beta != 0.0;
        let masked = self.config.mask_truncated;
        for _ in 0..self.config.iterations {
            for (group, advantages) in rollouts.groups.iter().zip(advantages) {
                spent.trained(Amount::of_group(group, |index| {
                    let moves = advantages[index].is_some_and(|a| all_move || a != 0.0);
                    moves && !(masked && group.completions[index].truncated())
                }));
            }
        }
    }
}

/// Looks for what would waste hours, before the first step.
fn look_ahead(config: &GrpoConfig, context: &mut Context) -> Result<(), StageError> {
    let seed = context.seed(Purpose::Preflight);
    let mut source = context.tasks.source(seed)?;
    let prompts = context.prompt_limit();
    let encoder = &context.codec.encoder;
    let drawn = prompts.draw(encoder, source.as_mut(), preflight::GROUPS, 0.0)?;
    preflight::check(
        &context.collector(),
        &context.learner.model,
        context.sampling,
        config,
        context.memory.scoring(context.sampling),
        drawn.tasks,
        seed,
    )?;
    context.note("preflight", "passed");
    Ok(())
}

/// What an earlier session sampled and did not train on, oldest first.
fn pending(stage: usize, files: &Path) -> Result<Vec<StepRollouts>, StageError> {
    let path = files.join(PENDING);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(StageError::file(&path))?;
    let saved: Vec<SavedRollouts> = serde_json::from_str(&text)
        .map_err(|error| unusable(stage, &format!("{}: {error}", path.display())))?;
    Ok(saved.into_iter().map(Into::into).collect())
}

fn unusable(stage: usize, reason: &impl ToString) -> StageError {
    StageError::State {
        stage,
        reason: reason.to_string(),
    }
}

/// The lines of `completions.jsonl` for one step.
fn completion_lines(outcome: &StepOutcome) -> Vec<Map<String, Value>> {
    let mut lines = Vec::new();
    for (index, group) in outcome.rollouts.sampled().enumerate() {
        // Groups that were dropped have none.
        let advantages = outcome.advantages.get(index);
        for (sample, completion) in group.completions.iter().enumerate() {
            let place = [index, sample];
            let advantage = advantages.and_then(|group| group[sample]);
            let version = outcome.rollouts.version;
            lines.push(completion_line(
                place, version, group, completion, advantage,
            ));
        }
    }
    lines
}

/// The line of the completion at `[group, sample]` of its step.
fn completion_line(
    place: [usize; 2],
    version: u64,
    group: &RolloutGroup,
    completion: &Completion,
    advantage: Option<f64>,
) -> Map<String, Value> {
    let transcript = completion.trajectory.transcript();
    let thinking = thinking(&group.prompt_text, &transcript);
    let components: Map<String, Value> = match &completion.outcome {
        Ok(outcome) => outcome
            .components
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect(),
        Err(_) => Map::new(),
    };
    let fields = [
        ("group", json!(place[0])),
        ("sample", json!(place[1])),
        ("version", json!(version)),
        ("task", json!(group.task.id)),
        ("prompt", json!(group.prompt_text)),
        ("completion", json!(transcript)),
        ("answer", json!(group.task.answer)),
        ("tokens", json!(completion.sampled_tokens())),
        ("truncated", json!(completion.truncated())),
        ("finish", json!(completion.finish())),
        (
            "thinking",
            json!(thinking.map(|range| [range.start, range.end])),
        ),
        ("reward", json!(completion.reward())),
        ("components", Value::Object(components)),
        (
            "judge_error",
            json!(completion.outcome.as_ref().err().map(ToString::to_string)),
        ),
        ("advantage", json!(advantage)),
    ];
    fields
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}
