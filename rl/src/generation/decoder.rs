//! Drawing the next tokens of all completions under way, by any arithmetic.

use std::{ops::Range, sync::Arc};

use super::{
    recorded::Track,
    sampling::{Choice, Chosen, Draw, choose, uniform},
};
use crate::{
    compute::{
        Compute, Qkv,
        cache::{Cache, Extent},
        draw::{Burst, Drawing},
        packing::Packing,
        tape::{Recording, Tape},
    },
    model::{
        Transformer,
        block::Kept,
        routed_experts::{RoutedExperts, RoutedShape},
    },
};

/// Prompt tokens that are read at the same time.
const PROMPT_BUDGET: usize = 4096;

/// One completion under way, as the decoder sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its place in the cache.
    pub(super) slot: usize,
    /// The token that was drawn last.
    pub(super) token: u32,
    /// That token's position in the sequence.
    pub(super) position: usize,
    /// Seed of the completion.
    pub(super) seed: u64,
    /// Tokens drawn so far.
    pub(super) drawn: usize,
}

/// A prompt that has been read, without its last token.
pub(super) struct Prefix<C: Compute> {
    /// Its keys and values.
    cached: Arc<<C::Cache as Cache<C>>::Prefix>,
    /// Where its activations are on the tape, if they are recorded.
    recorded: Option<Range<usize>>,
    /// Which experts its tokens went to, if that is recorded.
    routed: Option<RoutedExperts>,
}

/// A model with a cache for so many completions.
pub(super) struct Decoder<'a, C: Compute> {
    model: &'a Transformer,
    /// Reads prompts.
    reading: C,
    /// Computes the next tokens.
    c: C,
    cache: C::Cache,
    /// Of the completion in each slot, if it is recorded.
    tracks: Vec<Option<Track>>,
    /// The routers whose choices are recorded, if they are.
    routers: Option<RoutedShape>,
    /// Which experts the tokens in each slot went to, if that is recorded.
    routed: Vec<Option<RoutedExperts>>,
    /// Where activations are recorded, if they are wanted and the arithmetic can.
    tape: Option<C::Tape>,
    /// Tokens of a completion at most: room on the tape for these is promised to each.
    longest: usize,
}

/// How many tokens a decoder is to hold at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Completions at a time.
    pub(super) slots: usize,
    /// Tokens of a prompt.
    pub(super) prompt: usize,
    /// Tokens of a completion.
    pub(super) completion: usize,
    /// Tokens whose activations are kept.
    pub(super) recorded: usize,
    /// Whether the experts that tokens go to are kept.
    pub(super) routes: bool,
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

impl<'a, C: Compute> Decoder<'a, C> {
    /// Empty slots.
    pub(super) fn new(c: C, model: &'a Transformer, capacity: Capacity) -> Self {
        let layers = model.config().num_hidden_layers;
        let extent = Extent {
            slots: capacity.slots,
            prompt: capacity.prompt,
            completion: capacity.completion,
            heads: model.cached_heads(),
        };
        // One layer more: the stream after the last block.
        let tape = (capacity.recorded > 0)
            .then(|| c.tape(layers + 1, capacity.recorded, model.lora().is_some()))
            .flatten();
        Self {
            model,
            cache: C::Cache::new(&c, extent),
            tracks: vec![None; capacity.slots],
            routers: model.routed_shape().filter(|_| capacity.routes),
            routed: vec![None; capacity.slots],
            tape,
            longest: capacity.completion,
            c: c.decoding(),
            reading: c,
        }
    }

    /// Reads prompts, each without its last token.
    pub(super) fn read(&mut self, prompts: &[&[u32]]) -> Vec<Arc<Prefix<C>>> {
        let mut all = Vec::with_capacity(prompts.len());
        for prompts in prompt_runs(prompts) {
            let packing = Packing::of_prompts(prompts.iter().copied());
            all.extend(self.read_packed(&packing).into_iter().map(Arc::new));
        }
        all
    }

