//! Sums of one-digit numbers: the quickstart's problem.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Problem, TraceMix, check_range, default_heldout_fraction, draw_in_split, level_or_any, traces,
};
use crate::error::DatasetError;
use crate::settings::check_fraction;
use crate::split::Split;
use crate::task::Prompt;

/// Settings of [`ChainSum`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainSumConfig {
    /// Fewest numbers in a sum: 2 to 64.
    pub terms_min: u32,
    /// Most numbers in a sum: `terms_min` to 64. Every length in between is drawn equally often.
    pub terms_max: u32,
    /// Share of all problems that training never sees: at least 0, below 1.
    pub heldout_fraction: f64,
}

impl Default for ChainSumConfig {
    fn default() -> Self {
        Self {
            terms_min: 3,
            terms_max: 5,
            heldout_fraction: default_heldout_fraction(),
        }
    }
}

/// Sums of numbers from 1 to 9 as raw text: the prompt is `3+5+9+2=`, the answer `19`.
///
/// The order of the terms does not matter to the split: `3+5` and `5+3` are one problem, so no order of a held-out sum
/// is ever trained on, and a held-out list has one order of each. Of three terms there are only 165 problems. The column
/// `terms` holds the numbers.
#[derive(Clone, Debug)]
pub struct ChainSum {
    config: ChainSumConfig,
}

impl ChainSum {
    pub(super) fn from_config(config: &ChainSumConfig) -> Result<Self, DatasetError> {
        let ChainSumConfig {
            terms_min,
            terms_max,
            heldout_fraction,
        } = *config;
        check_range(("terms_min", "terms_max"), (terms_min, terms_max), (2, 64))?;
        check_fraction(heldout_fraction)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// A training problem with an imperfect attempt at it, as [`TraceMix`] describes. It stands in
    /// for what a pretrained model has picked up: now and then it thinks, now and then it is right.
    pub(super) fn demonstration(
        &self,
        rng: &mut ChaCha8Rng,
        mix: &TraceMix,
    ) -> Result<(Problem, String), DatasetError> {
        let heldout_fraction = self.config.heldout_fraction;
        let terms = draw_in_split("chain-sum", Split::Train, heldout_fraction, || {
            let terms = self.terms(rng, None);
            Some((canonical(&terms), terms))
        })?;
        let completion = traces::completion(rng, &terms, mix);
        Ok((self.problem(&terms), completion))
    }

    pub(super) fn heldout_fraction(&self) -> f64 {
        self.config.heldout_fraction
    }

    /// How many terms there may be: a level each.
    pub(super) fn levels(&self) -> RangeInclusive<u32> {
        self.config.terms_min..=self.config.terms_max
    }

    pub(super) fn terms(&self, rng: &mut ChaCha8Rng, level: Option<usize>) -> Vec<u32> {
        let count = level_or_any(rng, self.levels(), level);
        (0..count).map(|_| rng.random_range(1..=9)).collect()
    }

    pub(super) fn problem(&self, terms: &[u32]) -> Problem {
        Problem {
            prompt: Prompt::Text(prompt(terms)),
            answer: terms.iter().sum::<u32>().to_string(),
            canonical: canonical(terms),
            columns: Map::from_iter([("terms".to_owned(), Value::from(terms))]),
        }
    }
}

/// The text that decides the split: that of the sum with its terms in order, `2+3+5+9=`.
fn canonical(terms: &[u32]) -> String {
    let mut sorted = terms.to_vec();
    sorted.sort_unstable();
    prompt(&sorted)
}

/// `3+5+9+2=`: what the model reads.
fn prompt(terms: &[u32]) -> String {
    let terms: Vec<String> = terms.iter().map(u32::to_string).collect();
    terms.join("+") + "="
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{Generator, GeneratorConfig};

    fn generator(config: ChainSumConfig) -> Result<Generator, DatasetError> {
        Generator::from_config(&GeneratorConfig::ChainSum(config))
    }

    #[test]
    fn tasks_are_sums_of_the_right_length() {
        let generator = generator(ChainSumConfig::default()).unwrap();
        let mut lengths = [0_u32; 6];
        for index in 0..3_000 {
            let task = generator.task(9, index, 0.0, Split::Train).unwrap();
            let text = task.prompt.problem_text();
            let terms: Vec<u32> = text
                .trim_end_matches('=')
                .split('+')
                .map(|term| term.parse().unwrap())
                .collect();
            assert!(terms.iter().all(|term| (1..=9).contains(term)), "{text}");
            assert_eq!(task.answer, terms.iter().sum::<u32>().to_string());
            assert_eq!(task.columns["terms"], Value::from(terms.clone()));
            lengths[terms.len()] += 1;
        }
        assert_eq!(lengths[..3], [0, 0, 0]);
        // 1000 of each length are expected with a deviation of 26; 5 deviations are never met.
        assert!(
            lengths[3..].iter().all(|count| count.abs_diff(1000) < 130),
            "{lengths:?}"
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let cases = [
            (
                ChainSumConfig {
                    terms_min: 1,
                    ..Default::default()
                },
                "terms_min is 1: expected from 2 to 64",
            ),
            (
                ChainSumConfig {
                    terms_max: 2,
                    ..Default::default()
                },
                "terms_max is 2: expected from terms_min = 3 to 64",
            ),
            (
                ChainSumConfig {
                    heldout_fraction: f64::NAN,
                    ..Default::default()
                },
                "heldout_fraction is NaN: expected at least 0, below 1",
            ),
        ];
        for (config, expected) in cases {
            assert_eq!(generator(config).unwrap_err().to_string(), expected);
        }
    }
}
