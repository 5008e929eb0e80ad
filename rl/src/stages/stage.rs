//! What every kind of stage is to the run that drives it.

use std::{
    any::Any,
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
};

use dunwu_datasets::DatasetError;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    alarms::Vitals,
    bundle::{BundleError, Codec, PromptError},
    eval::EvaluationSection,
    generation::SamplingConfig,
    learner::{AdamWConfig, BudgetError, Learner, MemorySection},
    model::{
        ModelConfig, PrecisionError,
        lora::{Lora, LoraError},
        weights::WeightError,
    },
    rollout::{Environment, Judge, RewardSection, RolloutCollector, work::Spent},
    seeds::{Purpose, stage_seed},
    tasks::{DataSection, Tasks},
};

/// What stands around a stage in its run's config: what its settings are checked and counted beside.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Its index, from 0.
    pub index: usize,
    /// The settings of all stages.
    pub stages: &'a [&'a dyn Settings],
    /// `[data]`.
    pub data: &'a DataSection,
    /// `[reward]`.
    pub reward: &'a RewardSection,
    /// Names of the components of the rubric.
    pub components: &'a [String],
    /// `[sampling]`.
    pub sampling: &'a SamplingConfig,
    /// `[memory]`.
    pub memory: &'a MemorySection,
    /// `[lora]`.
    pub lora: Option<&'a Lora>,
}

/// The settings of a stage, as they stand in a config.
pub trait Settings: Debug + Send + Sync {
    /// Checks the stage beside the rest of its run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    fn validate(&self, around: &Surroundings) -> Result<(), String>;

    /// Spells out what one setting decides about others.
    fn resolve(&mut self) {}

    /// Number of steps; `None` where only the data can tell.
    fn steps(&self) -> Option<u64>;

    /// The optimiser's settings.
    fn optimizer(&self) -> AdamWConfig {
        AdamWConfig::default()
    }

    /// What the stage needs beside the model and its optimiser.
    fn demand(&self, around: &Surroundings, model: &ModelConfig) -> Demand;

    /// How long it is, and how much it samples, in words: `dunwu check` shows it.
    fn describe(&self, around: &Surroundings) -> String;

    /// How held-out problems are measured around it.
    fn measuring(&self) -> Measuring;

    /// The weights that it begins with.
    fn begins_with(&self) -> Weights {
        Weights::AsTheyAre
    }

    /// The earlier stage whose last weights it reads beside those that it begins with: they are kept for it.
    fn looks_at_stage(&self) -> Option<usize> {
        None
    }

    /// Whether it leaves a file of examples for later stages at [`data_set`].
    fn leaves_data_set(&self) -> bool {
        false
    }

    /// Whether it leaves a file of pairs for later stages at [`pair_set`].
    fn leaves_pairs(&self) -> bool {
        false
    }

    /// Whether it leaves a reward model for later stages at [`reward_model`].
    fn leaves_reward_model(&self) -> bool {
        false
    }

    /// Whether it draws problems of the run. A run none of whose stages does needs neither `[data]` nor `[reward.rubric]`.
    fn asks(&self) -> bool {
        true
    }

    /// How long its warm-up is, in steps.
    fn warmup_steps(&self) -> u64 {
        0
    }

    /// Reads the files that the stage will read and makes examples of them, as far as `rehearsal` asks. What it found, in
    /// words, one file a line.
    ///
    /// # Errors
    /// What would end the stage.
    fn rehearse(&self, _rehearsal: &Rehearsal) -> Result<Vec<String>, StageError> {
        Ok(Vec::new())
    }

    /// Makes ready for the stage's next step: its first, or the one after the checkpoint that left `saved`.
    ///
    /// # Errors
    /// When its data, its reference or its preflight are not what they should be.
    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError>;
}

/// What a stage is tried with before its run has begun.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rehearsal<'a> {
    /// Text to its tokens, and the longest sequence of the model in tokens; `None` where there is no model: files are
    /// only read then.
    pub codec: Option<(&'a Codec, usize)>,
    /// What the run may use.
    pub memory: &'a MemorySection,
    /// At most so many rows of a file are made into tokens, spread evenly over it; `None`: all.
    pub rows: Option<usize>,
}

