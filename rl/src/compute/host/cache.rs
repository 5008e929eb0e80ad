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

/// Neighbouring tokens whose keys stand side by side.
const LANES: usize = 16;

/// Keys and values of up to [`BLOCK`] tokens in one layer.
#[derive(Debug)]
struct Block {
    /// `[BLOCK / LANES, kv heads * dim, LANES]`: transposed by runs of tokens, so that scores of
    /// neighbouring keys are computed side by side, and a block that is being filled is read as far as
    /// it is, from memory that follows itself.
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
        let run = &mut self.keys[place / LANES * LANES * key.len()..];
        for (keys, &key) in run.chunks_exact_mut(LANES).zip(key) {
            keys[place % LANES] = key;
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
    pub(crate) recorded: Option<std::ops::Range<usize>>,
}

impl Prefix {
    /// Nothing yet of a prompt of `length` tokens.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            layers: Vec::new(),
            length,
            // Of nothing, everything is recorded.
            recorded: (length == 0).then_some(0..0),
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

    /// The same for several new tokens of one slot, which follow each other: each sees all before it, and itself.
    pub(crate) fn attend_run(
        &mut self,
        layer: usize,
        slot: usize,
        qkv: &Qkv<Rows>,
    ) -> (Rows, Rows) {
        let (heads, arch) = (self.heads, self.arch);
        let (width, count) = (heads.query * heads.dim, qkv.key.rows());
        let mut out = Rows::stale(count, width);
        let mut sums = Rows::stale(count, heads.query);
        let slot = &mut self.slots[slot];
        for row in 0..count {
            let place = slot.length + row;
            let blocks = &mut slot.own[layer];
            if place.is_multiple_of(BLOCK) {
                blocks.push(Block::new(qkv.key.width()));
            }
            if let Some(block) = blocks.last_mut() {
                block.set(place % BLOCK, qkv.key.row(row), qkv.value.row(row));
            }
        }
        let slot = &*slot;
        out.data_mut()
            .par_chunks_exact_mut(width)
            .zip(sums.data_mut().par_chunks_exact_mut(heads.query))
            .enumerate()
            .for_each_init(Vec::new, |scores, (row, (out, sums))| {
                let blocks = || slot.blocks(layer, slot.length + row + 1);
                arch.dispatch(|| attend(out, sums, qkv.query.row(row), blocks, heads, scores));
            });
        (out, sums)
    }