    /// Keys and values of packed prompts.
    fn read_packed(&mut self, packing: &Packing) -> Vec<Prefix<C>> {
        let lengths = packing.trees.iter().map(|tree| tree.rows.len());
        let mut cached: Vec<_> = lengths.map(C::Cache::prefix).collect();
        let new = |_| self.routers.map(RoutedExperts::new);
        let mut routed: Vec<_> = packing.trees.iter().map(new).collect();
        let mut first = None;
        let mut by_layer = Vec::new();
        let recording = self.routers.is_some();
        if !packing.is_empty() {
            let tape = self.tape.as_mut();
            let mut tape = tape.and_then(|tape| tape.reserve(packing.len()));
            let all: Vec<usize> = (0..packing.len()).collect();
            let (model, c) = (self.model, &self.reading);
            let see = |layer: usize, kept: Kept<C>| {
                model.cached(c, layer, &kept, |rows| {
                    for (prefix, tree) in cached.iter_mut().zip(&packing.trees) {
                        C::Cache::extend(prefix, rows, tree.rows.clone());
                    }
                });
                if let Some(tape) = &mut tape {
                    tape.record(layer, &kept.parts(), &all);
                }
                by_layer.extend(kept.routed().filter(|_| recording).map(<[u32]>::to_vec));
            };
            let stream = self.model.stream_packed(&self.reading, packing, see);
            if let Some(tape) = tape {
                first = Some(tape.tokens());
                tape.record(self.model.config().num_hidden_layers, &[&stream], &all);
                tape.advance(packing.len());
            }
        }
        for (routed, tree) in routed.iter_mut().zip(&packing.trees) {
            push_routes(routed, &by_layer, tree.rows.clone());
        }
        let recorded = |rows: &Range<usize>| match first {
            Some(first) => Some(first + rows.start..first + rows.end),
            // Of nothing, everything is recorded.
            None => rows.is_empty().then_some(0..0),
        };
        let trees = packing.trees.iter().map(|tree| recorded(&tree.rows));
        let prefixes = cached.into_iter().zip(trees).zip(routed);
        prefixes
            .map(|((cached, recorded), routed)| Prefix {
                cached: Arc::new(cached),
                recorded,
                routed: routed.map(RoutedExperts::shared),
            })
            .collect()
    }

    /// Starts a completion in a free slot.
    pub(super) fn admit(&mut self, slot: usize, prefix: &Prefix<C>) {
        let track = prefix.recorded.clone().map(|prompt| Track {
            prompt,
            ..Track::default()
        });
        let tape = self.tape.as_mut();
        self.tracks[slot] =
            track.filter(|_| tape.is_some_and(|tape| tape.reserve(self.longest).is_some()));
        self.routed[slot] = prefix.routed.clone();
        self.cache.admit(slot, &prefix.cached);
    }

    /// Goes on in a slot with tokens that were not drawn. `past` is all that it has to have read when it has; of these
    /// tokens, prompt included, the first `read` are there. It is no longer recorded.
    pub(super) fn extend(&mut self, slot: usize, past: &[u32], read: usize) {
        // Its records stay on the tape, but nothing leads to them.
        self.unrecord(slot);
        if let Some(routed) = &mut self.routed[slot] {
            routed.truncate(read);
        }
        if self.cache.runs().is_none() {
            for prefix in self.read(&[past]) {
                self.cache.admit(slot, &prefix.cached);
                if let (Some(routed), Some(again)) = (&mut self.routed[slot], &prefix.routed) {
                    routed.go_on(again);
                }
            }
            return;
        }
        let recording = self.routers.is_some();
        let mut by_layer = Vec::new();
        let Some(runs) = self.cache.runs() else {
            return;
        };
        let positions: Vec<usize> = (read..past.len()).collect();
        let ids = self.reading.ids(&past[read..]);
        let attend = |layer: usize, qkv: &Qkv<C::Rows>| runs.attend_run(layer, slot, qkv);
        let see = |_: usize, kept: Kept<C>| {
            by_layer.extend(kept.routed().filter(|_| recording).map(<[u32]>::to_vec));
        };
        self.model
            .stream(&self.reading, &ids, &positions, attend, see);
        runs.advance_run(slot, positions.len());
        push_routes(&mut self.routed[slot], &by_layer, 0..positions.len());
    }

