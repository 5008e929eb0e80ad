//! What a GRPO stage can be set to.

use serde::{Deserialize, Serialize};

use super::{LossKind, ObjectiveConfig, ScaleRewards};
use crate::{
    config::{RunConfig, above_zero, positive},
    policy::{AdamWConfig, Schedule},
};

/// Settings of a GRPO stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoConfig {
    /// Steps of the stage.
    pub steps: u64,
    /// Prompts a step.
    pub prompts: usize,
    /// Completions a prompt.
    pub group: usize,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Updates made with each batch (μ).
    pub iterations: u64,
    /// The probability ratio is clipped below at `1 − epsilon`.
    pub epsilon: f64,
    /// The probability ratio is clipped above at `1 + epsilon_high`.
    pub epsilon_high: f64,
    /// Weight of the KL penalty against the policy at the start of the stage; 0: none.
    pub beta: f64,
    /// What centred rewards are divided by.
    pub scale_rewards: ScaleRewards,
    /// What token losses are divided by.
    pub loss: LossKind,
    /// Leave completions that were cut off out of the loss.
    pub mask_truncated: bool,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts: 8,
            group: 8,
            learning_rate: 1e-6,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            optimizer: AdamWConfig::default(),
            iterations: 1,
            epsilon: 0.2,
            epsilon_high: 0.28,
            beta: 0.0,
            scale_rewards: ScaleRewards::Group,
            loss: LossKind::Dapo,
            mask_truncated: false,
        }
    }
}

impl GrpoConfig {
    pub(super) fn objective(&self) -> ObjectiveConfig {
        ObjectiveConfig {
            epsilon: self.epsilon,
            epsilon_high: self.epsilon_high,
            beta: self.beta,
        }
    }

    /// Checks the stage, beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, run: &RunConfig) -> Result<(), String> {
        positive("steps", self.steps as usize)?;
        positive("prompts", self.prompts)?;
        positive("iterations", self.iterations as usize)?;
        above_zero("learning_rate", self.learning_rate)?;
        if self.group < 2 {
            return Err(format!(
                "group = {} must be at least 2: advantages compare completions",
                self.group
            ));
        }
        if run.sampling.temperature == 0.0 {
            return Err(
                "sampling.temperature = 0 gives equal completions: set it above 0".to_owned(),
            );
        }
        let (budget, longest) = (run.memory.token_budget, run.sampling.max_tokens);
        if budget < longest {
            return Err(format!(
                "memory.token_budget = {budget} holds no completion of sampling.max_tokens = {longest}: raise the one (to that and the longest prompt) or lower the other"
            ));
        }
        for (name, value) in [
            ("epsilon", self.epsilon),
            ("epsilon_high", self.epsilon_high),
        ] {
            if !(value > 0.0 && value.is_finite()) || (name == "epsilon" && value > 1.0) {
                return Err(format!(
                    "{name} = {value} must be above 0 (and epsilon at most 1)"
                ));
            }
        }
        match self.beta >= 0.0 && self.beta.is_finite() {
            true => Ok(()),
            false => Err(format!("beta = {} must be 0 or more", self.beta)),
        }
    }
}
