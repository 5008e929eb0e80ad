//! Continuous batching: as soon as a completion ends, the next one takes its place.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    decoder::{Capacity, Decoder, Prefix, Row},
    recorded::{Recorded, Track},
    sampling::{Choice, Draw, SamplingConfig},
};
use crate::{
    compute::{Compute, with_compute},
    model::Transformer,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Where its activations are, when [`Generator::recorded_tokens`] asked for them and had room for it.
    pub recorded: Option<Recorded>,
}

/// Tells from the tokens so far whether a completion ends here.
pub type Stop<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// Is told of a completion: its index over all requests, and what it is.
pub type OnEnd<'a> = &'a mut dyn FnMut(usize, &Generated);

/// What a caller may look at or decide while tokens are drawn.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Ends completions by their text.
    pub stop: Option<Stop<'a>>,
    /// Is told of each token: the completion's index over all requests, and the token.
    pub on_token: Option<&'a mut dyn FnMut(usize, u32)>,
    /// Is told of each completion as soon as it has ended: its index over all requests.
    pub on_end: Option<OnEnd<'a>>,
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
    /// Activations of at most so many tokens are kept for training: of prompts, and of completions as
    /// long as there is room for the longest that they may become. Only the CPU's arithmetic keeps any.
    pub recorded_tokens: usize,
}

/// A completion under way.
struct Active {
    /// Index over all requests' seeds.
    sample: usize,
    seed: u64,
    /// Tokens of the prompt.
    prompt: usize,
    /// The token that goes in next.
    last: u32,
    output: Generated,
}

/// Completions still to be started, those under way, and those that have ended.
struct Schedule<'a, C: Compute> {
    generator: &'a Generator<'a>,
    requests: &'a [Request],
    decoder: Decoder<'a, C>,
    /// Request and seed of every completion.
    samples: Vec<(usize, u64)>,
    /// The next of `samples` to be started.
    next: usize,
    slots: Vec<Option<Active>>,
    /// Prompts that more completions are to be started from.
    prefixes: BTreeMap<usize, Arc<Prefix<C>>>,
    outputs: Vec<Option<Generated>>,
    /// Where each completion is on the decoder's tape.
    tracks: Vec<Option<Track>>,
}

impl Generator<'_> {
    /// Completes every request, once for each of its seeds; the result has the requests' shape.
    /// Each prompt is read once and its cache shared by its completions.
    pub fn generate(&self, requests: &[Request], mut hooks: Hooks) -> Vec<Vec<Generated>> {
        let samples: Vec<(usize, u64)> = requests
            .iter()
            .enumerate()
            .flat_map(|(r, request)| request.seeds.iter().map(move |&seed| (r, seed)))
            .collect();
        let slots = self.batch_rows.clamp(1, samples.len().max(1));
        let longest = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let capacity = Capacity {
            slots,
            prompt: longest,
            completion: self.sampling.max_tokens,
            recorded: self.recorded_tokens,
        };
        let outputs = with_compute!(self.model, |c| {
            let decoder = Decoder::new(c, self.model, capacity);
            Schedule::new(self, requests, samples, slots, decoder).run(&mut hooks)
        });
        let mut outputs = outputs.into_iter();
        let group = |request: &Request| outputs.by_ref().take(request.seeds.len()).collect();
        requests.iter().map(group).collect()
    }
}

impl<'a, C: Compute> Schedule<'a, C> {
    fn new(
        generator: &'a Generator<'a>,
        requests: &'a [Request],
        samples: Vec<(usize, u64)>,
        slots: usize,
        decoder: Decoder<'a, C>,
    ) -> Self {
        Self {
            generator,
            requests,
            decoder,
            next: 0,
            slots: (0..slots).map(|_| None).collect(),
            prefixes: BTreeMap::new(),
            outputs: vec![None; samples.len()],
            tracks: vec![None; samples.len()],
            samples,
        }
    }

