//! What a critic can be set to: `critic = { … }` of a GRPO stage.

use serde::{Deserialize, Serialize};

use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Schedule},
    stages::SecondModel,
};

/// Settings of a value function. Names are verl's and TRL's where they have one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CriticConfig {
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate over the stage.
    pub schedule: Schedule,
    /// Steps at the beginning of the stage in which only the critic learns (verl's `critic_warmup`).
    pub warmup_steps: u64,
    /// The weights that it begins with.
    pub from: CriticStart,
    /// What is trained of it beside its head; absent: adapters of its own with `[lora]`, else all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Trunk>,
    /// γ: what a reward one token later is worth.
    pub gamma: f64,
    /// λ of the policy's advantages.
    pub lam: f64,
    /// λ of the values' targets; absent: [`Self::lam`] (decoupled in VC-PPO, arXiv 2503.01491, §4.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lam_critic: Option<f64>,
    /// A value moves no further than this from what it was before the step.
    pub cliprange_value: f64,
    /// Whether advantages are whitened over all tokens of the step.
    pub whiten: bool,
    /// Whether the end of a completion that was cut off is worth what the critic says of it. Otherwise nothing follows it,
    /// as everywhere in the field.
    pub bootstrap_truncated: bool,
    /// Times that each batch is gone through; absent: as the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Updates made in going through a batch once; absent: as the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mini_batches: Option<usize>,
    /// Its optimiser.
    pub optimizer: AdamWConfig,
}

/// The weights that a critic begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CriticStart {
    /// The policy's at the start of the stage, with a head that says 0 of everything.
    #[default]
    Zero,
    /// A reward model's, trunk and head.
    Path(String),
}

/// What is trained of a critic beside its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trunk {
    /// Adapters of its own, on the base that the policy has.
    Adapter,
    /// All weights, which are its own.
    Whole,
}

impl Default for CriticConfig {
    /// λ and the bound of values are TRL's, the learning rate is verl's.
    fn default() -> Self {
        Self {
            learning_rate: 1e-5,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            from: CriticStart::Zero,
            trunk: None,
            gamma: 1.0,
            lam: 0.95,
            lam_critic: None,
            cliprange_value: 0.2,
            whiten: true,
            bootstrap_truncated: false,
            iterations: None,
            mini_batches: None,
            optimizer: AdamWConfig::default(),
        }
    }
}

impl CriticConfig {
    /// What is trained beside the head, in a run with adapters or without.
    pub fn trunk(&self, lora: bool) -> Trunk {
        let usual = if lora { Trunk::Adapter } else { Trunk::Whole };
        self.trunk.unwrap_or(usual)
    }

    /// λ of the values' targets.
    pub fn lam_critic(&self) -> f64 {
        self.lam_critic.unwrap_or(self.lam)
    }

    /// What it holds beside the policy.
    pub(in crate::stages::grpo) fn second_model(&self, lora: bool) -> SecondModel {
        match self.trunk(lora) {
            Trunk::Adapter => SecondModel::Adapters,
            Trunk::Whole => SecondModel::Whole,
        }
    }

    /// What `dunwu check` says of it, after what it says of the stage.
    pub(in crate::stages::grpo) fn describe(&self, lora: bool) -> String {
        let trunk = match self.trunk(lora) {
            Trunk::Adapter => "adapters of its own",
            Trunk::Whole => "weights of its own",
        };
        let mut words = format!("; a critic with {trunk}");
        if let CriticStart::Path(path) = &self.from {
            words += &format!(", from {path}");
        }
        if self.warmup_steps > 0 {
            words += &format!(", alone for {} steps", self.warmup_steps);
        }
        words
    }

    /// Checks what the critic decides by itself, in a stage of so many steps and prompts a step.
    ///
    /// # Errors
    /// The first setting that is out of its range; it names key and value.
    pub(in crate::stages::grpo) fn validate(
        &self,
        steps: u64,
        prompts: usize,
        lora: bool,
    ) -> Result<(), String> {
        above_zero("critic.learning_rate", self.learning_rate)?;
        above_zero("critic.cliprange_value", self.cliprange_value)?;
        let shares = [
            ("gamma", Some(self.gamma)),
            ("lam", Some(self.lam)),
            ("lam_critic", self.lam_critic),
        ];
        for (name, value) in shares {
            if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(format!("critic.{name} = {value} must be between 0 and 1"));
            }
        }
        if self.warmup_steps >= steps {
            return Err(format!(
                "critic.warmup_steps = {} leaves the policy none of steps = {steps}: lower it",
                self.warmup_steps
            ));
        }
        if let Some(iterations) = self.iterations {
            positive("critic.iterations", iterations as usize)?;
        }
        if let Some(mini_batches) = self.mini_batches {
            positive("critic.mini_batches", mini_batches)?;
            if !prompts.is_multiple_of(mini_batches) {
                return Err(format!(
                    "prompts = {prompts} must be a multiple of critic.mini_batches = {mini_batches}"
                ));
            }
        }
        if self.trunk == Some(Trunk::Adapter) && !lora {
            return Err(
                "critic.trunk = \"adapter\" puts adapters on the base of [lora], and there is no [lora]: add it, or set critic.trunk = \"whole\""
                    .to_owned(),
            );
        }
        self.optimizer
            .validate()
            .map_err(|message| format!("critic.optimizer.{message}"))
    }
}
