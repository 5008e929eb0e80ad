//! Countdown: reach a target from a few numbers with the four operations.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::arithmetic::operate;
use super::{
    Problem, TraceMix, check_range, default_heldout_fraction, draw_in_split, level_or_any, search,
};
use crate::error::DatasetError;
use crate::settings::check_fraction;
use crate::split::Split;
use crate::task::Prompt;

/// Settings of [`Countdown`]. By default 3 or 4 numbers below 100 make a target of two digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownConfig {
    /// A system message before the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Fewest numbers in a problem: 2 to 8.
    pub numbers_min: u32,
    /// Most numbers in a problem: `numbers_min` to 8.
    pub numbers_max: u32,
    /// Numbers are drawn evenly from 1 to this: 2 to 1000.
    pub value_max: u32,
    /// Smallest target: 1 to 100000.
    pub target_min: u32,
    /// Largest target: `target_min` to 100000.
    pub target_max: u32,
    /// Share of all problems that training never sees: at least 0, below 1.
    pub heldout_fraction: f64,
}

impl Default for CountdownConfig {
    fn default() -> Self {
        Self {
            system: None,
            numbers_min: 3,
            numbers_max: 4,
            value_max: 99,
            target_min: 10,
            target_max: 99,
            heldout_fraction: default_heldout_fraction(),
        }
    }
}

/// Problems such as: use 3, 8 and 50, each exactly once, with `+ - * /` and parentheses to make 74.
///
/// Every number has to be used **exactly** once. That is the rule of TinyZero's checker
/// (`verl/utils/reward_score/countdown.py` in <https://github.com/Jiayi-Pan/TinyZero>), which is
/// stricter than the television game, where numbers may be left over.
///
/// A problem is made from a solution, so it always has one, without fractions or negative numbers
/// on the way. The columns `numbers` and `target` define the problem. [`crate::Task::answer`] is
/// the solution that the problem was made from; many problems have others, so a reward should
/// check an answer against the columns and not compare it with this one. The sorted numbers with
/// the target decide the split.
#[derive(Clone, Debug)]
pub struct Countdown {
    config: CountdownConfig,
}

/// A part of a solution.
struct Term {
    value: u32,
    text: String,
}

impl Term {
    fn number(value: u32) -> Self {
        Self {
            value,
            text: value.to_string(),
        }
    }
}

