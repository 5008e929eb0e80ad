//! What a stage that trains a reward model can be set to.

use std::path::PathBuf;

use dunwu_datasets::Tie;
use serde::{Deserialize, Serialize};

use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Schedule},
    stages::Surroundings,
};

/// Settings of a stage that trains a reward model. Names are TRL's where it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardModelConfig {
    /// Steps of the stage. Exactly one of this and `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// How often each prompt is learnt from. The last step of the stage may be a smaller one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Prompts a step, each with all of its comparisons (InstructGPT, arXiv 2203.02155, §3.5).
    pub batch: usize,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Preferences in a file, a directory of shards, or a data set of the hub (`owner/name`), in one of the forms of
    /// `rl/docs/datasets.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which of several data sets in that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Which split; `train` unless given, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The index of an earlier stage of kind `pairs`, whose pairs are learnt, together with `file` where both are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_stage: Option<usize>,
    /// What becomes of pairs neither side of which is better.
    pub tie: Tie,
    /// Make a good and a bad answer of each pair, and learn each by itself.
    pub unpair: bool,
    /// Longest prompt with an answer, in tokens; pairs with a longer side are left out and counted. Without it, what the
    /// model's context and `memory.token_budget` hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Share of the problems, by a hash of them, whose preferences are not learnt but measured.
    pub heldout_fraction: f64,
    /// Steps between measurements of what is held out; 0: at the end only.
    pub heldout_every: u64,
    /// The margin of a row, times this, is what the chosen answer has to be better by (Llama 2, arXiv 2307.09288, eq. 2). TRL
    /// has 1 where the rows have a column `margin`.
    pub margin_weight: f64,
    /// Weight of `(s_chosen + s_rejected)²`, which keeps scores near 0 (arXiv 2312.09244); 0.01 where it is wanted.
    pub center_rewards_coefficient: f64,
    /// What the loss is a mean over.
    pub average: PairAverage,
    /// The head's weights at the beginning.
    pub head: HeadInit,
    /// Whether the routers of a model with experts keep their weights.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze_router: bool,
}

/// What the loss of comparisons is a mean over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairAverage {
    /// Over the prompts of the step, and over the comparisons of each (InstructGPT): a prompt counts once.
    #[default]
    Prompt,
    /// Over all comparisons of the step (TRL): a prompt counts as often as it is compared.
    Pair,
}

/// The weights of a scalar head at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadInit {
    /// All 0: every answer is worth the same.
    #[default]
    Zeros,
    /// Normal with deviation `1 / (hidden + 1)`, as OpenRLHF draws it.
    Normal,
}

impl Default for RewardModelConfig {
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
            tie: Tie::default(),
            unpair: false,
            max_length: None,
            heldout_fraction: 0.0,
            heldout_every: 0,
            margin_weight: 0.0,
            center_rewards_coefficient: 0.0,
            average: PairAverage::default(),
            head: HeadInit::default(),
            freeze_router: false,
        }
    }
}

impl RewardModelConfig {
    /// Most tokens of a prompt and an answer, for a model with this context.
    pub fn limit(&self, context: usize, token_budget: usize) -> usize {
        let most = context.min(token_budget);
        self.max_length.map_or(most, |longest| longest.min(most))
    }

    /// Checks the stage beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        positive("batch", self.batch)?;
        above_zero("learning_rate", self.learning_rate)?;
        match (self.steps, self.epochs) {
            (Some(steps), None) => positive("steps", steps as usize)?,
            (None, Some(epochs)) => positive("epochs", epochs as usize)?,
            (Some(steps), Some(epochs)) => {
                return Err(format!(
                    "steps = {steps} and epochs = {epochs} both say how long the stage is: set one of them"
                ));
            }
            (None, None) => {
                return Err("set steps or epochs: nothing says how long the stage is".to_owned());
            }
        }
        self.validate_source(around)?;
        if let Some(longest) = self.max_length {
            positive("max_length", longest)?;
            let budget = around.memory.token_budget;
            if longest > budget {
                return Err(format!(
                    "max_length = {longest} is more than memory.token_budget = {budget}, which has to hold a prompt with an answer: lower the one or raise the other"
                ));
            }
        }
        for (name, value) in [
            ("margin_weight", self.margin_weight),
            (
                "center_rewards_coefficient",
                self.center_rewards_coefficient,
            ),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(format!("{name} = {value} must be at least 0"));
            }
        }
        let fraction = self.heldout_fraction;
        if !(0.0..1.0).contains(&fraction) {
            return Err(format!(
                "heldout_fraction = {fraction} must be at least 0 and below 1"
            ));
        }
        if fraction == 0.0 && self.heldout_every > 0 {
            return Err(format!(
                "heldout_every = {} measures nothing: set heldout_fraction",
                self.heldout_every
            ));
        }
        Ok(())
    }

    fn validate_source(&self, around: &Surroundings) -> Result<(), String> {
        if self.file.is_none() && (self.subset.is_some() || self.split.is_some()) {
            return Err("subset and split are about `file`, which is not set".to_owned());
        }
        let Some(stage) = self.from_stage else {
            return match self.file {
                Some(_) => Ok(()),
                None => Err(
                    "nothing to learn from: set `file`, or `from_stage` to a stage of kind pairs"
                        .to_owned(),
                ),
            };
        };
        let index = around.index;
        match around.stages.get(stage) {
            Some(named) if stage < index && named.leaves_pairs() => Ok(()),
            Some(_) if stage < index => Err(format!(
                "from_stage = {stage} names a stage that leaves no pairs, expected one of kind pairs"
            )),
            Some(_) => Err(format!(
                "from_stage = {stage} must name a stage before this one, which is stages.{index}"
            )),
            None => Err(format!(
                "from_stage = {stage}: there are only {} stages, counted from 0",
                around.stages.len()
            )),
        }
    }
}
