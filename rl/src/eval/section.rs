//! `[evaluation]`: how the policy is measured.

use serde::{Deserialize, Serialize};

use crate::checks::positive;

/// How the policy is measured, on problems that training never sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSection {
    /// Held-out problems.
    pub problems: usize,
    /// Completions a problem that are sampled besides the greedy one; 0: greedy only.
    pub samples: usize,
    /// Measure after every so many GRPO steps, greedily; 0: only before and after.
    pub every: u64,
    /// The reward component that says whether an answer is right: its value is then above 0.5.
    pub correct: String,
}

impl Default for EvaluationSection {
    fn default() -> Self {
        Self {
            problems: 200,
            samples: 0,
            every: 0,
            correct: "exact".to_owned(),
        }
    }
}

impl EvaluationSection {
    /// # Errors
    /// When it names no component of the rubric, or poses no problem.
    pub(crate) fn validate(&self, components: &[String]) -> Result<(), String> {
        if !components.contains(&self.correct) {
            return Err(format!(
                "evaluation.correct = {:?} is no reward component; there are: {}",
                self.correct,
                components.join(", ")
            ));
        }
        positive("evaluation.problems", self.problems)
    }
}