    fn run(mut self, hooks: &mut Hooks) -> Vec<Generated> {
        let draw = Draw {
            sampling: self.generator.sampling,
            drawable: self.generator.drawable,
        };
        loop {
            let cancelled = hooks.cancelled.is_some_and(|cancelled| cancelled());
            if !cancelled {
                self.refill();
            }
            let rows = self.rows();
            if rows.is_empty() || cancelled {
                break;
            }
            let choices = self.decoder.advance(&rows, draw);
            for (row, choices) in rows.iter().zip(choices) {
                self.take(row.slot, choices, hooks);
            }
        }
        // What was cut off counts as having reached its length.
        for (slot, active) in self.slots.into_iter().enumerate() {
            if let Some(active) = active {
                self.tracks[active.sample] = self.decoder.leave(slot);
                self.outputs[active.sample] = Some(active.output);
            }
        }
        let never = || Generated {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            finish: Finish::Length,
            recorded: None,
        };
        let tape = self.decoder.into_tape();
        let recorded = |track: Option<Track>| {
            let (tape, track) = (tape.clone()?, track?);
            Some(Recorded { tape, track })
        };
        let outputs = self.outputs.into_iter().zip(self.tracks);
        let output = |(output, track): (Option<Generated>, Option<Track>)| match output {
            Some(output) => Generated {
                recorded: recorded(track),
                ..output
            },
            None => never(),
        };
        outputs.map(output).collect()
    }

    /// Starts completions in all free slots.
    fn refill(&mut self) {
        let free = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_none());
        let starts: Vec<(usize, usize)> = free.zip(self.next..self.samples.len()).collect();
        let Some(&(_, last)) = starts.last() else {
            return;
        };
        let mut unread: Vec<usize> = starts.iter().map(|&(_, s)| self.samples[s].0).collect();
        unread.dedup();
        unread.retain(|request| !self.prefixes.contains_key(request));
        // The last token of a prompt goes in with the first step of decoding.
        let prompts: Vec<&[u32]> = unread
            .iter()
            .map(|&request| {
                let prompt = &self.requests[request].prompt;
                &prompt[..prompt.len() - 1]
            })
            .collect();
        self.prefixes
            .extend(unread.iter().copied().zip(self.decoder.read(&prompts)));
        for (slot, sample) in starts {
            let (request, seed) = self.samples[sample];
            self.decoder.admit(slot, &self.prefixes[&request]);
            let prompt = &self.requests[request].prompt;
            self.slots[slot] = Some(Active {
                sample,
                seed,
                prompt: prompt.len(),
                last: prompt[prompt.len() - 1],
                output: Generated {
                    tokens: Vec::new(),
                    logprobs: Vec::new(),
                    finish: Finish::Length,
                    recorded: None,
                },
            });
        }
        self.next = last + 1;
        let upcoming = self
            .samples
            .get(self.next)
            .map_or(usize::MAX, |sample| sample.0);
        self.prefixes.retain(|&request, _| request >= upcoming);
    }

    fn rows(&self) -> Vec<Row> {
        let row = |(slot, active): (usize, &Option<Active>)| {
            active.as_ref().map(|active| Row {
                slot,
                token: active.last,
                position: active.prompt + active.output.tokens.len() - 1,
                seed: active.seed,
                drawn: active.output.tokens.len(),
            })
        };
        self.slots.iter().enumerate().filter_map(row).collect()
    }

    /// Adds drawn tokens to a completion until it ends.
    fn take(&mut self, slot: usize, choices: Vec<Choice>, hooks: &mut Hooks) {
        let Some(active) = &mut self.slots[slot] else {
            return;
        };
        for Choice { token, logprob } in choices {
            let output = &mut active.output;
            output.tokens.push(token);
            output.logprobs.push(logprob);
            active.last = token;
            if let Some(on_token) = hooks.on_token.as_mut() {
                on_token(active.sample, token);
            }
            let finish = if self.generator.eos.contains(&token) {
                Some(Finish::Eos)
            } else if hooks.stop.is_some_and(|stop| stop(&output.tokens)) {
                Some(Finish::Stop)
            } else if output.tokens.len() >= self.generator.sampling.max_tokens {
                Some(Finish::Length)
            } else {
                None
            };
            if let Some(finish) = finish {
                output.finish = finish;
                if let Some(on_end) = hooks.on_end.as_mut() {
                    on_end(active.sample, output);
                }
                let track = self.decoder.leave(slot);
                if let Some(active) = self.slots[slot].take() {
                    self.tracks[active.sample] = track;
                    self.outputs[active.sample] = Some(active.output);
                }
                return;
            }
        }
    }
}
