//! Log-probabilities of given completions, without a gradient.

use std::ops::Range;

use super::{
    Sequence,
    batch::{BudgetError, MicroBatch, pack},
    gradient::head_scores,
    head::{Chunk, HeadConfig},
};
use crate::{
    compute::{Compute, with_compute},
    model::Transformer,
};

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

/// What a model has made of the text before each target of a micro-batch: enough to ask for its distributions there, a
/// few at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HiddenStates {
    /// `[targets, hidden]`, normalised: what the head reads.
    values: Vec<f32>,
}

impl HiddenStates {
    /// Runs a micro-batch through `model`, which may be another than the one that is trained.
    pub fn of(model: &Transformer, batch: &MicroBatch) -> Self {
        let values = with_compute!(model, |c| {
            let stream = model.stream_packed(&c, &batch.packing, |_, _| {});
            let rows = c.select(&stream, &batch.rows);
            c.values_of(&model.last_norm().forward(&c, &rows))
        });
        Self { values }
    }

    /// The log-probability of every token of the vocabulary of `model`, in nats, at each of a range of the targets.
    pub fn logprobs(
        &self,
        model: &Transformer,
        batch: &MicroBatch,
        range: Range<usize>,
        temperature: f64,
    ) -> Vec<Vec<f32>> {
        let width = model.config().hidden_size;
        let values = self.values[range.start * width..range.end * width].to_vec();
        let config = HeadConfig {
            temperature,
            ..HeadConfig::default()
        };
        let places: Vec<usize> = (0..range.len()).collect();
        let mut rows = with_compute!(model, |c| {
            let chunk = Chunk {
                model,
                hidden: &c.rows_of(values, width),
                targets: &batch.targets[range],
                config,
            };
            c.probabilities(&chunk.output(&c).distribution, &places)
        });
        for row in &mut rows {
            row.iter_mut().for_each(|p| *p = p.ln());
        }
        rows
    }
}