    /// Frees a slot. Where its completion is on the tape, if it was recorded.
    pub(super) fn leave(&mut self, slot: usize) -> Option<Track> {
        self.cache.leave(slot);
        self.unrecord(slot)
    }

    /// The experts that the first so many tokens in a slot went to, prompt included; nothing is recorded of it from then on.
    pub(super) fn take_routes(&mut self, slot: usize, tokens: usize) -> Option<RoutedExperts> {
        let mut routed = self.routed[slot].take()?;
        // Tokens that were drawn ahead, behind the end of the completion, have been through the model too.
        routed.truncate(tokens);
        Some(routed)
    }

    /// The track of a slot, which is not recorded from then on: room that it was promised and has not used is free.
    fn unrecord(&mut self, slot: usize) -> Option<Track> {
        let track = self.tracks[slot].take()?;
        if let Some(tape) = &mut self.tape {
            tape.release(self.longest - track.tokens.len());
        }
        Some(track)
    }

    /// Draws the next tokens of each row: one, or as many as it pays to draw before anybody looks.
    pub(super) fn advance(&mut self, rows: &[Row], draw: Draw) -> Vec<Vec<Choice>> {
        let step = Step::new(rows, &self.cache);
        let burst = if draw.sampling.truncates() {
            None
        } else {
            self.c.burst()
        };
        match burst {
            Some(burst) => self.draw_unseen(&step, draw, burst),
            None => self.draw_seen(&step, draw),
        }
    }

    /// Draws one token a row by a look at its logits, and records what is to be recorded.
    fn draw_seen(&mut self, step: &Step, draw: Draw) -> Vec<Vec<Choice>> {
        let layers = self.model.config().num_hidden_layers;
        let recorded = |row: &usize| self.tracks[step.rows[*row].slot].is_some();
        let recorded: Vec<usize> = (0..step.rows.len()).filter(recorded).collect();
        let computed: Vec<usize> = recorded.iter().map(|&row| step.places[row]).collect();
        let mut tape = self.tape.as_mut().filter(|_| !recorded.is_empty());
        let routed = &mut self.routed;
        let see = |layer: usize, kept: Kept<C>| {
            if let Some(tape) = &mut tape {
                tape.record(layer, &kept.parts(), &computed);
            }
            step.push_routes(routed, &kept);
        };
        let ids = self.c.ids(&step.ids());
        let (stream, mut logits) = next(self.model, &self.c, &mut self.cache, step, (&ids, 0), see);
        let chosen: Vec<Chosen> = self.c.look(&mut logits, &step.places, |row, logits| {
            choose(logits, draw, step.rows[row].seed, step.rows[row].drawn)
        });
        if let Some(tape) = tape {
            for (place, &row) in recorded.iter().enumerate() {
                if let Some(track) = &mut self.tracks[step.rows[row].slot] {
                    track.tokens.push(tape.tokens() + place);
                    track.drawn.push(tape.place(place));
                }
            }
            tape.record(layers, &[&stream], &computed);
            let temperature = draw.sampling.scoring_temperature();
            let drawn: Vec<_> = chosen.iter().map(|chosen| chosen.drawn).collect();
            tape.keep_distributions(logits, &drawn, &recorded, temperature);
            tape.advance(recorded.len());
        }
        let choices = chosen.iter().map(|chosen| vec![chosen.choice()]);
        choices.collect()
    }

