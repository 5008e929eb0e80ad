//! Problems made on the spot: endless, checkable, of a known difficulty.

mod addition;
mod arithmetic;
mod chain_sum;
mod countdown;
mod program;
mod search;
mod source;
mod traces;

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::seed::{derive_seed, rng};
use crate::settings::expect_setting;
use crate::split::Split;
use crate::task::{Demonstration, Prompt, Task};

pub use addition::{Addition, AdditionConfig, OperandRange};
pub use chain_sum::{ChainSum, ChainSumConfig};
pub use countdown::{Countdown, CountdownConfig};
pub use program::{Program, ProgramConfig, ProgramOperations, ProgramStyle};
pub use source::GeneratorSource;
pub use traces::TraceMix;

/// Draws after which a generator gives up looking for a problem on one side of the split. With one
/// problem in a thousand held out, an honest search fails with probability 0.999^200000 < 1e-86.
const MAX_DRAWS: u32 = 200_000;

/// Repetitions in a row after which a held-out set counts as exhausted. Of a hundred problems drawn
/// evenly, a last missing one stays hidden that long with probability 0.99^10000 < 1e-43.
const MAX_REPETITIONS: u32 = 10_000;

/// What a seed is for: the first step of its path below the source's seed.
#[derive(Clone, Copy)]
enum Purpose {
    TrainTask = 0,
    HeldoutTask = 1,
    Demonstration = 2,
}

/// A generator and its settings, as a config names it: `generator = "chain-sum"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "generator", rename_all = "kebab-case")]
pub enum GeneratorConfig {
    /// Sums of one-digit numbers, as raw text.
    ChainSum(ChainSumConfig),
    /// Sums of two numbers, as a question to a chat model, with a curriculum.
    Addition(AdditionConfig),
    /// Reach a target from a few numbers with the four operations.
    Countdown(CountdownConfig),
    /// Small Python functions from a description, with tests.
    Program(ProgramConfig),
}

/// A family of problems, ready to draw from.
#[derive(Clone, Debug)]
pub enum Generator {
    /// See [`ChainSum`].
    ChainSum(ChainSum),
    /// See [`Addition`].
    Addition(Addition),
    /// See [`Countdown`].
    Countdown(Countdown),
    /// See [`Program`].
    Program(Program),
}

/// One problem, before it becomes a task.
struct Problem {
    prompt: Prompt,
    answer: String,
    /// The text that decides the split and tells two problems apart.
    canonical: String,
    columns: Map<String, Value>,
}

impl Generator {
    /// Checks the settings, and that each curriculum stage has problems to train on and, unless
    /// nothing is held out, problems to hold out.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] naming the setting and its value;
    /// [`DatasetError::SplitExhausted`] if one side of the split is empty.
    pub fn from_config(config: &GeneratorConfig) -> Result<Self, DatasetError> {
        let generator = match config {
            GeneratorConfig::ChainSum(config) => Self::ChainSum(ChainSum::from_config(config)?),
            GeneratorConfig::Addition(config) => Self::Addition(Addition::from_config(config)?),
            GeneratorConfig::Countdown(config) => Self::Countdown(Countdown::from_config(config)?),
            GeneratorConfig::Program(config) => Self::Program(Program::from_config(config)?),
        };
        for stage in 0..generator.stage_count() {
            let level = generator.level_of_stage(stage);
            generator.draw(&mut rng(0), level, Split::Train)?;
            if generator.heldout_fraction() > 0.0 {
                generator.draw(&mut rng(0), level, Split::Heldout)?;
            }
        }
        Ok(generator)
    }

