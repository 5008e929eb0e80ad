//! How far a policy's distribution over the next token is from another one, and the gradient of that.
//!
//! With the policy's `p = softmax(z / τ)` and another model's `q`, both over classes `b`, and a mixture `m` of them:
//!
//! | divergence | a class's term | its derivative by `p_b` |
//! |---|---|---|
//! | forward, `KL(q‖p)` | `q ln(q/p)` | `−q/p` |
//! | reverse, `KL(p‖q)` | `p ln(p/q)` | `ln(p/q) + 1` |
//! | Jensen–Shannon, `m = βq + (1−β)p` | `β q ln(q/m) + (1−β) p ln(p/m)` | `(1−β) ln(p/m)` |
//! | skew forward, `KL(q‖m)`, `m = αq + (1−α)p` | `q ln(q/m)` | `−(1−α) q/m` |
//! | skew reverse, `KL(p‖m)`, `m = (1−α)q + αp` | `p ln(p/m)` | `ln(p/m) + 1 − αp/m` |
//!
//! Forward covers all that the other does, reverse seeks what the other finds likely. The Jensen–Shannon divergence is that of
//! GKD (arXiv 2306.13649, eq. 1); it tends to 0 where β does to 0 or 1, so these two are the forward and the reverse
//! divergence by definition, as TRL has it. The skewed ones are those of DistiLLM (2402.03898, eq. 4 and 5), whose
//! gradients stay bounded where one of the two finds a token impossible.
//!
//! Where the whole of `q` is known, every token is a class. Where only its k likeliest tokens are, these are, and all
//! others together are one more, whose probability is what is left: a divergence of its own, never more than the whole
//! one, and 0 only where both agree on the k tokens. With the derivative `g_b` by a class's probability, that by a logit is
//! `∂/∂z_j = p_j (g_{b(j)} − Σ_b p_b g_b) / τ`.

use std::borrow::Cow;

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

impl TokenDistribution {
    /// The `k` likeliest tokens, likeliest first; of equal ones those with lower ids.
    #[must_use]
    pub fn top(&self, k: usize) -> Self {
        let mut named: Vec<(usize, f32)> = self.named().collect();
        let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if k < named.len() {
            named.select_nth_unstable_by(k, order);
            named.truncate(k);
        }
        named.sort_unstable_by(order);
        Self::Top {
            ids: named.iter().map(|(id, _)| *id as u32).collect(),
            logprobs: named.into_iter().map(|(_, logprob)| logprob).collect(),
        }
    }

    /// The log-probability of a token, in nats; `None` where it is not known.
    pub fn logprob(&self, token: u32) -> Option<f32> {
        match self {
            Self::Whole(logprobs) => logprobs.get(token as usize).copied(),
            Self::Top { ids, logprobs } => {
                let place = ids.iter().position(|&id| id == token)?;
                logprobs.get(place).copied()
            }
        }
    }

    /// The likeliest token that is known of; `None` where none is.
    pub fn likeliest(&self) -> Option<u32> {
        let likelier = |best: (usize, f32), next: (usize, f32)| {
            if next.1 > best.1 { next } else { best }
        };
        self.named().reduce(likelier).map(|(id, _)| id as u32)
    }

    /// The tokens that are known by themselves, with their log-probabilities.
    fn named(&self) -> impl Iterator<Item = (usize, f32)> {
        let (ids, logprobs) = match self {
            Self::Whole(logprobs) => (None, logprobs),
            Self::Top { ids, logprobs } => (Some(ids), logprobs),
        };
        let id = move |place: usize| ids.map_or(place, |ids| ids[place] as usize);
        logprobs
            .iter()
            .enumerate()
            .map(move |(place, &log_q)| (id(place), log_q))
    }
}

/// Which divergence of a policy `p` from another distribution `q` is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Divergence {
    /// `KL(q ‖ p)`.
    Forward,
    /// `KL(p ‖ q)`.
    Reverse,
    /// `β KL(q ‖ m) + (1−β) KL(p ‖ m)` with `m = βq + (1−β)p`, β strictly between 0 and 1.
    JensenShannon(f64),
    /// `KL(q ‖ αq + (1−α)p)`, α at least 0 and below 1.
    SkewForward(f64),
    /// `KL(p ‖ (1−α)q + αp)`, α at least 0 and below 1.
    SkewReverse(f64),
}

impl Divergence {
    /// The generalized Jensen–Shannon divergence of TRL's `beta`: 0 is the forward, 1 the reverse KL divergence.
    pub fn generalized(beta: f64) -> Self {
        if beta <= 0.0 {
            Self::Forward
        } else if beta >= 1.0 {
            Self::Reverse
        } else {
            Self::JensenShannon(beta)
        }
    }

    /// A class's share of the divergence.
    fn term(self, p: f64, log_q: f64) -> f64 {
        let (log_p, log_q) = (p.max(LEAST).ln(), log_q.max(LEAST.ln()));
        let q = log_q.exp();
        match self {
            Self::Forward => q * (log_q - log_p),
            Self::Reverse => p * (log_p - log_q),
            Self::JensenShannon(beta) => {
                let log_m = mixed(beta, q, p);
                beta * q * (log_q - log_m) + (1.0 - beta) * p * (log_p - log_m)
            }
            Self::SkewForward(alpha) => q * (log_q - mixed(alpha, q, p)),
            Self::SkewReverse(alpha) => p * (log_p - mixed(1.0 - alpha, q, p)),
        }
    }

