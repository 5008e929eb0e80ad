//! Prefill, decode loop, and leaving finished rows behind.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::sampling::{Choice, SamplingConfig, choose};
use crate::model::{
    KvCache, Transformer,
    parameters::to_host,
    transformer::{TokenGrid, causal_mask, padding_mask},
};

/// A prompt and how often it is to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// One seed for each completion.
    pub seeds: Vec<u64>,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// With an end-of-sequence token, which is its last.
    Eos,
    /// With a stop text.
    Stop,
    /// It reached `max_tokens`: it is truncated.
    Length,
}

/// A completion, in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Token ids, an end-of-sequence token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token when it was drawn, in nats, see [`SamplingConfig`].
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Tells from the tokens so far whether a completion ends here.
pub type Stop<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// What a caller may look at or decide while tokens are drawn.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Ends completions by their text.
    pub stop: Option<Stop<'a>>,
    /// Is told of each token: the completion's index over all requests, and the token.
    pub on_token: Option<&'a mut dyn FnMut(usize, u32)>,
    /// Is asked before each token whether to give up; what was drawn by then is returned, as if
    /// it had reached its length.
    pub cancelled: Option<&'a dyn Fn() -> bool>,
}

/// Draws completions from a model.
#[derive(Debug)]
pub struct Generator<'a> {
    /// The policy.
    pub model: &'a Transformer,
    /// How tokens are drawn.
    pub sampling: &'a SamplingConfig,
    /// Tokens that end a completion.
    pub eos: &'a [u32],
    /// Size of the tokenizer's vocabulary: ids from there on are never drawn.
    pub drawable: usize,
    /// Completions decoded at a time.
    pub batch_rows: usize,
}

/// A completion under way.
struct Row {
    /// Index over all requests' seeds.
    sample: usize,
    seed: u64,
    padding: usize,
    output: Generated,
    done: bool,
}