    /// The generator's name in a config.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ChainSum(_) => "chain-sum",
            Self::Addition(_) => "addition",
            Self::Countdown(_) => "countdown",
            Self::Program(_) => "program",
        }
    }

    /// The `index`-th task of the stream that `seed` starts on one side of the split. Its id is
    /// `<name>-<split>-<index>`.
    ///
    /// `progress` is the share of training done, 0 to 1. It sets the difficulty of training tasks
    /// where there is a curriculum; held-out tasks ignore it and go through all stages in turn.
    ///
    /// # Errors
    /// [`DatasetError::InvalidProgress`]; [`DatasetError::SplitExhausted`] for held-out tasks when
    /// nothing is held out.
    pub fn task(
        &self,
        seed: u64,
        index: u64,
        progress: f64,
        split: Split,
    ) -> Result<Task, DatasetError> {
        if !(0.0..=1.0).contains(&progress) {
            return Err(DatasetError::InvalidProgress { progress });
        }
        let mut rng = match split {
            Split::Train => self.train_rng(seed, index),
            Split::Heldout => rng(derive_seed(seed, &[Purpose::HeldoutTask as u64, index])),
        };
        let stage = match (self, split) {
            (Self::Addition(addition), Split::Train) => addition.stage(&mut rng, progress),
            (_, Split::Heldout) => (index % self.stage_count() as u64) as usize,
            (_, Split::Train) => 0,
        };
        let problem = self.draw(&mut rng, self.level_of_stage(stage), split)?;
        Ok(self.to_task(problem, split, index))
    }

    /// The names of the levels of difficulty, easiest first: stages of additions, terms of chain sums, numbers of
    /// countdowns, steps of programs.
    pub fn levels(&self) -> Vec<String> {
        let named = |what: &str, levels: std::ops::RangeInclusive<u32>| {
            levels.map(|level| format!("{what}-{level}")).collect()
        };
        match self {
            Self::ChainSum(chain_sum) => named("terms", chain_sum.levels()),
            Self::Addition(addition) => named("stage", 0..=addition.stage_count() as u32 - 1),
            Self::Countdown(countdown) => named("numbers", countdown.levels()),
            Self::Program(program) => named("steps", program.levels()),
        }
    }

    /// A training problem of the level with this number in [`Self::levels`].
    pub(crate) fn task_of_level(
        &self,
        rng: &mut ChaCha8Rng,
        level: usize,
        id: String,
    ) -> Result<Task, DatasetError> {
        let problem = self.draw(rng, Some(level), Split::Train)?;
        Ok(problem.into_task(id))
    }

    /// The random numbers of the training problem at `index`.
    pub(crate) fn train_rng(&self, seed: u64, index: u64) -> ChaCha8Rng {
        rng(derive_seed(seed, &[Purpose::TrainTask as u64, index]))
    }

    /// `count` distinct held-out problems: the problems of the held-out stream in their order,
    /// repetitions left out. The ids count from 0 without gaps.
    ///
    /// # Errors
    /// [`DatasetError::NotEnoughHeldout`] if so many distinct ones do not turn up.
    pub fn heldout(&self, seed: u64, count: usize) -> Result<Vec<Task>, DatasetError> {
        let mut seen = HashSet::new();
        let mut tasks = Vec::with_capacity(count);
        let mut repetitions = 0;
        for index in 0_u64.. {
            if tasks.len() == count {
                break;
            }
            if repetitions == MAX_REPETITIONS {
                let (generator, requested, found) = (self.name(), count, tasks.len());
                return Err(DatasetError::NotEnoughHeldout {
                    generator,
                    requested,
                    found,
                });
            }
            let mut rng = rng(derive_seed(seed, &[Purpose::HeldoutTask as u64, index]));
            let stage = (index % self.stage_count() as u64) as usize;
            let problem = self.draw(&mut rng, self.level_of_stage(stage), Split::Heldout)?;
            if seen.insert(problem.canonical.clone()) {
                tasks.push(self.to_task(problem, Split::Heldout, tasks.len() as u64));
                repetitions = 0;
            } else {
                repetitions += 1;
            }
        }
        Ok(tasks)
    }

    /// The `index`-th demonstration of the stream that `seed` starts, for a training problem. See
    /// [`ChainSum`], [`Countdown`] and [`Program`].
    ///
    /// # Errors
    /// As for [`Self::demonstrated_task`].
    pub fn demonstration(
        &self,
        seed: u64,
        index: u64,
        mix: &TraceMix,
    ) -> Result<Demonstration, DatasetError> {
        let (task, completion) = self.demonstrated_task(seed, index, mix)?;
        Ok(Demonstration {
            prompt: task.prompt,
            completion,
        })
    }

    /// The same, with the problem as a task, so that it can be put in another way. Its id is
    /// `<name>-demonstration-<index>`.
    ///
    /// # Errors
    /// [`DatasetError::NoDemonstrations`] for a generator that has none;
    /// [`DatasetError::InvalidSetting`] for a mix that is out of range.
    pub fn demonstrated_task(
        &self,
        seed: u64,
        index: u64,
        mix: &TraceMix,
    ) -> Result<(Task, String), DatasetError> {
        mix.validate()?;
        let mut rng = rng(derive_seed(seed, &[Purpose::Demonstration as u64, index]));
        let (problem, completion) = match self {
            Self::ChainSum(chain_sum) => chain_sum.demonstration(&mut rng, mix),
            Self::Countdown(countdown) => countdown.demonstration(&mut rng, mix),
            Self::Program(program) => program.demonstration(&mut rng, mix),
            Self::Addition(_) => Err(DatasetError::NoDemonstrations {
                generator: self.name(),
            }),
        }?;
        let id = format!("{}-demonstration-{index}", self.name());
        Ok((problem.into_task(id), completion))
    }

    /// How many stages of difficulty there are.
    fn stage_count(&self) -> usize {
        match self {
            Self::Addition(addition) => addition.stage_count(),
            Self::ChainSum(_) | Self::Countdown(_) | Self::Program(_) => 1,
        }
    }

    /// Stages are levels; a generator without stages draws its levels by itself.
    fn level_of_stage(&self, stage: usize) -> Option<usize> {
        matches!(self, Self::Addition(_)).then_some(stage)
    }

    /// Share of all problems that training never sees.
    pub fn heldout_fraction(&self) -> f64 {
        match self {
            Self::ChainSum(chain_sum) => chain_sum.heldout_fraction(),
            Self::Addition(addition) => addition.heldout_fraction(),
            Self::Countdown(countdown) => countdown.heldout_fraction(),
            Self::Program(program) => program.heldout_fraction(),
        }
    }

    /// A problem of `level`, or of any level, on the wanted side of the split.
    fn draw(
        &self,
        rng: &mut ChaCha8Rng,
        level: Option<usize>,
        split: Split,
    ) -> Result<Problem, DatasetError> {
        draw_in_split(self.name(), split, self.heldout_fraction(), || {
            let problem = match self {
                Self::ChainSum(chain_sum) => Some(chain_sum.problem(&chain_sum.terms(rng, level))),
                Self::Addition(addition) => Some(addition.problem(rng, level.unwrap_or(0))),
                Self::Countdown(countdown) => countdown.problem(rng, level),
                Self::Program(program) => program.problem(rng, level),
            }?;
            Some((problem.canonical.clone(), problem))
        })
    }

    fn to_task(&self, problem: Problem, split: Split, index: u64) -> Task {
        problem.into_task(format!("{}-{split}-{index}", self.name()))
    }
}

