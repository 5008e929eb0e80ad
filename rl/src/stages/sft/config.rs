//! What a supervised stage can be set to.

use std::path::PathBuf;

use dunwu_datasets::TraceMix;
use serde::{Deserialize, Serialize};

use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Schedule},
    stages::{
        Surroundings,
        examples::{TooLong, Turns},
    },
};

/// Settings of a supervised stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SftConfig {
    /// Steps of the stage. Exactly one of this and `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// How often each example is learnt from. The last step of the stage may be a smaller one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Examples a step.
    pub batch: usize,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Examples in a file, a directory of shards, or a data set of the hub (`owner/name`, perhaps with `@revision`), in one of the
    /// forms of `rl/docs/datasets.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which of several data sets in that place, as the hub's configs are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Which split; `train` unless given, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The index of an earlier rejection-sampling stage: what it kept is learnt, together with
    /// `file` where both are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_stage: Option<usize>,
    /// With neither `file` nor `from_stage` demonstrations are generated for the run's task: so many
    /// make up the data set; without it their stream never ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demonstrations: Option<usize>,
    /// How good the generated demonstrations are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<TraceMix>,
    /// Which of the assistant's turns in a conversation are learnt.
    pub turns: Turns,
    /// Longest example, in tokens. Without it, what the model's context and `memory.token_budget`
    /// hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What is done about a longer one.
    pub too_long: TooLong,
    /// Share of the examples, by a hash of their problems, that is not learnt but measured.
    pub heldout_fraction: f64,
    /// Or a file of such examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heldout_file: Option<PathBuf>,
    /// Steps between measurements of the held-out loss; 0: at the end only.
    pub heldout_every: u64,
    /// What keeps experts busy, in a model that has any.
    #[serde(skip_serializing_if = "Balance::is_off")]
    pub balance: Balance,
    /// Whether routers keep their weights; the corrections of `balance` go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze_router: bool,
    /// The weights that the stage begins with, when not those that the stage before left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// What keeps experts busy.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// After each update, the correction of an expert that got more tokens than the mean of its layer falls by this, and
    /// that of one that got fewer rises (arXiv 2412.19437, eq. 16, where it is 0.001; 2408.15664). No loss, no gradient.
    pub rate: f64,
    /// Weight of the loss that spreads the tokens of each sequence over experts (eq. 17 to 20, where it is 1e-4).
    pub sequence_loss: f64,
}

impl Balance {
    fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// The first setting that is out of range.
    fn validate(self) -> Result<(), String> {
        for (name, value) in [("rate", self.rate), ("sequence_loss", self.sequence_loss)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("balance.{name} = {value} must be between 0 and 1"));
            }
        }
        Ok(())
    }
}

/// Weights to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Those that the run began with.
    #[serde(rename = "run-start")]
    RunStart,
    /// Those that an earlier stage, counted from 0, ended with.
    #[serde(rename = "after_stage")]
    AfterStage(usize),
}

impl Default for SftConfig {
    fn default() -> Self {
        Self {
            steps: None,
            epochs: None,
            batch: 64,
            learning_rate: 1e-5,
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            optimizer: AdamWConfig::default(),
            file: None,
            subset: None,
            split: None,
            from_stage: None,
            demonstrations: None,
            traces: None,
            turns: Turns::default(),
            max_length: None,
            too_long: TooLong::default(),
            heldout_fraction: 0.0,
            heldout_file: None,
            heldout_every: 0,
            balance: Balance::default(),
            freeze_router: false,
            restart: None,
        }
    }
}

impl SftConfig {
    /// Whether demonstrations are generated instead of read.
    pub fn generates(&self) -> bool {
        self.file.is_none() && self.from_stage.is_none()
    }

    /// Whether the examples never end.
    pub fn endless(&self) -> bool {
        self.generates() && self.demonstrations.is_none()
    }

