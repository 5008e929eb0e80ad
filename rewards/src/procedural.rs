//! The reward `procedural`: the checker that belongs to a generated task.

use serde::{Deserialize, Serialize};

use crate::answer::AnswerScores;
use crate::countdown::Countdown;
use crate::error::RewardError;
use crate::exact::{Exact, ExactConfig};
use crate::extract::Extraction;
use crate::option::OptionError;
use crate::reward::Reward;
use crate::sample::Sample;

/// Settings of [`Procedural`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProceduralConfig {
    /// The component's name; `procedural` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// Where the final answer is looked for; the first that finds anything wins.
    pub extraction: Vec<Extraction>,
    /// Score of a right answer.
    pub correct: f64,
    /// Score of a wrong answer, and of none.
    pub wrong: f64,
}

impl Default for ProceduralConfig {
    fn default() -> Self {
        let ExactConfig {
            extraction,
            correct,
            wrong,
            ..
        } = ExactConfig::default();
        Self {
            name: None,
            weight: 1.0,
            extraction,
            correct,
            wrong,
        }
    }
}

/// The checker of the family that a task comes from, so that a mixture of families needs one component only.
///
/// A task with the columns `numbers` and `target` has many right answers and is judged by [`Countdown`]. Any other family has
/// one right integer, and is judged by [`Exact`].
#[derive(Clone, Debug)]
pub struct Procedural {
    countdown: Countdown,
    exact: Exact,
}

impl Procedural {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] for scores that are not finite or an empty `extraction`.
    pub fn from_config(config: &ProceduralConfig) -> Result<Self, OptionError> {
        let ProceduralConfig {
            name,
            weight: _,
            extraction,
            correct,
            wrong,
        } = config;
        let name = name.as_deref().unwrap_or("procedural");
        let scores = AnswerScores::new(name, extraction, *correct, *wrong)?;
        Ok(Self {
            countdown: Countdown::from_scores(scores.clone()),
            exact: Exact::from_scores(scores),
        })
    }
}

impl Reward for Procedural {
    fn name(&self) -> &str {
        self.exact.name()
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        match self.countdown.score(sample)? {
            Some(score) => Ok(Some(score)),
            None => self.exact.score(sample),
        }
    }

    fn typical_scores(&self) -> [f64; 2] {
        self.exact.typical_scores()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Generator, GeneratorConfig};

    #[test]
    fn every_family_accepts_its_own_answers() {
        let judge = Procedural::from_config(&ProceduralConfig::default()).unwrap();
        let families = [
            GeneratorConfig::Countdown(Default::default()),
            GeneratorConfig::ChainSum(Default::default()),
            GeneratorConfig::Addition(Default::default()),
        ];
        for family in families {
            let generator = Generator::from_config(&family).unwrap();
            for index in 0..50 {
                let task = generator
                    .task(3, index, 0.0, dunwu_datasets::Split::Train)
                    .unwrap();
                for (completion, expected) in [
                    (format!("<answer>{}</answer>", task.answer), 1.0),
                    (format!("<answer>{} + 1</answer>", task.answer), 0.0),
                ] {
                    let sample = Sample {
                        task: &task,
                        completion: &completion,
                        truncated: false,
                        completion_tokens: 1,
                    };
                    assert_eq!(
                        judge.score(&sample).unwrap(),
                        Some(expected),
                        "{completion}"
                    );
                }
            }
        }
    }
}
