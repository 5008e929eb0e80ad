//! What a stage that learns from preferences can be set to.

use std::path::PathBuf;

use dunwu_datasets::Tie;
use serde::{Deserialize, Serialize};

use super::{PreferenceLoss, kto::Kto};
use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Schedule},
    stages::{Surroundings, second::RefModel},
};

/// Settings of a stage that learns from preferences. Names are TRL's where it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreferenceConfig {
    /// Steps of the stage. Exactly one of this and `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// How often each pair is learnt from. The last step of the stage may be a smaller one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Pairs a step; answers a step with `kto`.
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
    /// Make a good and a bad answer of each pair, for a loss that takes answers by themselves.
    pub unpair: bool,
    /// Longest prompt with an answer, in tokens; pairs with a longer side are left out and counted. Without it, what the
    /// model's context and `memory.token_budget` hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Share of the problems, by a hash of them, whose preferences are not learnt but measured.
    pub heldout_fraction: f64,
    /// Steps between measurements of what is held out; 0: at the end only.
    pub heldout_every: u64,
    /// The loss.
    pub loss_type: LossType,
    /// β: how strongly the policy is held to its reference.
    pub beta: f64,
    /// ε: how likely it is that a label is wrong. Absent: 0, and 0.001 for `exo_pair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// SimPO's γ.
    pub simpo_gamma: f64,
    /// DiscoPOP's τ.
    pub discopop_tau: f64,
    /// KTO's weight of good answers.
    pub desirable_weight: f64,
    /// KTO's weight of bad answers.
    pub undesirable_weight: f64,
    /// Sums or means of log-probabilities over the tokens of an answer. Absent: what the loss's paper has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// Weight of the tokens of an answer beyond the length of the shorter one (LD-DPO, arXiv 2409.06411); absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ld_alpha: Option<f64>,
    /// Weight of the mean negative log-likelihood of the chosen answers' tokens beside the loss. Absent: 0, and 1 for `cpo` and
    /// `orpo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sft_weight: Option<f64>,
    /// Whose log-probabilities the policy's are compared with; losses without a reference ask none.
    pub ref_model: RefModel,
    /// Whether the routers of a model with experts keep their weights.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze_router: bool,
}

/// A loss of preferences by its name in TRL. What each is stands in [`PreferenceLoss`] and in `rl/docs/preferences.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// DPO (arXiv 2305.18290, eq. 7); with `label_smoothing`, cDPO.
    #[default]
    Sigmoid,
    /// The same of means over tokens.
    SigmoidNorm,
    /// IPO (arXiv 2310.12036, eq. 17), of means over tokens.
    Ipo,
    /// SLiC's hinge (arXiv 2309.06657).
    Hinge,
    /// Robust DPO (arXiv 2403.00409): unbiased where a share `label_smoothing` of the labels is wrong.
    Robust,
    /// EXO (arXiv 2402.00856, eq. 16).
    ExoPair,
    /// NCA (arXiv 2402.05369).
    NcaPair,
    /// BCO of a pair, without a shift (arXiv 2404.04656).
    BcoPair,
    /// SPPO with hard labels (arXiv 2405.00675).
    SppoHard,
    /// APO-zero (arXiv 2408.06266, eq. 7).
    ApoZero,
    /// APO-down (arXiv 2408.06266, eq. 8).
    ApoDown,
    /// DiscoPOP (arXiv 2406.08414, eq. 5).
    Discopop,
    /// AOT (arXiv 2406.05882): margins compared in order over the step.
    Aot,
    /// KTO (arXiv 2402.01306), of answers that are good or bad by themselves.
    Kto,
    /// SimPO (arXiv 2405.14734, eq. 6), without a reference.
    Simpo,
    /// CPO (arXiv 2401.08417), without a reference.
    Cpo,
    /// ORPO (arXiv 2403.07691, eq. 6), without a reference.
    Orpo,
}

/// How log-probabilities of the tokens of an answer are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
}

