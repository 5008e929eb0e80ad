//! A run as a TOML file: strict, with overrides, printed resolved.
//!
//! | file | subject |
//! |---|---|
//! | [`mod@load`] | reading, `--set`, errors that name file, line and the nearest key |
//! | this one | the sections and what they mean |

pub mod load;

use std::path::PathBuf;

use dunwu_datasets::{Generator, GeneratorConfig, JsonlConfig};
use dunwu_rewards::{Rubric, RubricConfig};
use serde::{Deserialize, Serialize};

use crate::{
    device::DeviceChoice,
    generation::SamplingConfig,
    grpo::GrpoConfig,
    model::{Activations, lora::Lora},
    policy::AdamWConfig,
    run::bundle,
    sft::SftConfig,
    tokenizer::Tokenizer,
};

pub use load::{ConfigError, load};

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Names the run's directory, `runs/<name>`.
    pub name: String,
    /// Seeds everything.
    #[serde(default)]
    pub seed: u64,
    /// Where tensors live.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Where the model comes from.
    pub model: ModelSection,
    /// Low-rank adapters to train instead of the whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// What it is asked.
    pub data: DataSection,
    /// How its answers are judged.
    pub reward: RewardSection,
    /// How it answers.
    #[serde(default)]
    pub sampling: SamplingConfig,
    /// How it is measured.
    #[serde(default)]
    pub evaluation: EvaluationSection,
    /// What it may use.
    #[serde(default)]
    pub memory: MemorySection,
    /// When the run is saved.
    #[serde(default)]
    pub checkpoint: CheckpointSection,
    /// What is done, in order.
    pub stages: Vec<StageConfig>,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSection {
    /// A new one with random weights.
    Scratch(ScratchModel),
    /// One with weights: a Hugging Face directory, a GGUF file or a name on the hub.
    Pretrained(PretrainedModel),
}

/// A small transformer over characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchModel {
    /// The characters it knows, each a token.
    pub alphabet: String,
    /// Texts that are one token each.
    #[serde(default)]
    pub special_tokens: Vec<String>,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of key-value heads; it divides `heads`.
    pub kv_heads: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
}

/// Where a pretrained model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedModel {
    /// A directory, a `.gguf` file, or `owner/name` on the hub. `${NAME}` stands for an environment
    /// variable, `${NAME:-text}` for it or `text`.
    pub path: String,
}

/// What is asked: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Tasks made on the spot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<GeneratorConfig>,
    /// Tasks from this JSON-lines file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which of the file's fields are what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<JsonlConfig>,
    /// Share of a file's tasks that is held out; generators have their own setting.
    #[serde(default = "tenth")]
    pub heldout_fraction: f64,
}

fn tenth() -> f64 {
    0.1
}

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSection {
    /// Components and their combination.
    pub rubric: RubricConfig,
    /// Seconds after which a judge counts as failed.
    #[serde(default = "ten_seconds")]
    pub deadline_s: f64,
}

fn ten_seconds() -> f64 {
    10.0
}

/// How the policy is measured, on problems that training never sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSection {
    /// Held-out problems.
    pub problems: usize,
    /// Completions a problem that are sampled besides the greedy one; 0: greedy only.
    pub samples: usize,
    /// Measure after every so many GRPO steps, greedily; 0: only before and after.
    pub every: u64,
    /// The reward component that says whether an answer is right: its value is then above 0.5.
    pub correct: String,
}

impl Default for EvaluationSection {
    fn default() -> Self {
        Self {
            problems: 200,
            samples: 0,
            every: 0,
            correct: "exact".to_owned(),
        }
    }
}

/// What the run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySection {
    /// Tokens of a training micro-batch: prompts once, completions each.
    pub token_budget: usize,
    /// Completions decoded at a time.
    pub batch_rows: usize,
    /// Threads that share micro-batches, and decode requests of their own, with a share of the
    /// cores each. More than one pays on the CPU for models whose matrices are too small to be
    /// shared among cores; it multiplies the memory of activations and gradients.
    pub workers: usize,
    /// MiB of one chunk of logits.
    pub head_chunk_mib: usize,
    /// Keep only the input of each block and compute the rest a second time in the backward pass:
    /// a fraction of the memory for a third more arithmetic.
    pub checkpoint_activations: bool,
}

impl MemorySection {
    /// What is kept of a forward pass.
    pub fn activations(&self) -> Activations {
        match self.checkpoint_activations {
            true => Activations::Inputs,
            false => Activations::All,
        }
    }
}