impl Problem {
    fn into_task(self, id: String) -> Task {
        let Self {
            prompt,
            answer,
            canonical: _,
            columns,
        } = self;
        Task {
            id,
            prompt,
            answer,
            columns,
        }
    }
}

/// A number from `range`: the one of `level`, counted from the lowest, or any.
fn level_or_any(
    rng: &mut ChaCha8Rng,
    range: std::ops::RangeInclusive<u32>,
    level: Option<usize>,
) -> u32 {
    match level {
        Some(level) => range.start() + level as u32,
        None => rng.random_range(range),
    }
}

/// Draws until a problem is on the wanted side of the split. `draw` gives a problem with its
/// canonical text, or nothing when what it drew is no problem.
fn draw_in_split<P>(
    generator: &'static str,
    split: Split,
    heldout_fraction: f64,
    mut draw: impl FnMut() -> Option<(String, P)>,
) -> Result<P, DatasetError> {
    for _ in 0..MAX_DRAWS {
        if let Some((canonical, problem)) = draw()
            && Split::of(&canonical, heldout_fraction) == split
        {
            return Ok(problem);
        }
    }
    Err(DatasetError::SplitExhausted {
        generator,
        split,
        attempts: MAX_DRAWS,
    })
}

/// Refuses a range whose ends are out of order or outside of `lowest..=highest`.
fn check_range(
    names: (&str, &str),
    ends: (u32, u32),
    limits: (u32, u32),
) -> Result<(), DatasetError> {
    let (lowest, highest) = limits;
    let expected = format!("from {lowest} to {highest}");
    expect_setting(
        (lowest..=highest).contains(&ends.0),
        names.0,
        ends.0,
        &expected,
    )?;
    let expected = format!("from {} = {} to {highest}", names.0, ends.0);
    expect_setting(
        (ends.0..=highest).contains(&ends.1),
        names.1,
        ends.1,
        &expected,
    )
}

