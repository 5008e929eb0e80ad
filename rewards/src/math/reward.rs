//! The reward `math`: the answer is mathematically the same as the task's.

use serde::{Deserialize, Serialize};

use super::{Form, MathOptions, PercentPolicy, Tolerance, Verdict, answer_in, judge};
use crate::error::{Fault, RewardError};
use crate::extract::Extraction;
use crate::option::{OptionError, check_finite};
use crate::reward::Reward;
use crate::sample::Sample;
use crate::vote::Answers;

/// What becomes of an answer about which nothing can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    /// The completion gets no reward and is left out of training; it is counted.
    #[default]
    Exclude,
    /// The answer counts as wrong.
    Wrong,
}

/// Settings of [`Math`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MathConfig {
    /// The component's name; `math` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// Where the final answer is looked for; the first that finds anything wins.
    pub extraction: Vec<Extraction>,
    /// Whether answers within the thoughts count.
    pub search_thoughts: bool,
    /// How far from the gold number an answer may be: `{ decimals = 2 }` allows half a hundredth, `{ relative = 0.01 }` one
    /// per cent. Nothing unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
    /// What a percent sign means where only one of the two answers has one.
    pub percent: PercentPolicy,
    /// Whether units and brackets have to be there.
    pub strict: bool,
    /// What becomes of an undecided answer.
    pub undecided: Undecided,
    /// Score of a right answer.
    pub correct: f64,
    /// Score of a wrong answer, and of none.
    pub wrong: f64,
}

impl Default for MathConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            extraction: MathOptions::default_extraction(),
            search_thoughts: false,
            tolerance: None,
            percent: PercentPolicy::default(),
            strict: false,
            undecided: Undecided::default(),
            correct: 1.0,
            wrong: 0.0,
        }
    }
}

/// `correct` if the completion's answer equals the task's by [`judge`], `wrong` if it differs or there is none.
///
/// An undecided answer is [`RewardError::Undecided`] unless the config makes it wrong. In a truncated completion only answers
/// whose end is marked count. It does not apply to a task without an answer.
#[derive(Clone, Debug)]
pub struct Math {
    name: String,
    options: MathOptions,
    undecided: Undecided,
    correct: f64,
    wrong: f64,
}

impl Math {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] for scores that are not finite, an empty `extraction`, or a tolerance that is negative,
    /// not finite or of more than 300 decimals.
    pub fn from_config(config: &MathConfig) -> Result<Self, OptionError> {
        let MathConfig {
            name,
            weight: _,
            extraction,
            search_thoughts,
            tolerance,
            percent,
            strict,
            undecided,
            correct,
            wrong,
        } = config.clone();
        let name = name.unwrap_or_else(|| "math".to_owned());
        let invalid = |option, value: String, expected: &str| {
            OptionError::invalid(&name, option, value, expected)
        };
        check_finite(&name, "correct", correct)?;
        check_finite(&name, "wrong", wrong)?;
        if extraction.is_empty() {
            return Err(invalid("extraction", "[]".to_owned(), "at least one"));
        }
        match tolerance {
            Some(Tolerance::Relative(share)) if !(0.0..=1.0).contains(&share) => {
                return Err(invalid(
                    "tolerance.relative",
                    share.to_string(),
                    "from 0 to 1",
                ));
            }
            Some(Tolerance::Decimals(decimals)) if decimals > 300 => {
                return Err(invalid(
                    "tolerance.decimals",
                    decimals.to_string(),
                    "from 0 to 300",
                ));
            }
            _ => {}
        }
        let options = MathOptions {
            form: Form::Completion,
            extraction,
            search_thoughts,
            tolerance,
            percent,
            strict,
            ..MathOptions::default()
        };
        Ok(Self {
            name,
            options,
            undecided,
            correct,
            wrong,
        })
    }
}

