//! Sequences packed into rows, each prompt once for all completions of it.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use super::{Sequence, recall::Recall};
use crate::{
    compute::packing::Packing,
    generation::Recorded,
    model::{Activations, ModelConfig},
};

/// Some sequences of a batch in rows without padding. Sequences with the same prompt share its
/// rows: its forward and backward pass is made once, not once a completion.
#[derive(Debug, Clone, Default)]
pub struct MicroBatch {
    /// Which sequences of the batch these are, in the order of [`Self::targets`].
    pub members: Vec<usize>,
    /// The rows.
    pub packing: Packing,
    /// For each sampled token, the row of the hidden states that predicts it.
    pub rows: Vec<usize>,
    /// For each sampled token, its id.
    pub targets: Vec<u32>,
    /// Sampled tokens of each member; their sum is `targets.len()`.
    pub lengths: Vec<usize>,
    /// Its forward pass, where sampling has made it.
    pub recall: Option<Recall>,
}

impl MicroBatch {
    /// Takes the forward pass from what was recorded of its members when they were sampled, if that is
    /// known of all of them. It has to be the same policy still.
    pub fn recall<'a>(&mut self, recorded: impl Fn(usize) -> Option<&'a Recorded>) {
        let members = self.parts();
        let members = members.map(|(member, targets)| (&self.rows[targets], recorded(member)));
        self.recall = Recall::new(self.packing.len(), members);
    }

    /// Each member with the range of its targets.
    pub fn parts(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut end = 0;
        self.members
            .iter()
            .zip(&self.lengths)
            .map(move |(&member, &length)| {
                end += length;
                (member, end - length..end)
            })
    }

    /// Adds a sequence; `prompt` is the last row of its prompt.
    fn push(&mut self, member: usize, sequence: &Sequence, prompt: usize) {
        // The last sampled token predicts nothing that is asked for: it is left out of the forward pass.
        let inputs = sequence.useful() - 1;
        let rows = match &sequence.segments[..] {
            [only] => self.packing.push_continuation(&only.tokens[..inputs]),
            _ => {
                let inputs: Vec<u32> = sequence.marked().take(inputs).map(|t| t.0).collect();
                self.packing.push_continuation(&inputs)
            }
        };
        if let Some(routed) = &sequence.routed_experts {
            let shape = routed.shape();
            let prompt = prompt + 1 - sequence.prompt.len()..prompt + 1;
            let known = prompt.chain(rows.clone()).take(routed.tokens());
            for (token, row) in known.enumerate() {
                let experts = routed.of_token(token);
                self.packing
                    .give_routes(row, shape.layers, shape.chosen, &experts);
            }
        }
        for (place, (token, sampled)) in sequence.marked().enumerate() {
            if sampled {
                let before = place.checked_sub(1);
                self.rows
                    .push(before.map_or(prompt, |before| rows.start + before));
                self.targets.push(token);
            }
        }
        self.lengths.push(sequence.sampled());
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
/// prompt stay together as far as the budget allows. Those of which nothing is sampled are left out, and so is all that
/// follows the last sampled token of a sequence.
///
/// # Errors
/// When a single sequence has more tokens than the budget.
///
/// # Panics
/// When a sequence of which something is sampled has an empty prompt: nothing would predict its first token.
pub fn pack(sequences: &[Sequence], token_budget: usize) -> Result<Vec<MicroBatch>, BudgetError> {
    let useful: Vec<usize> = sequences.iter().map(Sequence::useful).collect();
    let mut order: Vec<usize> = (0..sequences.len()).filter(|&i| useful[i] > 0).collect();
    // Prompts of like length together; of one prompt, the longest completion first. The index
    // makes the order total.
    order.sort_by(|&a, &b| {
        let (x, y) = (&sequences[a].prompt, &sequences[b].prompt);
        let longer = y.len().cmp(&x.len());
        longer
            .then_with(|| compared(x, y))
            .then_with(|| useful[b].cmp(&useful[a]))
            .then(a.cmp(&b))
    });
    let target = even_share(sequences, &useful, &order, token_budget);
    let mut batches: Vec<MicroBatch> = Vec::new();
    // The prompt of the last tree of the last batch, and its last row.
    let mut open: Option<(&Arc<[u32]>, usize)> = None;
    for index in order {
        let sequence = &sequences[index];
        let prompt = &sequence.prompt;
        assert!(
            !prompt.is_empty(),
            "a sequence without a prompt cannot be scored"
        );
        let own = useful[index] - 1;
        if prompt.len() + own > token_budget {
            return Err(BudgetError {
                prompt: prompt.len(),
                completion: useful[index],
                budget: token_budget,
            });
        }
        let shared = open.is_some_and(|(open, _)| compared(open, prompt).is_eq());
        let cost = own + if shared { 0 } else { prompt.len() };
        let filled = batches.last().map_or(usize::MAX, |b| b.packing.len());
        let fits = filled.saturating_add(cost) <= token_budget;
        if !fits || filled >= target {
            batches.push(MicroBatch::default());
            open = None;
        }
        let batch = batches.last_mut().expect("the first sequence made one");
        let last = match open {
            Some((open, last)) if compared(open, prompt).is_eq() => last,
            _ => batch.packing.push_prompt(prompt).end - 1,
        };
        open = Some((prompt, last));
        batch.push(index, sequence, last);
    }
    Ok(batches)
}

/// The order of two prompts. Those of one group are the same tokens in the same place, and need no look at them.
fn compared(a: &Arc<[u32]>, b: &Arc<[u32]>) -> Ordering {
    if Arc::ptr_eq(a, b) {
        Ordering::Equal
    } else {
        a.cmp(b)
    }
}

/// Rows of each micro-batch when as few as can be share them evenly: batches of like size use each
/// other's memory.
fn even_share(
    sequences: &[Sequence],
    useful: &[usize],
    order: &[usize],
    token_budget: usize,
) -> usize {
    let mut rows = 0;
    let mut last: Option<&Arc<[u32]>> = None;
    for &index in order {
        let prompt = &sequences[index].prompt;
        rows += useful[index] - 1;
        if last.is_none_or(|last| compared(last, prompt).is_ne()) {
            rows += prompt.len();
        }
        last = Some(prompt);
    }
    rows.div_ceil(rows.div_ceil(token_budget).max(1))
}

/// Bytes that one row of a micro-batch holds in f32 until its backward pass has been made, and
/// those that the block under way needs besides.
pub fn activation_bytes_per_token(
    config: &ModelConfig,
    activations: Activations,
) -> (usize, usize) {
    let hidden = config.hidden_size;
    // Input, middle, what attention keeps.
    let attention = 2 * hidden + config.attention_activations();
    // Gate and up of a dense layer, or of all experts that a token goes to, with its routes.
    let inner = |layer: usize| match &config.experts {
        Some(experts) if experts.mixes(layer) => {
            let routes = experts.router.experts + experts.router.chosen;
            (
                experts.active_size(),
                routes + usize::from(experts.shared_gate),
            )
        }
        _ => (config.intermediate_size, 0),
    };
    let layers = config.num_hidden_layers;
    let kept = |layer: usize| {
        let (inner, routes) = inner(layer);
        attention + 2 * inner + routes
    };
    // Gradients of them, the gated product, a normalised copy; of experts, what goes in and comes out of each.
    let passing = (0..layers).map(|layer| {
        let (inner, routes) = inner(layer);
        let slots = config.experts.as_ref().filter(|_| routes > 0);
        let slots = slots.map_or(0, |experts| 3 * experts.router.chosen * hidden);
        3 * hidden + config.attention_passing() + 3 * inner + slots
    });
    let passing = passing.max().unwrap_or(0);
    let widest = (0..layers).map(kept).max().unwrap_or(0);
    let kept = match activations {
        Activations::All => (0..layers).map(kept).sum(),
        Activations::Inputs => hidden * layers + widest,
    };
    (4 * kept, 4 * passing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::Segment;

    fn sequence(prompt: usize, completion: usize) -> Sequence {
        let prompt: Vec<u32> = (0..prompt as u32).collect();
        let completion: Vec<u32> = (100..100 + completion as u32).collect();
        Sequence::new(prompt, completion)
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
                    let sequence = &sequences[member];
                    let prompt = &sequence.prompt;
                    let whole: Vec<u32> =
                        prompt.iter().copied().chain(sequence.targets()).collect();
                    assert_eq!(length, sequence.sampled());
                    for (place, target) in sequence.targets().enumerate() {
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

    /// Given, sampled, given, sampled, and a tail that nothing is learnt from.
    #[test]
    fn only_sampled_tokens_are_targets_and_all_before_them_are_read() {
        let turns = Sequence::of_segments(
            [1, 2],
            vec![
                Segment::given([3]),
                Segment::sampled([4, 5]),
                Segment::given([6, 7]),
                Segment::sampled([8, 9]),
                Segment::given([10]),
            ],
        );
        let only_read = Sequence::of_segments([1, 2], vec![Segment::given([3, 4])]);
        let batches = pack(&[only_read, turns], 8).unwrap();
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        assert_eq!(
            (&batch.members[..], &batch.lengths[..]),
            (&[1][..], &[4][..])
        );
        assert_eq!(batch.packing.ids, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(batch.targets, [4, 5, 8, 9]);
        let predicting: Vec<u32> = batch
            .rows
            .iter()
            .map(|&row| batch.packing.ids[row])
            .collect();
        assert_eq!(predicting, [3, 4, 7, 8]);
        assert_eq!(batch.parts().collect::<Vec<_>>(), [(1, 0..4)]);
    }

    /// Equal prompts are one tree whether or not they are the same memory.
    #[test]
    fn prompts_are_shared_by_their_tokens() {
        let prompt: Arc<[u32]> = [1, 2, 3].into();
        let apart = [[5, 6], [7, 8]].map(|tokens| Sequence::new([1, 2, 3], tokens));
        let together = [[5, 6], [7, 8]].map(|tokens| Sequence::new(prompt.clone(), tokens));
        let packed = |sequences| pack(sequences, 100).unwrap().remove(0).packing;
        assert_eq!(packed(&apart), packed(&together));
        assert_eq!(packed(&apart).trees.len(), 1);
    }
}
