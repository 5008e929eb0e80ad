//! Small Python functions from a description of their steps, with hidden tests.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Problem, TraceMix, check_range, default_heldout_fraction, level_or_any};
use crate::error::DatasetError;
use crate::settings::check_fraction;
use crate::settings::expect_setting;
use crate::split::Split;
use crate::task::Prompt;

/// How a task is posed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramStyle {
    /// The beginning of a function as raw text: the model writes the expression it returns.
    #[default]
    Continue,
    /// A request to a chat model, which answers with a fenced block.
    Chat,
}

/// Which steps occur, each kind with those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramOperations {
    /// Adding, subtracting, multiplying.
    #[default]
    Basic,
    /// Also remainders, division without remainder, squares.
    Integer,
    /// Also absolute values, maxima and minima.
    All,
}

/// Settings of [`Program`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgramConfig {
    /// How a task is posed.
    pub style: ProgramStyle,
    /// Steps of the shortest function: 1 to 8.
    pub steps_min: u32,
    /// Steps of the longest function: `steps_min` to 8. The number of steps is a task's grade.
    pub steps_max: u32,
    /// Which steps occur.
    pub operations: ProgramOperations,
    /// Tests of each function: 1 to 20.
    pub tests: u32,
    /// Share of all problems that training never sees: at least 0, below 1.
    pub heldout_fraction: f64,
}

impl Default for ProgramConfig {
    fn default() -> Self {
        Self {
            style: ProgramStyle::default(),
            steps_min: 1,
            steps_max: 3,
            operations: ProgramOperations::default(),
            tests: 4,
            heldout_fraction: default_heldout_fraction(),
        }
    }
}

/// Functions of one integer, described step by step: "add 3, times 2" is `(x+3)*2`. What has to be
/// learned is what Python binds first.
///
/// The answer is a right expression. The column `test_list` holds assertions on `f`, as MBPP has
/// them; `steps` is the number of steps. The description decides the split.
#[derive(Clone, Debug)]
pub struct Program {
    config: ProgramConfig,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Add(i64),
    Subtract(i64),
    Times(i64),
    Remainder(i64),
    Divide(i64),
    Square,
    Absolute,
    AtLeast(i64),
    AtMost(i64),
}

/// How tightly an expression binds: a sum, a product, or something that needs no parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Atom,
}

impl Step {
    fn draw(rng: &mut ChaCha8Rng, operations: ProgramOperations) -> Self {
        let kinds = match operations {
            ProgramOperations::Basic => 3,
            ProgramOperations::Integer => 6,
            ProgramOperations::All => 9,
        };
        let number = rng.random_range(2..=9);
        match rng.random_range(0..kinds) {
            0 => Self::Add(number),
            1 => Self::Subtract(number),
            2 => Self::Times(number),
            3 => Self::Remainder(number),
            4 => Self::Divide(number),
            5 => Self::Square,
            6 => Self::Absolute,
            7 => Self::AtLeast(number),
            _ => Self::AtMost(number),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Add(n) => format!("add {n}"),
            Self::Subtract(n) => format!("subtract {n}"),
            Self::Times(n) => format!("times {n}"),
            Self::Remainder(n) => format!("remainder by {n}"),
            Self::Divide(n) => format!("divide by {n}"),
            Self::Square => "square".to_owned(),
            Self::Absolute => "absolute".to_owned(),
            Self::AtLeast(n) => format!("at least {n}"),
            Self::AtMost(n) => format!("at most {n}"),
        }
    }

    /// The result, as Python has it: quotients are rounded down and remainders are not negative.
    fn apply(self, x: i64) -> i64 {
        match self {
            Self::Add(n) => x + n,
            Self::Subtract(n) => x - n,
            Self::Times(n) => x * n,
            Self::Remainder(n) => x.rem_euclid(n),
            Self::Divide(n) => x.div_euclid(n),
            Self::Square => x * x,
            Self::Absolute => x.abs(),
            Self::AtLeast(n) => x.max(n),
            Self::AtMost(n) => x.min(n),
        }
    }

