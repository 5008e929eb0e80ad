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
}

impl Prefix {
    /// Nothing yet of a prompt of `length` tokens.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            layers: Vec::new(),
            length,
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
    /// and mixes the values that each may see: `[slots, query heads * dim]`.
    pub(crate) fn attend(&mut self, layer: usize, slots: &[usize], qkv: &Qkv<Rows>) -> Rows {
        let width = self.heads.query * self.heads.dim;
        let mut out = Rows::stale(slots.len(), width);
        let mut places: Vec<Option<&mut Slot>> = self.slots.iter_mut().map(Some).collect();
        let chosen: Vec<&mut Slot> = slots
            .iter()
            .map(|&slot| places[slot].take().expect("each slot has one row"))
            .collect();
        let (heads, arch) = (self.heads, self.arch);
        chosen
            .into_par_iter()
            .zip(out.data_mut().par_chunks_exact_mut(width))
            .enumerate()
            .for_each_init(Vec::new, |scores, (row, (slot, out))| {
                let blocks = &mut slot.own[layer];
                if slot.length.is_multiple_of(BLOCK) {
                    blocks.push(Block::new(qkv.key.width()));
                }
                if let Some(block) = blocks.last_mut() {
                    block.set(slot.length % BLOCK, qkv.key.row(row), qkv.value.row(row));
                }
                let slot = &*slot;
                let blocks = || slot.blocks(layer, slot.length + 1);
                arch.dispatch(|| attend(out, qkv.query.row(row), blocks, heads, scores));
            });
        out
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
    query: &[f32],
    blocks: impl Fn() -> I,
    heads: Heads,
    scores: &mut Vec<f32>,
) {
    let (dim, group, scale) = (heads.dim, heads.group(), heads.scale());
    // [block][query head][BLOCK]: what is beyond a block's tokens is never read.
    scores.clear();
    for (block, _) in blocks() {
        for head in 0..heads.query {
            let keys = &block.keys[head / group * dim * BLOCK..][..dim * BLOCK];
            let query = &query[head * dim..][..dim];
            let mut sums = [0.0f32; BLOCK];
            for (keys, &q) in keys.chunks_exact(BLOCK).zip(query) {
                for (sum, &key) in sums.iter_mut().zip(keys) {
                    *sum += q * key;
                }
            }
            scores.extend_from_slice(&sums.map(|sum| sum * scale));
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
        let out = &mut out[head * dim..][..dim];
        out.fill(0.0);
        for (b, (block, count)) in blocks().enumerate() {
            let width = heads.kv * dim;
            let values = block.values.chunks_exact(width);
            for (&weight, values) in scores[place(b, count)].iter().zip(values) {
                let values = &values[head / group * dim..][..dim];
                for (out, &value) in out.iter_mut().zip(values) {
                    *out += weight * value;
                }
            }
        }
        let inverse = 1.0 / sum;
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}
