//! Drawing the next tokens of all completions under way, on the CPU and on any Burn device.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;
#[cfg(feature = "flex")]
use rayon::prelude::*;

use super::{
    recorded::{Tape, Track},
    sampling::{Chosen, choose},
};
use crate::{
    compute::{
        Choice, Compute, Draw, Row,
        packing::Packing,
        tensor::{self, Tensors, ring::Ring},
    },
    model::{
        Transformer,
        parameters::{from_host, to_host},
    },
};

/// Prompt tokens that are read at the same time.
const PROMPT_BUDGET: usize = 4096;

/// A model with a cache for so many completions.
pub(super) trait Decoder {
    /// The keys and values of a prompt.
    type Prefix;

    /// Reads prompts, each without its last token.
    fn read(&mut self, prompts: &[&[u32]]) -> Vec<Arc<Self::Prefix>>;
    /// Starts a completion in a free slot.
    fn admit(&mut self, slot: usize, prefix: &Arc<Self::Prefix>);
    /// Goes on in a slot with tokens that were not drawn. `past` is all that it has to have read when it has; of these
    /// tokens, prompt included, the first `read` are there. It is no longer recorded.
    fn extend(&mut self, slot: usize, past: &[u32], read: usize);
    /// Frees a slot. Where its completion is on the tape, if it was recorded.
    fn leave(&mut self, slot: usize) -> Option<Track>;
    /// Draws the next tokens of each row: one, or as many as it pays to draw before anybody looks.
    fn advance(&mut self, rows: &[Row], draw: Draw) -> Vec<Vec<Choice>>;
    /// The activations of all that was computed, if they were recorded.
    fn into_tape(self) -> Option<Tape>;
}

