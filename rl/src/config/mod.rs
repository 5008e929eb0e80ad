//! A run as a TOML file: strict, with overrides, printed resolved.
//!
//! | file | subject |
//! |---|---|
//! | [`mod@load`] | reading, `--set`, errors that name file, line and the nearest key |
//! | [`model`], [`data`], [`reward`], [`evaluation`], [`memory`], [`checkpoint`] | a section each |
//! | [`alarms`] | when a run goes bad, and what is done about it |
//! | [`stage`] | the stages of a run |

pub mod alarms;
pub mod checkpoint;
pub mod data;
pub mod evaluation;
pub mod load;
pub mod memory;
pub mod model;
pub mod reward;
pub mod stage;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{device::DeviceChoice, generation::SamplingConfig, model::lora::Lora};

pub use alarms::{AlarmAction, AlarmsSection};
pub use checkpoint::CheckpointSection;
pub use data::DataSection;
pub use evaluation::EvaluationSection;
pub use load::{ConfigError, load, load_rubric};
pub use memory::MemorySection;
pub use model::{ModelSection, PretrainedModel, ScratchModel};
pub use reward::RewardSection;
pub use stage::StageConfig;

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
    /// What is done when it goes bad.
    #[serde(default)]
    pub alarms: AlarmsSection,
    /// What is done, in order.
    pub stages: Vec<StageConfig>,
}

impl RunConfig {
    /// Checks every section, and what a single one cannot know. Messages name keys and values.
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
        if let ModelSection::Scratch(model) = &self.model {
            model.validate()?;
        }
        if let Some(lora) = &self.lora {
            lora.validate().map_err(|e| e.to_string())?;
        }
        self.data.validate()?;
        self.sampling
            .validate()
            .map_err(|e| format!("sampling.{e}"))?;
        let components = self.reward.validate()?;
        self.data
            .check_entries(&self.reward.rubric.mixture_entries())?;
        self.evaluation.validate(&components)?;
        self.memory.validate()?;
        self.checkpoint.validate()?;
        self.alarms.validate()?;
        if self.stages.is_empty() {
            return Err(
                "there is no stage; hint: add one, such as [[stages]] kind = \"grpo\"".to_owned(),
            );
        }
        for (index, stage) in self.stages.iter().enumerate() {
            stage
                .validate(self, index, &components)
                .map_err(|message| format!("stages.{index} ({}): {message}", stage.kind()))?;
        }
        Ok(())
    }

    /// The same with everything spelled out that one setting decides about others.
    pub fn resolved(mut self) -> Self {
        for stage in &mut self.stages {
            if let StageConfig::Grpo(grpo) = stage {
                *grpo = std::mem::take(grpo).resolved();
            }
        }
        self
    }

    /// The config as TOML, with every default spelled out.
    ///
    /// # Errors
    /// When a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Where the run keeps its files unless told otherwise.
    pub fn default_run_dir(&self) -> PathBuf {
        PathBuf::from("runs").join(&self.name)
    }
}

/// Counts are at least 1, and below what no machine could hold.
pub(crate) fn positive(name: &str, value: usize) -> Result<(), String> {
    match value {
        1..=10_000_000 => Ok(()),
        _ => Err(format!(
            "{name} = {value} must be at least 1 and at most 10000000"
        )),
    }
}

/// Numbers that must be finite and above 0.
pub(crate) fn above_zero(name: &str, value: f64) -> Result<(), String> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(format!("{name} = {value} must be above 0")),
    }
}
