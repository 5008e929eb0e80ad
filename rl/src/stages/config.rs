//! `[[stages]]`: what is done, in order. What a stage can be set to stands beside what it does, in
//! `grpo/config.rs`, `sft/config.rs` and `rejection/config.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RunConfig;
use crate::{learner::AdamWConfig, stages::{grpo::GrpoConfig, rejection::RejectionConfig, sft::SftConfig}};

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StageConfig {
    /// Supervised fine-tuning.
    Sft(SftConfig),
    /// Group relative policy optimisation.
    Grpo(GrpoConfig),
    /// Rejection sampling.
    RejectionSampling(RejectionConfig),
}

/// What a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageKind {
    /// Supervised fine-tuning.
    Sft,
    /// Group relative policy optimisation.
    Grpo,
    /// Rejection sampling.
    RejectionSampling,
}

impl fmt::Display for StageKind {
    /// Its name in a config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sft => "sft",
            Self::Grpo => "grpo",
            Self::RejectionSampling => "rejection-sampling",
        })
    }
}

impl StageConfig {
    /// What it does; shown as its name in a config.
    pub fn kind(&self) -> StageKind {
        match self {
            Self::Sft(_) => StageKind::Sft,
            Self::Grpo(_) => StageKind::Grpo,
            Self::RejectionSampling(_) => StageKind::RejectionSampling,
        }
    }

    /// Number of steps; `None` where only the data can tell.
    pub fn steps(&self) -> Option<u64> {
        match self {
            Self::Sft(sft) => sft.steps,
            Self::Grpo(grpo) => Some(grpo.steps),
            Self::RejectionSampling(stage) => Some(stage.steps()),
        }
    }

    /// The optimiser's settings.
    pub fn optimizer(&self) -> AdamWConfig {
        match self {
            Self::Sft(sft) => sft.optimizer,
            Self::Grpo(grpo) => grpo.optimizer,
            Self::RejectionSampling(_) => AdamWConfig::default(),
        }
    }

    /// Checks the stage, which has this `index`, beside the rest of the run; `components` are those
    /// of its rubric.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub(super) fn validate(
        &self,
        run: &RunConfig,
        index: usize,
        components: &[String],
    ) -> Result<(), String> {
        match self {
            Self::Sft(sft) => sft.validate(run, index)?,
            Self::Grpo(grpo) => grpo.validate(run)?,
            Self::RejectionSampling(stage) => stage.validate(run, components)?,
        }
        self.optimizer()
            .validate()
            .map_err(|message| format!("optimizer.{message}"))
    }
}