    /// The Python expression of this step on `inner`; without `care`, as if nothing bound tighter
    /// than anything else.
    fn expression(self, inner: (String, Binding), care: bool) -> (String, Binding) {
        let (text, binding) = inner;
        let within = |needed: Binding| {
            if care && binding < needed {
                format!("({text})")
            } else {
                text.clone()
            }
        };
        match self {
            Self::Add(n) => (format!("{}+{n}", within(Binding::Sum)), Binding::Sum),
            Self::Subtract(n) => (format!("{}-{n}", within(Binding::Sum)), Binding::Sum),
            Self::Times(n) => (
                format!("{}*{n}", within(Binding::Product)),
                Binding::Product,
            ),
            Self::Remainder(n) => (
                format!("{}%{n}", within(Binding::Product)),
                Binding::Product,
            ),
            Self::Divide(n) => (
                format!("{}//{n}", within(Binding::Product)),
                Binding::Product,
            ),
            Self::Square => (format!("{}**2", within(Binding::Atom)), Binding::Product),
            Self::Absolute => (format!("abs({text})"), Binding::Atom),
            Self::AtLeast(n) => (format!("max({text},{n})"), Binding::Atom),
            Self::AtMost(n) => (format!("min({text},{n})"), Binding::Atom),
        }
    }

    /// This step with its number off by one.
    fn slipped(self) -> Self {
        match self {
            Self::Add(n) => Self::Add(n + 1),
            Self::Subtract(n) => Self::Subtract(n + 1),
            Self::Times(n) => Self::Times(n + 1),
            Self::Remainder(n) => Self::Remainder(n + 1),
            Self::Divide(n) => Self::Divide(n + 1),
            Self::Square => Self::Times(2),
            Self::Absolute => Self::Times(1),
            Self::AtLeast(n) => Self::AtMost(n),
            Self::AtMost(n) => Self::AtLeast(n),
        }
    }
}

/// Eight squares of numbers near 20 overflow; such functions are not posed.
const LARGEST_RESULT: i64 = 1_000_000_000;

