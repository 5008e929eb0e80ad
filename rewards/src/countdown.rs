//! The reward `countdown`: an expression that uses each number once and has the target's value.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::AnswerScores;
use crate::error::{Fault, RewardError};
use crate::extract::Extraction;
use crate::option::OptionError;
use crate::reward::Reward;
use crate::sample::Sample;

/// Longest expression that is read, in bytes.
const MAX_BYTES: usize = 1000;

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 32;

/// Settings of [`Countdown`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownConfig {
    /// The component's name; `countdown` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// Where the expression is looked for; the first that finds anything wins.
    pub extraction: Vec<Extraction>,
    /// Score of a right expression.
    pub correct: f64,
    /// Score of a wrong expression, and of none.
    pub wrong: f64,
}

impl Default for CountdownConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            extraction: vec![
                Extraction::AnswerTag,
                Extraction::Boxed,
                Extraction::AnswerPhrase,
            ],
            correct: 1.0,
            wrong: 0.0,
        }
    }
}

/// `correct` if the extracted expression uses each of the task's numbers exactly once, nothing else but `+ - * /` and
/// parentheses, and its exact value is the target; `wrong` otherwise.
///
/// That is the rule of TinyZero's checker, computed with fractions instead of floats. The columns `numbers` (a list of
/// integers) and `target` (an integer) of the task define the problem; it does not apply to tasks without them. A trailing
/// `= 24` must name the target.
#[derive(Clone, Debug)]
pub struct Countdown(AnswerScores);

impl Countdown {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] for scores that are not finite or an empty `extraction`.
    pub fn from_config(config: &CountdownConfig) -> Result<Self, OptionError> {
        let CountdownConfig {
            name,
            weight: _,
            extraction,
            correct,
            wrong,
        } = config;
        let name = name.as_deref().unwrap_or("countdown");
        let scores = AnswerScores::new(name, extraction, *correct, *wrong)?;
        Ok(Self::from_scores(scores))
    }

    pub(crate) fn from_scores(scores: AnswerScores) -> Self {
        Self(scores)
    }
}

impl Reward for Countdown {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let columns = &sample.task.columns;
        let (Some(numbers), Some(target)) = (columns.get("numbers"), columns.get("target")) else {
            return Ok(None);
        };
        let problem = numbers
            .as_array()
            .and_then(|numbers| {
                numbers
                    .iter()
                    .map(Value::as_u64)
                    .collect::<Option<Vec<u64>>>()
            })
            .zip(target.as_i64());
        let Some((numbers, target)) = problem else {
            let reason = format!(
                "numbers = {numbers}, target = {target}: expected a list of integers from 0 and an integer"
            );
            return Err(RewardError::of(Fault::Task, sample, &self.0.name, reason));
        };
        let found = self.0.found(sample);
        let right = found.is_some_and(|answer| solves_countdown(answer, &numbers, target));
        Ok(Some(self.0.score(right)))
    }

    fn typical_scores(&self) -> [f64; 2] {
        self.0.both()
    }
}

/// Whether `answer` is an expression of `numbers`, each used exactly once, with the value `target`.
///
/// ```
/// use dunwu_rewards::solves_countdown;
///
/// assert!(solves_countdown("(8 + 50) + 3 * 1 = 61", &[1, 3, 8, 50], 61));
/// assert!(!solves_countdown("61", &[1, 3, 8, 50], 61));
/// ```
pub fn solves_countdown(answer: &str, numbers: &[u64], target: i64) -> bool {
    if answer.len() > MAX_BYTES {
        return false;
    }
    let answer = answer
        .trim()
        .trim_matches(['$', '`'])
        .trim()
        .trim_end_matches('.');
    let answer = answer
        .replace("\\times", "*")
        .replace("\\cdot", "*")
        .replace("\\div", "/")
        .replace(['×', '·', '⋅'], "*")
        .replace('÷', "/")
        .replace('−', "-")
        .replace("\\left", "")
        .replace("\\right", "");
    let target = BigRational::from_integer(BigInt::from(target));
    let expression = match answer.split_once('=') {
        None => answer.as_str(),
        Some((expression, claimed)) => match claimed.trim().parse::<BigInt>() {
            Ok(claimed) if BigRational::from_integer(claimed.clone()) == target => expression,
            _ => return false,
        },
    };
    let mut parser = Parser {
        bytes: expression.as_bytes(),
        at: 0,
        depth: 0,
        used: Vec::new(),
        most: numbers.len(),
    };
    let Some(value) = parser.sum() else {
        return false;
    };
    if parser.peek().is_some() || value != target {
        return false;
    }
    let mut used = parser.used;
    let mut numbers = numbers.to_vec();
    used.sort_unstable();
    numbers.sort_unstable();
    used == numbers
}

