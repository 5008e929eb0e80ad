//! KTO (arXiv 2402.01306, eq. 7 and 8): answers that are good or bad by themselves.

use super::{
    Side,
    losses::{bump, sigmoid},
};

/// An answer that was judged by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedScores {
    /// What policy and reference think of it.
    pub side: Side,
    /// Whether it is good.
    pub good: bool,
}

/// The loss with its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kto {
    /// β.
    pub beta: f64,
    /// λ_D: weight of good answers.
    pub desirable_weight: f64,
    /// λ_U: weight of bad ones.
    pub undesirable_weight: f64,
}

impl Kto {
    /// Values and derivatives of the mean of `λ_D (1 − σ(β (c − kl)))` over good and `λ_U (1 − σ(β (kl − r)))` over bad
    /// answers. `kl`, from [`divergence`], has no gradient.
    pub fn of(&self, judged: &[JudgedScores], kl: f64) -> Vec<(f64, f64)> {
        let count = judged.len().max(1) as f64;
        let loss = |scores: &JudgedScores| {
            let x = self.beta * (scores.side.log_ratio() - kl);
            let (weight, x, slope) = if scores.good {
                (self.desirable_weight, x, -self.beta)
            } else {
                (self.undesirable_weight, -x, self.beta)
            };
            (
                weight * sigmoid(-x) / count,
                weight * slope * bump(x) / count,
            )
        };
        judged.iter().map(loss).collect()
    }
}

/// How far the policy is from its reference, in nats: the mean log-ratio of answers to other prompts than their own, and not
/// below 0.
pub fn divergence(log_ratios: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = log_ratios.len().max(1) as f64;
    (log_ratios.sum::<f64>() / count).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_value() {
        let kto = Kto {
            beta: 0.3,
            desirable_weight: 1.0,
            undesirable_weight: 1.5,
        };
        let judged = |moved: usize, by: f64| -> Vec<JudgedScores> {
            let all = [(-3.0, -4.0, true), (-8.0, -2.0, true), (-5.0, -7.5, false)];
            let all = all.into_iter().enumerate();
            all.map(|(i, (policy, reference, good))| JudgedScores {
                side: Side::new(policy + if i == moved { by } else { 0.0 }, reference, 3),
                good,
            })
            .collect()
        };
        let value = |judged: &[JudgedScores]| kto.of(judged, 0.4).iter().map(|x| x.0).sum::<f64>();
        for (index, (_, slope)) in kto.of(&judged(9, 0.0), 0.4).into_iter().enumerate() {
            let h = 1e-5;
            let rise = value(&judged(index, h)) - value(&judged(index, -h));
            assert!((rise / (2.0 * h) - slope).abs() < 1e-9, "{index}");
        }
        assert_eq!(divergence([1.0, -4.0].into_iter()), 0.0);
        assert_eq!(divergence([1.0, 4.0].into_iter()), 2.5);
    }
}
