//! `[[stages]]`: what is done, in order, and the one place where a kind of stage is registered.
//!
//! What a stage can be set to stands beside what it does, in its own folder.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Settings, distill, grpo, pairs, preference, rejection, reward_model, sft};
use crate::glossary::Table;

/// Declares every kind of stage: its name, its settings, the figures of its steps.
macro_rules! stages {
    ($($(#[$doc:meta])* $kind:ident = $name:literal: $settings:ty, $metrics:ty;)*) => {
        /// One stage of a run.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum StageConfig {
            $($(#[$doc])* #[serde(rename = $name)] $kind($settings),)*
        }

        /// What a stage does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum StageKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl StageKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name in a config and in `metrics.jsonl`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// What the keys of its steps mean.
            pub fn tables(self) -> &'static [Table] {
                match self {
                    $(Self::$kind => <$metrics>::TABLES,)*
                }
            }
        }

        impl StageConfig {
            /// What it does; shown as its name in a config.
            pub fn kind(&self) -> StageKind {
                match self {
                    $(Self::$kind(_) => StageKind::$kind,)*
                }
            }

            /// What every stage can be asked.
            pub fn settings(&self) -> &dyn Settings {
                match self {
                    $(Self::$kind(settings) => settings,)*
                }
            }

            /// The same, to be changed.
            pub fn settings_mut(&mut self) -> &mut dyn Settings {
                match self {
                    $(Self::$kind(settings) => settings,)*
                }
            }
        }
    };
}

stages! {
    /// Supervised fine-tuning.
    Sft = "sft": sft::SftConfig, sft::SftMetrics;
    /// Group relative policy optimisation.
    Grpo = "grpo": grpo::GrpoConfig, grpo::GrpoMetrics;
    /// Rejection sampling.
    RejectionSampling = "rejection-sampling": rejection::RejectionConfig, rejection::RejectionMetrics;
    /// Pairs of completions of which one is right.
    Pairs = "pairs": pairs::PairsConfig, pairs::PairsMetrics;
    /// DPO and its family.
    Preference = "preference": preference::PreferenceConfig, preference::PreferenceMetrics;
    /// Distillation.
    Distill = "distill": distill::DistillConfig, distill::DistillMetrics;
    /// A reward model.
    RewardModel = "reward-model": reward_model::RewardModelConfig, reward_model::RewardModelMetrics;
}

impl fmt::Display for StageKind {
    /// Its name in a config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
