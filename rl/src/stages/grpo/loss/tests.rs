//! Every derivative against central differences, and parts against the whole.

use super::*;
use crate::stages::grpo::{
    correction::{CorrectionConfig, CorrectionKind},
    kl::KlEstimator,
    objective::Objective,
};

struct Case {
    logprobs: Vec<f32>,
    entropy: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    sampling: Vec<f32>,
    advantages: Vec<f32>,
    kept: Vec<bool>,
}

impl Case {
    /// Ratios well inside and well outside of every clip, so that no difference crosses a bound.
    fn new(advantage: f32) -> Self {
        let logprobs = vec![-0.3f32, -1.7, -0.05, -2.4, -0.9, -3.1];
        let by = |shifts: [f32; 6]| -> Vec<f32> {
            logprobs.iter().zip(shifts).map(|(l, s)| l - s).collect()
        };
        Self {
            entropy: vec![0.5, 1.5, 0.1, 2.0, 0.9, 1.1],
            old: by([0.05, 0.6, -0.7, 0.12, -0.1, 0.0]),
            reference: by([0.2, -0.3, 0.4, 0.9, -0.6, 0.1]),
            sampling: by([0.1, 0.5, -0.6, 1.5, -0.2, 0.05]),
            advantages: vec![advantage; 6],
            kept: vec![true, true, false, true, false, true],
            logprobs,
        }
    }

    fn tokens(&self) -> CompletionTokens<'_> {
        CompletionTokens {
            logprobs: &self.logprobs,
            entropy: &self.entropy,
            old: Some(&self.old),
            sampling: Some(&self.sampling),
            reference: Some(&self.reference),
            advantages: &self.advantages,
            kept: Some(&self.kept),
            weight: 0.25,
            entropy_weight: 0.2,
            length: 6,
        }
    }
}

/// Every objective with everything that can be added to it.
fn configs() -> Vec<(Objective, ObjectiveConfig)> {
    let mut all = Vec::new();
    for name in Objective::ALL {
        let plain = ObjectiveConfig {
            entropy_coefficient: 0.03,
            beta: 0.2,
            ..ObjectiveConfig::named(name)
        };
        for kl in [
            KlEstimator::K1,
            KlEstimator::K2,
            KlEstimator::K3,
            KlEstimator::Unbiased,
        ] {
            all.push((name, ObjectiveConfig { kl, ..plain }));
        }
        for level in [CorrectionLevel::Token, CorrectionLevel::Sequence] {
            let correction = Some(CorrectionConfig {
                kind: CorrectionKind::Mask,
                level,
                low: 0.5,
                high: 4.0,
            });
            all.push((
                name,
                ObjectiveConfig {
                    correction,
                    ..plain
                },
            ));
        }
        // A bound that the ratio of one token, 1.82, is beyond.
        let delta = Some(1.5);
        all.push((name, ObjectiveConfig { delta, ..plain }));
    }
    all
}

#[test]
fn derivatives_are_those_of_the_value() {
    // A power of two, so that moving the old log-probability along rounds nothing.
    let step = 1.0f32 / 1024.0;
    for (name, config) in configs() {
        for advantage in [0.8, -1.3] {
            let case = Case::new(advantage);
            let losses = token_losses(&config, &case.tokens());
            let value = |logprobs: &[f32], entropy: &[f32]| {
                // CISPO's weight, like a correction, is a constant of the gradient: it is held by
                // moving the old log-probability along.
                let mut moved = Case::new(advantage);
                if config.surrogate == Surrogate::Cispo {
                    for ((old, now), was) in moved.old.iter_mut().zip(logprobs).zip(&case.logprobs)
                    {
                        *old += now - was;
                    }
                    if config.correction.is_some() {
                        for ((s, now), was) in
                            moved.sampling.iter_mut().zip(logprobs).zip(&case.logprobs)
                        {
                            *s += now - was;
                        }
                    }
                }
                let tokens = CompletionTokens {
                    logprobs,
                    entropy,
                    old: Some(&moved.old),
                    sampling: Some(&moved.sampling),
                    ..case.tokens()
                };
                token_losses(&config, &tokens).value
            };
            // With CISPO's weight held, the unbiased estimator's ratio would be held as well; and
            // of a ratio whose gradient goes through its own token only, there is no such function.
            let held = config.surrogate == Surrogate::Cispo && config.kl == KlEstimator::Unbiased;
            if held || config.level == RatioLevel::SequenceToken {
                continue;
            }
            for t in 0..6 {
                let mut up = case.logprobs.clone();
                let mut down = case.logprobs.clone();
                up[t] += step;
                down[t] -= step;
                let width = f64::from(up[t] - down[t]);
                let slope = (value(&up, &case.entropy) - value(&down, &case.entropy)) / width;
                let ours = f64::from(losses.by_logprobs[t]);
                assert!(
                    (slope - ours).abs() < 2e-5 * (1.0 + slope.abs()),
                    "{name:?} {config:?} token {t}, advantage {advantage}: {slope} {ours}"
                );
            }
            let mut up = case.entropy.clone();
            up[1] += 0.5;
            let slope = (value(&case.logprobs, &up) - losses.value) / 0.5;
            assert!((slope - f64::from(losses.by_entropy[1])).abs() < 1e-7);
        }
    }
}

/// The gradient of GSPO-token is that of GSPO where all tokens have one advantage (arXiv
/// 2507.18071, §4.3).
#[test]
fn gspo_token_is_gspo_for_one_advantage() {
    for advantage in [0.8, -1.3] {
        let case = Case::new(advantage);
        let tokens = CompletionTokens {
            kept: None,
            ..case.tokens()
        };
        let wide = |name| ObjectiveConfig {
            epsilon: 0.2,
            epsilon_high: 0.2,
            ..ObjectiveConfig::named(name)
        };
        let a = token_losses(&wide(Objective::Gspo), &tokens);
        let b = token_losses(&wide(Objective::GspoToken), &tokens);
        assert!((a.value - b.value).abs() < 1e-12);
        for (a, b) in a.by_logprobs.iter().zip(&b.by_logprobs) {
            assert!((a - b).abs() < 1e-7 && *a != 0.0);
        }
    }
}

/// Where nothing has moved yet, the tokens of a completion may be taken in parts.
#[test]
fn parts_add_up_to_the_whole() {
    for name in Objective::ALL {
        let config = ObjectiveConfig {
            beta: 0.1,
            entropy_coefficient: 0.01,
            ..ObjectiveConfig::named(name)
        };
        assert!(!needs_whole_completions(&config, false, false));
        assert_eq!(
            needs_whole_completions(&config, true, false),
            config.couples_tokens()
        );
        let case = Case::new(-0.7);
        let tokens = CompletionTokens {
            old: None,
            kept: None,
            ..case.tokens()
        };
        let whole = token_losses(&config, &tokens);
        let part = |range: std::ops::Range<usize>| {
            let tokens = CompletionTokens {
                logprobs: &case.logprobs[range.clone()],
                entropy: &case.entropy[range.clone()],
                reference: Some(&case.reference[range.clone()]),
                sampling: None,
                advantages: &case.advantages[range],
                ..tokens
            };
            token_losses(&config, &tokens)
        };
        let (a, b) = (part(0..2), part(2..6));
        assert!((whole.value - a.value - b.value).abs() < 1e-9, "{name:?}");
        let parts = [a.by_logprobs, b.by_logprobs].concat();
        for (whole, part) in whole.by_logprobs.iter().zip(parts) {
            assert!((whole - part).abs() < 1e-6, "{name:?}: {whole} {part}");
        }
    }
}
