//! Which problems are worth posing: those that are sometimes answered right and sometimes not.
//!
//! A group whose completions are all right, or all wrong, has no advantage to learn from. With a pass rate `p` the rewards
//! of a group have the variance `p(1 − p)`, so a [`Curriculum`] estimates the pass rate of every item, a problem of a file
//! or a level of a generator, and draws items by weights that follow it:
//!
//! - `p̂ = (prior · target + passed) / (prior + judged)`, the mean of a Beta distribution whose prior counts as `prior`
//!   completions with the share `target` of them right;
//! - `w = floor + (1 − floor) · s(p̂)` with `s(p) = (p/target)^(2·target) · ((1−p)/(1−target))^(2·(1−target))`, which is 1 at
//!   the target and 0 at both ends; at the usual target of 1/2 it is `4p(1 − p)`.
//!
//! As all weights are between `floor` and 1, an item of `n` is drawn with probability at least `floor / n` each time.
//! Items that were never posed come first. Evidence fades: `passed` and `judged` hold at most `memory` completions, of
//! which the newest count in full and the older ones are scaled down.
//!
//! Sampling by `p(1 − p)` is "learnability" in Tzannetos et al., "Proximal curriculum for reinforcement learning agents"
//! (arXiv 2304.12877), and Foster and Foerster, "Learning to reason at the frontier of learnability" (arXiv 2502.12272).

mod levels;
mod problems;
mod weights;

use std::collections::{BTreeMap, HashMap};

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::seed::{derive_seed, rng};
use crate::settings::expect_setting;
use crate::source::{Cursor, TaskResult};

use weights::WeightTree;

pub use levels::LevelSource;
pub use problems::ProblemSource;

/// What the seed of a draw is for: the first step of its path. (0 to 3 are taken by generators and shuffles.)
const DRAW: u64 = 4;

/// Evidence is counted in thousandths of a completion: integers, so that saving loses nothing.
const THOUSAND: u64 = 1000;

/// Settings of [`ProblemSource`] and [`LevelSource`]; the formulas stand in the source file's head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassRateConfig {
    /// The pass rate that is drawn most: above 0, below 1.
    pub target: f64,
    /// Weight of an item that is always or never answered right, where the best item has 1: above 0, at most 1. At 1 all
    /// items are drawn evenly.
    pub floor: f64,
    /// Completions that the prior counts for: above 0, at most 1000. The larger, the slower an estimate leaves the target.
    pub prior: f64,
    /// Completions of an item that an estimate rests on: 1 to 1000000. The smaller, the sooner the past is forgotten.
    pub memory: u64,
    /// Share of the draws that go to items never posed before, while there are any: above 0, at most 1. At 1 every item is
    /// posed once before one comes back.
    pub fresh: f64,
}

impl Default for PassRateConfig {
    fn default() -> Self {
        Self {
            target: 0.5,
            floor: 0.1,
            prior: 2.0,
            memory: 32,
            fresh: 1.0,
        }
    }
}

impl PassRateConfig {
    /// # Errors
    /// [`DatasetError::InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), DatasetError> {
        let Self {
            target,
            floor,
            prior,
            memory,
            fresh,
        } = *self;
        let inside = target > 0.0 && target < 1.0;
        expect_setting(inside, "target", target, "above 0, below 1")?;
        for (name, share) in [("floor", floor), ("fresh", fresh)] {
            let holds = share > 0.0 && share <= 1.0;
            expect_setting(holds, name, share, "above 0, at most 1")?;
        }
        let holds = prior > 0.0 && prior <= 1000.0;
        expect_setting(holds, "prior", prior, "above 0, at most 1000")?;
        let holds = (1..=1_000_000).contains(&memory);
        expect_setting(holds, "memory", memory, "from 1 to 1000000")
    }

    /// The weight of an item with this evidence: from `floor` to 1.
    pub fn weight(&self, evidence: Evidence) -> f64 {
        let completions = |thousandths: u64| thousandths as f64 / THOUSAND as f64;
        let (passed, judged) = (
            completions(evidence.passed_thousandths),
            completions(evidence.judged_thousandths),
        );
        let rate = (self.prior * self.target + passed) / (self.prior + judged);
        let target = self.target;
        let shape = if target == 0.5 {
            4.0 * rate * (1.0 - rate)
        } else {
            (rate / target).powf(2.0 * target)
                * ((1.0 - rate) / (1.0 - target)).powf(2.0 * (1.0 - target))
        };
        self.floor + (1.0 - self.floor) * shape.clamp(0.0, 1.0)
    }
}

