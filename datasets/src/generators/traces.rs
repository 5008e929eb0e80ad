//! Imperfect chains of thought for [`super::ChainSum`].

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::settings::expect_setting;

/// How often demonstrations think, slip, guess wildly or lose their tags.
///
/// A thinking demonstration adds the terms one by one,
/// `<think>3+5=8,8+9=17,17+2=19</think><answer>19</answer>`. Each step slips with probability
/// `slip`: its result is off by 1 or 2, and the following steps go on from there. The others answer
/// at once, `<think></think><answer>18</answer>`, with a guess around the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceMix {
    /// Probability of a thinking demonstration, 0 to 1.
    pub think: f64,
    /// Probability that a step of thinking is wrong, 0 to 1.
    pub slip: f64,
    /// Standard deviation of an immediate answer around the truth, above 0. The guess is rounded
    /// to an integer and never below 0.
    pub guess_sd: f64,
    /// Probability that a demonstration is malformed, 0 to 1. Half of these lose `</answer>`, the
    /// other half both answer tags.
    pub malformed: f64,
}

impl Default for TraceMix {
    fn default() -> Self {
        Self {
            think: 0.3,
            slip: 0.05,
            guess_sd: 2.0,
            malformed: 0.02,
        }
    }
}

impl TraceMix {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] naming the field and its value.
    pub fn validate(&self) -> Result<(), DatasetError> {
        let Self {
            think,
            slip,
            guess_sd,
            malformed,
        } = *self;
        for (field, share) in [("think", think), ("slip", slip), ("malformed", malformed)] {
            expect_setting(
                (0.0..=1.0).contains(&share),
                field,
                share,
                "a number from 0 to 1",
            )?;
        }
        let positive = guess_sd > 0.0 && guess_sd.is_finite();
        expect_setting(positive, "guess_sd", guess_sd, "a finite number above 0")
    }
}

/// An attempt at the sum of `terms`. `mix` has been validated.
pub(super) fn completion(rng: &mut ChaCha8Rng, terms: &[u32], mix: &TraceMix) -> String {
    let (thought, answer) = if rng.random_bool(mix.think) {
        thinking(rng, terms, mix.slip)
    } else {
        let truth: u32 = terms.iter().sum();
        let guess = f64::from(truth) + mix.guess_sd * gaussian(rng);
        (String::new(), guess.round().max(0.0) as u32)
    };
    let (open, close) = match (rng.random_bool(mix.malformed), rng.random_bool(0.5)) {
        (false, _) => ("<answer>", "</answer>"),
        (true, false) => ("<answer>", ""),
        (true, true) => ("", ""),
    };
    format!("<think>{thought}</think>{open}{answer}{close}")
}

/// The steps of adding `terms` one by one, and the sum they arrive at.
fn thinking(rng: &mut ChaCha8Rng, terms: &[u32], slip: f64) -> (String, u32) {
    let mut total = terms[0];
    let mut steps = Vec::with_capacity(terms.len() - 1);
    for term in &terms[1..] {
        let mut next = total + term;
        if rng.random_bool(slip) {
            let offset = rng.random_range(1..=2);
            // A term is at least 1, so `next` can be 1: a slip below 0 becomes one above.
            next = match next.checked_sub(offset) {
                Some(lower) if rng.random_bool(0.5) => lower,
                _ => next + offset,
            };
        }
        steps.push(format!("{total}+{term}={next}"));
        total = next;
    }
    (steps.join(","), total)
}

