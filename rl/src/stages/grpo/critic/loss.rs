//! The clipped loss of a value, with its derivative in closed form and in `f64`.

use crate::learner::MicroBatch;
use crate::stages::grpo::example::ValueTargets;

/// The loss of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueLoss {
    /// `½ max((v − R)², (clip(v, V_old − ε, V_old + ε) − R)²)`.
    pub value: f64,
    /// Its derivative by `v`.
    pub by_value: f64,
    /// Whether the clipped term is the larger one: nothing is learnt then.
    pub clipped: bool,
}

/// The loss of `value`, of which the critic said `old` before the step and which is drawn towards `target`
/// (OpenAI's PPO2; verl's and TRL's `cliprange_value`).
pub fn value_loss(value: f64, old: f64, target: f64, cliprange: f64) -> ValueLoss {
    let plain = (value - target).powi(2);
    let bounded = (value.clamp(old - cliprange, old + cliprange) - target).powi(2);
    // Where they differ the value is out of its bounds, and the clipped one does not move with it.
    let clipped = bounded > plain;
    ValueLoss {
        value: 0.5 * plain.max(bounded),
        by_value: if clipped { 0.0 } else { value - target },
        clipped,
    }
}

/// Sums over tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ValueSums {
    /// The loss, normalised.
    pub loss: f64,
    /// Tokens.
    pub tokens: usize,
    /// Tokens whose value was out of its bounds and nearer to the target than these.
    pub clipped: usize,
}

impl ValueSums {
    /// Adds what was seen of other tokens.
    pub fn merge(&mut self, other: &Self) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.clipped += other.clipped;
    }
}

/// The share of a micro-batch in the mean loss over `tokens` tokens, and its derivative by each value.
pub(super) fn of_batch(
    batch: &MicroBatch,
    values: &[f32],
    targets: &[&ValueTargets],
    cliprange: f64,
    tokens: usize,
    sums: &mut ValueSums,
) -> (f64, Vec<f32>) {
    let weight = 1.0 / tokens.max(1) as f64;
    let mut by_values = Vec::with_capacity(values.len());
    for (member, range) in batch.parts() {
        let wanted = targets[member];
        let old_and_target = wanted.values.iter().zip(&wanted.returns);
        for (&value, (&old, &target)) in values[range].iter().zip(old_and_target) {
            let loss = value_loss(value.into(), old, target, cliprange);
            sums.loss += weight * loss.value;
            sums.clipped += usize::from(loss.clipped);
            sums.tokens += 1;
            by_values.push((weight * loss.by_value) as f32);
        }
    }
    (sums.loss, by_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inside the bounds, out of them away from the target, and out of them towards it.
    #[test]
    fn a_value_moves_no_further_than_its_bounds() {
        let inside = value_loss(0.1, 0.0, 1.0, 0.2);
        assert!((inside.value - 0.5 * 0.81).abs() < 1e-12 && !inside.clipped);
        assert!((inside.by_value + 0.9).abs() < 1e-12);
        let away = value_loss(-0.5, 0.0, 1.0, 0.2);
        assert!((away.value - 0.5 * 2.25).abs() < 1e-12 && !away.clipped);
        assert!((away.by_value + 1.5).abs() < 1e-12);
        let towards = value_loss(0.5, 0.0, 1.0, 0.2);
        assert!((towards.value - 0.5 * 0.64).abs() < 1e-12 && towards.clipped);
        assert_eq!(towards.by_value, 0.0);
    }

    #[test]
    fn the_derivative_is_that_of_finite_differences() {
        let step = 1e-6;
        for value in [-0.73, -0.21, -0.19, 0.0, 0.05, 0.31, 0.9, 1.4] {
            for (old, target) in [(0.0, 1.0), (0.3, -0.4), (0.5, 0.52)] {
                let at = |value| value_loss(value, old, target, 0.2).value;
                let difference = (at(value + step) - at(value - step)) / (2.0 * step);
                let exact = value_loss(value, old, target, 0.2).by_value;
                assert!(
                    (difference - exact).abs() < 1e-6,
                    "{value} {old} {target}: {difference} {exact}"
                );
            }
        }
    }
}