impl LossType {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::Sigmoid,
        Self::SigmoidNorm,
        Self::Ipo,
        Self::Hinge,
        Self::Robust,
        Self::ExoPair,
        Self::NcaPair,
        Self::BcoPair,
        Self::SppoHard,
        Self::ApoZero,
        Self::ApoDown,
        Self::Discopop,
        Self::Aot,
        Self::Kto,
        Self::Simpo,
        Self::Cpo,
        Self::Orpo,
    ];

    /// Whether the policy is compared with a reference.
    pub fn has_reference(self) -> bool {
        !matches!(self, Self::Simpo | Self::Cpo | Self::Orpo)
    }

    /// Whether sums or means are compared where the config does not say so.
    pub fn length(self) -> Length {
        match self {
            Self::SigmoidNorm | Self::Ipo | Self::Simpo | Self::Orpo => Length::Mean,
            _ => Length::Sum,
        }
    }

    /// Whether the loss is one of sums or means alone.
    fn has_fixed_length(self) -> bool {
        matches!(
            self,
            Self::SigmoidNorm | Self::Simpo | Self::Orpo | Self::Kto
        )
    }

    /// ε where the config does not say it.
    pub fn label_smoothing(self) -> f64 {
        match self {
            Self::ExoPair => 1e-3,
            _ => 0.0,
        }
    }

    /// Whether ε is part of the loss.
    fn is_smoothed(self) -> bool {
        use LossType::{Aot, Cpo, ExoPair, Robust, Sigmoid, SigmoidNorm, Simpo};
        matches!(
            self,
            Sigmoid | SigmoidNorm | Robust | ExoPair | Aot | Cpo | Simpo
        )
    }

    /// Its name in a config.
    pub fn name(self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl Default for PreferenceConfig {
    fn default() -> Self {
        Self {
            steps: None,
            epochs: None,
            batch: 32,
            learning_rate: 1e-6,
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
            loss_type: LossType::default(),
            beta: 0.1,
            label_smoothing: None,
            simpo_gamma: 0.5,
            discopop_tau: 0.05,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
            length: None,
            ld_alpha: None,
            sft_weight: None,
            ref_model: RefModel::default(),
            freeze_router: false,
        }
    }
}

impl PreferenceConfig {
    /// The loss of pairs with all its constants.
    pub fn loss(&self) -> PreferenceLoss {
        let named = PreferenceLoss::named(self.loss_type);
        PreferenceLoss {
            beta: self.beta,
            label_smoothing: self.label_smoothing.unwrap_or(named.label_smoothing),
            simpo_gamma: self.simpo_gamma,
            discopop_tau: self.discopop_tau,
            length: self.length.unwrap_or(named.length),
            ..named
        }
    }

    /// The loss of answers by themselves.
    pub fn kto(&self) -> Kto {
        Kto {
            beta: self.beta,
            desirable_weight: self.desirable_weight,
            undesirable_weight: self.undesirable_weight,
        }
    }

    /// Weight of the likelihood beside the loss.
    pub fn likelihood(&self) -> f64 {
        self.sft_weight.unwrap_or(match self.loss_type {
            LossType::Cpo | LossType::Orpo => 1.0,
            _ => 0.0,
        })
    }

    /// Checks the stage beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        positive("batch", self.batch)?;
        above_zero("learning_rate", self.learning_rate)?;
        self.validate_duration()?;
        self.validate_source(around)?;
        self.validate_loss()?;
        if let Some(longest) = self.max_length {
            positive("max_length", longest)?;
            let budget = around.memory.token_budget;
            if longest > budget {
                return Err(format!(
                    "max_length = {longest} is more than memory.token_budget = {budget}, which has to hold a prompt with an answer: lower the one or raise the other"
                ));
            }
        }
        if self.ref_model == RefModel::Base && around.lora.is_none() {
            return Err(
                "ref_model = \"base\" is the weights under adapters, and the run has no [lora]: use \"stage-start\""
                    .to_owned(),
            );
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

    fn validate_duration(&self) -> Result<(), String> {
        match (self.steps, self.epochs) {
            (Some(steps), None) => positive("steps", steps as usize),
            (None, Some(epochs)) => positive("epochs", epochs as usize),
            (Some(steps), Some(epochs)) => Err(format!(
                "steps = {steps} and epochs = {epochs} both say how long the stage is: set one of them"
            )),
            (None, None) => {
                Err("set steps or epochs: nothing says how long the stage is".to_owned())
            }
        }
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

    fn validate_loss(&self) -> Result<(), String> {
        let (loss, name) = (self.loss_type, self.loss_type.name());
        above_zero("beta", self.beta)?;
        above_zero("discopop_tau", self.discopop_tau)?;
        above_zero("desirable_weight", self.desirable_weight)?;
        above_zero("undesirable_weight", self.undesirable_weight)?;
        if !(self.simpo_gamma >= 0.0 && self.simpo_gamma.is_finite()) {
            return Err(format!(
                "simpo_gamma = {} must be at least 0",
                self.simpo_gamma
            ));
        }
        if let Some(epsilon) = self.label_smoothing {
            if !(0.0..0.5).contains(&epsilon) {
                return Err(format!(
                    "label_smoothing = {epsilon} must be at least 0 and below 0.5"
                ));
            }
            if epsilon == 0.0 && loss == LossType::ExoPair {
                return Err(
                    "label_smoothing = 0 makes exo_pair infinite: set it above 0; its paper has 0.001"
                        .to_owned(),
                );
            }
            if epsilon > 0.0 && !loss.is_smoothed() {
                return Err(format!(
                    "label_smoothing = {epsilon} is no part of loss_type = {name:?}"
                ));
            }
        }
        if let Some(length) = self.length
            && loss.has_fixed_length()
            && length != loss.length()
        {
            return Err(format!(
                "length is no choice of loss_type = {name:?}, which is one of {} over the tokens of an answer",
                if loss.length() == Length::Sum {
                    "sums"
                } else {
                    "means"
                }
            ));
        }
        for (key, value, most) in [
            ("ld_alpha", self.ld_alpha, 1.0),
            ("sft_weight", self.sft_weight, 1e6),
        ] {
            if let Some(value) = value
                && !(0.0..=most).contains(&value)
            {
                return Err(format!("{key} = {value} must be between 0 and {most}"));
            }
        }
        let single = loss == LossType::Kto;
        if single && self.ld_alpha.is_some() {
            return Err(
                "ld_alpha compares the two sides of a pair, and kto takes answers by themselves"
                    .to_owned(),
            );
        }
        if !single && self.unpair {
            return Err(format!(
                "unpair = true makes answers of pairs, and loss_type = {name:?} needs pairs: remove it"
            ));
        }
        if matches!(loss, LossType::Kto | LossType::Aot) && self.batch < 2 {
            return Err(format!(
                "batch = 1 says nothing to loss_type = {name:?}, which compares what is in a step: set it to at least 2"
            ));
        }
        Ok(())
    }
}
