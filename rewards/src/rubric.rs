//! Several judges and one total.

mod config;

use std::fmt;

use dunwu_datasets::{MIXTURE_COLUMN, Task};

use serde::{Deserialize, Serialize};

use crate::formula::{Formula, FormulaError, is_usable_name};
use crate::reward::{PrepareError, Reward, RewardError, Sample, Score};
use crate::vote::Answers;

pub use self::config::{ComponentConfig, RubricConfig};

/// A formula is tried on every combination of low and high scores of this many components; any
/// further ones stay low. 2⁸ evaluations take well under a millisecond.
const PROBED_COMPONENTS: usize = 8;

/// What a judge that takes no batches says of each sample, in their order, asked by as many threads as there are cores.
fn one_by_one(judge: &dyn Reward, samples: &[Sample]) -> Vec<Result<Option<Score>, RewardError>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = samples.len().div_ceil(threads).max(1);
    if share == samples.len() {
        return judge.score_batch(samples);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = samples
            .chunks(share)
            .map(|part| scope.spawn(|| judge.score_batch(part)))
            .collect();
        let joined = parts.into_iter().map(|part| part.join());
        let said = joined.map(|said| said.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        said.flatten().collect()
    })
}

/// Why a rubric cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RubricError {
    /// There is nothing to judge by.
    #[error("the rubric has no components")]
    NoComponents,
    /// Two components have one name.
    #[error("two components are named {name}; give one of them another `name`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A name that a formula or a log could not use.
    #[error(
        "component name {name:?}: expected letters, digits and _, not a digit first, and none of min, max, abs, if, true, false, total"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// An option is out of its range.
    #[error("component {component}: {option} is {value}: expected {expected}")]
    InvalidOption {
        /// The component's name.
        component: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A pattern is no regular expression.
    #[error("component {component}: pattern: {error}")]
    InvalidPattern {
        /// The component's name.
        component: String,
        /// What the parser said.
        error: Box<regex::Error>,
    },
    /// `applies_to` speaks of a component that is not there, or of nothing.
    #[error("applies_to.{component}: {reason}")]
    AppliesTo {
        /// The name it gives.
        component: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight that nothing uses.
    #[error(
        "component {component}: weight is {weight}, but weights are not used with `total`; write it into the formula"
    )]
    UnusedWeight {
        /// The component's name.
        component: String,
        /// Its weight.
        weight: f64,
    },
    /// The total's formula is wrong.
    #[error(transparent)]
    Formula(#[from] FormulaError),
}

/// A judge and its factor in the weighted sum.
pub struct Component {
    /// Factor in the weighted sum; 1 when the rubric has a formula.
    pub weight: f64,
    /// The judge.
    pub reward: Box<dyn Reward>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.reward.name())
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

/// What a completion is worth, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardOutcome {
    /// The reward. Always finite.
    pub total: f64,
    /// Each component's name and score, before any weight, in the rubric's order; no score where
    /// the component does not apply.
    pub components: Vec<(String, Option<f64>)>,
    /// What components say beyond their scores, as `component/part` and a number. Never added up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(String, f64)>,
    /// What components say in words, as `component: note`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Several judges whose scores make one total.
#[derive(Debug)]
pub struct Rubric {
    components: Vec<Component>,
    /// By component: the entries of a mixture that it is for; `None`: all tasks.
    applies_to: Vec<Option<Vec<String>>>,
    total: Option<Formula>,
}

impl Rubric {
    /// The rubric that `config` describes.
    ///
    /// # Errors
    /// As for [`Rubric::new`], and for options that are out of range.
    pub fn from_config(config: &RubricConfig) -> Result<Self, RubricError> {
        let RubricConfig {
            total,
            components,
            applies_to,
        } = config;
        let components = components
            .iter()
            .map(ComponentConfig::build)
            .collect::<Result<_, _>>()?;
        let mut rubric = Self::new(components, total.as_deref())?;
        for (component, entries) in applies_to {
            let wrong = |reason: String| RubricError::AppliesTo {
                component: component.clone(),
                reason,
            };
            let names = rubric.component_names();
            let place = names.iter().position(|name| name == component);
            let place = place.ok_or_else(|| {
                wrong(format!(
                    "no such component; there are: {}",
                    names.join(", ")
                ))
            })?;
            if entries.is_empty() {
                return Err(wrong(
                    "an empty list: the component would judge nothing".into(),
                ));
            }
            rubric.applies_to[place] = Some(entries.clone());
        }
        Ok(rubric)
    }

