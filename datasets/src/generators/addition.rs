//! Sums of two numbers as a question to a chat model, growing harder as training goes on.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Problem, check_range, default_heldout_fraction};
use crate::error::DatasetError;
use crate::settings::check_fraction;
use crate::settings::expect_setting;
use crate::task::Prompt;

/// The numbers that both operands are drawn from, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperandRange {
    /// The smallest.
    pub min: u32,
    /// The largest, included.
    pub max: u32,
}

/// Settings of [`Addition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdditionConfig {
    /// A system message before the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The question; `{a}` and `{b}` stand for the operands, and both must occur.
    pub template: String,
    /// The curriculum, easiest first; at least one. See [`Addition`].
    pub stages: Vec<OperandRange>,
    /// Share of all problems that training never sees: at least 0, below 1.
    pub heldout_fraction: f64,
}

impl Default for AdditionConfig {
    fn default() -> Self {
        Self {
            system: None,
            template: "What is {a}+{b}?".to_owned(),
            stages: vec![
                OperandRange { min: 0, max: 99 },
                OperandRange { min: 100, max: 999 },
                OperandRange {
                    min: 1_000,
                    max: 9_999,
                },
            ],
            heldout_fraction: default_heldout_fraction(),
        }
    }
}

/// Sums of two numbers: "What is 17+25?", answer `42`. The columns `a` and `b` hold the operands.
///
/// Stage `k` of `n` unlocks when the share `k/n` of training is done. The newest unlocked stage
/// gets half of the training problems, the older ones share the other half evenly; while only one
/// is unlocked it gets all. Held-out tasks take all stages in turn. The text `a+b`, the
/// smaller operand first, decides the split: `17+25` and `25+17` are one problem.
#[derive(Clone, Debug)]
pub struct Addition {
    config: AdditionConfig,
}

impl Addition {
    pub(super) fn from_config(config: &AdditionConfig) -> Result<Self, DatasetError> {
        let AdditionConfig {
            system: _,
            template,
            stages,
            heldout_fraction,
        } = config;
        for operand in ["{a}", "{b}"] {
            let expected = format!("a text with {operand} in it");
            expect_setting(
                template.contains(operand),
                "template",
                format_args!("{template:?}"),
                &expected,
            )?;
        }
        expect_setting(!stages.is_empty(), "stages", "[]", "at least one range")?;
        for (index, OperandRange { min, max }) in stages.iter().enumerate() {
            let names = (
                format!("stages[{index}].min"),
                format!("stages[{index}].max"),
            );
            check_range((&names.0, &names.1), (*min, *max), (0, u32::MAX))?;
        }
        check_fraction(*heldout_fraction)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    pub(super) fn heldout_fraction(&self) -> f64 {
        self.config.heldout_fraction
    }

    pub(super) fn stage_count(&self) -> usize {
        self.config.stages.len()
    }

    /// The stage of one training problem when the share `progress` of training is done.
    pub(super) fn stage(&self, rng: &mut ChaCha8Rng, progress: f64) -> usize {
        let count = self.stage_count();
        let newest = (1..count)
            .filter(|stage| progress >= *stage as f64 / count as f64)
            .count();
        if newest == 0 || rng.random_bool(0.5) {
            newest
        } else {
            rng.random_range(0..newest)
        }
    }

    pub(super) fn problem(&self, rng: &mut ChaCha8Rng, stage: usize) -> Problem {
        let OperandRange { min, max } = self.config.stages[stage];
        let (a, b) = (rng.random_range(min..=max), rng.random_range(min..=max));
        let question = self
            .config
            .template
            .replace("{a}", &a.to_string())
            .replace("{b}", &b.to_string());
        Problem {
            prompt: Prompt::user(self.config.system.as_deref(), question),
            answer: (u64::from(a) + u64::from(b)).to_string(),
            canonical: format!("{}+{}", a.min(b), a.max(b)),
            columns: Map::from_iter([
                ("a".to_owned(), Value::from(a)),
                ("b".to_owned(), Value::from(b)),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{Generator, GeneratorConfig};
    use crate::split::Split;
    use crate::task::Task;

    fn generator(config: AdditionConfig) -> Result<Generator, DatasetError> {
        Generator::from_config(&GeneratorConfig::Addition(config))
    }

    /// Which default stage a task's operands are from.
    fn stage_of(task: &Task) -> usize {
        let [a, b] = ["a", "b"].map(|name| task.columns[name].as_u64().unwrap());
        let stage = AdditionConfig::default()
            .stages
            .iter()
            .position(|range| a <= u64::from(range.max))
            .unwrap();
        assert!(
            b <= u64::from(AdditionConfig::default().stages[stage].max),
            "{a}+{b}"
        );
        assert_eq!(task.answer, (a + b).to_string());
        stage
    }

    fn stage_counts(progress: f64, split: Split) -> [u32; 3] {
        let generator = generator(AdditionConfig::default()).unwrap();
        let mut counts = [0; 3];
        for index in 0..4_000 {
            counts[stage_of(&generator.task(2, index, progress, split).unwrap())] += 1;
        }
        counts
    }

    #[test]
    fn stages_unlock_with_progress() {
        // The deviation of a count with probability 1/2 is 32, with 1/4 it is 27: bounds of 5.
        assert_eq!(stage_counts(0.0, Split::Train), [4_000, 0, 0]);
        assert_eq!(stage_counts(0.33, Split::Train), [4_000, 0, 0]);
        let [first, second, third] = stage_counts(1.0 / 3.0, Split::Train);
        assert!(
            first.abs_diff(2_000) < 160 && third == 0,
            "{first} {second} {third}"
        );
        let [first, second, third] = stage_counts(1.0, Split::Train);
        assert!(third.abs_diff(2_000) < 160, "{third}");
        assert!(
            first.abs_diff(1_000) < 140 && second.abs_diff(1_000) < 140,
            "{first} {second}"
        );
    }

    #[test]
    fn heldout_tasks_take_all_stages_in_turn() {
        assert_eq!(stage_counts(0.0, Split::Heldout), [1_334, 1_333, 1_333]);
    }

    #[test]
    fn the_prompt_is_the_filled_template() {
        let config = AdditionConfig {
            system: Some("Think.".to_owned()),
            template: "{b} and {a}?".to_owned(),
            ..Default::default()
        };
        let task = generator(config)
            .unwrap()
            .task(1, 0, 0.0, Split::Train)
            .unwrap();
        let question = format!("{} and {}?", task.columns["b"], task.columns["a"]);
        assert_eq!(task.prompt, Prompt::user(Some("Think."), question));
    }

    #[test]
    fn bad_settings_are_named() {
        let stages = |stages: Vec<OperandRange>| AdditionConfig {
            stages,
            ..Default::default()
        };
        let template = AdditionConfig {
            template: "What is {a}?".to_owned(),
            ..Default::default()
        };
        let cases = [
            (
                template,
                r#"template is "What is {a}?": expected a text with {b} in it"#,
            ),
            (stages(vec![]), "stages is []: expected at least one range"),
            (
                stages(vec![OperandRange { min: 9, max: 3 }]),
                "stages[0].max is 3: expected from stages[0].min = 9 to 4294967295",
            ),
        ];
        for (config, expected) in cases {
            assert_eq!(generator(config).unwrap_err().to_string(), expected);
        }
        // One problem cannot be on both sides of the split.
        let single = generator(stages(vec![OperandRange { min: 4, max: 4 }]));
        assert!(matches!(single, Err(DatasetError::SplitExhausted { .. })));
    }
}