impl Countdown {
    pub(super) fn from_config(config: &CountdownConfig) -> Result<Self, DatasetError> {
        let CountdownConfig {
            system: _,
            numbers_min,
            numbers_max,
            value_max,
            target_min,
            target_max,
            heldout_fraction,
        } = *config;
        check_range(
            ("numbers_min", "numbers_max"),
            (numbers_min, numbers_max),
            (2, 8),
        )?;
        check_range(
            ("value_max", "value_max"),
            (value_max, value_max),
            (2, 1_000),
        )?;
        check_range(
            ("target_min", "target_max"),
            (target_min, target_max),
            (1, 100_000),
        )?;
        check_fraction(heldout_fraction)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    pub(super) fn heldout_fraction(&self) -> f64 {
        self.config.heldout_fraction
    }

    /// How many numbers there may be: a level each.
    pub(super) fn levels(&self) -> RangeInclusive<u32> {
        self.config.numbers_min..=self.config.numbers_max
    }

    /// A problem, or nothing when the operations drawn lead nowhere or miss the targets' range.
    pub(super) fn problem(&self, rng: &mut ChaCha8Rng, level: Option<usize>) -> Option<Problem> {
        let config = &self.config;
        let count = level_or_any(rng, self.levels(), level);
        let numbers: Vec<u32> = (0..count)
            .map(|_| rng.random_range(1..=config.value_max))
            .collect();
        let solution = combine(rng, &numbers)?;
        if !(config.target_min..=config.target_max).contains(&solution.value) {
            return None;
        }
        Some(self.posed(numbers, solution))
    }

    /// A training problem with an attempt at it, as [`search`] describes.
    pub(super) fn demonstration(
        &self,
        rng: &mut ChaCha8Rng,
        mix: &TraceMix,
    ) -> Result<(Problem, String), DatasetError> {
        let fraction = self.config.heldout_fraction;
        let problem = draw_in_split("countdown", Split::Train, fraction, || {
            let problem = self.problem(rng, None)?;
            Some((problem.canonical.clone(), problem))
        })?;
        let list = |value: &Value| value.as_u64().expect("the generator wrote a number") as u32;
        let numbers: Vec<u32> = problem.columns["numbers"]
            .as_array()
            .expect("the generator wrote a list")
            .iter()
            .map(list)
            .collect();
        let target = list(&problem.columns["target"]);
        let completion = search::completion(rng, &numbers, target, mix);
        Ok((problem, completion))
    }

    fn posed(&self, numbers: Vec<u32>, solution: Term) -> Problem {
        let target = solution.value;
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        Problem {
            prompt: Prompt::user(self.config.system.as_deref(), question(&numbers, target)),
            answer: solution.text,
            canonical: format!("{}={target}", join(&sorted, ",")),
            columns: Map::from_iter([
                ("numbers".to_owned(), Value::from(numbers)),
                ("target".to_owned(), Value::from(target)),
            ]),
        }
    }
}

/// Joins two of the numbers by an operation, again and again, until one value is left.
fn combine(rng: &mut ChaCha8Rng, numbers: &[u32]) -> Option<Term> {
    let mut terms: Vec<Term> = numbers.iter().map(|number| Term::number(*number)).collect();
    while terms.len() > 1 {
        let left = terms.swap_remove(rng.random_range(0..terms.len()));
        let right = terms.swap_remove(rng.random_range(0..terms.len()));
        let (sign, value) = operate(rng, left.value, right.value);
        let value = value?;
        let text = if terms.is_empty() {
            format!("{} {sign} {}", left.text, right.text)
        } else {
            format!("({} {sign} {})", left.text, right.text)
        };
        terms.push(Term { value, text });
    }
    terms.pop()
}

fn question(numbers: &[u32], target: u32) -> String {
    format!(
        "Use each of the numbers {} exactly once, together with +, -, *, / and parentheses, to \
         write an expression that equals {target}. Give the expression between <answer> and \
         </answer>.",
        join(numbers, ", ")
    )
}

fn join(numbers: &[u32], separator: &str) -> String {
    numbers
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{Generator, GeneratorConfig};

    fn generator(config: CountdownConfig) -> Result<Generator, DatasetError> {
        Generator::from_config(&GeneratorConfig::Countdown(config))
    }

    /// Evaluates `a op b` where `a` and `b` are numbers or such expressions in parentheses, and
    /// collects the numbers. Written apart from the generator, over fractions of `f64`.
    fn evaluate(text: &str, numbers: &mut Vec<u64>) -> f64 {
        let operand = |text: &str, numbers: &mut Vec<u64>| match text.strip_prefix('(') {
            Some(inner) => evaluate(inner.strip_suffix(')').unwrap(), numbers),
            None => {
                numbers.push(text.parse().unwrap());
                text.parse().unwrap()
            }
        };
        let mut depth = 0;
        let sign = text
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '(') - i32::from(*c == ')');
                depth == 0 && "+-*/".contains(*c)
            })
            .unwrap()
            .0;
        let left = operand(text[..sign].trim(), numbers);
        let right = operand(text[sign + 1..].trim(), numbers);
        match &text[sign..=sign] {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            _ => left / right,
        }
    }

    #[test]
    fn every_problem_has_the_solution_it_was_made_from() {
        let generator = generator(CountdownConfig::default()).unwrap();
        let mut sizes = [0; 5];
        for index in 0..3_000 {
            let task = generator.task(4, index, 0.0, Split::Train).unwrap();
            let target = task.columns["target"].as_u64().unwrap();
            let mut numbers: Vec<u64> =
                serde_json::from_value(task.columns["numbers"].clone()).unwrap();
            let mut used = Vec::new();
            assert_eq!(
                evaluate(&task.answer, &mut used),
                target as f64,
                "{}",
                task.answer
            );
            used.sort_unstable();
            numbers.sort_unstable();
            assert_eq!(used, numbers, "{}", task.answer);
            assert!((10..=99).contains(&target));
            assert!(numbers.iter().all(|number| (1..=99).contains(number)));
            sizes[numbers.len()] += 1;
        }
        assert!(
            sizes[3] > 0 && sizes[4] > 0 && sizes[3] + sizes[4] == 3_000,
            "{sizes:?}"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let cases = [
            (
                CountdownConfig {
                    numbers_max: 9,
                    ..Default::default()
                },
                "numbers_max is 9: expected from numbers_min = 3 to 8",
            ),
            (
                CountdownConfig {
                    value_max: 0,
                    ..Default::default()
                },
                "value_max is 0: expected from 2 to 1000",
            ),
            (
                CountdownConfig {
                    target_min: 500,
                    ..Default::default()
                },
                "target_max is 99: expected from target_min = 500 to 100000",
            ),
        ];
        for (config, expected) in cases {
            assert_eq!(generator(config).unwrap_err().to_string(), expected);
        }
    }
}