/// Arithmetic on integers: `+ - * /` and parentheses, and nothing else.
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// The numbers read so far.
    used: Vec<u64>,
    /// More numbers than this are too many, so values stay small.
    most: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn sum(&mut self) -> Option<BigRational> {
        let mut value = self.product()?;
        while let Some(sign @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            let next = self.product()?;
            value = if sign == b'+' {
                value + next
            } else {
                value - next
            };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<BigRational> {
        let mut value = self.factor()?;
        while let Some(sign @ (b'*' | b'/')) = self.peek() {
            self.at += 1;
            let next = self.factor()?;
            if sign == b'/' && next.is_zero() {
                return None;
            }
            value = if sign == b'*' {
                value * next
            } else {
                value / next
            };
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<BigRational> {
        match self.peek()? {
            b'(' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return None;
                }
                self.at += 1;
                let value = self.sum()?;
                self.depth -= 1;
                (self.peek()? == b')').then(|| self.at += 1)?;
                Some(value)
            }
            b'0'..=b'9' => {
                let digits = self.bytes[self.at..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let text = std::str::from_utf8(&self.bytes[self.at..self.at + digits]).ok()?;
                let number: u64 = text.parse().ok()?;
                self.at += digits;
                if self.used.len() >= self.most {
                    return None;
                }
                self.used.push(number);
                Some(BigRational::from_integer(number.into()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    #[test]
    fn each_number_once_and_the_exact_value() {
        let numbers = [3, 8, 50];
        for right in [
            "(50 - 3) + 8",
            "50-3+8 = 55",
            r"50 - 3 + 8",
            "8 + (50 − 3)",
            "((50)-(3))+8.",
        ] {
            assert!(solves_countdown(right, &numbers, 55), "{right}");
        }
        let wrong = [
            "55",
            "50 + 8 - 3 - 0",
            "50 - 3",
            "50 - 3 + 8 + 3 - 3",
            "50 + 8",
            "58 - 3",
            "508 - 3",
            "5 0 - 3 + 8",
            "50 - 3 + 8 = 56",
            "-3 + 50 + 8",
            "50 - 3 + 8)",
            "(50 - 3 + 8",
            "50 - 3 + 8 # yes",
            "50 ** 3 ** 8",
            "",
            "8/(3-3)",
            "fifty",
        ];
        for wrong in wrong {
            assert!(!solves_countdown(wrong, &numbers, 55), "{wrong}");
        }
        // Fractions on the way are exact: 8 / (3 − 8/3) = 24.
        assert!(solves_countdown("8 / (3 - 8 / 3)", &[3, 3, 8, 8], 24));
        assert!(!solves_countdown(&"(".repeat(900), &numbers, 55));
    }

    #[test]
    fn columns_define_the_problem() {
        let score = |columns: serde_json::Value, completion: &str| {
            let task = Task::new("t", Prompt::Text("?".to_owned()), "50 - 3 + 8")
                .with_columns(columns.as_object().unwrap().clone());
            let sample = Sample {
                task: &task,
                completion,
                truncated: false,
                completion_tokens: 1,
            };
            Countdown::from_config(&CountdownConfig::default())
                .unwrap()
                .score(&sample)
        };
        let columns = serde_json::json!({ "numbers": [3, 8, 50], "target": 55 });
        assert_eq!(
            score(columns.clone(), "<answer>8 + 50 - 3</answer>").unwrap(),
            Some(1.0)
        );
        assert_eq!(
            score(columns.clone(), "<answer>8 + 50</answer>").unwrap(),
            Some(0.0)
        );
        assert_eq!(score(columns, "no").unwrap(), Some(0.0));
        assert_eq!(score(serde_json::json!({}), "no").unwrap(), None);
        let broken = serde_json::json!({ "numbers": "3, 8", "target": 55 });
        assert!(
            score(broken, "no")
                .unwrap_err()
                .to_string()
                .contains("expected a list")
        );
    }

    #[test]
    fn generated_solutions_are_right() {
        use dunwu_datasets::{Generator, GeneratorConfig};
        let generator =
            Generator::from_config(&GeneratorConfig::Countdown(Default::default())).unwrap();
        for index in 0..500 {
            let task = generator
                .task(9, index, 0.0, dunwu_datasets::Split::Train)
                .unwrap();
            let numbers: Vec<u64> =
                serde_json::from_value(task.columns["numbers"].clone()).unwrap();
            let target = task.columns["target"].as_i64().unwrap();
            assert!(
                solves_countdown(&task.answer, &numbers, target),
                "{}",
                task.answer
            );
            assert!(!solves_countdown(&task.answer, &numbers, target + 1));
        }
    }
}