impl Math {
    /// Whose doing an undecided comparison with `gold` is: the task's if `gold` is not even known to equal itself.
    fn fault_of(&self, gold: &str) -> Fault {
        let options = MathOptions {
            form: Form::Answer,
            ..self.options.clone()
        };
        if judge(gold, gold, &options).verdict == Verdict::Equal {
            Fault::Completion
        } else {
            Fault::Task
        }
    }
}

impl Reward for Math {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        if sample.task.answer.trim().is_empty() {
            return Ok(None);
        }
        let judgement = match sample.truncated {
            false => judge(&sample.task.answer, sample.completion, &self.options),
            true => {
                let options = MathOptions {
                    truncated: true,
                    ..self.options.clone()
                };
                judge(&sample.task.answer, sample.completion, &options)
            }
        };
        match (judgement.verdict, self.undecided) {
            (Verdict::Equal, _) => Ok(Some(self.correct)),
            (Verdict::Different, _) | (Verdict::Undecided { .. }, Undecided::Wrong) => {
                Ok(Some(self.wrong))
            }
            (Verdict::Undecided { why }, Undecided::Exclude) => {
                let fault = self.fault_of(&sample.task.answer);
                let reason = why.to_string();
                Err(RewardError::undecided(fault, sample, &self.name, reason))
            }
        }
    }

    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }

    fn typical_scores(&self) -> [f64; 2] {
        [self.wrong, self.correct]
    }
}

impl Answers for Math {
    fn answer(&self, sample: &Sample) -> Option<String> {
        let options = MathOptions {
            truncated: sample.truncated,
            ..self.options.clone()
        };
        answer_in(sample.completion, &options).map(str::to_owned)
    }

    fn same(&self, left: &str, right: &str) -> bool {
        let options = MathOptions {
            form: Form::Answer,
            ..self.options.clone()
        };
        judge(left, right, &options).verdict == Verdict::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn score(
        config: &MathConfig,
        answer: &str,
        completion: &str,
        truncated: bool,
    ) -> Result<Option<f64>, RewardError> {
        let task = Task::new("t", Prompt::Text("?".to_owned()), answer);
        let sample = Sample {
            task: &task,
            completion,
            truncated,
            completion_tokens: 1,
        };
        Math::from_config(config).unwrap().score(&sample)
    }

    #[test]
    fn right_wrong_and_neither() {
        let config = MathConfig::default();
        let value =
            |answer, completion, truncated| score(&config, answer, completion, truncated).unwrap();
        assert_eq!(value("1/2", r"so \boxed{0.5}", false), Some(1.0));
        assert_eq!(value("1/2", r"so \boxed{0.6}", false), Some(0.0));
        assert_eq!(value("1/2", "no idea", false), Some(0.0));
        assert_eq!(value("12", "it is 12", true), Some(0.0));
        assert_eq!(value(" ", "it is 12", false), None);
        let error = score(&config, "5", r"\boxed{5^{5^{5^5}}}", false).unwrap_err();
        assert!(error.is_undecided(), "{error}");
        assert_eq!(error.fault(), Fault::Completion);
        let wrong = MathConfig {
            undecided: Undecided::Wrong,
            wrong: -1.0,
            ..MathConfig::default()
        };
        assert_eq!(
            score(&wrong, "5", r"\boxed{5^{5^{5^5}}}", false).unwrap(),
            Some(-1.0)
        );
    }

    #[test]
    fn options_are_checked() {
        let bad = [
            MathConfig {
                extraction: vec![],
                ..Default::default()
            },
            MathConfig {
                correct: f64::NAN,
                ..Default::default()
            },
            MathConfig {
                tolerance: Some(Tolerance::Relative(-0.1)),
                ..Default::default()
            },
            MathConfig {
                tolerance: Some(Tolerance::Decimals(301)),
                ..Default::default()
            },
        ];
        for config in bad {
            assert!(Math::from_config(&config).is_err(), "{config:?}");
        }
    }
}
