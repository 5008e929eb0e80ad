//! Sequences packed into rows, each prompt once for all completions of it.

use super::recall::Recall;
use crate::{
    compute::packing::Packing,
    generation::Recorded,
    model::{Activations, ModelConfig},
};

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

/// Some sequences of a batch in rows without padding. Sequences with the same prompt share its
/// rows: its forward and backward pass is made once, not once a completion.
#[derive(Debug, Clone, Default)]
pub struct MicroBatch {
    /// Which sequences of the batch these are, in the order of [`Self::targets`].
    pub members: Vec<usize>,
    /// The rows.
    pub packing: Packing,
    /// For each completion token, the row of the hidden states that predicts it.
    pub rows: Vec<usize>,
    /// For each completion token, its id.
    pub targets: Vec<u32>,
    /// Completion tokens of each member; their sum is `targets.len()`.
    pub lengths: Vec<usize>,
    /// Its forward pass, where sampling has made it.
    pub recall: Option<Recall>,
}

impl MicroBatch {
    /// Takes the forward pass from what was recorded of its members when they were sampled, if that is
    /// known of all of them. It has to be the same policy still.
    pub fn recall<'a>(&mut self, recorded: impl Fn(usize) -> Option<&'a Recorded>) {
        self.recall = Recall::of(self, recorded);
    }

    /// Adds a sequence; `prompt` is the last row of its prompt.
    fn push(&mut self, member: usize, completion: &[u32], prompt: usize) {
        // The last token predicts nothing that is asked for: leave it out of the forward pass.
        let inputs = &completion[..completion.len() - 1];
        let rows = self.packing.push_continuation(inputs);
        self.rows.push(prompt);
        self.rows.extend(rows);
        self.targets.extend(completion);
        self.lengths.push(completion.len());
        self.members.push(member);
    }
}

/// A sequence that no micro-batch can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory.token_budget = {budget} holds no micro-batch for a sequence of {prompt} prompt and {completion} completion tokens; hint: set it to at least {}, or lower sampling.max_tokens",
    prompt + completion - 1
)]
pub struct BudgetError {
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Tokens of its completion.
    pub completion: usize,
    /// The budget.
    pub budget: usize,
}

/// Splits sequences into micro-batches of at most `token_budget` rows. Sequences with the same
/// prompt stay together as far as the budget allows. Those with an empty completion are left out.
///
/// # Errors
/// When a single sequence has more tokens than the budget.
///
/// # Panics
/// When a sequence with a completion has an empty prompt: nothing would predict its first token.
pub fn pack(sequences: &[Sequence], token_budget: usize) -> Result<Vec<MicroBatch>, BudgetError> {
    let mut order: Vec<usize> = (0..sequences.len())
        .filter(|&i| !sequences[i].completion.is_empty())
        .collect();
    // Prompts of like length together; of one prompt, the longest completion first. The index
    // makes the order total.
    order.sort_by(|&a, &b| {
        let (x, y) = (&sequences[a], &sequences[b]);
        let longer = y.prompt.len().cmp(&x.prompt.len());
        longer
            .then_with(|| x.prompt.cmp(&y.prompt))
            .then_with(|| y.completion.len().cmp(&x.completion.len()))
            .then(a.cmp(&b))
    });
    let target = even_share(sequences, &order, token_budget);
    let mut batches: Vec<MicroBatch> = Vec::new();
    // The prompt of the last tree of the last batch, and its last row.
    let mut open: Option<(&[u32], usize)> = None;
    for index in order {
        let Sequence { prompt, completion } = &sequences[index];
        assert!(
            !prompt.is_empty(),
            "a sequence without a prompt cannot be scored"
        );
        let own = completion.len() - 1;
        if prompt.len() + own > token_budget {
            return Err(BudgetError {
                prompt: prompt.len(),
                completion: completion.len(),
                budget: token_budget,
            });
        }
        let shared = open.is_some_and(|(open, _)| open == prompt.as_slice());
        let cost = own + if shared { 0 } else { prompt.len() };
        let filled = batches.last().map_or(usize::MAX, |b| b.packing.len());
        let fits = filled.saturating_add(cost) <= token_budget;
        if !fits || filled >= target {
            batches.push(MicroBatch::default());
            open = None;
        }
        let batch = batches.last_mut().expect("the first sequence made one");
        let last = match open {
            Some((open, last)) if open == prompt.as_slice() => last,
            _ => batch.packing.push_prompt(prompt).end - 1,
        };
        open = Some((prompt, last));
        batch.push(index, completion, last);
    }
    Ok(batches)
}

