//! The reward `exact`: the final answer equals the task's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerScores;
use crate::error::RewardError;
use crate::extract::{Extraction, well_grouped};
use crate::option::OptionError;
use crate::reward::Reward;
use crate::sample::Sample;
use crate::vote::Answers;

/// Settings of [`Exact`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExactConfig {
    /// The component's name; `exact` unless given.
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

impl Default for ExactConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            extraction: vec![
                Extraction::AnswerTag,
                Extraction::Boxed,
                Extraction::Hashes,
                Extraction::LastNumber,
            ],
            correct: 1.0,
            wrong: 0.0,
        }
    }
}

/// `correct` if the extracted answer is [the same](same_answer) as the task's, `wrong` otherwise.
///
/// In a truncated completion only answers whose end is marked count ([`Extraction::is_delimited`]).
/// It does not apply to a task without an answer.
#[derive(Clone, Debug)]
pub struct Exact(AnswerScores);

impl Exact {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] for scores that are not finite or an empty `extraction`.
    pub fn from_config(config: &ExactConfig) -> Result<Self, OptionError> {
        let ExactConfig {
            name,
            weight: _,
            extraction,
            correct,
            wrong,
        } = config;
        let name = name.as_deref().unwrap_or("exact");
        let scores = AnswerScores::new(name, extraction, *correct, *wrong)?;
        Ok(Self::from_scores(scores))
    }

    pub(crate) fn from_scores(scores: AnswerScores) -> Self {
        Self(scores)
    }
}

impl Reward for Exact {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        if sample.task.answer.trim().is_empty() {
            return Ok(None);
        }
        let found = self.0.found(sample);
        let right = found.is_some_and(|answer| same_answer(answer, &sample.task.answer));
        Ok(Some(self.0.score(right)))
    }

    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }

    fn typical_scores(&self) -> [f64; 2] {
        self.0.both()
    }
}

impl Answers for Exact {
    fn answer(&self, sample: &Sample) -> Option<String> {
        self.0.found(sample).map(str::to_owned)
    }

    fn same(&self, left: &str, right: &str) -> bool {
        same_answer(left, right)
    }
}

/// Whether two answers are the same after light normalisation.
///
/// Integers of any size are compared by value: a sign, leading zeros, commas between thousands and
/// a fraction of zeros make no difference. Anything else is compared as text, without the white
/// space around it. `1/2` and `0.5` are therefore different: this is no mathematics.
///
/// ```
/// use dunwu_rewards::same_answer;
///
/// assert!(same_answer(" +1,234.0", "01234"));
/// assert!(!same_answer("0.5", "1/2"));
/// ```
pub fn same_answer(left: &str, right: &str) -> bool {
    let (left, right) = (left.trim(), right.trim());
    match (Integer::parse(left), Integer::parse(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// An integer as its digits.
#[derive(PartialEq, Eq)]
struct Integer<'a> {
    negative: bool,
    /// Without leading zeros and commas; empty for zero.
    digits: Cow<'a, str>,
}

impl<'a> Integer<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix(['-', '\u{2212}']) {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits_only = integer
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b',');
        if integer.is_empty() || !digits_only || !fraction.bytes().all(|byte| byte == b'0') {
            return None;
        }
        let digits = if !integer.contains(',') {
            Cow::Borrowed(integer.trim_start_matches('0'))
        } else if well_grouped(integer) {
            Cow::Owned(integer.replace(',', "").trim_start_matches('0').to_owned())
        } else {
            return None;
        };
        Some(Self {
            negative: negative && !digits.is_empty(),
            digits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn task(answer: &str) -> Task {
        Task::new("t", Prompt::Text("?".to_owned()), answer)
    }

    fn score(config: &ExactConfig, completion: &str, truncated: bool, answer: &str) -> Option<f64> {
        let task = task(answer);
        let sample = Sample {
            task: &task,
            completion,
            truncated,
            completion_tokens: 1,
        };
        Exact::from_config(config).unwrap().score(&sample).unwrap()
    }

    #[test]
    fn integers_compare_by_value_and_the_rest_as_text() {
        let huge = "9".repeat(400);
        let same = [
            ("19", "19"),
            ("+19", "19"),
            ("0019", "19"),
            ("19.", "19"),
            ("19.00", "19"),
            ("1,234", "1234"),
            ("12,345,678", "12345678"),
            ("-0", "0"),
            ("0,000", "00"),
            ("\u{2212}5", "-5"),
            (" x ", "x"),
            (r"\frac{1}{2}", r"\frac{1}{2}"),
            (&huge, &huge),
        ];
        for (left, right) in same {
            assert!(
                same_answer(left, right) && same_answer(right, left),
                "{left} = {right}"
            );
        }
        let other = format!("{huge}0");
        let different = [
            ("19", "20"),
            ("-19", "19"),
            ("19.5", "19"),
            ("12,34", "1234"),
            (",123", "123"),
            ("1,234", "1.234"),
            ("", "0"),
            ("-", "0"),
            (".0", "0"),
            ("1 2", "12"),
            ("0x13", "19"),
            ("1e2", "100"),
            ("١٩", "19"),
            ("X", "x"),
            ("--1", "1"),
            ("1.0.0", "1"),
            (&huge, &other),
        ];
        for (left, right) in different {
            assert!(
                !same_answer(left, right) && !same_answer(right, left),
                "{left} = {right}"
            );
        }
    }

    #[test]
    fn the_final_answer_is_scored() {
        let config = ExactConfig::default();
        let cases = [
            ("<think>3+5=8</think><answer>8</answer>", "8", 1.0),
            ("<think>3+5=8</think><answer>9</answer>", "8", 0.0),
            ("<think>8</think>", "8", 0.0),
            (r"so \boxed{1,000}", "1000", 1.0),
            ("so #### 7", "7", 1.0),
            ("it is 8.", "8", 1.0),
            ("8 or 9", "8", 0.0),
            ("", "8", 0.0),
        ];
        for (completion, answer, expected) in cases {
            assert_eq!(
                score(&config, completion, false, answer),
                Some(expected),
                "{completion}"
            );
        }
    }

    #[test]
    fn a_cut_off_answer_is_not_credited() {
        let config = ExactConfig::default();
        for completion in ["it is 12", "#### 12", "<answer>12", r"\boxed{12"] {
            assert_eq!(
                score(&config, completion, true, "12"),
                Some(0.0),
                "{completion}"
            );
        }
        for completion in ["<answer>12</answer> an", r"\boxed{12} an"] {
            assert_eq!(
                score(&config, completion, true, "12"),
                Some(1.0),
                "{completion}"
            );
        }
    }

    #[test]
    fn scores_and_extraction_can_be_set() {
        let config = ExactConfig {
            extraction: vec![Extraction::AnswerTag],
            correct: 2.0,
            wrong: -1.0,
            ..Default::default()
        };
        assert_eq!(score(&config, "<answer>8</answer>", false, "8"), Some(2.0));
        assert_eq!(score(&config, "8", false, "8"), Some(-1.0));
        assert_eq!(score(&config, "8", false, " "), None);
    }
}