/// Runs of prompts of at most [`PROMPT_BUDGET`] tokens, or a single one.
fn prompt_runs<'a, 'b>(mut rest: &'a [&'b [u32]]) -> impl Iterator<Item = &'a [&'b [u32]]> {
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fit = rest.iter().take_while(|prompt| {
            tokens += prompt.len();
            tokens <= PROMPT_BUDGET
        });
        let count = fit.count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

#[cfg(feature = "flex")]
pub(super) use on_host::HostDecoder;

#[cfg(feature = "flex")]
mod on_host {
    use super::*;
    use crate::{
        compute::{
            Qkv,
            host::{
                Host,
                cache::{Cache, Prefix},
            },
        },
        model::block::Kept,
    };

    /// Ragged rows and blocks of keys and values: nothing is computed that is not asked for.
    pub(in super::super) struct HostDecoder<'a> {
        model: &'a Transformer,
        cache: Cache,
        /// Of the completion in each slot, if it is recorded.
        tracks: Vec<Option<Track>>,
        /// Where activations are recorded, if they are wanted.
        tape: Option<Tape>,
        /// Tokens of a completion at most: room on the tape for these is promised to each.
        longest: usize,
    }

    impl<'a> HostDecoder<'a> {
        /// For completions of at most `longest` tokens; activations of `recorded` tokens are kept.
        pub(in super::super) fn new(
            model: &'a Transformer,
            slots: usize,
            longest: usize,
            recorded: usize,
        ) -> Self {
            let layers = model.config().num_hidden_layers;
            Self {
                cache: Cache::new(slots, layers, model.heads()),
                tracks: vec![None; slots],
                longest,
                // One layer more: the stream after the last block.
                tape: (recorded > 0)
                    .then(|| Tape::new(layers + 1, recorded, model.lora().is_some())),
                model,
            }
        }

        /// Keys and values of packed prompts.
        fn read_packed(&mut self, packing: &Packing) -> Vec<Prefix> {
            let lengths = packing.trees.iter().map(|tree| tree.rows.len());
            let mut prefixes: Vec<Prefix> = lengths.map(Prefix::new).collect();
            let layers = self.model.config().num_hidden_layers;
            if packing.is_empty() {
                let empty = prefixes.iter_mut();
                empty.for_each(|prefix| prefix.fill_empty(layers));
                return prefixes;
            }
            let tape = self.tape.as_mut();
            let mut tape = tape.and_then(|tape| tape.reserve(packing.len()));
            let all: Vec<usize> = (0..packing.len()).collect();
            let c = Host::new();
            let stream = self.model.stream_packed(&c, packing, |layer, kept| {
                for (prefix, tree) in prefixes.iter_mut().zip(&packing.trees) {
                    prefix.push_layer(&kept.qkv, tree.rows.clone());
                }
                if let Some(tape) = &mut tape {
                    tape.record(layer, &kept.parts(), &all);
                }
            });
            if let Some(tape) = tape {
                for (prefix, tree) in prefixes.iter_mut().zip(&packing.trees) {
                    prefix.recorded =
                        Some(tape.tokens() + tree.rows.start..tape.tokens() + tree.rows.end);
                }
                tape.record(layers, &[&stream], &all);
                tape.advance(packing.len());
            }
            prefixes
        }
    }

    impl HostDecoder<'_> {
        /// The track of a slot, which is not recorded from then on: what room it was promised and has not used is free.
        fn promised_back(&mut self, slot: usize) -> Option<Track> {
            let track = self.tracks[slot].take()?;
            if let Some(tape) = &mut self.tape {
                tape.release(self.longest - track.tokens.len());
            }
            Some(track)
        }
    }

    impl Decoder for HostDecoder<'_> {
        type Prefix = Prefix;

        fn read(&mut self, prompts: &[&[u32]]) -> Vec<Arc<Prefix>> {
            let mut all = Vec::with_capacity(prompts.len());
            for prompts in prompt_runs(prompts) {
                let packing = Packing::of_prompts(prompts.iter().copied());
                all.extend(self.read_packed(&packing).into_iter().map(Arc::new));
            }
            all
        }

        fn admit(&mut self, slot: usize, prefix: &Arc<Prefix>) {
            let track = prefix.recorded.clone().map(|prompt| Track {
                prompt,
                ..Track::default()
            });
            let tape = self.tape.as_mut();
            self.tracks[slot] =
                track.filter(|_| tape.is_some_and(|tape| tape.reserve(self.longest).is_some()));
            self.cache.admit(slot, prefix.clone());
        }

        fn extend(&mut self, slot: usize, past: &[u32], read: usize) {
            // Its records stay on the tape, but nothing leads to them.
            self.promised_back(slot);
            let c = Host::new();
            let positions: Vec<usize> = (read..past.len()).collect();
            let cache = &mut self.cache;
            let attend = |layer: usize, qkv: &Qkv<_>| cache.attend_run(layer, slot, qkv);
            self.model
                .stream(&c, &past[read..], &positions, attend, |_, _| {});
            self.cache.advance_run(slot, positions.len());
        }

        fn leave(&mut self, slot: usize) -> Option<Track> {
            self.cache.leave(slot);
            self.promised_back(slot)
        }

        fn advance(&mut self, rows: &[Row], draw: Draw) -> Vec<Vec<Choice>> {
            let c = Host::decoding();
            let slots: Vec<usize> = rows.iter().map(|row| row.slot).collect();
            let ids: Vec<u32> = rows.iter().map(|row| row.token).collect();
            let positions: Vec<usize> = rows.iter().map(|row| row.position).collect();
            let recorded = |row: &usize| self.tracks[slots[*row]].is_some();
            let recorded: Vec<usize> = (0..rows.len()).filter(recorded).collect();
            let mut tape = self.tape.as_mut().filter(|_| !recorded.is_empty());
            let cache = &mut self.cache;
            let attend = |layer: usize, qkv: &Qkv<_>| cache.attend(layer, &slots, qkv);
            let see = |layer: usize, kept: Kept<Host>| {
                if let Some(tape) = &mut tape {
                    tape.record(layer, &kept.parts(), &recorded);
                }
            };
            let stream = self.model.stream(&c, &ids, &positions, attend, see);
            cache.advance(&slots);
            let hidden = self.model.last_norm().forward(&c, &stream);
            let mut logits = c.project(&hidden, self.model.head_weight());
            let width = logits.width();
            let chosen: Vec<Chosen> = logits
                .data_mut()
                .par_chunks_exact_mut(width)
                .zip(rows)
                .map(|(logits, row)| choose(logits, draw, row.seed, row.drawn))
                .collect();
            if let Some(tape) = tape {
                for (place, &row) in recorded.iter().enumerate() {
                    if let Some(track) = &mut self.tracks[slots[row]] {
                        track.tokens.push(tape.tokens() + place);
                        track.drawn.push(tape.drawn(place));
                    }
                }
                let layers = self.model.config().num_hidden_layers;
                tape.record(layers, &[&stream], &recorded);
                let temperature = draw.sampling.scoring_temperature();
                tape.keep_distributions(logits, &chosen, &recorded, temperature);
                tape.advance(recorded.len());
            }
            chosen
                .into_iter()
                .map(|chosen| vec![chosen.choice])
                .collect()
        }

        fn into_tape(self) -> Option<Tape> {
            self.tape
        }
    }
}

/// Static shapes: every slot is computed at every step, and tokens stay on the device until some
/// have been drawn.
pub(super) struct TensorDecoder<'a> {
    model: &'a Transformer,
    c: Tensors,
    ring: Ring,
}

/// Tokens that are drawn on a device before they are read back. Completions that end in between
/// cost what is left of them.
const BURST: usize = 8;

impl<'a> TensorDecoder<'a> {
    /// For prompts of at most `prompt` tokens and completions of at most `completion`.
    pub(super) fn new(
        model: &'a Transformer,
        slots: usize,
        prompt: usize,
        completion: usize,
    ) -> Self {
        let device = model.device();
        let layers = model.config().num_hidden_layers;
        // A burst may run past the end of a completion.
        let completion = completion + BURST;
        Self {
            ring: Ring::new(slots, prompt, completion, layers, model.heads(), &device),
            c: Tensors { device },
            model,
        }
    }

