//! The reward `model`: a reward model says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::option::{OptionError, check_finite, default_weight};
use crate::reward::{Reward, Score, Verdict};
use crate::sample::Sample;
use crate::seat::{ModelSeat, Seated};

/// Settings of [`ModelReward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelRewardConfig {
    /// The component's name; `model` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// The directory of the reward model. Exactly one of this and `from_stage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The index of a stage of kind `reward-model`, from 0. Until it is over, the component has nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_stage: Option<usize>,
    /// Whether the mean that was measured of the model is taken off, and what is left divided by its deviation.
    #[serde(default = "yes")]
    pub normalize: bool,
    /// The score of a completion that was cut off. Without it such a one is read as if it had ended there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<f64>,
}

fn yes() -> bool {
    true
}

/// What a reward model says: a number without a scale of its own, unless it is normalised.
///
/// This crate has no models. What has puts one into [`ModelReward`]'s seat, which [`Reward::seats`] shows.
pub struct ModelReward {
    seat: ModelSeat,
    truncated: Option<f64>,
}

impl ModelReward {
    /// The judge that `config` describes, without its model.
    ///
    /// # Errors
    /// When it does not say which model, or says two.
    pub fn from_config(config: &ModelRewardConfig) -> Result<Self, OptionError> {
        let name = config.name.clone().unwrap_or_else(|| "model".to_owned());
        let seated = match (&config.path, config.from_stage) {
            (Some(path), None) => Seated::Path(path.clone()),
            (None, Some(stage)) => Seated::Stage(stage),
            (None, None) => {
                let expected = "the directory of a reward model, or from_stage instead";
                return Err(OptionError::invalid(&name, "path", "missing", expected));
            }
            (Some(path), Some(stage)) => {
                let value = format!("{path:?} beside from_stage = {stage}");
                let expected = "only one of them";
                return Err(OptionError::invalid(&name, "path", value, expected));
            }
        };
        if let Some(score) = config.truncated {
            check_finite(&name, "truncated", score)?;
        }
        Ok(Self {
            seat: ModelSeat::new(name, seated, config.normalize),
            truncated: config.truncated,
        })
    }
}

