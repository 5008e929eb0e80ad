//! The losses of scores, each with its derivative by each score, in closed form and f64.

/// Two answers of a prompt, and which is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Index of the better answer's score.
    pub chosen: usize,
    /// Index of the other's.
    pub rejected: usize,
    /// How likely it is that `chosen` is better: 1, or ½ for a tie.
    pub label: f64,
    /// By how much it has to be better.
    pub margin: f64,
}

/// An answer that is good or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    /// Index of its score.
    pub answer: usize,
    /// Whether it is good.
    pub good: bool,
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e⁻ˣ)` without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        x.exp() / (1.0 + x.exp())
    }
}

/// Bradley–Terry: `−p ln σ(δ) − (1−p) ln σ(−δ) + c (s_c + s_r)²` with `δ = s_c − s_r − margin`, of all `comparisons`, each
/// times `weight`. `center` is c. Its derivative is added to `by`, one for each of `scores`.
///
/// With p = 1 it is `RewardTrainer.compute_loss` of TRL when `weight` is one over their number.
pub fn bradley_terry(
    scores: &[f32],
    comparisons: &[Comparison],
    center: f64,
    weight: f64,
    by: &mut [f64],
) -> f64 {
    let mut loss = 0.0;
    for comparison in comparisons {
        let Comparison {
            chosen,
            rejected,
            label,
            margin,
        } = *comparison;
        let (c, r) = (f64::from(scores[chosen]), f64::from(scores[rejected]));
        let (delta, sum) = (c - r - margin, c + r);
        loss += label * softplus(-delta) + (1.0 - label) * softplus(delta) + center * sum * sum;
        // d/dδ: −p σ(−δ) + (1−p) σ(δ) = σ(δ) − p
        let by_delta = (1.0 - label) * sigmoid(delta) - label * sigmoid(-delta);
        by[chosen] += weight * (by_delta + 2.0 * center * sum);
        by[rejected] += weight * (2.0 * center * sum - by_delta);
    }
    weight * loss
}

/// Pointwise: `−ln σ(s)` of a good answer and `−ln σ(−s)` of a bad one (DeepSeek-R1's reward model of safety, arXiv
/// 2501.12948), each times `weight`. Its derivative is added to `by`.
pub fn pointwise(scores: &[f32], opinions: &[Opinion], weight: f64, by: &mut [f64]) -> f64 {
    let mut loss = 0.0;
    for &Opinion { answer, good } in opinions {
        let sign = if good { 1.0 } else { -1.0 };
        let s = sign * f64::from(scores[answer]);
        loss += softplus(-s);
        by[answer] -= weight * sign * sigmoid(-s);
    }
    weight * loss
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SCORES: [f32; 4] = [1.5, -0.25, 0.75, -2.0];

    fn comparisons() -> Vec<Comparison> {
        let compared = |chosen, rejected, label, margin| Comparison {
            chosen,
            rejected,
            label,
            margin,
        };
        vec![
            compared(0, 1, 1.0, 0.0),
            compared(0, 3, 1.0, 1.25),
            compared(1, 2, 0.5, 0.0),
            compared(3, 2, 1.0, 0.5),
        ]
    }

    fn expect_derivative(loss: impl Fn(&[f32], &mut [f64]) -> f64) {
        let mut by = [0.0; 4];
        loss(&SCORES, &mut by);
        for place in 0..SCORES.len() {
            // A power of two, so that the scores stay exact.
            let step = 1.0 / 1024.0;
            let at = |sign: f32| {
                let mut moved = SCORES;
                moved[place] += sign * step;
                loss(&moved, &mut [0.0; 4])
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
            assert!((slope - by[place]).abs() < 1e-6, "{place}: {slope} {by:?}");
        }
    }

    #[test]
    fn derivatives_are_slopes() {
        for center in [0.0, 0.01, 0.3] {
            expect_derivative(|scores, by| bradley_terry(scores, &comparisons(), center, 0.25, by));
        }
        let opinions = [(0, true), (1, true), (2, false), (3, false), (0, false)];
        let opinions = opinions.map(|(answer, good)| Opinion { answer, good });
        expect_derivative(|scores, by| pointwise(scores, &opinions, 0.2, by));
    }

    /// Numbers of TRL's RewardTrainer.compute_loss, see tests/golden/make_reward_model_golden.py.
    #[test]
    fn losses_and_derivatives_are_those_of_trl() {
        let text = include_str!("../../../../tests/golden/reward_model.json");
        let golden: Value = serde_json::from_str(text).unwrap();
        let numbers = |value: &Value| -> Vec<f64> {
            let values = value.as_array().into_iter().flatten();
            values.map(|number| number.as_f64().unwrap()).collect()
        };
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 16);
        for case in cases {
            let (chosen, rejected) = (numbers(&case["chosen"]), numbers(&case["rejected"]));
            let margins = numbers(&case["margins"]);
            let count = chosen.len();
            let scores: Vec<f32> = chosen.iter().chain(&rejected).map(|&s| s as f32).collect();
            let comparisons: Vec<Comparison> = (0..count)
                .map(|pair| Comparison {
                    chosen: pair,
                    rejected: count + pair,
                    label: 1.0,
                    margin: margins.get(pair).copied().unwrap_or(0.0),
                })
                .collect();
            let mut by = vec![0.0; 2 * count];
            let center = case["center"].as_f64().unwrap();
            let weight = 1.0 / count as f64;
            let loss = bradley_terry(&scores, &comparisons, center, weight, &mut by);
            let name = case["name"].as_str().unwrap();
            let close = |ours: f64, theirs: f64, most: f64| {
                (ours - theirs).abs() <= most * theirs.abs().max(1e-3)
            };
            let theirs = case["loss"].as_f64().unwrap();
            assert!(close(loss, theirs, 1e-5), "{name}: {loss} {theirs}");
            for (ours, theirs) in by.iter().zip(numbers(&case["by"])) {
                assert!(close(*ours, theirs, 1e-4), "{name}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn scores_far_apart_overflow_nothing() {
        let one = [Comparison {
            chosen: 0,
            rejected: 1,
            label: 1.0,
            margin: 0.0,
        }];
        let mut by = [0.0; 2];
        assert_eq!(
            bradley_terry(&[1000.0, -1000.0], &one, 0.0, 1.0, &mut by),
            0.0
        );
        assert_eq!(by, [0.0; 2]);
        assert_eq!(
            bradley_terry(&[-1000.0, 1000.0], &one, 0.0, 1.0, &mut by),
            2000.0
        );
        assert_eq!(by, [-1.0, 1.0]);
    }
}