    /// Logits after one more token of every slot, `[slots, vocabulary]`.
    fn logits(&mut self, tokens: Tensor<1, Int>, positions: &[usize]) -> Tensor<2> {
        let embedded = self.c.embed_ids(self.model.embedding(), tokens);
        let mask = self.ring.mask();
        let ring = &mut self.ring;
        let stream = self
            .model
            .stream_of(&self.c, embedded, positions, |layer, qkv| {
                (ring.attend(layer, qkv, &mask), ())
            });
        ring.advance();
        let hidden = self.model.last_norm().forward(&self.c, &stream);
        self.c.project(&hidden, self.model.head_weight())
    }
}

impl Decoder for TensorDecoder<'_> {
    type Prefix = tensor::ring::Prefix;

    fn read(&mut self, prompts: &[&[u32]]) -> Vec<Arc<Self::Prefix>> {
        let mut all = Vec::with_capacity(prompts.len());
        for prompts in prompt_runs(prompts) {
            let packing = Packing::of_prompts(prompts.iter().copied());
            let mut prefixes: Vec<Self::Prefix> = prompts
                .iter()
                .map(|prompt| tensor::ring::Prefix {
                    layers: Vec::new(),
                    length: prompt.len(),
                })
                .collect();
            if !packing.is_empty() {
                self.model.stream_packed(&self.c, &packing, |_, kept| {
                    let qkv = &kept.qkv;
                    for (prefix, tree) in prefixes.iter_mut().zip(&packing.trees) {
                        let rows = &tree.rows;
                        let part = |x: &Tensor<2>| x.clone().narrow(0, rows.start, rows.len());
                        if !rows.is_empty() {
                            prefix.layers.push((part(&qkv.key), part(&qkv.value)));
                        }
                    }
                });
            }
            all.extend(prefixes.into_iter().map(Arc::new));
        }
        all
    }

    fn admit(&mut self, slot: usize, prefix: &Arc<Self::Prefix>) {
        self.ring.admit(slot, prefix);
    }

    fn extend(&mut self, slot: usize, past: &[u32], _: usize) {
        // The ring has one column a step for all slots, and none for what comes in between.
        for prefix in self.read(&[past]) {
            self.ring.admit(slot, &prefix);
        }
    }

    fn leave(&mut self, _: usize) -> Option<Track> {
        None
    }

    fn advance(&mut self, rows: &[Row], draw: Draw) -> Vec<Vec<Choice>> {
        let slots = self.ring.slots();
        let device = self.c.device.clone();
        let mut ids = vec![0; slots];
        let mut places: Vec<Option<&Row>> = vec![None; slots];
        for row in rows {
            ids[row.slot] = row.token as usize;
            places[row.slot] = Some(row);
        }
        let mut tokens = tensor::index(ids, &device);
        let positions = |step: usize| -> Vec<usize> {
            let at = |row: &Option<&Row>| row.map_or(0, |row| row.position + step);
            places.iter().map(at).collect()
        };
        if draw.sampling.truncates() {
            let mut logits = to_host(self.logits(tokens, &positions(0)));
            let width = logits.len() / slots;
            let choice = |row: &Row| {
                let logits = &mut logits[row.slot * width..(row.slot + 1) * width];
                vec![choose(logits, draw, row.seed, row.drawn).choice]
            };
            return rows.iter().map(choice).collect();
        }
        let sampling = draw.sampling;
        let inverse = (1.0 / sampling.scoring_temperature()) as f32;
        let mut drawn = Vec::with_capacity(2 * BURST);
        for step in 0..BURST {
            let logits = self.logits(tokens, &positions(step)).mul_scalar(inverse);
            let uniform = (sampling.temperature > 0.0).then(|| {
                let one = |row: &Option<&Row>| {
                    row.map_or(0.0, |row| uniform(row.seed, row.drawn + step) as f32)
                };
                from_host(places.iter().map(one).collect(), [slots, 1], &device)
            });
            let (token, logprob) = tensor::draw::draw(logits, draw.drawable, uniform);
            // Ids are exact in f32 up to 2²⁴, so that one read-back takes both.
            drawn.extend([token.clone().float(), logprob]);
            tokens = token.squeeze_dim::<1>(1);
        }
        let drawn = to_host(Tensor::cat(drawn, 1)); // [slots, 2 * BURST]
        let choices = |row: &Row| {
            let drawn = &drawn[row.slot * 2 * BURST..(row.slot + 1) * 2 * BURST];
            let choice = |pair: &[f32; 2]| Choice {
                token: pair[0] as u32,
                logprob: pair[1],
            };
            drawn.as_chunks::<2>().0.iter().map(choice).collect()
        };
        rows.iter().map(choices).collect()
    }

    fn into_tape(self) -> Option<Tape> {
        None
    }
}

/// The random number of one place of one completion, from 0 to 1.
pub(super) fn uniform(seed: u64, position: usize) -> f64 {
    rng(derive_seed(seed, &[position as u64])).random()
}
