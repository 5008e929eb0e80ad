//! The reward `per-entry`: another judge for each entry of a mixture of data, under one name.

use std::collections::BTreeMap;

use dunwu_datasets::{MIXTURE_COLUMN, Task};
use serde::{Deserialize, Serialize};

use super::ComponentConfig;
use crate::attempt::Attempt;
use crate::error::{PrepareError, RewardError};
use crate::option::{OptionError, default_weight};
use crate::reward::{Preparation, Reward, Verdict};
use crate::rubric::RubricError;
use crate::sample::Sample;
use crate::seat::ModelSeat;

/// Settings of [`PerEntry`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerEntryConfig {
    /// The component's name; `answer` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// The judge of each entry, by the entry's name; at least one. Their own weights stay at 1.
    pub entries: BTreeMap<String, ComponentConfig>,
}

/// The score by the judge of the entry that a task is from; nothing for tasks of other entries and of none.
///
/// A mixture of mathematics and code has one score for "the answer is right" this way, which formulas,
/// `evaluation.correct` and curricula can speak of.
pub struct PerEntry {
    name: String,
    judges: BTreeMap<String, Box<dyn Reward>>,
}

impl PerEntry {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`RubricError`] if there is no entry, a judge has a weight of its own, or its options are out of range.
    pub fn from_config(config: &PerEntryConfig) -> Result<Self, RubricError> {
        let PerEntryConfig {
            name,
            weight: _,
            entries,
        } = config;
        let name = name.clone().unwrap_or_else(|| "answer".to_owned());
        if entries.is_empty() {
            return Err(OptionError::invalid(&name, "entries", "{}", "at least one").into());
        }
        let mut judges = BTreeMap::new();
        for (entry, judge) in entries {
            let component = judge.build()?;
            let weight = component.weight();
            if weight != 1.0 {
                let value = format!("{{ {entry} = {{ weight = {weight} }} }}");
                let expected =
                    "no weights within; give the component one, or a judge another `correct`";
                return Err(OptionError::invalid(&name, "entries", value, expected).into());
            }
            let reward = component.into_reward();
            let reward = reward.expect("no config describes a judge of groups");
            judges.insert(entry.clone(), reward);
        }
        Ok(Self { name, judges })
    }

    fn judge(&self, task: &Task) -> Option<&dyn Reward> {
        let entry = task.columns.get(MIXTURE_COLUMN)?.as_str()?;
        Some(self.judges.get(entry)?.as_ref())
    }
}