    /// A rubric of judges that may be the caller's own, with an optional formula for the total.
    ///
    /// The formula is tried on the [`Reward::typical_scores`] of its components, in all
    /// combinations of up to eight of them, and has to give a finite number each time.
    ///
    /// # Errors
    /// [`RubricError`] if there is no component, names clash or are unusable, a weight is not
    /// finite, or the formula is wrong.
    pub fn new(components: Vec<Component>, total: Option<&str>) -> Result<Self, RubricError> {
        if components.is_empty() {
            return Err(RubricError::NoComponents);
        }
        for (index, Component { weight, reward }) in components.iter().enumerate() {
            let name = reward.name();
            if !is_usable_name(name) {
                return Err(RubricError::InvalidName {
                    name: name.to_owned(),
                });
            }
            if components[..index]
                .iter()
                .any(|other| other.reward.name() == name)
            {
                return Err(RubricError::DuplicateName {
                    name: name.to_owned(),
                });
            }
            check_finite(name, "weight", *weight)?;
            if total.is_some() && *weight != 1.0 {
                let (component, weight) = (name.to_owned(), *weight);
                return Err(RubricError::UnusedWeight { component, weight });
            }
        }
        let mut rubric = Self {
            applies_to: vec![None; components.len()],
            components,
            total: None,
        };
        if let Some(text) = total {
            let formula = Formula::parse(text, &rubric.component_names())?;
            rubric.probe(text, &formula)?;
            rubric.total = Some(formula);
        }
        Ok(rubric)
    }

    /// The components' names, in their order.
    pub fn component_names(&self) -> Vec<&str> {
        self.components
            .iter()
            .map(|component| component.reward.name())
            .collect()
    }

    /// Makes every component ready; see [`Reward::prepare`].
    ///
    /// # Errors
    /// [`PrepareError`] of the first that is not.
    pub fn prepare(&self, progress: &mut dyn FnMut(&str)) -> Result<(), PrepareError> {
        self.components
            .iter()
            .try_for_each(|component| component.reward.prepare(progress))
    }

    /// What the component `name` knows of answers; `None` if there is no such component, or it compares no answers.
    pub fn answers(&self, name: &str) -> Option<&dyn Answers> {
        let found = self
            .components
            .iter()
            .find(|component| component.reward.name() == name)?;
        found.reward.answers()
    }

    /// Each component's name and its factor in the weighted sum, in their order.
    pub fn weights(&self) -> Vec<(String, f64)> {
        self.components
            .iter()
            .map(|component| (component.reward.name().to_owned(), component.weight))
            .collect()
    }

    /// Whether the component at `place` is for this task.
    fn applies(&self, place: usize, task: &Task) -> bool {
        let Some(entries) = &self.applies_to[place] else {
            return true;
        };
        let entry = task.columns.get(MIXTURE_COLUMN).and_then(|e| e.as_str());
        entry.is_some_and(|entry| entries.iter().any(|other| other == entry))
    }

    /// Judges `sample`.
    ///
    /// Without a formula, components that do not apply add nothing to the sum.
    ///
    /// # Errors
    /// [`RewardError`] if a judge fails, if a score or the total is not finite, if no component
    /// applies, or if the formula reads one that does not. There is no total then: a failure is
    /// not a score of 0.
    pub fn score(&self, sample: &Sample) -> Result<RewardOutcome, RewardError> {
        let judge = |(place, component): (usize, &Component)| match self.applies(place, sample.task)
        {
            true => component.reward.score_in_parts(sample),
            false => Ok(None),
        };
        let scores = self.components.iter().enumerate().map(judge);
        let scores = scores.collect::<Result<_, _>>()?;
        self.outcome(sample, scores)
    }

    /// Whether a component takes batches as a whole, so that [`Rubric::score_batch`] is worth while.
    pub fn takes_batches(&self) -> bool {
        let mut components = self.components.iter();
        components.any(|component| component.reward.takes_batches())
    }

    /// Judges several samples, in their order; each judge sees those that it applies to as one batch.
    ///
    /// # Errors
    /// Each sample has its own, as for [`Rubric::score`].
    pub fn score_batch(&self, samples: &[Sample]) -> Vec<Result<RewardOutcome, RewardError>> {
        let mut columns: Vec<_> = self
            .components
            .iter()
            .enumerate()
            .map(|(place, component)| self.column(place, component, samples).into_iter())
            .collect();
        samples
            .iter()
            .map(|sample| {
                let row = columns
                    .iter_mut()
                    .map(|column| column.next().expect("a score for each sample"))
                    .collect::<Vec<_>>();
                self.outcome(sample, row.into_iter().collect::<Result<_, _>>()?)
            })
            .collect()
    }

    /// What one component says of all samples, in their order.
    fn column(
        &self,
        place: usize,
        component: &Component,
        samples: &[Sample],
    ) -> Vec<Result<Option<Score>, RewardError>> {
        let applies: Vec<bool> = samples
            .iter()
            .map(|sample| self.applies(place, sample.task))
            .collect();
        let asked: Vec<Sample> = samples
            .iter()
            .zip(&applies)
            .filter_map(|(sample, applies)| applies.then_some(*sample))
            .collect();
        let mut said = match asked.is_empty() {
            true => Vec::new(),
            false if component.reward.takes_batches() => component.reward.score_batch(&asked),
            false => one_by_one(component.reward.as_ref(), &asked),
        }
        .into_iter();
        applies
            .into_iter()
            .map(|applies| match applies {
                true => said.next().expect("a score for each sample"),
                false => Ok(None),
            })
            .collect()
    }