    /// Checks the stage beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        let index = around.index;
        positive("batch", self.batch)?;
        above_zero("learning_rate", self.learning_rate)?;
        self.balance.validate()?;
        self.validate_duration()?;
        self.validate_source(around)?;
        self.validate_heldout()?;
        if let Some(longest) = self.max_length {
            positive("max_length", longest)?;
            let budget = around.memory.token_budget;
            if longest > budget {
                return Err(format!(
                    "max_length = {longest} is more than memory.token_budget = {budget}, which has to hold an example: lower the one or raise the other"
                ));
            }
        }
        match self.restart {
            Some(Restart::AfterStage(stage)) if stage >= index => Err(format!(
                "restart = {{ after_stage = {stage} }} must name a stage before this one, which is stages.{index}"
            )),
            _ => Ok(()),
        }
    }

    fn validate_duration(&self) -> Result<(), String> {
        match (self.steps, self.epochs) {
            (Some(steps), None) => positive("steps", steps as usize),
            (None, Some(_)) if self.endless() => Err(
                "epochs needs examples that end: set `demonstrations`, `file` or `from_stage`, or steps instead of epochs"
                    .to_owned(),
            ),
            (None, Some(epochs)) => positive("epochs", epochs as usize),
            (Some(steps), Some(epochs)) => Err(format!(
                "steps = {steps} and epochs = {epochs} both say how long the stage is: set one of them"
            )),
            (None, None) => Err("set steps or epochs: nothing says how long the stage is".to_owned()),
        }
    }

    fn validate_source(&self, around: &Surroundings) -> Result<(), String> {
        let index = around.index;
        if let Some(stage) = self.from_stage {
            match around.stages.get(stage) {
                Some(named) if stage < index && named.leaves_data_set() => {}
                Some(_) if stage < index => {
                    return Err(format!(
                        "from_stage = {stage} names a stage that leaves no examples, expected one of kind rejection-sampling"
                    ));
                }
                Some(_) => {
                    return Err(format!(
                        "from_stage = {stage} must name a stage before this one, which is stages.{index}"
                    ));
                }
                None => {
                    return Err(format!(
                        "from_stage = {stage}: there are only {} stages, counted from 0",
                        around.stages.len()
                    ));
                }
            }
        }
        if let Some(traces) = &self.traces {
            traces.validate().map_err(|e| format!("traces: {e}"))?;
        }
        if self.file.is_none() && (self.subset.is_some() || self.split.is_some()) {
            return Err("subset and split are about `file`, which is not set".to_owned());
        }
        if self.generates() {
            if let Some(count) = self.demonstrations {
                positive("demonstrations", count)?;
            }
            if self.endless() && self.too_long == TooLong::Drop {
                return Err(
                    "too_long = \"drop\" needs examples that end: set `demonstrations`".to_owned(),
                );
            }
            if around.data.demonstrates() {
                return Ok(());
            }
            return Err(
                "nothing to learn from: set `file` or `from_stage`, or use the generator chain-sum, countdown or program, which make demonstrations"
                    .to_owned(),
            );
        }
        let read = if self.file.is_some() {
            "file"
        } else {
            "from_stage"
        };
        for (key, set) in [
            ("demonstrations", self.demonstrations.is_some()),
            ("traces", self.traces.is_some()),
        ] {
            if set {
                return Err(format!(
                    "{key} is about demonstrations that are generated, and {read} says that they are read: remove one of them"
                ));
            }
        }
        Ok(())
    }

    fn validate_heldout(&self) -> Result<(), String> {
        let fraction = self.heldout_fraction;
        if !(0.0..1.0).contains(&fraction) {
            return Err(format!(
                "heldout_fraction = {fraction} must be at least 0 and below 1"
            ));
        }
        match (fraction > 0.0, &self.heldout_file) {
            (true, Some(file)) => Err(format!(
                "heldout_fraction = {fraction} and heldout_file = {file:?} both say what is held out: set one of them"
            )),
            (true, None) if self.endless() => Err(format!(
                "heldout_fraction = {fraction} needs examples that end: set `demonstrations`"
            )),
            (false, None) if self.heldout_every > 0 => Err(format!(
                "heldout_every = {} measures nothing: set heldout_fraction or heldout_file",
                self.heldout_every
            )),
            _ => Ok(()),
        }
    }
}