/// What is known of an item: completions with a verdict, and how many of them were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Right completions, in thousandths.
    pub passed_thousandths: u64,
    /// Completions with a verdict, in thousandths; at most [`PassRateConfig::memory`] completions.
    pub judged_thousandths: u64,
}

impl Evidence {
    /// Adds the newest results, which count in full, and scales the older ones down so that all fit into `memory`
    /// completions. New results that do not fit by themselves are scaled down too.
    fn add(&mut self, passed: u64, judged: u64, memory: u64) {
        let limit = memory * THOUSAND;
        let new = scaled(
            Self {
                passed_thousandths: passed.min(judged) * THOUSAND,
                judged_thousandths: judged * THOUSAND,
            },
            limit,
        );
        let old = scaled(*self, limit - new.judged_thousandths);
        self.passed_thousandths = old.passed_thousandths + new.passed_thousandths;
        self.judged_thousandths = old.judged_thousandths + new.judged_thousandths;
    }
}

/// `evidence` with at most `limit` thousandths judged, and the same share passed, rounded down.
fn scaled(evidence: Evidence, limit: u64) -> Evidence {
    let Evidence {
        passed_thousandths: passed,
        judged_thousandths: judged,
    } = evidence;
    if judged <= limit {
        return evidence;
    }
    // Widened, because a product of two counts may pass 2⁶⁴.
    let passed = u128::from(passed) * u128::from(limit) / u128::from(judged);
    Evidence {
        passed_thousandths: passed as u64,
        judged_thousandths: limit,
    }
}

/// What a curriculum has learned: with the number of draws, all that it needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurriculumState {
    /// Items posed at least once: so many from the front of the order in which they are introduced.
    introduced: u64,
    /// What is known, by item. An item without an entry was not judged yet.
    evidence: BTreeMap<String, Evidence>,
}

/// Draws items by their estimated pass rates. The `i`-th draw is a function of the seed, of `i` and of the results
/// observed before it.
#[derive(Clone, Debug)]
struct Curriculum {
    config: PassRateConfig,
    seed: u64,
    /// The items' names, by number.
    names: Vec<String>,
    numbers: HashMap<String, usize>,
    /// In which order items are introduced.
    order: Vec<usize>,
    drawn: u64,
    introduced: usize,
    evidence: Vec<Evidence>,
    /// The weights of the items that were introduced and are not taken.
    left: WeightTree,
    /// Items that are not drawn for the moment.
    taken: Vec<usize>,
}

impl Curriculum {
    /// # Errors
    /// [`DatasetError::InvalidSetting`] when the settings are out of range, there is no item, or two have one name.
    fn new(
        config: PassRateConfig,
        seed: u64,
        names: Vec<String>,
        order: Vec<usize>,
    ) -> Result<Self, DatasetError> {
        config.validate()?;
        expect_setting(!names.is_empty(), "the number of tasks", 0, "at least one")?;
        let mut numbers = HashMap::with_capacity(names.len());
        for (number, name) in names.iter().enumerate() {
            let is_new = numbers.insert(name.clone(), number).is_none();
            expect_setting(is_new, "a task's id", name, "an id that no other task has")?;
        }
        Ok(Self {
            config,
            seed,
            evidence: vec![Evidence::default(); names.len()],
            left: WeightTree::new(names.len()),
            names,
            numbers,
            order,
            drawn: 0,
            introduced: 0,
            taken: Vec::new(),
        })
    }