impl Generator<'_> {
    /// Completes every request, once for each of its seeds; the result has the requests' shape.
    /// Each distinct prompt of a batch is read once and its cache shared by its completions.
    pub fn generate(&self, requests: &[Request], mut hooks: Hooks) -> Vec<Vec<Generated>> {
        let samples: Vec<(usize, u64)> = requests
            .iter()
            .enumerate()
            .flat_map(|(r, request)| request.seeds.iter().map(move |&seed| (r, seed)))
            .collect();
        let mut outputs: Vec<Vec<Generated>> = requests.iter().map(|_| Vec::new()).collect();
        let mut first = 0;
        for batch in samples.chunks(self.batch_rows.max(1)) {
            let rows = self.generate_batch(requests, batch, first, &mut hooks);
            for (&(request, _), output) in batch.iter().zip(rows) {
                outputs[request].push(output);
            }
            first += batch.len();
        }
        outputs
    }

    fn generate_batch(
        &self,
        requests: &[Request],
        batch: &[(usize, u64)],
        first: usize,
        hooks: &mut Hooks,
    ) -> Vec<Generated> {
        let mut prompts: BTreeMap<usize, usize> = BTreeMap::new(); // request -> prefill row
        for &(request, _) in batch {
            let next = prompts.len();
            prompts.entry(request).or_insert(next);
        }
        let mut order: Vec<(usize, usize)> = prompts.iter().map(|(&r, &row)| (row, r)).collect();
        order.sort_unstable();
        let texts: Vec<&[u32]> = order
            .iter()
            .map(|&(_, r)| &requests[r].prompt[..])
            .collect();
        let width = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let (logits, cache) = self.prefill(&texts, width);

        let source: Vec<usize> = batch.iter().map(|(request, _)| prompts[request]).collect();
        let mut rows: Vec<Row> = batch
            .iter()
            .enumerate()
            .map(|(i, &(request, seed))| Row {
                sample: first + i,
                seed,
                padding: width - requests[request].prompt.len(),
                output: Generated {
                    tokens: Vec::new(),
                    logprobs: Vec::new(),
                    finish: Finish::Length,
                },
                done: false,
            })
            .collect();
        self.draw(&mut rows, &source, &logits, hooks);
        if rows.iter().any(|row| !row.done) {
            let capacity = width + self.sampling.max_tokens;
            let cache = cache.select_rows(&source, capacity);
            self.decode(&mut rows, cache, capacity, hooks);
        }
        rows.into_iter().map(|row| row.output).collect()
    }

    /// Reads the prompts, padded on the left to `width` columns; gives the logits after each,
    /// row-major `[prompts, vocabulary]`, and the cache.
    fn prefill(&self, prompts: &[&[u32]], width: usize) -> (Vec<f32>, KvCache) {
        let device = self.model.device();
        let config = self.model.config();
        let padding: Vec<usize> = prompts.iter().map(|p| width - p.len()).collect();
        let mut grid = TokenGrid {
            ids: Vec::new(),
            positions: Vec::new(),
            batch: prompts.len(),
        };
        for (prompt, &pad) in prompts.iter().zip(&padding) {
            grid.ids.extend(std::iter::repeat_n(0, pad));
            grid.ids.extend(*prompt);
            grid.positions.extend(std::iter::repeat_n(0, pad));
            grid.positions.extend(0..prompt.len());
        }
        let mask = causal_mask(config, width, &padding, &device);
        let mut cache = KvCache::new(config, prompts.len(), width, &device);
        let hidden = self.model.hidden(&grid, Some(&mask), Some(&mut cache));
        let last: Vec<i32> = (1..=prompts.len())
            .map(|row| (row * width) as i32 - 1)
            .collect();
        let count = last.len();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [count]), &device);
        (self.logits(hidden.select(0, last)), cache)
    }

    /// Row-major `[rows, vocabulary]` on the host.
    fn logits(&self, hidden: Tensor<2>) -> Vec<f32> {
        to_host(hidden.matmul(self.model.head_weight().transpose()))
    }

    /// Draws one token for each row that is not done; `source[i]` is its row of logits.
    fn draw(&self, rows: &mut [Row], source: &[usize], logits: &[f32], hooks: &mut Hooks) {
        let vocabulary = self.model.config().vocab_size;
        let choices: Vec<Option<Choice>> = rows
            .par_iter()
            .zip(source)
            .map(|(row, &from)| {
                let logits = &logits[from * vocabulary..(from + 1) * vocabulary];
                let place = row.output.tokens.len();
                (!row.done).then(|| choose(logits, self.drawable, self.sampling, row.seed, place))
            })
            .collect();
        for (row, choice) in rows.iter_mut().zip(choices) {
            let Some(Choice { token, logprob }) = choice else {
                continue;
            };
            row.output.tokens.push(token);
            row.output.logprobs.push(logprob);
            if let Some(on_token) = hooks.on_token.as_mut() {
                on_token(row.sample, token);
            }
            let stopped = || hooks.stop.is_some_and(|stop| stop(&row.output.tokens));
            if self.eos.contains(&token) {
                (row.output.finish, row.done) = (Finish::Eos, true);
            } else if stopped() {
                (row.output.finish, row.done) = (Finish::Stop, true);
            } else if row.output.tokens.len() >= self.sampling.max_tokens {
                row.done = true;
            }
        }
    }

    /// Adds a token to every unfinished row until there is none.
    fn decode(&self, rows: &mut [Row], mut cache: KvCache, capacity: usize, hooks: &mut Hooks) {
        let device = self.model.device();
        // Which of `rows` are in the cache, in the cache's order.
        let mut present: Vec<usize> = (0..rows.len()).collect();
        let paddings = |rows: &[Row], present: &[usize]| -> Vec<usize> {
            present.iter().map(|&i| rows[i].padding).collect()
        };
        let mut mask = padding_mask(&paddings(rows, &present), capacity, &device);
        loop {
            let cancelled = hooks.cancelled.is_some_and(|cancelled| cancelled());
            let kept: Vec<usize> = (0..present.len())
                .filter(|&i| !rows[present[i]].done)
                .collect();
            if kept.is_empty() || cancelled {
                return;
            }
            // Finished rows cost as much as live ones: leave them once they are a fifth.
            if kept.len() * 5 <= present.len() * 4 {
                cache = cache.select_rows(&kept, capacity);
                present = kept.iter().map(|&i| present[i]).collect();
                mask = padding_mask(&paddings(rows, &present), capacity, &device);
            }
            let last = |row: &Row| *row.output.tokens.last().expect("prefill drew a token");
            let grid = TokenGrid {
                ids: present.iter().map(|&i| last(&rows[i])).collect(),
                positions: present
                    .iter()
                    .map(|&i| cache.len() - rows[i].padding)
                    .collect(),
                batch: present.len(),
            };
            let columns = cache.len() + 1;
            let mask = mask.as_ref().map(|mask| mask.clone().narrow(3, 0, columns));
            let hidden = self.model.hidden(&grid, mask.as_ref(), Some(&mut cache));
            let logits = self.logits(hidden);
            self.draw_present(rows, &present, &logits, hooks);
        }
    }

    /// Draws for the rows in `present`, whose logits stand in that order.
    fn draw_present(&self, rows: &mut [Row], present: &[usize], logits: &[f32], hooks: &mut Hooks) {
        let mut place = vec![0; rows.len()];
        for (at, &row) in present.iter().enumerate() {
            place[row] = at;
        }
        self.draw(rows, &place, logits, hooks);
    }
}