impl Program {
    pub(super) fn from_config(config: &ProgramConfig) -> Result<Self, DatasetError> {
        let ProgramConfig {
            style: _,
            steps_min,
            steps_max,
            operations: _,
            tests,
            heldout_fraction,
        } = config;
        check_range(("steps_min", "steps_max"), (*steps_min, *steps_max), (1, 8))?;
        expect_setting((1..=20).contains(tests), "tests", tests, "from 1 to 20")?;
        check_fraction(*heldout_fraction)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    pub(super) fn heldout_fraction(&self) -> f64 {
        self.config.heldout_fraction
    }

    /// How many steps there may be: a level each.
    pub(super) fn levels(&self) -> RangeInclusive<u32> {
        self.config.steps_min..=self.config.steps_max
    }

    fn steps(&self, rng: &mut ChaCha8Rng, level: Option<usize>) -> Vec<Step> {
        let count = level_or_any(rng, self.levels(), level);
        (0..count)
            .map(|_| Step::draw(rng, self.config.operations))
            .collect()
    }

    /// A problem; nothing if its results are too large.
    pub(super) fn problem(&self, rng: &mut ChaCha8Rng, level: Option<usize>) -> Option<Problem> {
        let steps = self.steps(rng, level);
        let mut tests = Vec::new();
        let mut inputs = Vec::new();
        while tests.len() < self.config.tests as usize {
            let x = rng.random_range(-20..=20);
            if inputs.contains(&x) {
                continue;
            }
            inputs.push(x);
            let result = steps.iter().try_fold(x, |x, step| {
                Some(step.apply(x)).filter(|x| x.abs() <= LARGEST_RESULT)
            })?;
            tests.push(Value::from(format!("assert f({x}) == {result}")));
        }
        Some(Problem {
            prompt: self.prompt(&steps),
            answer: expression(&steps, true),
            canonical: words(&steps),
            columns: Map::from_iter([
                ("steps".to_owned(), Value::from(steps.len())),
                ("test_list".to_owned(), Value::Array(tests)),
            ]),
        })
    }

    fn prompt(&self, steps: &[Step]) -> Prompt {
        let words = words(steps);
        match self.config.style {
            ProgramStyle::Continue => Prompt::Text(format!("# {words}\ndef f(x):return ")),
            ProgramStyle::Chat => Prompt::user(
                None,
                format!(
                    "Write a Python function f(x) of an integer x that does the following in this order: {words}. \
                     Division is without remainder. Answer with one fenced Python block."
                ),
            ),
        }
    }

    /// A training problem with an attempt at it. With probability `mix.think` it minds what binds
    /// tighter, otherwise it writes the steps one after the other without parentheses. Each step is
    /// wrong with probability `mix.slip`; with probability `mix.malformed` the last character is
    /// missing. The problem comes without its tests.
    ///
    /// # Errors
    /// [`DatasetError::NoDemonstrations`] with the style `chat`.
    pub(super) fn demonstration(
        &self,
        rng: &mut ChaCha8Rng,
        mix: &TraceMix,
    ) -> Result<(Problem, String), DatasetError> {
        if self.config.style == ProgramStyle::Chat {
            return Err(DatasetError::NoDemonstrations {
                generator: "program with style = \"chat\"",
            });
        }
        let steps = super::draw_in_split("program", Split::Train, self.heldout_fraction(), || {
            let steps = self.steps(rng, None);
            Some((words(&steps), steps))
        })?;
        let written: Vec<Step> = steps
            .iter()
            .map(|step| {
                if rng.random_bool(mix.slip) {
                    step.slipped()
                } else {
                    *step
                }
            })
            .collect();
        let mut completion = expression(&written, rng.random_bool(mix.think));
        if rng.random_bool(mix.malformed) {
            completion.pop();
        }
        let problem = Problem {
            prompt: self.prompt(&steps),
            answer: expression(&steps, true),
            canonical: words(&steps),
            columns: Map::from_iter([("steps".to_owned(), Value::from(steps.len()))]),
        };
        Ok((problem, completion))
    }
}

fn words(steps: &[Step]) -> String {
    let words: Vec<String> = steps.iter().map(|step| step.words()).collect();
    words.join(", ")
}

fn expression(steps: &[Step], care: bool) -> String {
    let start = ("x".to_owned(), Binding::Atom);
    steps
        .iter()
        .fold(start, |inner, step| step.expression(inner, care))
        .0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{Generator, GeneratorConfig};
    use crate::seed::rng;

    #[test]
    fn expressions_mind_what_binds_tighter() {
        let cases: [(&[Step], &str, &str); 6] = [
            (&[Step::Add(3), Step::Times(2)], "(x+3)*2", "x+3*2"),
            (&[Step::Times(2), Step::Add(3)], "x*2+3", "x*2+3"),
            (&[Step::Subtract(4), Step::Square], "(x-4)**2", "x-4**2"),
            (&[Step::Square, Step::Square], "(x**2)**2", "x**2**2"),
            (&[Step::Divide(3), Step::Times(3)], "x//3*3", "x//3*3"),
            (
                &[Step::Add(2), Step::AtLeast(5), Step::Remainder(4)],
                "max(x+2,5)%4",
                "max(x+2,5)%4",
            ),
        ];
        for (steps, careful, careless) in cases {
            assert_eq!(expression(steps, true), careful);
            assert_eq!(expression(steps, false), careless);
        }
    }

    #[test]
    fn steps_do_what_python_does() {
        // python3 -c "print(-7//3, -7%3, (-7)**2, max(-7,4), min(-7,4), abs(-7))"
        let x = -7;
        assert_eq!(Step::Divide(3).apply(x), -3);
        assert_eq!(Step::Remainder(3).apply(x), 2);
        assert_eq!(Step::Square.apply(x), 49);
        assert_eq!(
            (Step::AtLeast(4).apply(x), Step::AtMost(4).apply(x)),
            (4, -7)
        );
        assert_eq!(Step::Absolute.apply(x), 7);
    }

    #[test]
    fn a_task_has_distinct_tests_and_a_grade() {
        let program = Program::from_config(&ProgramConfig {
            operations: ProgramOperations::All,
            ..Default::default()
        })
        .unwrap();
        for seed in 0..200 {
            let Some(problem) = program.problem(&mut rng(seed), None) else {
                continue;
            };
            let tests = problem.columns["test_list"].as_array().unwrap();
            assert_eq!(tests.len(), 4);
            let steps = problem.canonical.split(", ").count();
            assert_eq!(problem.columns["steps"], steps);
        }
    }

    #[test]
    fn demonstrations_are_as_good_as_the_mix_says() {
        let config = GeneratorConfig::Program(ProgramConfig::default());
        let program = Generator::from_config(&config).unwrap();
        let mix = TraceMix {
            think: 1.0,
            slip: 0.0,
            malformed: 0.0,
            ..Default::default()
        };
        let careful = program.demonstration(1, 5, &mix).unwrap();
        assert_eq!(careful, program.demonstration(1, 5, &mix).unwrap());
        let careless = TraceMix { think: 0.0, ..mix };
        let parentheses = |mix: &TraceMix| {
            (0..300)
                .filter(|index| {
                    let made = program.demonstration(1, *index, mix).unwrap();
                    made.completion.contains('(')
                })
                .count()
        };
        assert_eq!(parentheses(&careless), 0);
        assert!(parentheses(&mix) > 60);
    }

    #[test]
    fn settings_are_checked() {
        let config = ProgramConfig {
            steps_max: 9,
            ..Default::default()
        };
        let error = Program::from_config(&config).unwrap_err().to_string();
        assert!(error.starts_with("steps_max is 9"), "{error}");
    }
}
