//! Several judges and one total.

mod ask;
mod component;
mod error;

use dunwu_datasets::{MIXTURE_COLUMN, Task};

use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::error::{PrepareError, RewardError};
use crate::formula::{Formula, FormulaError, is_usable_name};
use crate::option::check_finite;
use crate::reward::{Preparation, Score, Verdict};
use crate::sample::Sample;
use crate::seat::ModelSeat;
use crate::vote::Answers;
use component::Judge;

pub use component::Component;
pub use error::RubricError;

/// A formula is tried on every combination of low and high scores of this many components; any
/// further ones stay low. 2⁸ evaluations take well under a millisecond.
const PROBED_COMPONENTS: usize = 8;

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

/// What each component says of a sample, by name, and the total where all have a verdict.
pub type Explained<'a> = (
    Vec<(&'a str, Verdict)>,
    Option<Result<RewardOutcome, RewardError>>,
);

/// Several judges whose scores make one total.
#[derive(Debug)]
pub struct Rubric {
    components: Vec<Component>,
    /// By component: the entries of a mixture that it is for; `None`: all tasks.
    applies_to: Vec<Option<Vec<String>>>,
    total: Option<Formula>,
}

impl Rubric {
    /// A rubric of judges that may be the caller's own, with an optional formula for the total.
    ///
    /// The formula is tried on the [`typical_scores`](crate::Reward::typical_scores) of its components, in all
    /// combinations of up to eight of them, and has to give a finite number each time.
    ///
    /// # Errors
    /// [`RubricError`] if there is no component, names clash or are unusable, a weight is not
    /// finite, or the formula is wrong.
    pub fn new(components: Vec<Component>, total: Option<&str>) -> Result<Self, RubricError> {
        if components.is_empty() {
            return Err(RubricError::NoComponents);
        }
        for (index, component) in components.iter().enumerate() {
            let (name, weight) = (component.name(), component.weight);
            if !is_usable_name(name) {
                return Err(RubricError::InvalidName {
                    name: name.to_owned(),
                });
            }
            if components[..index].iter().any(|other| other.name() == name) {
                return Err(RubricError::DuplicateName {
                    name: name.to_owned(),
                });
            }
            check_finite(name, "weight", weight)?;
            if total.is_some() && weight != 1.0 {
                let component = name.to_owned();
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

    /// The same, with the component `component` for tasks of these entries of a mixture of data only.
    ///
    /// # Errors
    /// [`RubricError::AppliesTo`] if there is no such component, or no entry.
    pub fn for_entries(mut self, component: &str, entries: &[String]) -> Result<Self, RubricError> {
        let wrong = |reason: String| RubricError::AppliesTo {
            component: component.to_owned(),
            reason,
        };
        let names = self.component_names();
        let place = names.iter().position(|name| *name == component);
        let place = place.ok_or_else(|| {
            let names = names.join(", ");
            wrong(format!("no such component; there are: {names}"))
        })?;
        if entries.is_empty() {
            let reason = "an empty list: the component would judge nothing";
            return Err(wrong(reason.to_owned()));
        }
        self.applies_to[place] = Some(entries.to_vec());
        Ok(self)
    }

    /// The components' names, in their order.
    pub fn component_names(&self) -> Vec<&str> {
        self.components.iter().map(Component::name).collect()
    }

    /// What the component `name` knows of answers; `None` if there is no such component, or it compares no answers.
    pub fn answers(&self, name: &str) -> Option<&dyn Answers> {
        let mut components = self.components.iter();
        match &components.find(|component| component.name() == name)?.judge {
            Judge::Each(reward) => reward.answers(),
            Judge::Group(_) => None,
        }
    }

    /// Whether the total is a formula that reads the component `name`.
    pub fn total_reads(&self, name: &str) -> bool {
        let Some(formula) = &self.total else {
            return false;
        };
        let names = self.component_names();
        formula.reads().iter().any(|&index| names[index] == name)
    }

    /// The seats of the models that its components ask, in their order.
    pub fn seats(&self) -> Vec<&ModelSeat> {
        let components = self.components.iter();
        components
            .flat_map(|component| match &component.judge {
                Judge::Each(reward) => reward.seats(),
                Judge::Group(_) => Vec::new(),
            })
            .collect()
    }

    /// Each component's name and its factor in the weighted sum, in their order.
    pub fn weights(&self) -> Vec<(String, f64)> {
        self.components
            .iter()
            .map(|component| (component.name().to_owned(), component.weight))
            .collect()
    }

    /// Makes what the judges need, before a run and under no deadline.
    ///
    /// # Errors
    /// [`PrepareError`] naming the component that cannot be made ready.
    pub fn prepare(&self, report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        for component in &self.components {
            match &component.judge {
                Judge::Each(reward) => reward.prepare(report)?,
                Judge::Group(reward) => reward.prepare(report)?,
            }
        }
        Ok(())
    }

    /// Whether the component at `place` is for this task.
    fn applies(&self, place: usize, task: &Task) -> bool {
        let Some(entries) = &self.applies_to[place] else {
            return true;
        };
        let entry = task.columns.get(MIXTURE_COLUMN).and_then(|e| e.as_str());
        entry.is_some_and(|entry| entries.iter().any(|other| other == entry))
    }

    /// Judges `sample`, with all the time it takes.
    ///
    /// # Errors
    /// As for [`Rubric::score_within`].
    pub fn score(&self, sample: &Sample) -> Result<RewardOutcome, RewardError> {
        self.score_within(sample, &Attempt::unlimited())
    }

    /// Judges `sample`.
    ///
    /// Without a formula, components that do not apply add nothing to the sum.
    ///
    /// # Errors
    /// [`RewardError`] if a judge fails or panics, if a score or the total is not finite, if no component
    /// applies, if the formula reads one that does not, or if a component judges whole groups. There is no total then: a
    /// failure is not a score of 0.
    pub fn score_within(
        &self,
        sample: &Sample,
        attempt: &Attempt,
    ) -> Result<RewardOutcome, RewardError> {
        let scores = self.said(sample, attempt).map(|(_, verdict)| verdict);
        let scores = scores.collect::<Result<_, _>>()?;
        self.outcome(sample, scores)
    }

    /// What each component says of one sample, as it is asked for.
    fn said<'a>(
        &'a self,
        sample: &'a Sample,
        attempt: &'a Attempt,
    ) -> impl Iterator<Item = (&'a str, Verdict)> {
        let components = self.components.iter().enumerate();
        components.map(move |(place, component)| {
            let verdict = if self.applies(place, sample.task) {
                component.ask_one(sample, attempt)
            } else {
                Ok(None)
            };
            (component.name(), verdict)
        })
    }

    /// Whether a component takes batches as a whole, so that it is worth while to have several samples judged at once.
    pub fn takes_batches(&self) -> bool {
        self.components
            .iter()
            .any(|component| match &component.judge {
                Judge::Each(reward) => reward.takes_batches(),
                Judge::Group(_) => true,
            })
    }

    /// Whether a component judges whole groups, so that only [`Rubric::score_group`] gives verdicts.
    pub fn needs_groups(&self) -> bool {
        let mut components = self.components.iter();
        components.any(|component| matches!(component.judge, Judge::Group(_)))
    }

    /// Judges all completions of one task, in their order, with all the time it takes.
    ///
    /// # Errors
    /// Each sample has its own, as for [`Rubric::score_within`].
    pub fn score_group(&self, samples: &[Sample]) -> Vec<Result<RewardOutcome, RewardError>> {
        self.score_group_within(samples, &Attempt::unlimited())
    }

    /// Judges all completions of one task, in their order. Each judge that takes batches is shown the whole group as one, so
    /// a verdict depends on nothing but the group.
    ///
    /// # Errors
    /// Each sample has its own, as for [`Rubric::score_within`].
    pub fn score_group_within(
        &self,
        samples: &[Sample],
        attempt: &Attempt,
    ) -> Vec<Result<RewardOutcome, RewardError>> {
        self.judged(samples, |component, asked| {
            component.ask_group(asked, attempt)
        })
    }

    /// Judges several samples, of one task or of several, in their order; each judge sees those that it applies to as one
    /// batch. Judges of groups have nothing to go by here and say so.
    ///
    /// # Errors
    /// Each sample has its own, as for [`Rubric::score_within`].
    pub fn score_batch(&self, samples: &[Sample]) -> Vec<Result<RewardOutcome, RewardError>> {
        self.score_batch_within(samples, &Attempt::unlimited())
    }

    /// [`Rubric::score_batch`] until `attempt` is over.
    ///
    /// # Errors
    /// Each sample has its own, as for [`Rubric::score_within`].
    pub fn score_batch_within(
        &self,
        samples: &[Sample],
        attempt: &Attempt,
    ) -> Vec<Result<RewardOutcome, RewardError>> {
        self.judged(samples, |component, asked| {
            component.ask_several(asked, attempt)
        })
    }

    /// The outcomes of several samples, when `ask` says what a component has to say of those that it applies to.
    fn judged(
        &self,
        samples: &[Sample],
        ask: impl Fn(&Component, &[Sample]) -> Vec<Verdict>,
    ) -> Vec<Result<RewardOutcome, RewardError>> {
        let mut columns = Vec::with_capacity(self.components.len());
        for (place, component) in self.components.iter().enumerate() {
            let (mut places, mut asked) = (Vec::new(), Vec::new());
            for (index, sample) in samples.iter().enumerate() {
                if self.applies(place, sample.task) {
                    places.push(index);
                    asked.push(*sample);
                }
            }
            let mut column: Vec<Verdict> = samples.iter().map(|_| Ok(None)).collect();
            if !asked.is_empty() {
                for (index, verdict) in places.into_iter().zip(ask(component, &asked)) {
                    column[index] = verdict;
                }
            }
            columns.push(column.into_iter());
        }
        samples
            .iter()
            .map(|sample| {
                let row: Vec<Verdict> = columns
                    .iter_mut()
                    .map(|column| column.next().expect("a verdict for each sample"))
                    .collect();
                self.outcome(sample, row.into_iter().collect::<Result<_, _>>()?)
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
        for (component, score) in self.components.iter().zip(said) {
            let name = component.name();
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
        self.components
            .iter()
            .zip(self.said(sample, &Attempt::unlimited()))
            .map(|(component, (_, verdict))| {
                (
                    component.name(),
                    verdict.map(|score| score.map(|s| s.value)),
                )
            })
            .collect()
    }

    /// What each component says of `sample`, and the total where all have a verdict; each component is asked once.
    pub fn explain<'a>(&'a self, sample: &'a Sample) -> Explained<'a> {
        let attempt = Attempt::unlimited();
        let names = self.components.iter().map(Component::name);
        let verdicts: Vec<_> = names
            .zip(self.said(sample, &attempt).map(|(_, verdict)| verdict))
            .collect();
        let scores: Option<Vec<_>> = verdicts
            .iter()
            .map(|(_, verdict)| verdict.as_ref().ok().cloned())
            .collect();
        let outcome = scores.map(|scores| self.outcome(sample, scores));
        (verdicts, outcome)
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
                    component.typical_scores()[usize::from(high)]
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
