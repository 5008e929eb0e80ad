//! Which token comes next.

use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::compute::{elementwise, tape::Drawn};

/// How completions are sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Logits are divided by this; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability (nucleus sampling,
    /// arXiv 1904.09751); 1 keeps all.
    pub top_p: f64,
    /// Only tokens with at least this share of the likeliest token's probability
    /// (arXiv 2407.01082); 0 keeps all.
    pub min_p: f64,
    /// Longest completion, in tokens, the end-of-sequence token included.
    pub max_tokens: usize,
    /// Texts that end a completion; they stay part of it.
    pub stop: Vec<String>,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_tokens: 256,
            stop: Vec::new(),
        }
    }
}

impl SamplingConfig {
    /// The same, taking the likeliest token each time.
    pub fn greedy(&self) -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..self.clone()
        }
    }

    /// The temperature at which log-probabilities are reported: greedy decoding reports those of
    /// the plain distribution.
    pub fn scoring_temperature(&self) -> f64 {
        if self.temperature > 0.0 {
            self.temperature
        } else {
            1.0
        }
    }

    /// Whether some tokens are excluded before drawing.
    pub(crate) fn truncates(&self) -> bool {
        self.top_k > 0 || self.top_p < 1.0 || self.min_p > 0.0
    }

    /// # Errors
    /// A message that names the first setting out of its range, and its value.
    pub fn validate(&self) -> Result<(), String> {
        let Self {
            temperature,
            top_k: _,
            top_p,
            min_p,
            max_tokens,
            stop,
        } = self;
        let checks = [
            (
                *temperature == 0.0 || (1e-3..=1e3).contains(temperature),
                format!("temperature = {temperature} must be 0, or between 0.001 and 1000"),
            ),
            (
                *top_p > 0.0 && *top_p <= 1.0,
                format!("top_p = {top_p} must be above 0 and at most 1"),
            ),
            (
                (0.0..1.0).contains(min_p),
                format!("min_p = {min_p} must be at least 0 and below 1"),
            ),
            (
                (1..=10_000_000).contains(max_tokens),
                format!("max_tokens = {max_tokens} must be at least 1 and at most 10000000"),
            ),
            (
                stop.iter().all(|text| !text.is_empty()),
                "stop holds an empty text, which would end everything".to_owned(),
            ),
        ];
        match checks.into_iter().find(|(good, _)| !good) {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }
}

/// A drawn token and its log-probability, in nats, under the whole distribution at the scoring
/// temperature (before top-k, top-p and min-p, as the trainer computes it).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    pub(crate) token: u32,
    pub(crate) logprob: f32,
}

/// How tokens are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    pub(crate) sampling: &'a SamplingConfig,
    /// Ids from here on are never drawn.
    pub(crate) drawable: usize,
}

/// The random number of one place of one completion, at least 0 and below 1.
pub(super) fn uniform(seed: u64, position: usize) -> f64 {
    rng(derive_seed(seed, &[position as u64])).random()
}

/// Values whose sum is kept while drawing.
const RUN: usize = 1 << 10;

