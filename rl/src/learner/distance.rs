//! How far a policy's distribution over the next token is from another one, and the gradient of that.
//!
//! With the policy's `p = softmax(z / τ)` and another model's `q`, both over classes `b`:
//!
//! - forward, `KL(q‖p) = Σ_b q_b (log q_b − log p_b)`: covers all that the other does (distillation of a teacher);
//! - reverse, `KL(p‖q) = Σ_b p_b (log p_b − log q_b)`: seeks what the other finds likely (on-policy distillation,
//!   arXiv 2306.13649, eq. 1).
//!
//! Where the whole of `q` is known, every token is a class. Where only its k likeliest tokens are, these are, and all
//! others together are one more, whose probability is what is left: a divergence of its own, never more than the whole
//! one, and 0 only where both agree on the k tokens. The derivative by a class's probability is `g_b = −q_b / p_b` or
//! `log p_b − log q_b + 1`, and that by a logit `∂/∂z_j = p_j (g_{b(j)} − Σ_b p_b g_b) / τ`.

/// Another model's distribution over the next token.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenDistribution {
    /// The log-probability of every token of the vocabulary, in nats.
    Whole(Vec<f32>),
    /// The log-probabilities of some tokens, in nats. No token stands twice, and they are no more than 1 together.
    Top {
        /// Token ids.
        ids: Vec<u32>,
        /// One each.
        logprobs: Vec<f32>,
    },
}

/// Which of two distributions the divergence is taken under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// `KL(other ‖ policy)`.
    Forward,
    /// `KL(policy ‖ other)`.
    Reverse,
}

/// A term of the loss: the distance of one token's distribution to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance<'a> {
    /// The other distribution.
    pub to: &'a TokenDistribution,
    /// Which way.
    pub divergence: Divergence,
    /// The share of this token in the loss.
    pub weight: f64,
}

/// Probabilities count as no less than this where their logarithm is taken: `q` may leave out what `p` does not.
const LEAST: f64 = 1e-30;

/// What is left of 1 after tokens whose log-probabilities are f32 is no less than this: as far as these tell.
const LEAST_REST: f64 = 1e-7;

