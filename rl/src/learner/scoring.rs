//! Log-probabilities of given completions, without a gradient.

use super::{
    Sequence,
    batch::{BudgetError, MicroBatch, pack},
    gradient::head_scores,
    head::HeadConfig,
};
use crate::{compute::with_compute, model::Transformer};

/// What the model thinks of the sampled tokens of one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// Log-probability of each token, in nats.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution each token was drawn from, in nats.
    pub entropy: Vec<f32>,
}

/// Scores the sampled tokens of every sequence, in micro-batches of at most `token_budget` rows.
///
/// # Errors
/// When a sequence has more tokens than the budget.
pub fn token_logprobs(
    model: &Transformer,
    sequences: &[Sequence],
    token_budget: usize,
    head: HeadConfig,
) -> Result<Vec<TokenScores>, BudgetError> {
    let mut scores = vec![TokenScores::default(); sequences.len()];
    for batch in pack(sequences, token_budget)? {
        let (logprobs, entropy) = with_compute!(model, |c| {
            let stream = model.stream_packed(&c, &batch.packing, |_, _| {});
            head_scores(&c, model, &batch, &stream, head)
        });
        for (member, range) in batch.parts() {
            scores[member] = TokenScores {
                logprobs: logprobs[range.clone()].to_vec(),
                entropy: entropy[range].to_vec(),
            };
        }
    }
    Ok(scores)
}

/// Scores the targets of one micro-batch, in their order.
pub fn batch_logprobs(model: &Transformer, batch: &MicroBatch, head: HeadConfig) -> TokenScores {
    let (logprobs, entropy) = with_compute!(model, |c| {
        let stream = model.stream_packed(&c, &batch.packing, |_, _| {});
        head_scores(&c, model, batch, &stream, head)
    });
    TokenScores { logprobs, entropy }
}