    /// The next item among those that are not taken; when all are, among all.
    fn draw(&mut self) -> usize {
        let mut rng = rng(derive_seed(self.seed, &[DRAW, self.drawn]));
        self.drawn += 1;
        let fresh = self.order.get(self.introduced).copied();
        let any_left = self.left.present() > 0;
        if let Some(item) = fresh
            && (!any_left || rng.random_bool(self.config.fresh))
        {
            self.introduced += 1;
            self.put_back(item);
            return item;
        }
        if !any_left {
            self.release();
        }
        let share = rng.random::<f64>();
        self.left.at_share(share).expect("an item is left")
    }

    /// Keeps `item` from being drawn until [`Self::release`].
    fn take(&mut self, item: usize) {
        self.left.set(item, 0.0);
        self.taken.push(item);
    }

    /// Lets all items be drawn again.
    fn release(&mut self) {
        for item in std::mem::take(&mut self.taken) {
            self.put_back(item);
        }
    }

    fn put_back(&mut self, item: usize) {
        self.left.set(item, self.config.weight(self.evidence[item]));
    }

    /// Undoes all draws after the first `drawn`, by which `introduced` items had been introduced.
    fn rewind(&mut self, drawn: u64, introduced: usize) {
        for &item in &self.order[introduced..self.introduced] {
            self.left.set(item, 0.0);
        }
        (self.drawn, self.introduced) = (drawn, introduced);
    }

    /// Learns results by item; results of one item are added up first.
    fn observe(&mut self, results: impl Iterator<Item = (usize, TaskResult)>) {
        let mut sums: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for (item, result) in results {
            let sum = sums.entry(item).or_default();
            sum.0 += result.passed.min(result.judged) as u64;
            sum.1 += result.judged as u64;
        }
        for (item, (passed, judged)) in sums {
            self.evidence[item].add(passed, judged, self.config.memory);
            if self.left.holds(item) {
                self.put_back(item);
            }
        }
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    fn cursor(&self, kind: &str) -> Cursor {
        let known = self.names.iter().zip(&self.evidence);
        let evidence = known
            .filter(|(_, evidence)| evidence.judged_thousandths > 0)
            .map(|(name, evidence)| (name.clone(), *evidence))
            .collect();
        Cursor::at(kind, 0, self.drawn).with_state(&CurriculumState {
            introduced: self.introduced as u64,
            evidence,
        })
    }

    fn restore(&mut self, cursor: &Cursor, kind: &str) -> Result<(), DatasetError> {
        cursor.expect_source(kind)?;
        let state: CurriculumState = cursor.read_state()?;
        let (epoch, len) = (cursor.epoch, self.names.len());
        if epoch != 0 || state.introduced > len as u64 {
            return Err(cursor.misfit(format_args!(
                "epoch {epoch} and {} items posed are not what a curriculum of {len} items leaves",
                state.introduced
            )));
        }
        let mut evidence = vec![Evidence::default(); len];
        for (name, known) in &state.evidence {
            let number = self.number(name);
            let number =
                number.ok_or_else(|| cursor.misfit(format_args!("{name:?} is no item of it")))?;
            if known.passed_thousandths > known.judged_thousandths
                || known.judged_thousandths > self.config.memory * THOUSAND
            {
                return Err(cursor.misfit(format_args!(
                    "{name:?} passed {} of {} thousandths with memory = {}",
                    known.passed_thousandths, known.judged_thousandths, self.config.memory
                )));
            }
            evidence[number] = *known;
        }
        self.drawn = cursor.index;
        self.introduced = state.introduced as usize;
        self.evidence = evidence;
        self.taken.clear();
        self.left = WeightTree::new(len);
        for place in 0..self.introduced {
            self.put_back(self.order[place]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
