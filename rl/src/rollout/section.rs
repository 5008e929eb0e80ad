//! `[reward]`: how answers are judged.

use dunwu_rewards::{Rubric, RubricConfig};
use serde::{Deserialize, Serialize};

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSection {
    /// Components and their combination.
    pub rubric: RubricConfig,
    /// Seconds after which a judge counts as failed.
    #[serde(default = "ten_seconds")]
    pub deadline_s: f64,
}

fn ten_seconds() -> f64 {
    10.0
}

impl Default for RewardSection {
    fn default() -> Self {
        Self {
            rubric: RubricConfig::default(),
            deadline_s: ten_seconds(),
        }
    }
}

impl RewardSection {
    /// Names of the components.
    ///
    /// # Errors
    /// When the rubric or the deadline is not what it should be.
    pub(crate) fn validate(&self) -> Result<Vec<String>, String> {
        self.check_deadline()?;
        let rubric =
            Rubric::from_config(&self.rubric).map_err(|e| format!("reward.rubric: {e}"))?;
        Ok(rubric
            .component_names()
            .iter()
            .map(ToString::to_string)
            .collect())
    }

    /// # Errors
    /// When the deadline is none.
    pub(crate) fn check_deadline(&self) -> Result<(), String> {
        if !(self.deadline_s > 0.0 && self.deadline_s <= 1e6) {
            let value = self.deadline_s;
            return Err(format!(
                "reward.deadline_s = {value} must be above 0 and at most a million"
            ));
        }
        Ok(())
    }
}
