//! Log-probabilities of given completions, without a gradient.

use burn::tensor::Tensor;

use super::{
    batch::{MicroBatch, Sequence, pack},
    head::{self, HeadConfig},
};
use crate::model::{Transformer, parameters::to_host, transformer::causal_mask};

/// What the model thinks of the tokens of one completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// Log-probability of each token, in nats.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from, in nats.
    pub entropy: Vec<f32>,
}

/// Scores every completion, in micro-batches of at most `token_budget` tokens.
pub fn token_logprobs(
    model: &Transformer,
    sequences: &[Sequence],
    token_budget: usize,
    head: HeadConfig,
) -> Vec<TokenScores> {
    let mut scores = vec![TokenScores::default(); sequences.len()];
    for batch in pack(sequences, token_budget) {
        let hidden = completion_hidden(model, &batch);
        let (logprobs, entropy) = score(model, &batch, hidden, head);
        let mut start = 0;
        for (&member, &length) in batch.members.iter().zip(&batch.lengths) {
            let range = start..start + length;
            scores[member] = TokenScores {
                logprobs: logprobs[range.clone()].to_vec(),
                entropy: entropy[range].to_vec(),
            };
            start += length;
        }
    }
    scores
}

/// The hidden states that predict the completion tokens of a micro-batch.
///
/// # Shapes
/// - output: `[completion tokens, hidden]`
pub(crate) fn completion_hidden(model: &Transformer, batch: &MicroBatch) -> Tensor<2> {
    let device = model.device().inner();
    let mask = causal_mask(model.config(), batch.grid.tokens(), &[0], &device);
    let hidden = model.hidden(&batch.grid, Some(&mask), None);
    let rows = head::index(batch.rows.iter().copied(), &hidden);
    hidden.select(0, rows)
}

fn score(
    model: &Transformer,
    batch: &MicroBatch,
    hidden: Tensor<2>,
    config: HeadConfig,
) -> (Vec<f32>, Vec<f32>) {
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    let weight = model.head_weight();
    let mut start = 0;
    for targets in batch
        .targets
        .chunks(config.chunk_tokens(model.config().vocab_size))
    {
        let rows = hidden.clone().narrow(0, start, targets.len());
        let targets = head::index(targets.iter().map(|&id| id as usize), &hidden);
        start += rows.dims()[0];
        let chunk = head::forward(rows, weight.clone(), targets, config.temperature);
        logprobs.extend(to_host(chunk.logprobs));
        entropy.extend(to_host(chunk.entropy));
    }
    (logprobs, entropy)
}