impl Default for MemorySection {
    fn default() -> Self {
        Self {
            token_budget: 1024,
            batch_rows: 64,
            workers: 1,
            head_chunk_mib: 64,
            checkpoint_activations: false,
        }
    }
}

/// When the run is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSection {
    /// Steps between checkpoints; the last step of a stage is always saved.
    pub every: u64,
    /// Checkpoints kept; older ones are removed.
    pub keep: usize,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every: 25, keep: 2 }
    }
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StageConfig {
    /// Supervised fine-tuning.
    Sft(SftConfig),
    /// Group relative policy optimisation.
    Grpo(GrpoConfig),
}

impl StageConfig {
    /// Its name in a config.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sft(_) => "sft",
            Self::Grpo(_) => "grpo",
        }
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Sft(sft) => sft.steps,
            Self::Grpo(grpo) => grpo.steps,
        }
    }

    /// The optimiser's settings.
    pub fn optimizer(&self) -> AdamWConfig {
        match self {
            Self::Sft(sft) => sft.optimizer,
            Self::Grpo(grpo) => grpo.optimizer,
        }
    }
}

impl RunConfig {
    /// Checks what a single section cannot know. Messages name keys and values.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return Err(format!(
                "name = {:?} must be a plain directory name",
                self.name
            ));
        }
        if self.data.task.is_some() == self.data.file.is_some() {
            return Err("[data] needs exactly one of data.task and data.file".to_owned());
        }
        if self.data.fields.is_some() && self.data.file.is_none() {
            return Err("[data.fields] describes data.file, which is not set".to_owned());
        }
        if !(0.0..1.0).contains(&self.data.heldout_fraction) {
            let value = self.data.heldout_fraction;
            return Err(format!(
                "data.heldout_fraction = {value} must be at least 0 and below 1"
            ));
        }
        if !(self.reward.deadline_s > 0.0 && self.reward.deadline_s <= 1e6) {
            let value = self.reward.deadline_s;
            return Err(format!(
                "reward.deadline_s = {value} must be above 0 and at most a million"
            ));
        }
        if let ModelSection::Scratch(model) = &self.model {
            validate_scratch(model)?;
        }
        if let Some(lora) = &self.lora {
            lora.validate().map_err(|e| e.to_string())?;
        }
        if let Some(task) = &self.data.task {
            Generator::from_config(task).map_err(|e| format!("data.task: {e}"))?;
        }
        if let Some(fields) = &self.data.fields {
            fields.validate().map_err(|e| format!("data.fields: {e}"))?;
        }
        self.sampling
            .validate()
            .map_err(|e| format!("sampling.{e}"))?;
        let rubric =
            Rubric::from_config(&self.reward.rubric).map_err(|e| format!("reward.rubric: {e}"))?;
        let names: Vec<String> = rubric
            .component_names()
            .iter()
            .map(ToString::to_string)
            .collect();
        if !names.contains(&self.evaluation.correct) {
            return Err(format!(
                "evaluation.correct = {:?} is no reward component; there are: {}",
                self.evaluation.correct,
                names.join(", ")
            ));
        }
        positive("memory.token_budget", self.memory.token_budget)?;
        positive("memory.batch_rows", self.memory.batch_rows)?;
        positive("memory.workers", self.memory.workers)?;
        positive("memory.head_chunk_mib", self.memory.head_chunk_mib)?;
        let (budget, longest) = (self.memory.token_budget, self.sampling.max_tokens);
        let grpo = |stage: &StageConfig| matches!(stage, StageConfig::Grpo(_));
        if budget < longest && self.stages.iter().any(grpo) {
            return Err(format!(
                "memory.token_budget = {budget} holds no completion of sampling.max_tokens = {longest}: raise the one (to that and the longest prompt) or lower the other"
            ));
        }
        positive("evaluation.problems", self.evaluation.problems)?;
        positive("checkpoint.keep", self.checkpoint.keep)?;
        positive("checkpoint.every", self.checkpoint.every as usize)?;
        if self.stages.is_empty() {
            return Err(
                "there is no stage; hint: add one, such as [[stages]] kind = \"grpo\"".to_owned(),
            );
        }
        for (index, stage) in self.stages.iter().enumerate() {
            self.validate_stage(stage)
                .map_err(|message| format!("stages.{index} ({}): {message}", stage.kind()))?;
        }
        Ok(())
    }

    fn validate_stage(&self, stage: &StageConfig) -> Result<(), String> {
        let (rate, optimizer) = match stage {
            StageConfig::Sft(sft) => {
                positive("steps", sft.steps as usize)?;
                positive("batch", sft.batch)?;
                if let Some(traces) = &sft.traces {
                    traces.validate().map_err(|e| format!("traces: {e}"))?;
                }
                match (&sft.file, &self.data.task) {
                    (Some(_), _)
                    | (
                        None,
                        Some(GeneratorConfig::ChainSum(_) | GeneratorConfig::Program(_)),
                    ) => {}
                    (None, _) => return Err(
                        "nothing to learn from: set `file`, or use the generator chain-sum or program, which make demonstrations"
                            .to_owned(),
                    ),
                }
                (sft.learning_rate, sft.optimizer)
            }
            StageConfig::Grpo(grpo) => {
                positive("steps", grpo.steps as usize)?;
                positive("prompts", grpo.prompts)?;
                positive("iterations", grpo.iterations as usize)?;
                if grpo.group < 2 {
                    return Err(format!(
                        "group = {} must be at least 2: advantages compare completions",
                        grpo.group
                    ));
                }
                if self.sampling.temperature == 0.0 {
                    return Err(
                        "sampling.temperature = 0 gives equal completions: set it above 0"
                            .to_owned(),
                    );
                }
                for (name, value) in [
                    ("epsilon", grpo.epsilon),
                    ("epsilon_high", grpo.epsilon_high),
                ] {
                    if !(value > 0.0 && value.is_finite()) || (name == "epsilon" && value > 1.0) {
                        return Err(format!(
                            "{name} = {value} must be above 0 (and epsilon at most 1)"
                        ));
                    }
                }
                if !(grpo.beta >= 0.0 && grpo.beta.is_finite()) {
                    return Err(format!("beta = {} must be 0 or more", grpo.beta));
                }
                (grpo.learning_rate, grpo.optimizer)
            }
        };
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(format!("learning_rate = {rate} must be above 0"));
        }
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            max_grad_norm,
        } = optimizer;
        for (name, value, good) in [
            ("beta1", beta1, (0.0..1.0).contains(&beta1)),
            ("beta2", beta2, (0.0..1.0).contains(&beta2)),
            ("epsilon", epsilon, epsilon > 0.0),
            ("weight_decay", weight_decay, weight_decay >= 0.0),
            ("max_grad_norm", max_grad_norm, max_grad_norm >= 0.0),
        ] {
            if !good || !value.is_finite() {
                return Err(format!("optimizer.{name} = {value} is out of range"));
            }
        }
        Ok(())
    }

    /// The config as TOML, with every default spelled out.
    ///
    /// # Errors
    /// When a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Steps of all stages together.
    pub fn total_steps(&self) -> u64 {
        self.stages.iter().map(StageConfig::steps).sum()
    }

    /// Where the run keeps its files unless told otherwise.
    pub fn default_run_dir(&self) -> PathBuf {
        PathBuf::from("runs").join(&self.name)
    }
}