impl<'a> Rehearsal<'a> {
    /// A rehearsal with the model's text side, of a sample of rows or of all.
    pub fn new(
        codec: Option<(&'a Codec, usize)>,
        memory: &'a MemorySection,
        rows: Option<usize>,
    ) -> Self {
        Self {
            codec,
            memory,
            rows,
        }
    }
}

/// A stage under way.
pub trait Stage {
    /// Steps of the stage.
    fn steps(&self) -> u64;

    /// Makes step `step`, which counts from 0.
    ///
    /// # Errors
    /// What ends the run; what was saved until then stays.
    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError>;

    /// What it needs to go on after the last step made, beside the learner: a value that is kept in `state.json`, and
    /// files, written to the directory `files` of the checkpoint.
    ///
    /// # Errors
    /// When the disk does not take them.
    fn save(&mut self, files: &Path) -> Result<Value, StageError>;

    /// A checkpoint is there; the oldest that is kept was saved before step `oldest` of this stage.
    ///
    /// # Errors
    /// When what no checkpoint needs any more cannot be removed.
    fn saved(&mut self, _oldest: u64) -> Result<(), StageError> {
        Ok(())
    }

    /// Ends the stage after its last step, and gives what is to be said of it in `summary.json`.
    ///
    /// # Errors
    /// When it came to nothing, or its results cannot be written.
    fn end(&mut self, _context: &mut Context) -> Result<Map<String, Value>, StageError> {
        Ok(Map::new())
    }

    /// Removes what only a stage under way needs, once a checkpoint knows that it is over.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn forget(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

/// What a stage left in a checkpoint.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Steps made.
    pub step: u64,
    /// What [`Stage::save`] returned.
    pub state: Value,
    /// The directory that it wrote its files to; it may be missing when there are none.
    pub files: PathBuf,
}

/// What a step leaves behind.
#[derive(Debug)]
pub struct StepReport {
    /// Its figures.
    pub metrics: Box<dyn StepMetrics>,
    /// Lines of `completions.jsonl`, but for the step.
    pub completions: Vec<Map<String, Value>>,
}

impl StepReport {
    /// A step without completions to log.
    pub fn of(metrics: impl StepMetrics + 'static) -> Self {
        Self {
            metrics: Box::new(metrics),
            completions: Vec::new(),
        }
    }
}

/// The figures of a step.
pub trait StepMetrics: Debug + Send {
    /// All of them by name, as they stand in `metrics.jsonl`.
    ///
    /// # Errors
    /// When one has no JSON form.
    fn figures(&self) -> serde_json::Result<Map<String, Value>>;

    /// The type behind, for those who know the stage.
    fn as_any(&self) -> &dyn Any;

    /// What alarms look at.
    fn vitals(&self) -> Vitals;

    /// The figures that a person wants to see at every step, in a line.
    fn line(&self) -> String;

    /// Whether steps are short and many, so that a person wants to see only some of them.
    fn is_brief(&self) -> bool {
        false
    }
}

/// What a stage needs, for an estimate of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Completions of one step.
    pub rollouts: usize,
    /// Tokens that they may have in all.
    pub tokens: usize,
    /// Tokens whose activations are kept from sampling for training.
    pub recorded_tokens: usize,
    /// What it holds of a second model.
    pub reference: SecondModel,
    /// Whether it samples with weights of its own, some steps behind.
    pub samples_ahead: bool,
    /// What it trains of a second model, beside the policy.
    pub critic: SecondModel,
}

/// What a stage holds of a second model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecondModel {
    /// Nothing, or the base of the adapters, which is there anyway.
    #[default]
    None,
    /// Adapters of its own on the run's base.
    Adapters,
    /// All weights, stored as `memory.frozen` says.
    Whole,
}

/// How held-out problems are measured around a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measuring {
    /// Before it, if nothing was measured yet, every `evaluation.every` steps, and after it, with samples.
    Throughout,
    /// After it, greedily.
    After,
    /// It leaves the policy as it is: what was measured before holds.
    Unchanged,
}

