//! `[[stages]]`: what is done, in order. What a stage can be set to stands beside what it does, in
//! `grpo/config.rs` and `sft/`.

use serde::{Deserialize, Serialize};

use super::RunConfig;
use crate::{grpo::GrpoConfig, policy::AdamWConfig, sft::SftConfig};

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

    /// Checks the stage, beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub(super) fn validate(&self, run: &RunConfig) -> Result<(), String> {
        match self {
            Self::Sft(sft) => sft.validate(run)?,
            Self::Grpo(grpo) => grpo.validate(run)?,
        }
        self.optimizer()
            .validate()
            .map_err(|message| format!("optimizer.{message}"))
    }
}