/// Chooses among the first `drawable` tokens (a model's matrix may have rows beyond its tokenizer's
/// vocabulary) the one at place `position` of the completion with seed `seed`. The draw depends on
/// these two alone, so a completion does not depend on what else is in its batch. `logits` are used
/// up.
pub(crate) fn choose(logits: &mut [f32], draw: Draw, seed: u64, position: usize) -> Chosen {
    let Draw { sampling, drawable } = draw;
    let drawable = drawable.min(logits.len());
    let inverse = (1.0 / sampling.scoring_temperature()) as f32;
    let arch = pulp::Arch::new();
    let top = arch.dispatch(|| elementwise::max(logits));
    let best = (sampling.temperature == 0.0).then(|| likeliest(&logits[..drawable]));

    // From here on these are weights in proportion to probabilities, `e^{(z − top) / τ}`.
    let (weights, beyond) = logits.split_at_mut(drawable);
    let mut sums = Vec::with_capacity(weights.len() / RUN + 1);
    let mut logs = 0.0; // Σ w log w
    let mut exp_sum = |x: &mut [f32]| {
        let (sum, log) = arch.dispatch(|| elementwise::exp_moments(x, top, inverse));
        logs += log;
        sum
    };
    sums.extend(weights.chunks_mut(RUN).map(&mut exp_sum));
    let total: f64 = sums.iter().sum();
    let all = total + beyond.chunks_mut(RUN).map(exp_sum).sum::<f64>();
    let token = best.unwrap_or_else(|| {
        let uniform = uniform(seed, position);
        let drawn = if sampling.truncates() {
            draw_from(&truncate(weights, sampling), uniform)
        } else {
            draw_by_runs(weights, &sums, uniform * total)
        };
        drawn.unwrap_or_else(|| likeliest(weights))
    });
    let weight = f64::from(weights[token]);
    Chosen {
        token: token as u32,
        drawn: Drawn {
            logprob: (weight.ln() - all.ln()) as f32,
            sum: all as f32,
            entropy: (all.ln() - logs / all) as f32,
        },
    }
}

/// A drawn token with what is known of the distribution that it was drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) token: u32,
    /// Of the weights that [`choose`] leaves behind.
    pub(crate) drawn: Drawn,
}

impl Chosen {
    /// The token and its log-probability.
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            token: self.token,
            logprob: self.drawn.logprob,
        }
    }
}

/// The first weight at which the running sum passes `target`, found by the sums of runs first.
fn draw_by_runs(weights: &[f32], sums: &[f64], mut target: f64) -> Option<usize> {
    let mut last = None;
    for (run, (weights, &sum)) in weights.chunks(RUN).zip(sums).enumerate() {
        if target > sum {
            target -= sum;
            continue;
        }
        for (i, &weight) in weights.iter().enumerate() {
            if weight > elementwise::NOTHING {
                last = Some(run * RUN + i);
                target -= f64::from(weight);
                if target < 0.0 {
                    return last;
                }
            }
        }
    }
    last
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> usize {
    let larger = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).fold(0, larger)
}

/// The first entry at which the running sum passes the share `uniform` of all.
fn draw_from(entries: &[(usize, f32)], uniform: f64) -> Option<usize> {
    let total: f64 = entries.iter().map(|&(_, w)| f64::from(w)).sum();
    let target = uniform * total;
    let mut sum = 0.0;
    let mut last = None;
    for &(token, weight) in entries {
        sum += f64::from(weight);
        if weight > elementwise::NOTHING {
            last = Some(token);
            if sum > target {
                break;
            }
        }
    }
    last
}