    /// The total of what the components said, in their order.
    fn outcome(
        &self,
        sample: &Sample,
        said: Vec<Option<Score>>,
    ) -> Result<RewardOutcome, RewardError> {
        let task = &sample.task.id;
        let mut scores = Vec::with_capacity(said.len());
        let (mut parts, mut notes) = (Vec::new(), Vec::new());
        for (Component { reward, .. }, score) in self.components.iter().zip(said) {
            let name = reward.name();
            scores.push(score.as_ref().map(|score| score.value));
            if let Some(score) = score {
                expect_finite(task, name, score.value)?;
                let named = |(part, value): (String, f64)| (format!("{name}/{part}"), value);
                parts.extend(score.parts.into_iter().map(named));
                notes.extend(score.note.map(|note| format!("{name}: {note}")));
            }
        }
        let total = match &self.total {
            Some(formula) => self.formula_total(formula, task, &scores)?,
            None => self.weighted_sum(task, &scores)?,
        };
        expect_finite(task, "total", total)?;
        let names = self.component_names().into_iter().map(str::to_owned);
        Ok(RewardOutcome {
            total,
            components: names.zip(scores).collect(),
            parts,
            notes,
        })
    }

    /// What each component says of `sample`, failures included, in the rubric's order. For people who debug a reward: the
    /// total is [`Self::score`]'s business.
    pub fn inspect(&self, sample: &Sample) -> Vec<(&str, Result<Option<f64>, RewardError>)> {
        let judge = |(place, component): (usize, &Component)| match self.applies(place, sample.task)
        {
            true => component.reward.score(sample),
            false => Ok(None),
        };
        let names = self
            .components
            .iter()
            .map(|component| component.reward.name());
        names
            .zip(self.components.iter().enumerate().map(judge))
            .collect()
    }

    fn weighted_sum(&self, task: &str, scores: &[Option<f64>]) -> Result<f64, RewardError> {
        if scores.iter().all(Option::is_none) {
            return Err(RewardError::NothingApplies {
                task: task.to_owned(),
            });
        }
        let terms = self.components.iter().zip(scores);
        Ok(terms
            .filter_map(|(component, score)| score.map(|score| component.weight * score))
            .sum())
    }

    fn formula_total(
        &self,
        formula: &Formula,
        task: &str,
        scores: &[Option<f64>],
    ) -> Result<f64, RewardError> {
        let names = self.component_names();
        if let Some(index) = formula
            .reads()
            .iter()
            .find(|index| scores[**index].is_none())
        {
            let component = names[*index].to_owned();
            return Err(RewardError::NotApplicable {
                task: task.to_owned(),
                component,
            });
        }
        // The formula does not read the components that are filled in here.
        let values: Vec<f64> = scores
            .iter()
            .map(|score| score.unwrap_or(f64::NAN))
            .collect();
        formula
            .evaluate(&names, &values)
            .map_err(|reason| RewardError::Formula {
                task: task.to_owned(),
                reason,
            })
    }

    /// Tries `formula` on low and high scores.
    fn probe(&self, text: &str, formula: &Formula) -> Result<(), FormulaError> {
        let names = self.component_names();
        for combination in 0..1_usize << names.len().min(PROBED_COMPONENTS) {
            let scores: Vec<f64> = self
                .components
                .iter()
                .enumerate()
                .map(|(index, component)| {
                    let high = index < PROBED_COMPONENTS && combination >> index & 1 == 1;
                    component.reward.typical_scores()[usize::from(high)]
                })
                .collect();
            let result = match formula.evaluate(&names, &scores) {
                Ok(value) if value.is_finite() => continue,
                Ok(value) => value.to_string(),
                Err(reason) => reason,
            };
            let scores: Vec<String> = names
                .iter()
                .zip(&scores)
                .map(|(name, score)| format!("{name} = {score}"))
                .collect();
            let (formula, scores) = (text.to_owned(), scores.join(", "));
            return Err(FormulaError::Probe {
                formula,
                result,
                scores,
            });
        }
        Ok(())
    }
}

fn check_finite(component: &str, option: &'static str, value: f64) -> Result<(), RubricError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(RubricError::InvalidOption {
        component: component.to_owned(),
        option,
        value: value.to_string(),
        expected: "a finite number".to_owned(),
    })
}

fn expect_finite(task: &str, name: &str, value: f64) -> Result<(), RewardError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(RewardError::NotFinite {
        task: task.to_owned(),
        name: name.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests;
