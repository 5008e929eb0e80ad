//! A run as a TOML file: strict, with overrides, printed resolved.
//!
//! | file | subject |
//! |---|---|
//! | this one | the whole of it, and what a single section cannot know |
//! | [`checkpoint`], [`mod@log`] | `[checkpoint]` and `[log]`: when a run is saved, and what it writes down |
//! | [`mod@load`] | reading, `--set`, errors that name file and line |
//! | `strings` | `${NAME}`, `~`, and files beside the config |
//! | `hints` | what was meant by a key or value that there is none of |
//!
//! Every other section stands in the room of what it sets, and is checked there.

pub mod checkpoint;
mod hints;
pub mod load;
pub mod log;
mod strings;

use std::path::{Path, PathBuf};

use dunwu_rewards::{Rubric, Seated};
use serde::{Deserialize, Serialize};

use crate::{
    alarms::AlarmsSection,
    bundle::ModelSection,
    cost::CostSection,
    device::DeviceChoice,
    eval::EvaluationSection,
    generation::SamplingConfig,
    learner::MemorySection,
    model::lora::Lora,
    rollout::RewardSection,
    stages::{Settings, StageConfig, Surroundings},
    tasks::DataSection,
};

pub use checkpoint::CheckpointSection;
pub use load::{ConfigError, load, load_rubric};
pub use log::LogSection;

/// What a caller brings instead of what a config says.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Names of the components of the rubric, with those of the caller's own.
    pub components: Option<Vec<String>>,
    /// Whether tasks come from the caller.
    pub tasks: bool,
}

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
    #[serde(default)]
    pub data: DataSection,
    /// How its answers are judged.
    #[serde(default)]
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
    /// What it writes down besides its figures.
    #[serde(default)]
    pub log: LogSection,
    /// What energy and time are worth.
    #[serde(default, skip_serializing_if = "CostSection::is_empty")]
    pub cost: CostSection,
    /// What is done, in order.
    pub stages: Vec<StageConfig>,
}

impl RunConfig {
    /// Reads a config from TOML. It is checked when it is run.
    ///
    /// # Errors
    /// [`ConfigError`] for a key or value that is not what it should be.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        load::parse(text, Path::new("the config"))
    }

    /// Reads a config from a file.
    ///
    /// # Errors
    /// [`ConfigError`] for anything that is not exactly as it should be.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        load(path, &[])
    }

    /// Checks every section, and what a single one cannot know. Messages name keys and values.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_beside(&Given::default())
    }

    /// The same beside what a caller brings instead of what the config says.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn validate_beside(&self, given: &Given) -> Result<(), String> {
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
        let settings = self.settings();
        let asks = settings.iter().any(|stage| stage.asks());
        if !given.tasks && (asks || !self.data.is_absent()) {
            self.data.validate()?;
        }
        self.sampling
            .validate()
            .map_err(|e| format!("sampling.{e}"))?;
        let judged = given.tasks || self.has_problems();
        let components = match &given.components {
            Some(components) => {
                self.reward.check_deadline()?;
                components.clone()
            }
            None if !judged && self.reward.rubric.components.is_empty() => {
                self.reward.check_deadline()?;
                Vec::new()
            }
            None => self
                .reward
                .validate()
                .map_err(|message| self.without_rubric(message))?,
        };
        if !given.tasks {
            let named = self.reward.rubric.mixture_entries();
            self.data.check_entries(&named)?;
        }
        if judged {
            self.evaluation.validate(&components)?;
        }
        self.check_models(&settings)?;
        self.memory.validate()?;
        self.checkpoint.validate()?;
        self.alarms.validate()?;
        self.cost.validate()?;
        if self.stages.is_empty() {
            return Err(
                "there is no stage; hint: add one, such as [[stages]] kind = \"grpo\"".to_owned(),
            );
        }
        for (index, stage) in self.stages.iter().enumerate() {
            let around = self.surroundings(index, &settings, &components);
            let checked = settings[index].validate(&around).and_then(|()| {
                let optimizer = settings[index].optimizer().validate();
                optimizer.map_err(|message| format!("optimizer.{message}"))
            });
            checked.map_err(|message| format!("stages.{index} ({}): {message}", stage.kind()))?;
        }
        Ok(())
    }

    /// Whether the reward models that the rubric names are left by stages that leave one, and are there when they are asked.
    fn check_models(&self, settings: &[&dyn Settings]) -> Result<(), String> {
        let Ok(rubric) = Rubric::from_config(&self.reward.rubric) else {
            return Ok(()); // components of the caller's own are missing, and what is wrong besides was said before
        };
        for seat in rubric.seats() {
            let Seated::Stage(stage) = *seat.seated() else {
                continue;
            };
            let name = seat.component();
            let about = format!("reward.rubric: component {name}: from_stage = {stage}");
            match settings.get(stage) {
                Some(named) if named.leaves_reward_model() => {}
                Some(_) => {
                    return Err(format!(
                        "{about} names a stage that leaves no reward model, expected one of kind reward-model"
                    ));
                }
                None => {
                    return Err(format!(
                        "{about}: there are only {} stages, counted from 0",
                        settings.len()
                    ));
                }
            }
            if stage > 0 && rubric.total_reads(name) {
                return Err(format!(
                    "{about}: reward.rubric.total reads it, and until that stage is over it has nothing to say; hint: use weights instead of a formula, or train the reward model in a run of its own and name its `path`"
                ));
            }
        }
        Ok(())
    }

    /// Whether there are problems that the policy is asked and measured on. A run that only learns from examples may have
    /// none, and then needs no rubric.
    pub fn has_problems(&self) -> bool {
        let mut stages = self.stages.iter();
        !self.data.is_absent() || stages.any(|stage| stage.settings().asks())
    }

    /// What is wrong with `[reward]`, with the way out where only a measurement asks for it.
    fn without_rubric(&self, message: String) -> String {
        let mut stages = self.stages.iter();
        if !self.reward.rubric.components.is_empty() || stages.any(|s| s.settings().asks()) {
            return message;
        }
        format!(
            "{message}; hint: the problems of [data] are held out to measure the policy, and a rubric judges its answers: write one, or leave [data] out"
        )
    }

    /// The settings of all stages.
    pub fn settings(&self) -> Vec<&dyn Settings> {
        self.stages.iter().map(StageConfig::settings).collect()
    }

    /// What stands around the stage with this index, when `settings` are those of all stages and `components` the names of
    /// the rubric's components.
    pub fn surroundings<'a>(
        &'a self,
        index: usize,
        settings: &'a [&'a dyn Settings],
        components: &'a [String],
    ) -> Surroundings<'a> {
        Surroundings {
            index,
            stages: settings,
            data: &self.data,
            reward: &self.reward,
            components,
            sampling: &self.sampling,
            memory: &self.memory,
            lora: self.lora.as_ref(),
        }
    }

    /// The same with everything spelled out that one setting decides about others.
    pub fn resolved(mut self) -> Self {
        for stage in &mut self.stages {
            stage.settings_mut().resolve();
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