/// A standard normal number, by the Box-Muller transform.
fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
    // `random` is in [0, 1); the logarithm needs (0, 1].
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{ChainSumConfig, Generator, GeneratorConfig};
    use crate::split::Split;
    use crate::task::Demonstration;

    const COUNT: u64 = 20_000;

    fn demonstrations(mix: &TraceMix) -> Vec<Demonstration> {
        let config = GeneratorConfig::ChainSum(ChainSumConfig::default());
        let generator = Generator::from_config(&config).unwrap();
        (0..COUNT)
            .map(|index| generator.demonstration(3, index, mix).unwrap())
            .collect()
    }

    /// Asserts that `hits` of `trials` is what `probability` leads to, within 5 standard deviations
    /// of the binomial: a sound generator fails this with a chance below 1e-6, and the seed is
    /// fixed besides.
    fn assert_share(what: &str, hits: u64, trials: u64, probability: f64) {
        let expected = trials as f64 * probability;
        let deviation = (expected * (1.0 - probability)).sqrt();
        let distance = (hits as f64 - expected).abs();
        assert!(
            distance <= 5.0 * deviation,
            "{what}: {hits} of {trials}, expected {expected}"
        );
    }

    #[test]
    fn shares_are_as_the_mix_says() {
        let mix = TraceMix {
            think: 0.3,
            slip: 0.15,
            guess_sd: 2.0,
            malformed: 0.02,
        };
        let (mut thinking, mut malformed, mut untagged, mut steps, mut slips) = (0, 0, 0, 0, 0);
        for demonstration in demonstrations(&mix) {
            let text = &demonstration.completion;
            let (thought, rest) = text
                .strip_prefix("<think>")
                .unwrap()
                .split_once("</think>")
                .unwrap();
            thinking += u64::from(!thought.is_empty());
            malformed += u64::from(!rest.ends_with("</answer>"));
            untagged += u64::from(!rest.contains("<answer>"));
            let mut carried = None;
            for step in thought.split(',').filter(|step| !step.is_empty()) {
                let (left, result) = step.split_once('=').unwrap();
                let (total, term) = left.split_once('+').unwrap();
                let [total, term, result] =
                    [total, term, result].map(|number| number.parse::<u64>().unwrap());
                assert!(carried.is_none_or(|carried| carried == total), "{text}");
                assert!(result.abs_diff(total + term) <= 2, "{text}");
                carried = Some(result);
                steps += 1;
                slips += u64::from(result != total + term);
            }
            if let Some(total) = carried {
                let answer = rest
                    .trim_start_matches("<answer>")
                    .trim_end_matches("</answer>");
                assert_eq!(answer, total.to_string(), "{text}");
            }
        }
        assert_share("thinking", thinking, COUNT, mix.think);
        assert_share("malformed", malformed, COUNT, mix.malformed);
        assert_share("untagged", untagged, COUNT, mix.malformed / 2.0);
        assert_share("slips", slips, steps, mix.slip);
    }

    #[test]
    fn guesses_scatter_as_wide_as_asked() {
        let mix = TraceMix {
            think: 0.0,
            guess_sd: 3.0,
            malformed: 0.0,
            ..Default::default()
        };
        let mut squares = 0.0;
        let mut errors = 0.0;
        for Demonstration { prompt, completion } in demonstrations(&mix) {
            let terms = prompt.problem_text();
            let truth: f64 = terms
                .trim_end_matches('=')
                .split('+')
                .map(|term| term.parse::<f64>().unwrap())
                .sum();
            let answer = completion.strip_prefix("<think></think><answer>").unwrap();
            let error: f64 = answer
                .strip_suffix("</answer>")
                .unwrap()
                .parse::<f64>()
                .unwrap()
                - truth;
            errors += error;
            squares += error * error;
        }
        let mean = errors / COUNT as f64;
        let variance = squares / COUNT as f64 - mean * mean;
        // The mean's deviation is 3/sqrt(20000) = 0.021. Rounding adds 1/12 to the variance of 9,
        // whose own deviation is 9*sqrt(2/20000) = 0.09. Few sums are small enough to be cut at 0.
        assert!(mean.abs() < 0.11, "{mean}");
        assert!((variance - 9.083).abs() < 0.5, "{variance}");
    }

    #[test]
    fn demonstrations_keep_off_heldout_problems() {
        for demonstration in demonstrations(&TraceMix::default()) {
            let text = demonstration.prompt.problem_text();
            // Whatever the order of the terms; each has one digit.
            let mut terms: Vec<&str> = text.trim_end_matches('=').split('+').collect();
            terms.sort_unstable();
            let problem = terms.join("+") + "=";
            assert_eq!(Split::of(&problem, 0.1), Split::Train, "{text}");
        }
    }

    #[test]
    fn bad_mixes_are_named() {
        let cases = [
            (
                TraceMix {
                    think: 1.5,
                    ..Default::default()
                },
                "think is 1.5: expected a number from 0 to 1",
            ),
            (
                TraceMix {
                    slip: f64::NAN,
                    ..Default::default()
                },
                "slip is NaN: expected a number from 0 to 1",
            ),
            (
                TraceMix {
                    guess_sd: 0.0,
                    ..Default::default()
                },
                "guess_sd is 0: expected a finite number above 0",
            ),
            (
                TraceMix {
                    malformed: -1.0,
                    ..Default::default()
                },
                "malformed is -1: expected a number from 0 to 1",
            ),
        ];
        for (mix, expected) in cases {
            assert_eq!(mix.validate().unwrap_err().to_string(), expected);
        }
    }
}
