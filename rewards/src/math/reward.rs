//! The reward `math`: the answer is mathematically the same as the task's.

use serde::{Deserialize, Serialize};

use super::{
    Form, MathOptions, PercentPolicy, Tolerance, Verdict, answer_in, gold_fault, judge, judge_any,
    right_answers,
};
use crate::error::{Fault, RewardError};
use crate::extract::Extraction;
use crate::option::{OptionError, check_finite};
use crate::reward::Reward;
use crate::sample::Sample;
use crate::vote::Answers;

/// What becomes of an answer about which nothing can be said, and whose own doing that is. Where the task's answer is at fault,
/// which can be compared with nothing, there is no reward whatever is chosen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecided {
    /// The completion gets no reward and is left out of training; it is counted.
    Exclude,
    /// The answer counts as wrong: an answer that cannot be read, or uses up its budget, is no way out.
    #[default]
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
/// The task's answer may be a JSON array of several right ones, see [`right_answers`].
///
/// An answer that cannot be decided is wrong unless the config leaves it out; if the task's answer is at fault, the judgement is
/// [`RewardError::Undecided`] in any case. In a truncated completion only answers whose end is marked count. It does not apply
/// to a task without an answer.
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
    /// How this judge reads and compares answers: those of completions, with the settings of its config.
    pub fn options(&self) -> &MathOptions {
        &self.options
    }

    /// Whose doing an undecided comparison with these right answers is: the task's if one of them can be compared with nothing.
    fn fault_of(&self, golds: &[String]) -> Fault {
        let broken = golds
            .iter()
            .any(|gold| gold_fault(gold, &self.options).is_some());
        if broken {
            Fault::Task
        } else {
            Fault::Completion
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
        let options = MathOptions {
            truncated: sample.truncated,
            ..self.options.clone()
        };
        let golds = right_answers(&sample.task.answer);
        let judgement = judge_any(&golds, sample.completion, &options);
        let why = match judgement.verdict {
            Verdict::Equal => return Ok(Some(self.correct)),
            Verdict::Different => return Ok(Some(self.wrong)),
            Verdict::Undecided { why } => why,
        };
        let fault = self.fault_of(&golds);
        if fault == Fault::Completion && self.undecided == Undecided::Wrong {
            return Ok(Some(self.wrong));
        }
        Err(RewardError::undecided(
            fault,
            sample,
            &self.name,
            why.to_string(),
        ))
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
        assert_eq!(
            value(r#"["1/3", "0.5"]"#, r"so \boxed{1/2}", false),
            Some(1.0)
        );
        assert_eq!(
            value(r#"["1/3", "0.5"]"#, r"so \boxed{2}", false),
            Some(0.0)
        );
    }

    #[test]
    fn the_undecided_is_wrong_unless_the_task_is_at_fault() {
        let wrong = MathConfig {
            wrong: -1.0,
            ..MathConfig::default()
        };
        let exclude = MathConfig {
            undecided: Undecided::Exclude,
            ..wrong.clone()
        };
        for completion in [r"\boxed{5^{5^{5^5}}}", r"\boxed{\begin{}", r"\boxed{1/0}"] {
            assert_eq!(
                score(&wrong, "5", completion, false).unwrap(),
                Some(-1.0),
                "{completion}"
            );
        }
        let tower = r"\boxed{5^{5^{5^5}}}";
        let error = score(&exclude, "5", tower, false).unwrap_err();
        assert!(error.is_undecided(), "{error}");
        assert_eq!(error.fault(), Fault::Completion);
        for config in [&wrong, &exclude] {
            for gold in ["5^{5^{5^5}}", r"\begin{"] {
                let error = score(config, gold, r"\boxed{3}", false).unwrap_err();
                assert!(error.is_undecided(), "{error}");
                assert_eq!(error.fault(), Fault::Task);
            }
        }
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
