//! A golden batch through the production loss.

use dunwu::stages::grpo::{
    ObjectiveConfig,
    loss::{CompletionTokens, Seen, token_losses},
    objective::Normalizer,
};
use serde_json::Value;

use super::rows;

/// The inputs of a case, one list a completion.
pub struct Inputs {
    pub logprobs: Vec<Vec<f64>>,
    pub entropy: Vec<Vec<f64>>,
    pub live: Vec<Vec<bool>>,
    old: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    sampling: Vec<Vec<f64>>,
    advantages: Vec<f64>,
    /// The distributions, where there are logits.
    pub softmax: Option<Vec<Vec<Vec<f64>>>>,
    pub tokens: Option<Vec<Vec<f64>>>,
}

/// What the sum is divided by besides what the inputs say.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Completions of the update.
    pub completions: usize,
    /// Tokens of the update.
    pub tokens: usize,
    /// The longest allowed completion.
    pub longest: usize,
}

/// What the production loss makes of a batch. Lists have one entry a token that takes part.
#[derive(Debug, Default)]
pub struct Outcome {
    pub value: f64,
    pub by_logprobs: Vec<f64>,
    pub by_entropy: Vec<f64>,
    pub seen: Seen,
}

impl Inputs {
    pub fn new(batch: &Value) -> Self {
        let softmax = batch.get("logits").map(|logits| {
            let rows = logits.as_array().unwrap().iter().map(super::rows);
            let row = |row: Vec<Vec<f64>>| row.iter().map(|z| softmax(z)).collect();
            rows.map(row).collect::<Vec<Vec<Vec<f64>>>>()
        });
        let tokens = batch.get("tokens").map(rows);
        let (logprobs, entropy) = match (&softmax, &tokens) {
            (Some(softmax), Some(tokens)) => (
                by_row(softmax, |row, t, p: &Vec<f64>| {
                    p[tokens[row][t] as usize].ln()
                }),
                by_row(softmax, |_, _, p| {
                    -p.iter().map(|p| p * p.ln()).sum::<f64>()
                }),
            ),
            _ => {
                let logprobs = rows(&batch["logprobs"]);
                let entropy = by_row(&logprobs, |_, _, _| 0.0);
                (logprobs, entropy)
            }
        };
        Self {
            logprobs,
            entropy,
            live: by_row(&rows(&batch["mask"]), |_, _, m| *m > 0.0),
            old: rows(&batch["old"]),
            reference: rows(&batch["reference"]),
            sampling: rows(&batch["sampling"]),
            advantages: super::numbers(&batch["advantages"]),
            softmax,
            tokens,
        }
    }

    /// Tokens that take part.
    pub fn count(&self) -> usize {
        self.live.iter().flatten().filter(|live| **live).count()
    }

    /// Completions, those left out included or not.
    pub fn completions(&self, all: bool) -> usize {
        let counted = |row: &&Vec<bool>| all || row.iter().any(|live| *live);
        self.live.iter().filter(counted).count()
    }

    /// What completions without a token left add to the loss where their ratio, of nothing, is 1: a
    /// constant, `−A / G` each.
    pub fn left_out(&self, completions: usize) -> f64 {
        let rows = self.live.iter().zip(&self.advantages);
        let empty = rows.filter(|(live, _)| !live.iter().any(|live| *live));
        -empty.map(|(_, advantage)| advantage).sum::<f64>() / completions as f64
    }

    /// The tokens of each completion that take part, as the loss wants them.
    fn of_row(&self, rows: &[Vec<f64>], row: usize) -> Vec<f32> {
        let pairs = rows[row].iter().zip(&self.live[row]);
        pairs
            .filter(|(_, live)| **live)
            .map(|(x, _)| *x as f32)
            .collect()
    }

    /// The correction's weight of each token that takes part.
    pub fn weights(&self, config: &ObjectiveConfig) -> Vec<f64> {
        let correction = config.correction.unwrap();
        let weights = |row| {
            let (old, sampling) = (
                self.of_row(&self.old, row),
                self.of_row(&self.sampling, row),
            );
            correction.weights(&old, &sampling).0
        };
        (0..self.live.len()).flat_map(weights).collect()
    }