/// The default of every generator: one problem in ten is held out.
fn default_heldout_fraction() -> f64 {
    0.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Generator> {
        let configs = [
            GeneratorConfig::ChainSum(ChainSumConfig::default()),
            GeneratorConfig::Addition(AdditionConfig::default()),
            GeneratorConfig::Countdown(CountdownConfig::default()),
            GeneratorConfig::Program(ProgramConfig::default()),
        ];
        configs
            .iter()
            .map(|config| Generator::from_config(config).unwrap())
            .collect()
    }

    #[test]
    fn a_task_is_a_function_of_its_place() {
        for generator in all() {
            for index in 0..20 {
                let task = |seed| generator.task(seed, index, 0.7, Split::Train).unwrap();
                assert_eq!(task(1), task(1));
                assert_eq!(task(1).id, format!("{}-train-{index}", generator.name()));
            }
            let stream = |seed| {
                (0..20)
                    .map(|i| generator.task(seed, i, 0.7, Split::Train).unwrap())
                    .collect::<Vec<_>>()
            };
            assert_ne!(stream(1), stream(2), "{}", generator.name());
        }
    }

    #[test]
    fn training_never_meets_a_heldout_problem() {
        for generator in all() {
            let heldout = generator.heldout(11, 60).unwrap();
            let unseen: HashSet<String> = heldout
                .iter()
                .map(|task| task.prompt.problem_text())
                .collect();
            assert_eq!(
                unseen.len(),
                60,
                "{}: held-out problems repeat",
                generator.name()
            );
            for index in 0..5_000 {
                let progress = f64::from((index % 11) as u32) / 10.0;
                let task = generator
                    .task(index % 3, index, progress, Split::Train)
                    .unwrap();
                assert!(!unseen.contains(&task.prompt.problem_text()), "{task:?}");
            }
        }
    }

    /// The numbers that a sum adds up, in order: what the problem is, however it is put.
    fn summands(task: &Task) -> Vec<u64> {
        let columns = &task.columns;
        let mut numbers: Vec<u64> = match columns.get("terms") {
            Some(terms) => terms
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_u64)
                .collect(),
            None => ["a", "b"]
                .iter()
                .filter_map(|name| columns[*name].as_u64())
                .collect(),
        };
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn no_order_of_a_heldout_sum_is_trained_on() {
        // Few enough problems that any order of each would turn up: 165 sums of three, and 210 of two numbers.
        let small = [
            GeneratorConfig::ChainSum(ChainSumConfig {
                terms_min: 3,
                terms_max: 3,
                ..Default::default()
            }),
            GeneratorConfig::Addition(AdditionConfig {
                stages: vec![OperandRange { min: 0, max: 19 }],
                ..Default::default()
            }),
        ];
        for config in &small {
            let generator = Generator::from_config(config).unwrap();
            let heldout = generator.heldout(11, 8).unwrap();
            let unseen: HashSet<Vec<u64>> = heldout.iter().map(summands).collect();
            assert_eq!(
                unseen.len(),
                8,
                "{}: one sum in two orders",
                generator.name()
            );
            let mut trained = HashSet::new();
            for index in 0..5_000 {
                let task = generator.task(1, index, 1.0, Split::Train).unwrap();
                trained.insert(summands(&task));
            }
            assert!(trained.is_disjoint(&unseen), "{}", generator.name());
            assert!(trained.len() > 100);
            if matches!(config, GeneratorConfig::ChainSum(_)) {
                for index in 0..1_000 {
                    let mix = TraceMix::default();
                    let (task, _) = generator.demonstrated_task(1, index, &mix).unwrap();
                    assert!(!unseen.contains(&summands(&task)), "{task:?}");
                }
            }
        }
    }

    #[test]
    fn a_heldout_set_grows_at_its_end() {
        for generator in all() {
            let large = generator.heldout(5, 40).unwrap();
            assert_eq!(generator.heldout(5, 15).unwrap(), large[..15]);
        }
    }

    #[test]
    fn more_heldout_problems_than_exist_is_an_error() {
        let config = ChainSumConfig {
            terms_min: 3,
            terms_max: 3,
            ..Default::default()
        };
        let generator = Generator::from_config(&GeneratorConfig::ChainSum(config)).unwrap();
        let error = generator.heldout(1, 729).unwrap_err();
        let DatasetError::NotEnoughHeldout {
            found,
            requested: 729,
            ..
        } = error
        else {
            panic!("{error}");
        };
        // 165 problems, whatever the order of their terms, each held out with probability 0.1: 16.5 are expected, with a
        // deviation of 3.9.
        assert!((1..=36).contains(&found), "{found}");
        assert_eq!(generator.heldout(1, found).unwrap().len(), found);
    }

    #[test]
    fn nothing_held_out_is_allowed_until_it_is_asked_for() {
        let config = ChainSumConfig {
            heldout_fraction: 0.0,
            ..Default::default()
        };
        let generator = Generator::from_config(&GeneratorConfig::ChainSum(config)).unwrap();
        assert!(generator.task(1, 0, 0.0, Split::Train).is_ok());
        assert!(matches!(
            generator.heldout(1, 1),
            Err(DatasetError::SplitExhausted { .. })
        ));
    }

    #[test]
    fn only_some_demonstrate() {
        let outcomes: Vec<bool> = all()
            .iter()
            .map(|generator| generator.demonstration(1, 0, &TraceMix::default()).is_ok())
            .collect();
        assert_eq!(outcomes, [true, false, true, true]);
    }

    #[test]
    fn configs_are_strict() {
        let config: GeneratorConfig = serde_json::from_str(r#"{"generator":"chain-sum"}"#).unwrap();
        assert_eq!(config, GeneratorConfig::ChainSum(ChainSumConfig::default()));
        for text in [
            r#"{"generator":"chain-sum","terms_mix":3}"#,
            r#"{"generator":"chainsum"}"#,
            r#"{"terms_min":3}"#,
            r#"{"generator":"addition","stages":[{"min":0,"max":9,"mean":3}]}"#,
        ] {
            assert!(
                serde_json::from_str::<GeneratorConfig>(text).is_err(),
                "{text}"
            );
        }
    }
}
