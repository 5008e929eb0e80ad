//! Sequences packed into rectangles of tokens.

use crate::model::{config::ModelConfig, transformer::TokenGrid};

/// A prompt and what followed it, as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// The tokens that are scored or trained on.
    pub completion: Vec<u32>,
}

impl Sequence {
    /// Tokens in all.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.completion.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some sequences of a batch, padded on the right to the longest of them.
///
/// Padding stands after every real token, so a causal mask keeps it out of sight.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Which sequences of the batch these are, row by row.
    pub members: Vec<usize>,
    /// The padded rectangle.
    pub grid: TokenGrid,
    /// For each completion token, the row of the hidden states that predicts it.
    pub rows: Vec<usize>,
    /// For each completion token, its id.
    pub targets: Vec<u32>,
    /// Completion tokens of each member; their sum is `targets.len()`.
    pub lengths: Vec<usize>,
}

impl MicroBatch {
    fn new(sequences: &[Sequence], members: Vec<usize>) -> Self {
        let chosen = || members.iter().map(|&member| &sequences[member]);
        // The last token predicts nothing that is asked for: leave it out of the forward pass.
        let width = chosen().map(|s| s.len() - 1).max().unwrap_or(0);
        let (mut ids, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (row, sequence) in chosen().enumerate() {
            let inputs = sequence.prompt.iter().chain(&sequence.completion);
            ids.extend(inputs.take(sequence.len() - 1));
            ids.resize((row + 1) * width, 0);
            let first = row * width + sequence.prompt.len() - 1;
            rows.extend(first..first + sequence.completion.len());
            targets.extend(&sequence.completion);
        }
        Self {
            lengths: chosen().map(|s| s.completion.len()).collect(),
            grid: TokenGrid::from_start(ids, members.len()),
            members,
            rows,
            targets,
        }
    }
}

/// Splits sequences into micro-batches of at most `token_budget` tokens, padding included.
/// Sequences of like length go together; a sequence longer than the budget gets a micro-batch of
/// its own. Sequences with an empty completion are left out.
///
/// # Panics
/// When a sequence with a completion has an empty prompt: nothing would predict its first token.
pub fn pack(sequences: &[Sequence], token_budget: usize) -> Vec<MicroBatch> {
    let mut order: Vec<usize> = (0..sequences.len())
        .filter(|&i| !sequences[i].completion.is_empty())
        .collect();
    assert!(
        order.iter().all(|&i| !sequences[i].prompt.is_empty()),
        "a sequence without a prompt cannot be scored"
    );
    // Longest first: memory peaks at once, if it peaks. The index makes the order total.
    order.sort_by_key(|&i| (usize::MAX - sequences[i].len(), i));
    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while let Some(&longest) = rest.first() {
        let fit = (token_budget / (sequences[longest].len() - 1).max(1)).max(1);
        let (now, later) = rest.split_at(fit.min(rest.len()));
        batches.push(MicroBatch::new(sequences, now.to_vec()));
        rest = later;
    }
    batches
}

/// Bytes that one token of a micro-batch holds in the autodiff graph, in f32: a count of the
/// activations each layer keeps, times their width.
pub fn activation_bytes_per_token(config: &ModelConfig) -> usize {
    let attention = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim;
    let floats = 12 * config.hidden_size + 6 * attention + 7 * config.intermediate_size;
    4 * floats * config.num_hidden_layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(prompt: usize, completion: usize) -> Sequence {
        Sequence {
            prompt: (0..prompt as u32).collect(),
            completion: (100..100 + completion as u32).collect(),
        }
    }

    #[test]
    fn every_completion_token_is_packed_once_and_predicted_by_the_token_before() {
        let sequences: Vec<_> = [(3, 4), (2, 0), (5, 1), (1, 7), (2, 2)]
            .map(|(p, c)| sequence(p, c))
            .into();
        let batches = pack(&sequences, 14);
        let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.members.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 2, 3, 4]);
        for batch in &batches {
            assert!(batch.grid.ids.len() <= 14);
            let mut token = 0;
            for (row, &member) in batch.members.iter().enumerate() {
                let whole: Vec<u32> =
                    [&sequences[member].prompt[..], &sequences[member].completion].concat();
                for &target in &sequences[member].completion {
                    let place = batch.rows[token] - row * batch.grid.tokens();
                    assert_eq!(batch.targets[token], target);
                    assert_eq!(whole[place + 1], target);
                    assert_eq!(batch.grid.ids[batch.rows[token]], whole[place]);
                    token += 1;
                }
            }
        }
    }

    #[test]
    fn a_sequence_past_the_budget_stands_alone() {
        let batches = pack(&[sequence(2, 30), sequence(2, 3)], 8);
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[0].members, [0]);
    }
}