    /// Each completion through the production loss. `kept` are the tokens of high entropy.
    pub fn losses(
        &self,
        config: &ObjectiveConfig,
        counts: Counts,
        kept: Option<&[Vec<bool>]>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let chosen = |row: usize| -> Option<Vec<bool>> {
            let pairs = kept?[row].iter().zip(&self.live[row]);
            Some(
                pairs
                    .filter(|(_, live)| **live)
                    .map(|(kept, _)| *kept)
                    .collect(),
            )
        };
        let bonus_tokens: usize = (0..self.live.len())
            .map(|row| match chosen(row) {
                Some(kept) => kept.iter().filter(|kept| **kept).count(),
                None => self.live[row].iter().filter(|live| **live).count(),
            })
            .sum();
        for row in 0..self.live.len() {
            let logprobs = self.of_row(&self.logprobs, row);
            if logprobs.is_empty() {
                continue;
            }
            let weight = match config.normalizer {
                Normalizer::MicroBatchTokens => 1.0 / self.count() as f64,
                other => other.token_weight(
                    logprobs.len(),
                    counts.completions,
                    counts.tokens,
                    counts.longest,
                ),
            };
            let kept = chosen(row);
            let losses = token_losses(
                config,
                &CompletionTokens {
                    logprobs: &logprobs,
                    entropy: &self.of_row(&self.entropy, row),
                    old: Some(&self.of_row(&self.old, row)),
                    sampling: Some(&self.of_row(&self.sampling, row)),
                    reference: Some(&self.of_row(&self.reference, row)),
                    advantages: &vec![self.advantages[row] as f32; logprobs.len()],
                    kept: kept.as_deref(),
                    weight,
                    entropy_weight: 1.0 / bonus_tokens as f64,
                    length: logprobs.len(),
                },
            );
            outcome.value += losses.value;
            outcome.seen.add(&losses.seen);
            let by_logprobs = losses.by_logprobs.iter().map(|&x| f64::from(x));
            outcome.by_logprobs.extend(by_logprobs);
            if losses.by_entropy.is_empty() {
                outcome.by_entropy.extend(vec![0.0; logprobs.len()])
            } else {
                let by_entropy = losses.by_entropy.iter().map(|&x| f64::from(x));
                outcome.by_entropy.extend(by_entropy);
            }
        }
        outcome
    }

    /// The derivative by each logit of each token that takes part: `g (onehot − p) − h p (log p + H)`
    /// of the derivatives `g` by the log-probability and `h` by the entropy.
    pub fn by_logits(&self, outcome: &Outcome) -> Vec<f64> {
        let (softmax, tokens) = (self.softmax.as_ref(), self.tokens.as_ref());
        let (softmax, tokens) = (softmax.unwrap(), tokens.unwrap());
        let live = (0..self.live.len())
            .flat_map(|row| (0..self.live[row].len()).map(move |t| (row, t)))
            .filter(|&(row, t)| self.live[row][t]);
        let derivatives = outcome.by_logprobs.iter().zip(&outcome.by_entropy);
        live.zip(derivatives)
            .flat_map(|((row, t), (g, h))| {
                let entropy = self.entropy[row][t];
                let chosen = tokens[row][t] as usize;
                softmax[row][t]
                    .iter()
                    .enumerate()
                    .map(move |(index, p)| {
                        let onehot = f64::from(u8::from(index == chosen));
                        g * (onehot - p) - h * p * (p.ln() + entropy)
                    })
                    .collect::<Vec<f64>>()
            })
            .collect()
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn by_row<A, B>(rows: &[Vec<A>], of: impl Fn(usize, usize, &A) -> B) -> Vec<Vec<B>> {
    let list = |(row, list): (usize, &Vec<A>)| {
        list.iter()
            .enumerate()
            .map(|(t, x)| of(row, t, x))
            .collect()
    };
    rows.iter().enumerate().map(list).collect()
}