impl Reward for ModelReward {
    fn name(&self) -> &str {
        self.seat.component()
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let score = self.score_in_parts(sample, &Attempt::unlimited())?;
        Ok(score.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample, _attempt: &Attempt) -> Verdict {
        let failed = |reason: String| Err(RewardError::judge(sample, self.name(), reason));
        let Some(model) = self.seat.model() else {
            return match self.seat.seated() {
                Seated::Stage(_) => Ok(None),
                Seated::Path(path) => failed(format!(
                    "the reward model at {} was not opened by the program that asks for it",
                    path.display()
                )),
            };
        };
        if let Some(score) = self.truncated.filter(|_| sample.truncated) {
            return Ok(Some(Score::new(score)));
        }
        match model.worth(sample) {
            Ok(worth) if worth.value.is_finite() => {
                Ok(Some(Score::new(worth.value).with_part("raw", worth.raw)))
            }
            Ok(worth) => Err(RewardError::NotFinite {
                task: sample.task.id.clone(),
                name: self.name().to_owned(),
                value: worth.value,
            }),
            Err(reason) => failed(reason),
        }
    }

    fn seats(&self) -> Vec<&ModelSeat> {
        vec![&self.seat]
    }

    fn typical_scores(&self) -> [f64; 2] {
        [-2.0, 2.0]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dunwu_datasets::{Prompt, Task};

    use super::*;
    use crate::config::RubricConfig;
    use crate::error::Fault;
    use crate::rubric::Rubric;
    use crate::seat::{ModelJudge, Worth};

    /// Says how many letters an answer has, and NaN of none.
    struct Letters;

    impl ModelJudge for Letters {
        fn worth(&self, sample: &Sample) -> Result<Worth, String> {
            match sample.completion {
                "fail" => Err("no room".to_owned()),
                text => {
                    let raw = text.len() as f64;
                    let value = if raw > 0.0 { raw / 10.0 } else { f64::NAN };
                    Ok(Worth { value, raw })
                }
            }
        }
    }

    fn rubric(text: &str) -> Rubric {
        Rubric::from_config(&serde_json::from_str::<RubricConfig>(text).unwrap()).unwrap()
    }

    fn filled(text: &str) -> Rubric {
        let rubric = rubric(text);
        for seat in rubric.seats() {
            seat.fill(Arc::new(Letters));
        }
        rubric
    }

    #[test]
    fn it_judges_beside_others_and_failures_are_no_scores() {
        let rubric = filled(
            r#"{"components": [{"kind": "exact"}, {"kind": "model", "path": "rm", "weight": 2.0}]}"#,
        );
        let task = Task::new("t1", Prompt::Text("?".to_owned()), "12345");
        let right = rubric.score(&Sample::new(&task, "12345")).unwrap();
        assert_eq!(right.total, 1.0 + 2.0 * 0.5);
        assert_eq!(right.parts, [("model/raw".to_owned(), 5.0)]);
        let error = rubric.score(&Sample::new(&task, "")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "task t1: model is NaN, not a finite number"
        );
        assert_eq!(error.fault(), Fault::Host);
        let error = rubric.score(&Sample::new(&task, "fail")).unwrap_err();
        assert_eq!(error.to_string(), "task t1: model: no room");
    }

    #[test]
    fn what_is_cut_off_may_have_a_score_of_its_own() {
        let rubric = filled(
            r#"{"components": [{"kind": "model", "from_stage": 1, "truncated": -1.5, "name": "taste"}]}"#,
        );
        let task = Task::new("t1", Prompt::Text("?".to_owned()), "");
        let cut = Sample::new(&task, "seven").truncated(true);
        assert_eq!(rubric.score(&cut).unwrap().total, -1.5);
        let whole = Sample::new(&task, "seven");
        assert_eq!(rubric.score(&whole).unwrap().total, 0.5);
    }

    #[test]
    fn before_its_stage_is_over_it_says_nothing_and_without_its_directory_it_fails() {
        let rubric = rubric(
            r#"{"components": [{"kind": "exact"}, {"kind": "model", "from_stage": 1}, {"kind": "model", "path": "there", "name": "other"}], "applies_to": {"other": ["none"]}}"#,
        );
        let task = Task::new("t1", Prompt::Text("?".to_owned()), "7");
        let outcome = rubric.score(&Sample::new(&task, "7")).unwrap();
        assert_eq!(outcome.total, 1.0);
        assert_eq!(outcome.components[1], ("model".to_owned(), None));
        let said = rubric.seats();
        assert_eq!(said.len(), 2);
        assert_eq!(said[0].seated(), &Seated::Stage(1));
        let only = super::tests::rubric(r#"{"components": [{"kind": "model", "path": "there"}]}"#);
        let error = only.score(&Sample::new(&task, "7")).unwrap_err();
        assert!(
            error.to_string().contains("there was not opened"),
            "{error}"
        );
    }

    #[test]
    fn a_model_within_another_judge_has_a_seat_too() {
        let rubric = filled(
            r#"{"components": [{"kind": "per-entry", "entries": {"words": {"kind": "model", "path": "rm"}}}]}"#,
        );
        assert_eq!(rubric.seats().len(), 1);
    }

    #[test]
    fn which_model_has_to_be_said_once() {
        for (text, expected) in [
            (r#"{"kind": "model"}"#, "path is missing"),
            (
                r#"{"kind": "model", "path": "a", "from_stage": 0}"#,
                "only one of them",
            ),
            (
                r#"{"kind": "model", "path": "a", "truncated": 1e400}"#,
                "number out of range",
            ),
        ] {
            let text = format!(r#"{{"components": [{text}]}}"#);
            let error = match serde_json::from_str::<RubricConfig>(&text) {
                Ok(config) => Rubric::from_config(&config).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(expected), "{error}");
        }
    }
}