impl Distance<'_> {
    /// The weighted divergence of a policy with the probabilities `p`, in nats, and its derivative by each logit before
    /// the temperature.
    ///
    /// # Panics
    /// When the other distribution is of another vocabulary.
    pub fn of(&self, p: &[f32], temperature: f64) -> (f64, Vec<f32>) {
        let rest = self.rest(p);
        let classes = || {
            let named = self
                .named()
                .map(|(id, log_q)| (f64::from(p[id]), f64::from(log_q)));
            named.chain(rest.map(|(p, q)| (p, q.ln())))
        };
        let value: f64 = classes().map(|(p, log_q)| self.term(p, log_q)).sum();
        let mean: f64 = classes()
            .map(|(p, log_q)| self.slope_times_p(p, log_q))
            .sum();
        let scale = self.weight / temperature;
        let mut by_logits: Vec<f32> = match rest {
            None => vec![0.0; p.len()],
            Some((whole, q)) => {
                let slope = self.slope_times_p(whole, q.ln()) / whole.max(LEAST);
                let by = |&p: &f32| (scale * f64::from(p) * (slope - mean)) as f32;
                p.iter().map(by).collect()
            }
        };
        for (id, log_q) in self.named() {
            let p = f64::from(p[id]);
            let by = self.slope_times_p(p, f64::from(log_q)) - p * mean;
            by_logits[id] = (scale * by) as f32;
        }
        (self.weight * value, by_logits)
    }

    /// The tokens that are classes of their own, with their log-probabilities in the other distribution.
    fn named(&self) -> impl Iterator<Item = (usize, f32)> {
        let (ids, logprobs) = match self.to {
            TokenDistribution::Whole(logprobs) => (None, logprobs),
            TokenDistribution::Top { ids, logprobs } => (Some(ids), logprobs),
        };
        let id = move |place: usize| ids.map_or(place, |ids| ids[place] as usize);
        logprobs
            .iter()
            .enumerate()
            .map(move |(place, &log_q)| (id(place), log_q))
    }

    /// The probability of all other tokens, in both distributions; `None` where there are no others.
    fn rest(&self, p: &[f32]) -> Option<(f64, f64)> {
        match self.to {
            TokenDistribution::Whole(logprobs) => {
                assert_eq!(logprobs.len(), p.len(), "both are over one vocabulary");
                None
            }
            TokenDistribution::Top { ids, .. } if ids.len() >= p.len() => None,
            TokenDistribution::Top { .. } => {
                let mut others = p.to_vec();
                let mut q = 1.0;
                for (id, log_q) in self.named() {
                    others[id] = 0.0;
                    q -= f64::from(log_q).exp();
                }
                // Added up, not what is left of 1: it is divided by, and may be smaller than a sum's rounding.
                let p = others.iter().map(|&p| f64::from(p)).sum();
                Some((p, q.max(LEAST_REST)))
            }
        }
    }

    /// A class's share of the divergence.
    fn term(&self, p: f64, log_q: f64) -> f64 {
        let log_p = p.max(LEAST).ln();
        match self.divergence {
            Divergence::Forward => log_q.exp() * (log_q.max(LEAST.ln()) - log_p),
            Divergence::Reverse => p * (log_p - log_q.max(LEAST.ln())),
        }
    }

    /// `p_b g_b`.
    fn slope_times_p(&self, p: f64, log_q: f64) -> f64 {
        match self.divergence {
            Divergence::Forward => -log_q.exp(),
            Divergence::Reverse => p * (p.max(LEAST).ln() - log_q.max(LEAST.ln()) + 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softmax(logits: &[f64], temperature: f64) -> Vec<f32> {
        let weights: Vec<f64> = logits.iter().map(|z| (z / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| (w / sum) as f32).collect()
    }

    fn others() -> Vec<TokenDistribution> {
        let q = softmax(&[0.3, -1.0, 1.5, 0.1, -0.4, 0.9], 1.0);
        let whole: Vec<f32> = q.iter().map(|q| q.ln()).collect();
        let top = |ids: &[u32]| TokenDistribution::Top {
            logprobs: ids.iter().map(|&id| whole[id as usize]).collect(),
            ids: ids.to_vec(),
        };
        vec![
            TokenDistribution::Whole(whole.clone()),
            top(&[2, 5]),
            top(&[4]),
            top(&[5, 4, 3, 2, 1, 0]),
        ]
    }

    const BOTH: [Divergence; 2] = [Divergence::Forward, Divergence::Reverse];

    #[test]
    fn derivatives_are_finite_differences() {
        let logits = [1.0, 0.2, -0.7, 0.4, 2.0, -1.1];
        for to in &others() {
            for (divergence, temperature) in BOTH.into_iter().zip([0.7, 1.3]) {
                let distance = Distance {
                    to,
                    divergence,
                    weight: 0.6,
                };
                let value =
                    |logits: &[f64]| distance.of(&softmax(logits, temperature), temperature);
                let (_, by_logits) = value(&logits);
                for (place, &by) in by_logits.iter().enumerate() {
                    // Probabilities are f32: steps of 0.02 keep their rounding, 6e-8, below 1e-5 of the slope.
                    let at = |step: f64| {
                        let mut moved = logits;
                        moved[place] += step;
                        value(&moved).0
                    };
                    let numeric = (at(0.02) - at(-0.02)) / 0.04;
                    let error = (numeric - f64::from(by)).abs();
                    assert!(
                        error < 3e-4,
                        "{to:?} {divergence:?} {place}: {numeric} for {by}"
                    );
                }
            }
        }
    }

    #[test]
    fn it_is_zero_where_both_agree_and_less_where_less_is_known() {
        let logits = [1.0, 0.2, -0.7, 0.4, 2.0, -1.1];
        let p = softmax(&logits, 1.0);
        let same: Vec<f32> = p.iter().map(|p| p.ln()).collect();
        let top = TokenDistribution::Top {
            ids: vec![4, 0],
            logprobs: vec![same[4], same[0]],
        };
        for divergence in BOTH {
            let measured = |to: &TokenDistribution| {
                let weight = 1.0;
                let distance = Distance {
                    to,
                    divergence,
                    weight,
                };
                distance.of(&p, 1.0)
            };
            for same in [&TokenDistribution::Whole(same.clone()), &top] {
                let (value, by_logits) = measured(same);
                assert!(value.abs() < 1e-6, "{value}");
                assert!(by_logits.iter().all(|by| by.abs() < 1e-6), "{by_logits:?}");
            }
            let values: Vec<f64> = others().iter().map(|to| measured(to).0).collect();
            assert!(values[0] > values[1] && values[1] > 0.0, "{values:?}");
            assert!(
                (values[0] - values[3]).abs() < 1e-6,
                "all named is the whole: {values:?}"
            );
        }
    }

    /// What the other leaves out costs a lot, and is a number.
    #[test]
    fn a_probability_of_zero_is_no_infinity() {
        let to = TokenDistribution::Whole(vec![0.0, f32::NEG_INFINITY]);
        for divergence in BOTH {
            let weight = 1.0;
            let distance = Distance {
                to: &to,
                divergence,
                weight,
            };
            for p in [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]] {
                let (value, by_logits) = distance.of(&p, 1.0);
                assert!(value.is_finite() && by_logits.iter().all(|by| by.is_finite()));
                assert!(value >= 0.0, "{divergence:?} {p:?}: {value}");
            }
        }
    }
}