/// The tokens left by top-k, then top-p, then min-p, likeliest first. Weights are in proportion to
/// probabilities.
fn truncate(weights: &[f32], config: &SamplingConfig) -> Vec<(usize, f32)> {
    let mut order: Vec<(usize, f32)> = weights.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if config.top_k > 0 {
        order.truncate(config.top_k);
    }
    if config.top_p < 1.0 {
        let total: f64 = order.iter().map(|&(_, w)| f64::from(w)).sum();
        let mut sum = 0.0;
        let reached = order.iter().position(|&(_, w)| {
            sum += f64::from(w);
            sum >= config.top_p * total
        });
        order.truncate(reached.map_or(order.len(), |place| place + 1));
    }
    let best = order.first().map_or(0.0, |&(_, w)| f64::from(w));
    order.retain(|&(_, w)| f64::from(w) >= config.min_p * best);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(temperature: f64) -> SamplingConfig {
        SamplingConfig {
            temperature,
            ..SamplingConfig::default()
        }
    }

    fn choose_from(
        logits: &[f32],
        drawable: usize,
        sampling: &SamplingConfig,
        seed: u64,
        position: usize,
    ) -> Choice {
        let draw = Draw { sampling, drawable };
        choose(&mut logits.to_vec(), draw, seed, position).choice()
    }

    fn shares(logits: &[f32], config: &SamplingConfig, draws: u64) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for seed in 0..draws {
            counts[choose_from(logits, 99, config, seed, 3).token as usize] += 1.0;
        }
        counts.iter().map(|c| c / draws as f64).collect()
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        // p = 0.5, 0.3, 0.2; with 20000 draws the standard error is below 0.0036: 5 of them.
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        for (share, p) in shares(&logits, &config(1.0), 20_000)
            .iter()
            .zip([0.5, 0.3, 0.2])
        {
            assert!((share - p).abs() < 0.018, "{share} for {p}");
        }
        let squared = shares(&logits, &config(0.5), 20_000);
        for (share, p) in squared.iter().zip([0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38]) {
            assert!((share - p).abs() < 0.018, "{share} for {p}");
        }
    }

    #[test]
    fn truncation_keeps_the_likeliest() {
        let logits = [0.1f32.ln(), 0.4f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let only = |config: SamplingConfig| {
            let shares = shares(&logits, &config, 500);
            (0..4).filter(|&i| shares[i] > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(
            only(SamplingConfig {
                top_k: 2,
                ..config(1.0)
            }),
            [1, 2]
        );
        assert_eq!(
            only(SamplingConfig {
                top_p: 0.65,
                ..config(1.0)
            }),
            [1, 2]
        );
        assert_eq!(
            only(SamplingConfig {
                top_p: 0.3,
                ..config(1.0)
            }),
            [1]
        );
        assert_eq!(
            only(SamplingConfig {
                min_p: 0.45,
                ..config(1.0)
            }),
            [1, 2, 3]
        );
        assert_eq!(only(config(0.0)), [1]);
    }

    #[test]
    fn a_token_without_probability_is_never_drawn() {
        // The sum of a run is passed by rounding or by a random number that is all but 1.
        let logits = [0.0, f32::NEG_INFINITY, -1e4, 1.0, -200.0];
        let sums = |weights: &[f32]| vec![weights.iter().map(|&w| f64::from(w)).sum::<f64>()];
        let mut weights = logits.to_vec();
        elementwise::exp_moments(&mut weights, 1.0, 1.0);
        for share in [0.0, 0.2, 0.3, 0.9, 1.0, 1.1] {
            let sums = sums(&weights);
            let drawn = draw_by_runs(&weights, &sums, share * sums[0]);
            assert!(
                drawn.is_none_or(|token| token.is_multiple_of(3)),
                "{share}: {drawn:?}"
            );
            let entries: Vec<_> = weights.iter().copied().enumerate().collect();
            let drawn = draw_from(&entries, share).unwrap();
            assert!(drawn.is_multiple_of(3), "{share}: {drawn}");
        }
        for seed in 0..200 {
            let token = choose_from(&logits, 5, &config(1.0), seed, 0).token;
            assert!(token.is_multiple_of(3), "{token}");
        }
    }

    #[test]
    fn rows_beyond_the_vocabulary_are_never_drawn() {
        let logits = [0.0, 0.1, 9.0];
        for temperature in [0.0, 1.0] {
            let choice = |seed| choose_from(&logits, 2, &config(temperature), seed, 0);
            assert!((0..50).all(|seed| choice(seed).token < 2));
            assert!(choice(0).logprob < -8.0, "it counts in the normaliser");
        }
    }

    #[test]
    fn logprobs_are_those_of_the_whole_distribution() {
        let logits = [0.1f32.ln(), 0.4f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let choice = choose_from(
            &logits,
            99,
            &SamplingConfig {
                top_k: 1,
                ..config(1.0)
            },
            0,
            0,
        );
        assert_eq!(choice.token, 1);
        assert!((choice.logprob - 0.4f32.ln()).abs() < 1e-6);
    }
}