/// The weights that a stage begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Those that the stage before left.
    AsTheyAre,
    /// Those that the run began with.
    OfTheRun,
    /// Those that an earlier stage ended with.
    AfterStage(usize),
}

/// Where the stage with this index leaves a data set, if it does.
pub fn data_set(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("rejection-{stage}.jsonl"))
}

/// Where the stage with this index leaves pairs of completions, if it does.
pub fn pair_set(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("pairs-{stage}.jsonl"))
}

/// Where the weights that the stage with this index ended with are kept, where a later one asks for them: laid out as a
/// checkpoint, `model/`, and `adapter/` with adapters.
pub fn stage_weights(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("after-stage-{stage}"))
}

/// Where the stage with this index leaves a reward model, if it does.
pub fn reward_model(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("reward-model-{stage}"))
}

/// The fields of something that is a JSON object.
///
/// # Errors
/// When it is none.
pub fn fields(value: &impl Serialize) -> serde_json::Result<Map<String, Value>> {
    match serde_json::to_value(value)? {
        Value::Object(fields) => Ok(fields),
        other => Err(serde::de::Error::custom(format!("{other} has no fields"))),
    }
}

/// What a run lends its stage.
pub struct Context<'r> {
    /// The policy.
    pub learner: &'r mut Learner,
    /// Text to its tokens and back.
    pub codec: &'r Arc<Codec>,
    /// Who judges completions.
    pub judge: &'r Arc<Judge>,
    /// Answers the turns of completions.
    pub environment: &'r Arc<dyn Environment>,
    /// The problems of the run.
    pub tasks: &'r Tasks,
    /// How completions are drawn.
    pub sampling: &'r SamplingConfig,
    /// How the policy is measured.
    pub evaluation: &'r EvaluationSection,
    /// What the run may use.
    pub memory: &'r MemorySection,
    /// Seed of the run.
    pub seed: u64,
    /// Index of the stage.
    pub stage: usize,
    /// Where a stage may keep files of its own.
    pub directory: &'r Path,
    /// Whether to look for what would waste hours before the first step.
    pub preflight: bool,
    /// Is told what went through the policy, for `flops` in `metrics.jsonl`.
    pub spent: &'r mut Spent,
    /// Is told what a person should know.
    pub notes: &'r mut dyn Notes,
}

/// Is told what a person should know.
pub trait Notes {
    /// A topic of one word, and a line about it.
    fn note(&mut self, topic: &str, text: &str);
}

impl Context<'_> {
    /// A seed for `purpose` in this stage.
    pub fn seed(&self, purpose: Purpose) -> u64 {
        stage_seed(self.seed, purpose, self.stage)
    }

    /// Tells a person a line about a topic of one word.
    pub fn note(&mut self, topic: &str, text: &str) {
        self.notes.note(topic, text);
    }

    /// Samples and judges by the settings of the run. It borrows only what sampling needs, so that the learner stays free
    /// to change.
    pub fn collector(&self) -> RolloutCollector<'_> {
        collector(
            self.codec,
            self.judge,
            self.environment.as_ref(),
            self.memory,
        )
    }
}

/// Samples and judges as `memory` allows, and records nothing for training.
pub fn collector<'a>(
    codec: &'a Codec,
    judge: &'a Judge,
    environment: &'a dyn Environment,
    memory: &MemorySection,
) -> RolloutCollector<'a> {
    RolloutCollector {
        environment,
        batch_rows: memory.batch_rows,
        workers: memory.workers,
        ..RolloutCollector::new(&codec.encoder, judge, &codec.eos)
    }
}

/// What stops a stage.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StageError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// What only one kind of stage knows of.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Adapter(#[from] LoraError),
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("preflight: {problem}\nhint: {hint}; --no-preflight goes on regardless")]
    Preflight { problem: String, hint: String },
    #[error("the thread that samples has ended before its work was done")]
    SamplerEnded,
    /// What a checkpoint has of the stage is not what the stage can go on from.
    #[error("stage {stage} cannot go on from its checkpoint: {reason}")]
    State { stage: usize, reason: String },
    /// The config was checked before, so this is about its surroundings.
    #[error("{0}")]
    Config(String),
}

impl StageError {
    /// An error of the file system at `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
