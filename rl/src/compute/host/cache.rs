//! Keys and values of completions under way, in blocks of 64 tokens, and attention over them.
//!
//! Blocks are never moved or copied: a completion gets a new one when its last is full, and all
//! completions of a prompt share the prompt's.

use std::sync::Arc;

use pulp::Arch;
use rayon::prelude::*;

use super::rows::Rows;
use crate::compute::{
    Heads, Qkv,
    elementwise::{exp_sum, max},
};

/// Tokens in a block.
const BLOCK: usize = 64;

/// Keys and values of up to [`BLOCK`] tokens in one layer.
#[derive(Debug)]
struct Block {
    /// `[kv heads * dim, BLOCK]`: transposed, so that scores of neighbouring keys are computed
    /// side by side.
    keys: Vec<f32>,
    /// `[BLOCK, kv heads * dim]`.
    values: Vec<f32>,
}

impl Block {
    fn new(width: usize) -> Self {
        Self {
            keys: vec![0.0; width * BLOCK],
            values: vec![0.0; width * BLOCK],
        }
    }

    fn set(&mut self, place: usize, key: &[f32], value: &[f32]) {
        for (keys, &key) in self.keys.chunks_exact_mut(BLOCK).zip(key) {
            keys[place] = key;
        }
        self.values[place * value.len()..(place + 1) * value.len()].copy_from_slice(value);
    }
}

/// Keys and values of a prompt in every layer.
#[derive(Debug)]
pub(crate) struct Prefix {
    layers: Vec<Vec<Block>>,
    length: usize,
    /// Where its activations are on a tape, if they are recorded.
    pub(crate) recorded: std::ops::Range<usize>,
}

impl Prefix {
    /// Nothing yet of a prompt of `length` tokens.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            layers: Vec::new(),
            length,
            recorded: 0..0,
        }
    }

    /// Gives a prompt of no tokens its empty layers.
    pub(crate) fn fill_empty(&mut self, layers: usize) {
        self.layers.resize_with(layers, Vec::new);
    }

    /// Adds the next layer: those of `rows` of its keys and values.
    pub(crate) fn push_layer(&mut self, qkv: &Qkv<Rows>, rows: std::ops::Range<usize>) {
        let mut blocks = Vec::with_capacity(self.length.div_ceil(BLOCK));
        for (i, row) in rows.enumerate() {
            if i % BLOCK == 0 {
                blocks.push(Block::new(qkv.key.width()));
            }
            if let Some(block) = blocks.last_mut() {
                block.set(i % BLOCK, qkv.key.row(row), qkv.value.row(row));
            }
        }
        self.layers.push(blocks);
    }
}

/// One completion under way.
#[derive(Debug, Default)]
struct Slot {
    prefix: Option<Arc<Prefix>>,
    /// Blocks of each layer.
    own: Vec<Vec<Block>>,
    /// Tokens stored in every layer.
    length: usize,
}

impl Slot {
    /// The blocks of a layer with the number of tokens in each, `own` of them after the prompt.
    fn blocks(&self, layer: usize, own: usize) -> impl Iterator<Item = (&Block, usize)> {
        let prefix = self.prefix.as_deref();
        let prompt = prefix.map_or(&[][..], |p| &p.layers[layer]);
        let length = prefix.map_or(0, |p| p.length);
        let filled = |blocks, length: usize| {
            let count = move |i: usize| (length - i * BLOCK).min(BLOCK);
            std::iter::zip(blocks, (0..length.div_ceil(BLOCK)).map(count))
        };
        filled(prompt, length).chain(filled(&self.own[layer], own))
    }
}

/// Places for completions.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    layers: usize,
    heads: Heads,
    arch: Arch,
}

impl Cache {
    /// `slots` empty places.
    pub(crate) fn new(slots: usize, layers: usize, heads: Heads) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            layers,
            heads,
            arch: Arch::new(),
        }
    }

    /// Puts a new completion of a prompt into a place.
    pub(crate) fn admit(&mut self, slot: usize, prefix: Arc<Prefix>) {
        self.slots[slot] = Slot {
            prefix: Some(prefix),
            own: (0..self.layers).map(|_| Vec::new()).collect(),
            length: 0,
        };
    }

    /// Drops what a place holds.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.slots[slot] = Slot::default();
    }

    /// Stores the keys and values of one new token for each of `slots`, which are all different,
    /// and mixes the values that each may see: `[slots, query heads * dim]`, with the `log Σ eˢ` of
    /// its scores, `[slots, query heads]`.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        slots: &[usize],
        qkv: &Qkv<Rows>,
    ) -> (Rows, Rows) {
        let width = self.heads.query * self.heads.dim;
        let mut out = Rows::stale(slots.len(), width);
        let mut sums = Rows::stale(slots.len(), self.heads.query);
        let mut places: Vec<Option<&mut Slot>> = self.slots.iter_mut().map(Some).collect();
        let chosen: Vec<&mut Slot> = slots
            .iter()
            .map(|&slot| places[slot].take().expect("each slot has one row"))
            .collect();
        let (heads, arch) = (self.heads, self.arch);
        chosen
            .into_par_iter()
            .zip(out.data_mut().par_chunks_exact_mut(width))
            .zip(sums.data_mut().par_chunks_exact_mut(heads.query))
            .enumerate()
            .for_each_init(Vec::new, |scores, (row, ((slot, out), sums))| {
                let blocks = &mut slot.own[layer];
                if slot.length.is_multiple_of(BLOCK) {
                    blocks.push(Block::new(qkv.key.width()));
                }
                if let Some(block) = blocks.last_mut() {
                    block.set(slot.length % BLOCK, qkv.key.row(row), qkv.value.row(row));
                }
                let slot = &*slot;
                let blocks = || slot.blocks(layer, slot.length + 1);
                arch.dispatch(|| attend(out, sums, qkv.query.row(row), blocks, heads, scores));
            });
        (out, sums)
    }

    /// Counts the token that every layer has stored for each of `slots`.
    pub(crate) fn advance(&mut self, slots: &[usize]) {
        for &slot in slots {
            self.slots[slot].length += 1;
        }
    }
}