/// Counts are at least 1, and below what no machine could hold.
fn positive(name: &str, value: usize) -> Result<(), String> {
    match value {
        1..=10_000_000 => Ok(()),
        _ => Err(format!(
            "{name} = {value} must be at least 1 and at most 10000000"
        )),
    }
}

fn validate_scratch(model: &ScratchModel) -> Result<(), String> {
    let ScratchModel {
        alphabet,
        special_tokens: _,
        hidden_size,
        intermediate_size,
        layers,
        heads,
        kv_heads,
        context,
    } = model;
    if alphabet.is_empty() {
        return Err("model.alphabet is empty".to_owned());
    }
    for (name, value) in [
        ("model.hidden_size", hidden_size),
        ("model.intermediate_size", intermediate_size),
        ("model.layers", layers),
        ("model.heads", heads),
        ("model.kv_heads", kv_heads),
        ("model.context", context),
    ] {
        positive(name, *value)?;
    }
    if hidden_size % heads != 0 || (hidden_size / heads) % 2 != 0 {
        return Err(format!(
            "model.hidden_size = {hidden_size} must be an even multiple of model.heads = {heads}"
        ));
    }
    if heads % kv_heads != 0 {
        return Err(format!(
            "model.heads = {heads} must be a multiple of model.kv_heads = {kv_heads}"
        ));
    }
    let special: Vec<&str> = model.special_tokens.iter().map(String::as_str).collect();
    let tokenizer = Tokenizer::characters(alphabet, &special)
        .map_err(|e| format!("model.alphabet and model.special_tokens: {e}"))?;
    bundle::scratch_config(model, tokenizer.vocab_size() + 1)
        .validate()
        .map_err(|e| format!("model: {e}"))?;
    Ok(())
}