    /// `p_b g_b`: a class's probability times the derivative by it.
    fn slope_times_p(self, p: f64, log_q: f64) -> f64 {
        let (log_p, log_q) = (p.max(LEAST).ln(), log_q.max(LEAST.ln()));
        let q = log_q.exp();
        match self {
            Self::Forward => -q,
            Self::Reverse => p * (log_p - log_q + 1.0),
            Self::JensenShannon(beta) => (1.0 - beta) * p * (log_p - mixed(beta, q, p)),
            Self::SkewForward(alpha) => {
                let rest = (1.0 - alpha) * p;
                -q * rest / (alpha * q + rest).max(LEAST)
            }
            Self::SkewReverse(alpha) => {
                let log_m = mixed(1.0 - alpha, q, p);
                p * (log_p - log_m + 1.0 - alpha * p / log_m.exp())
            }
        }
    }
}

/// `ln(share q + (1 − share) p)`.
fn mixed(share: f64, q: f64, p: f64) -> f64 {
    (share * q + (1.0 - share) * p).max(LEAST).ln()
}

/// A term of the loss: the distance of one token's distribution to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Distance<'a> {
    /// The other distribution.
    pub to: Cow<'a, TokenDistribution>,
    /// Which divergence.
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
        let divergence = self.divergence;
        let rest = self.rest(p);
        let mean: f64 = self
            .classes(p, rest)
            .map(|(p, log_q)| divergence.slope_times_p(p, log_q))
            .sum();
        let value = self.sum(divergence, p, rest);
        let scale = self.weight / temperature;
        let mut by_logits: Vec<f32> = match rest {
            None => vec![0.0; p.len()],
            Some((whole, q)) => {
                let slope = divergence.slope_times_p(whole, q.ln()) / whole.max(LEAST);
                let by = |&p: &f32| (scale * f64::from(p) * (slope - mean)) as f32;
                p.iter().map(by).collect()
            }
        };
        for (id, log_q) in self.to.named() {
            let p = f64::from(p[id]);
            let by = divergence.slope_times_p(p, f64::from(log_q)) - p * mean;
            by_logits[id] = (scale * by) as f32;
        }
        (self.weight * value, by_logits)
    }

    /// Another divergence between the same two, in nats and without the weight.
    ///
    /// # Panics
    /// When the other distribution is of another vocabulary.
    pub fn value(&self, divergence: Divergence, p: &[f32]) -> f64 {
        self.sum(divergence, p, self.rest(p))
    }

    fn sum(&self, divergence: Divergence, p: &[f32], rest: Option<(f64, f64)>) -> f64 {
        let classes = self.classes(p, rest);
        classes.map(|(p, log_q)| divergence.term(p, log_q)).sum()
    }

    /// The probability of each class, and its logarithm in the other distribution.
    fn classes(&self, p: &[f32], rest: Option<(f64, f64)>) -> impl Iterator<Item = (f64, f64)> {
        let named = self
            .to
            .named()
            .map(|(id, log_q)| (f64::from(p[id]), f64::from(log_q)));
        named.chain(rest.map(|(p, q)| (p, q.ln())))
    }

    /// The probability of all other tokens, in both distributions; `None` where there are no others.
    fn rest(&self, p: &[f32]) -> Option<(f64, f64)> {
        match &*self.to {
            TokenDistribution::Whole(logprobs) => {
                assert_eq!(logprobs.len(), p.len(), "both are over one vocabulary");
                None
            }
            TokenDistribution::Top { ids, .. } if ids.len() >= p.len() => None,
            TokenDistribution::Top { .. } => {
                let mut others = p.to_vec();
                let mut q = 1.0;
                for (id, log_q) in self.to.named() {
                    others[id] = 0.0;
                    q -= f64::from(log_q).exp();
                }
                // Added up, not what is left of 1: it is divided by, and may be smaller than a sum's rounding.
                let p = others.iter().map(|&p| f64::from(p)).sum();
                Some((p, q.max(LEAST_REST)))
            }
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

    const ALL: [Divergence; 6] = [
        Divergence::Forward,
        Divergence::Reverse,
        Divergence::JensenShannon(0.5),
        Divergence::JensenShannon(0.9),
        Divergence::SkewForward(0.1),
        Divergence::SkewReverse(0.3),
    ];

    #[test]
    fn derivatives_are_finite_differences() {
        let logits = [1.0, 0.2, -0.7, 0.4, 2.0, -1.1];
        for to in &others() {
            for (divergence, temperature) in ALL.into_iter().zip([0.7, 1.3, 0.9, 1.0, 1.2, 0.8]) {
                let distance = Distance {
                    to: Cow::Borrowed(to),
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
        for divergence in ALL {
            let measured = |to: &TokenDistribution| {
                let weight = 1.0;
                let distance = Distance {
                    to: Cow::Borrowed(to),
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
        for divergence in ALL {
            let weight = 1.0;
            let distance = Distance {
                to: Cow::Borrowed(&to),
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