/// One query row against all keys in `blocks`.
#[inline(always)]
fn attend<'a, I: Iterator<Item = (&'a Block, usize)>>(
    out: &mut [f32],
    sums: &mut [f32],
    query: &[f32],
    blocks: impl Fn() -> I,
    heads: Heads,
    scores: &mut Vec<f32>,
) {
    let (dim, group, scale) = (heads.dim, heads.group(), heads.scale());
    // [block][query head][BLOCK]: what is beyond a block's tokens is never read.
    scores.clear();
    for (block, count) in blocks() {
        for head in 0..heads.query {
            let keys = &block.keys[head / group * dim * BLOCK..][..dim * BLOCK];
            let query = &query[head * dim..][..dim];
            // A block that is being filled is read as far as it is.
            let start = scores.len();
            scores.resize(start + BLOCK, 0.0);
            let scores = &mut scores[start..];
            match count.div_ceil(BLOCK / 4) {
                1 => against::<{ BLOCK / 4 }>(scores, keys, query, scale),
                2 => against::<{ BLOCK / 2 }>(scores, keys, query, scale),
                3 => against::<{ BLOCK / 4 * 3 }>(scores, keys, query, scale),
                _ => against::<BLOCK>(scores, keys, query, scale),
            }
        }
    }
    let stride = heads.query * BLOCK;
    for head in 0..heads.query {
        let place =
            |b: usize, count: usize| b * stride + head * BLOCK..b * stride + head * BLOCK + count;
        let mut top = f32::NEG_INFINITY;
        for (b, (_, count)) in blocks().enumerate() {
            top = top.max(max(&scores[place(b, count)]));
        }
        let mut sum = 0.0;
        for (b, (_, count)) in blocks().enumerate() {
            sum += exp_sum(&mut scores[place(b, count)], top, 1.0);
        }
        sums[head] = top + sum.ln();
        let out = &mut out[head * dim..][..dim];
        let inverse = 1.0 / sum;
        let mut done = 0;
        while done < dim {
            let mixed = Mixed {
                width: heads.kv * dim,
                first: head / group * dim + done,
                weights: scores,
                place: &place,
            };
            // As many values of a head at a time as stay in registers.
            let out = &mut out[done..];
            done += match out.len() {
                64.. => mixed.write::<64>(out, blocks(), inverse),
                16.. => mixed.write::<16>(out, blocks(), inverse),
                _ => mixed.write::<1>(out, blocks(), inverse),
            };
        }
    }
}

/// A weighted mean of some values of one head.
struct Mixed<'a, P> {
    /// Values of a token.
    width: usize,
    /// The first of them that is mixed.
    first: usize,
    weights: &'a [f32],
    /// Where the weights of a block's tokens are.
    place: &'a P,
}

impl<P: Fn(usize, usize) -> std::ops::Range<usize>> Mixed<'_, P> {
    /// Writes `L` of them, times `inverse`; gives `L`.
    #[inline(always)]
    fn write<'b, const L: usize>(
        &self,
        out: &mut [f32],
        blocks: impl Iterator<Item = (&'b Block, usize)>,
        inverse: f32,
    ) -> usize {
        let mut sums = [0.0f32; L];
        for (b, (block, count)) in blocks.enumerate() {
            let weights = &self.weights[(self.place)(b, count)];
            let values = block.values.chunks_exact(self.width);
            for (&weight, values) in weights.iter().zip(values) {
                add_scaled(&mut sums, &values[self.first..][..L], weight);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum * inverse;
        }
        L
    }
}

/// Scores of the first `C` keys of a block: `scale · q·k`.
#[inline(always)]
fn against<const C: usize>(scores: &mut [f32], keys: &[f32], query: &[f32], scale: f32) {
    let mut sums = [0.0f32; C];
    for (keys, &q) in keys.chunks_exact(BLOCK).zip(query) {
        add_scaled(&mut sums, &keys[..C], q);
    }
    for (score, sum) in scores.iter_mut().zip(sums) {
        *score = sum * scale;
    }
}

/// `sums += weight · values`.
#[inline(always)]
fn add_scaled(sums: &mut [f32], values: &[f32], weight: f32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}