    /// Counts `tokens` that every layer has stored for one slot.
    pub(crate) fn advance_run(&mut self, slot: usize, tokens: usize) {
        self.slots[slot].length += tokens;
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
    // Query heads that share a key-value head are taken together, as many as registers hold.
    let mut head = 0;
    while head < heads.query {
        let left = heads.group() - head % heads.group();
        let group = Group {
            heads,
            first: head,
            query,
        };
        head += match left {
            4.. => group.attend::<4, I>(out, sums, &blocks, scores),
            3 => group.attend::<3, I>(out, sums, &blocks, scores),
            2 => group.attend::<2, I>(out, sums, &blocks, scores),
            _ => group.attend::<1, I>(out, sums, &blocks, scores),
        };
    }
}

/// Some query heads of a row that share a key-value head.
struct Group<'a> {
    heads: Heads,
    /// The first of them.
    first: usize,
    /// All queries of the row.
    query: &'a [f32],
}

impl Group<'_> {
    /// The mixed values of `H` heads into their place in `out`, and the `log Σ eˢ` of their scores;
    /// gives `H`.
    #[inline(always)]
    fn attend<'b, const H: usize, I: Iterator<Item = (&'b Block, usize)>>(
        &self,
        out: &mut [f32],
        sums: &mut [f32],
        blocks: &impl Fn() -> I,
        scores: &mut Vec<f32>,
    ) -> usize {
        let (dim, first) = (self.heads.dim, self.first);
        let width = self.heads.kv * dim;
        let band = first / self.heads.group() * dim;
        // [block][head][BLOCK]: what is beyond a block's tokens is never read.
        scores.clear();
        let queries: [&[f32]; H] = std::array::from_fn(|h| &self.query[(first + h) * dim..][..dim]);
        for (block, count) in blocks() {
            let start = scores.len();
            scores.resize(start + H * BLOCK, 0.0);
            let scores = &mut scores[start..];
            for run in 0..count.div_ceil(LANES) {
                let keys = &block.keys[(run * width + band) * LANES..][..dim * LANES];
                let found = against(keys, queries, self.heads.scale());
                for (h, found) in found.iter().enumerate() {
                    scores[h * BLOCK + run * LANES..][..LANES].copy_from_slice(found);
                }
            }
        }
        let place = |b: usize, h: usize, count: usize| {
            let start = (b * H + h) * BLOCK;
            start..start + count
        };
        let mut inverse = [0.0f32; H];
        for (h, inverse) in inverse.iter_mut().enumerate() {
            let mut top = f32::NEG_INFINITY;
            for (b, (_, count)) in blocks().enumerate() {
                top = top.max(max(&scores[place(b, h, count)]));
            }
            let mut sum = 0.0;
            for (b, (_, count)) in blocks().enumerate() {
                sum += exp_sum(&mut scores[place(b, h, count)], top, 1.0);
            }
            sums[first + h] = top + sum.ln();
            *inverse = 1.0 / sum;
        }
        let mut done = 0;
        while done < dim {
            let mixed = Mixed {
                width,
                first: band + done,
                weights: scores,
                inverse,
            };
            // As many values of a head at a time as stay in registers.
            let out = &mut out[first * dim + done..];
            done += match dim - done {
                64.. => mixed.write::<64>(out, dim, blocks()),
                16.. => mixed.write::<16>(out, dim, blocks()),
                _ => mixed.write::<1>(out, dim, blocks()),
            };
        }
        H
    }
}

/// Weighted means of some values of one key-value head, by the weights of `H` query heads.
struct Mixed<'a, const H: usize> {
    /// Values of a token.
    width: usize,
    /// The first of them that is mixed.
    first: usize,
    /// `[block][H][BLOCK]`.
    weights: &'a [f32],
    /// What each head's sums are multiplied by.
    inverse: [f32; H],
}

impl<const H: usize> Mixed<'_, H> {
    /// Writes `L` of them for each head, `dim` apart; gives `L`.
    #[inline(always)]
    fn write<'b, const L: usize>(
        &self,
        out: &mut [f32],
        dim: usize,
        blocks: impl Iterator<Item = (&'b Block, usize)>,
    ) -> usize {
        let mut sums = [[0.0f32; L]; H];
        for (b, (block, count)) in blocks.enumerate() {
            let weights: [&[f32]; H] =
                std::array::from_fn(|h| &self.weights[(b * H + h) * BLOCK..][..count]);
            for (i, values) in block
                .values
                .chunks_exact(self.width)
                .take(count)
                .enumerate()
            {
                let values = &values[self.first..][..L];
                for (sums, weights) in sums.iter_mut().zip(&weights) {
                    add_scaled(sums, values, weights[i]);
                }
            }
        }
        for (h, (sums, inverse)) in sums.iter().zip(self.inverse).enumerate() {
            for (out, sum) in out[h * dim..].iter_mut().zip(sums) {
                *out = sum * inverse;
            }
        }
        L
    }
}

/// Scores of a run of keys, `scale · q·k`, for each query.
#[inline(always)]
fn against<const H: usize>(keys: &[f32], queries: [&[f32]; H], scale: f32) -> [[f32; LANES]; H] {
    let mut sums = [[0.0f32; LANES]; H];
    for (i, keys) in keys.chunks_exact(LANES).enumerate() {
        for (sums, query) in sums.iter_mut().zip(&queries) {
            add_scaled(sums, keys, query[i]);
        }
    }
    sums.map(|sums| sums.map(|sum| sum * scale))
}

/// `sums += weight · values`.
#[inline(always)]
fn add_scaled(sums: &mut [f32], values: &[f32], weight: f32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}