    /// Draws several tokens a row where the logits are.
    fn draw_unseen(&mut self, step: &Step, draw: Draw, mut burst: C::Burst) -> Vec<Vec<Choice>> {
        let sampling = draw.sampling;
        let mut ids = self.c.ids(&step.ids());
        for ahead in 0..C::Burst::TOKENS {
            let routed = &mut self.routed;
            let see = |_: usize, kept: Kept<C>| step.push_routes(routed, &kept);
            let at = (&ids, ahead);
            let (_, logits) = next(self.model, &self.c, &mut self.cache, step, at, see);
            let uniforms = (sampling.temperature > 0.0)
                .then(|| step.computed(0.0, |row| uniform(row.seed, row.drawn + ahead)));
            let drawing = Drawing {
                inverse_temperature: (1.0 / sampling.scoring_temperature()) as f32,
                drawable: draw.drawable,
                uniforms: uniforms.as_deref(),
            };
            ids = burst.draw(&self.c, logits, drawing);
        }
        let drawn = burst.read();
        let choice = |&(token, logprob): &(u32, f32)| Choice { token, logprob };
        let choices = step
            .places
            .iter()
            .map(|&place| drawn[place].iter().map(choice).collect());
        choices.collect()
    }

    /// The activations of all that was computed, if they were recorded.
    pub(super) fn into_tape(self) -> Option<Arc<dyn Recording>> {
        let tape = self.tape?;
        Some(Arc::new(tape))
    }
}

/// The rows that are computed at a time: those that are wanted, and others where shapes are fixed.
struct Step<'a> {
    rows: &'a [Row],
    /// The slots of all rows that are computed.
    slots: Vec<usize>,
    /// The place among these of each wanted row.
    places: Vec<usize>,
}

impl<'a> Step<'a> {
    fn new<C: Compute>(rows: &'a [Row], cache: &impl Cache<C>) -> Self {
        let wanted: Vec<usize> = rows.iter().map(|row| row.slot).collect();
        let slots = cache.computed(&wanted);
        let mut place_of = vec![0; slots.iter().max().map_or(0, |last| last + 1)];
        for (place, &slot) in slots.iter().enumerate() {
            place_of[slot] = place;
        }
        Self {
            rows,
            places: wanted.iter().map(|&slot| place_of[slot]).collect(),
            slots,
        }
    }

    /// A value for each row that is computed; `unwanted` where nobody asks for it.
    fn computed<T: Clone>(&self, unwanted: T, value: impl Fn(&Row) -> T) -> Vec<T> {
        let mut values = vec![unwanted; self.slots.len()];
        for (row, &place) in self.rows.iter().zip(&self.places) {
            values[place] = value(row);
        }
        values
    }

    fn ids(&self) -> Vec<u32> {
        self.computed(0, |row| row.token)
    }

    /// Adds a layer's choice of experts to the records of the wanted rows, of slots that have one.
    fn push_routes<C: Compute>(&self, routed: &mut [Option<RoutedExperts>], kept: &Kept<C>) {
        let Some(experts) = kept.routed() else {
            return;
        };
        let chosen = experts.len() / self.slots.len();
        for (row, &place) in self.rows.iter().zip(&self.places) {
            if let Some(routed) = &mut routed[row.slot] {
                routed.push(&experts[place * chosen..(place + 1) * chosen]);
            }
        }
    }
}

/// Adds what some rows chose, of which `by_layer` has all rows of each layer.
fn push_routes(routed: &mut Option<RoutedExperts>, by_layer: &[Vec<u32>], rows: Range<usize>) {
    let Some(routed) = routed else { return };
    let chosen = routed.shape().chosen;
    for row in rows {
        for experts in by_layer {
            routed.push(&experts[row * chosen..(row + 1) * chosen]);
        }
    }
}

/// The residual stream and the logits after one more token of every computed row: `ids`, so many
/// positions ahead of the rows'.
fn next<C: Compute>(
    model: &Transformer,
    c: &C,
    cache: &mut C::Cache,
    step: &Step,
    (ids, ahead): (&C::Ids, usize),
    see: impl FnMut(usize, Kept<C>),
) -> (C::Rows, C::Rows) {
    let positions = step.computed(0, |row| row.position + ahead);
    let attend = |layer: usize, qkv: &Qkv<C::Rows>| cache.attend(layer, &step.slots, qkv);
    let stream = model.stream(c, ids, &positions, attend, see);
    cache.advance(&step.slots);
    let hidden = model.last_norm().forward(c, &stream);
    let logits = c.project(&hidden, model.head_weight());
    (stream, logits)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