/// Rows of each micro-batch when as few as can be share them evenly: batches of like size use each
/// other's memory.
fn even_share(sequences: &[Sequence], order: &[usize], token_budget: usize) -> usize {
    let mut rows = 0;
    let mut last: Option<&[u32]> = None;
    for &index in order {
        let Sequence { prompt, completion } = &sequences[index];
        rows += completion.len() - 1;
        if last.replace(prompt) != Some(prompt) {
            rows += prompt.len();
        }
    }
    rows.div_ceil(rows.div_ceil(token_budget).max(1))
}

/// Bytes that one row of a micro-batch holds in f32 until its backward pass has been made, and
/// those that the block under way needs besides.
pub fn activation_bytes_per_token(
    config: &ModelConfig,
    activations: Activations,
) -> (usize, usize) {
    let heads = config.head_dim * (config.num_attention_heads + config.num_key_value_heads);
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    // Input, middle, queries, mixed values (as many as queries), keys, values, gate, up.
    let norms = if config.qk_norm { heads } else { 0 };
    let kept = 2 * hidden + 2 * heads + 2 * inner + config.num_attention_heads + norms;
    // Gradients of them, the gated product, a normalised copy.
    let passing = 3 * hidden + 2 * heads + 3 * inner;
    let kept = match activations {
        Activations::All => kept * config.num_hidden_layers,
        Activations::Inputs => hidden * config.num_hidden_layers + kept,
    };
    (4 * kept, 4 * passing)
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
        let shapes = [
            (3, 4),
            (2, 0),
            (5, 1),
            (1, 7),
            (2, 2),
            (3, 6),
            (3, 1),
            (5, 3),
        ];
        let sequences: Vec<_> = shapes.map(|(p, c)| sequence(p, c)).into();
        for budget in [9, 14, 1000] {
            let batches = pack(&sequences, budget).unwrap();
            let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.members.clone()).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 2, 3, 4, 5, 6, 7]);
            for batch in &batches {
                assert!(batch.packing.len() <= budget);
                let mut token = 0;
                for (&member, &length) in batch.members.iter().zip(&batch.lengths) {
                    let Sequence { prompt, completion } = &sequences[member];
                    let whole = [&prompt[..], completion].concat();
                    assert_eq!(length, completion.len());
                    for (place, &target) in completion.iter().enumerate() {
                        let row = batch.rows[token];
                        assert_eq!(batch.targets[token], target);
                        assert_eq!(batch.packing.ids[row], whole[prompt.len() + place - 1]);
                        assert_eq!(batch.packing.positions[row], prompt.len() + place - 1);
                        token += 1;
                    }
                }
                assert_eq!(token, batch.targets.len());
            }
        }
    }

    #[test]
    fn a_prompt_is_paid_once_a_micro_batch() {
        let group: Vec<_> = (2..6).map(|length| sequence(10, length)).collect();
        let batches = pack(&group, 100).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].packing.len(), 10 + 1 + 2 + 3 + 4);
        assert_eq!(batches[0].packing.trees.len(), 1);
    }

    #[test]
    fn a_sequence_past_the_budget_is_an_error_that_says_what_to_set() {
        let error = pack(&[sequence(2, 30), sequence(2, 3)], 8).unwrap_err();
        assert_eq!((error.prompt, error.completion, error.budget), (2, 30, 8));
        assert!(error.to_string().contains("at least 31"), "{error}");
    }
}