impl Reward for PerEntry {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        match self.judge(sample.task) {
            Some(judge) => judge.score(sample),
            None => Ok(None),
        }
    }

    fn score_in_parts(&self, sample: &Sample, attempt: &Attempt) -> Verdict {
        match self.judge(sample.task) {
            Some(judge) => judge.score_in_parts(sample, attempt),
            None => Ok(None),
        }
    }

    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        let mut scores: Vec<Verdict> = samples.iter().map(|_| Ok(None)).collect();
        for (entry, judge) in &self.judges {
            let own = |sample: &Sample| {
                sample
                    .task
                    .columns
                    .get(MIXTURE_COLUMN)
                    .and_then(|e| e.as_str())
                    == Some(entry)
            };
            let places: Vec<usize> = (0..samples.len()).filter(|&i| own(&samples[i])).collect();
            if places.is_empty() {
                continue;
            }
            let asked: Vec<Sample> = places.iter().map(|&place| samples[place]).collect();
            for (place, score) in places.into_iter().zip(judge.score_batch(&asked, attempt)) {
                scores[place] = score;
            }
        }
        scores
    }

    fn takes_batches(&self) -> bool {
        self.judges.values().any(|judge| judge.takes_batches())
    }

    fn prepare(&self, report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        let mut judges = self.judges.values();
        judges.try_for_each(|judge| judge.prepare(report))
    }

    fn seats(&self) -> Vec<&ModelSeat> {
        let judges = self.judges.values();
        judges.flat_map(|judge| judge.seats()).collect()
    }

    fn typical_scores(&self) -> [f64; 2] {
        let scores = self.judges.values().map(|judge| judge.typical_scores());
        scores.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], score| {
            [low.min(score[0]), high.max(score[1])]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RubricConfig;
    use crate::rubric::Rubric;
    use dunwu_datasets::Prompt;

    fn rubric(text: &str) -> Result<Rubric, RubricError> {
        Rubric::from_config(&serde_json::from_str::<RubricConfig>(text).unwrap())
    }

    fn task(entry: Option<&str>, answer: &str) -> Task {
        let column = entry.map(|entry| (MIXTURE_COLUMN.to_owned(), entry.into()));
        Task::new("t7", Prompt::Text("?".to_owned()), answer)
            .with_columns(column.into_iter().collect())
    }

    fn sample<'a>(task: &'a Task, completion: &'a str) -> Sample<'a> {
        Sample {
            task,
            completion,
            truncated: false,
            completion_tokens: 9,
        }
    }

    const TWO: &str = r#"{"total": "answer * (0.9 + 0.1 * format)", "components": [
        {"kind": "per-entry", "entries": {
            "words": {"kind": "exact"},
            "numbers": {"kind": "math", "correct": 2.0, "wrong": -1.0}
        }},
        {"kind": "format"}
    ]}"#;

    #[test]
    fn each_entry_has_its_judge_and_all_have_one_name() {
        let rubric = rubric(TWO).unwrap();
        assert_eq!(rubric.component_names(), ["answer", "format"]);
        let (words, numbers) = (task(Some("words"), "1/2"), task(Some("numbers"), "1/2"));
        let half = "<think></think><answer>0.5</answer>";
        // The same answer is another text and the same number.
        assert_eq!(rubric.score(&sample(&words, half)).unwrap().total, 0.0);
        assert_eq!(rubric.score(&sample(&numbers, half)).unwrap().total, 2.0);
        let wrong = sample(&numbers, "<answer>3</answer>");
        assert_eq!(rubric.score(&wrong).unwrap().total, -0.9);
        let batch = [sample(&numbers, half), sample(&words, half), wrong];
        let together = rubric.score_batch(&batch);
        for (one, together) in batch.iter().zip(together) {
            assert_eq!(rubric.score(one).unwrap(), together.unwrap());
        }
    }

    #[test]
    fn tasks_of_no_entry_are_not_judged() {
        let rubric = rubric(r#"{"components": [{"kind": "per-entry", "name": "right", "entries": {"words": {"kind": "exact"}}}, {"kind": "format"}]}"#).unwrap();
        for entry in [None, Some("sounds")] {
            let outcome = rubric.score(&sample(&task(entry, "2"), "<answer>2</answer>"));
            let expected = [("right".to_owned(), None), ("format".to_owned(), Some(0.0))];
            assert_eq!(outcome.unwrap().components, expected);
        }
    }

    #[test]
    fn a_rubric_says_which_entries_it_names() {
        let text = r#"{"applies_to": {"format": ["sounds"]}, "components": [{"kind": "format"},
            {"kind": "per-entry", "entries": {"numbers": {"kind": "math"}, "words": {"kind": "exact"}}}]}"#;
        let config: RubricConfig = serde_json::from_str(text).unwrap();
        let key = |key: &str, entry| (key.to_owned(), entry);
        let expected = [
            key("applies_to.format", "sounds"),
            key("components.1.entries", "numbers"),
            key("components.1.entries", "words"),
        ];
        assert_eq!(config.mixture_entries(), expected);
    }

    #[test]
    fn bad_settings_are_named() {
        for (entries, expected) in [
            (
                "{}",
                "component answer: entries is {}: expected at least one",
            ),
            (
                r#"{"words": {"kind": "exact", "weight": 2.0}}"#,
                "component answer: entries is { words = { weight = 2 } }: expected no weights within",
            ),
            (
                r#"{"words": {"kind": "exact", "extraction": []}}"#,
                "component exact: extraction is []",
            ),
        ] {
            let text =
                format!(r#"{{"components": [{{"kind": "per-entry", "entries": {entries}}}]}}"#);
            let error = rubric(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let unknown = r#"{"components": [{"kind": "per-entry", "entry": {}}]}"#;
        assert!(serde_json::from_str::<RubricConfig>(unknown).is_err());
    }
}
