//! Keys and values of completions under way, in blocks of 64 tokens, and attention over them.
//!
//! Blocks are never moved or copied: a completion gets a new one when its last is full, and all
//! completions of a prompt share the prompt's.

use std::{ops::Range, sync::Arc};

use pulp::Arch;
use rayon::prelude::*;

use super::{Host, rows::Rows};
use crate::compute::{
    Cached, Heads, Qkv,
    cache::{Cache, Extent, Runs},
    elementwise::{dot, exp_sum, max},
};

/// Tokens in a block.
const BLOCK: usize = 64;

/// Neighbouring tokens whose keys stand side by side.
const LANES: usize = 16;

/// Keys and values of up to [`BLOCK`] tokens in one layer.
#[derive(Debug)]
struct Block {
    /// `[BLOCK / LANES, kv heads * query_dim, LANES]`: transposed by runs of tokens, so that scores of
    /// neighbouring keys are computed side by side, and a block that is being filled is read as far as
    /// it is, from memory that follows itself. Empty where values are the first values of keys.
    keys: Vec<f32>,
    /// `[BLOCK, kv heads * value_dim]`, or the keys, `[BLOCK, query_dim]`, where values are the first values of these.
    values: Vec<f32>,
}

impl Block {
    /// For keys and values like these.
    fn new(cached: Cached<Rows>) -> Self {
        let (key, value) = match cached.value {
            Some(value) => (cached.key.width(), value.width()),
            None => (0, cached.key.width()),
        };
        Self {
            keys: vec![0.0; key * BLOCK],
            values: vec![0.0; value * BLOCK],
        }
    }

    /// Stores a row.
    fn set(&mut self, place: usize, cached: Cached<Rows>, row: usize) {
        let value = cached.value.unwrap_or(cached.key).row(row);
        self.values[place * value.len()..(place + 1) * value.len()].copy_from_slice(value);
        if cached.value.is_none() {
            return;
        }
        let key = cached.key.row(row);
        let run = &mut self.keys[place / LANES * LANES * key.len()..];
        for (keys, &key) in run.chunks_exact_mut(LANES).zip(key) {
            keys[place % LANES] = key;
        }
    }

    /// Bytes that it takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        size_of::<f32>() * (self.keys.len() + self.values.len())
    }
}

/// Keys and values of a prompt in every layer.
#[derive(Debug)]
pub(crate) struct Prefix {
    layers: Vec<Vec<Block>>,
    length: usize,
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
    /// The blocks of a layer that are seen when `own` tokens are stored after the prompt, each with the
    /// places in it that are.
    fn blocks(
        &self,
        layer: usize,
        own: usize,
        heads: Heads,
    ) -> impl Iterator<Item = (&Block, Range<usize>)> {
        let prefix = self.prefix.as_deref();
        let prompt = prefix.and_then(|p| p.layers.get(layer));
        let prompt = prompt.map_or(&[][..], Vec::as_slice);
        let length = prefix.map_or(0, |p| p.length);
        let first = heads.first_seen((length + own).saturating_sub(1));
        let filled = move |blocks, before: usize, length: usize| {
            let seen = move |i: usize| {
                let count = (length - i * BLOCK).min(BLOCK);
                let hidden = first.saturating_sub(before + i * BLOCK);
                hidden.min(count)..count
            };
            std::iter::zip(blocks, (0..length.div_ceil(BLOCK)).map(seen))
        };
        filled(prompt, 0, length)
            .chain(filled(&self.own[layer], length, own))
            .filter(|(_, seen)| !seen.is_empty())
    }
}

impl Slot {
    /// Frees its own blocks that no later token sees.
    fn forget(&mut self, heads: &[Heads]) {
        let prompt = self.prefix.as_ref().map_or(0, |prefix| prefix.length);
        for (blocks, heads) in self.own.iter_mut().zip(heads) {
            let first = heads.first_seen(prompt + self.length);
            let unseen = first.saturating_sub(prompt) / BLOCK;
            for block in blocks.iter_mut().take(unseen) {
                *block = Block {
                    keys: Vec::new(),
                    values: Vec::new(),
                };
            }
        }
    }

    /// Bytes of its own blocks.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.own.iter().flatten().map(Block::bytes).sum()
    }
}

/// Places for completions.
#[derive(Debug)]
pub(crate) struct HostCache {
    slots: Vec<Slot>,
    /// Of each layer.
    heads: Vec<Heads>,
    arch: Arch,
}

impl Cache<Host> for HostCache {
    type Prefix = Prefix;

    fn new(_: &Host, extent: Extent) -> Self {
        Self {
            slots: (0..extent.slots).map(|_| Slot::default()).collect(),
            heads: extent.heads,
            arch: Arch::new(),
        }
    }

    fn prefix(tokens: usize) -> Prefix {
        Prefix {
            layers: Vec::new(),
            length: tokens,
        }
    }

    fn extend(prefix: &mut Prefix, cached: Cached<Rows>, rows: Range<usize>) {
        let mut blocks = Vec::with_capacity(prefix.length.div_ceil(BLOCK));
        for (i, row) in rows.enumerate() {
            if i % BLOCK == 0 {
                blocks.push(Block::new(cached));
            }
            if let Some(block) = blocks.last_mut() {
                block.set(i % BLOCK, cached, row);
            }
        }
        prefix.layers.push(blocks);
    }

    fn admit(&mut self, slot: usize, prefix: &Arc<Prefix>) {
        self.slots[slot] = Slot {
            prefix: Some(prefix.clone()),
            own: self.heads.iter().map(|_| Vec::new()).collect(),
            length: 0,
        };
    }

    fn leave(&mut self, slot: usize) {
        self.slots[slot] = Slot::default();
    }

    fn computed(&self, wanted: &[usize]) -> Vec<usize> {
        wanted.to_vec()
    }

    /// Gives the `log Σ eˢ` of the scores too, `[slots, query heads]`.
    fn attend(&mut self, layer: usize, slots: &[usize], qkv: &Qkv<Rows>) -> (Rows, Rows) {
        let (heads, arch) = (self.heads[layer], self.arch);
        let width = heads.query * heads.value_dim;
        let mut out = Rows::stale(slots.len(), width);
        let mut sums = Rows::stale(slots.len(), heads.query);
        let mut places: Vec<Option<&mut Slot>> = self.slots.iter_mut().map(Some).collect();
        let chosen: Vec<&mut Slot> = slots
            .iter()
            .map(|&slot| places[slot].take().expect("each slot has one row"))
            .collect();
        chosen
            .into_par_iter()
            .zip(out.data_mut().par_chunks_exact_mut(width))
            .zip(sums.data_mut().par_chunks_exact_mut(heads.query))
            .enumerate()
            .for_each_init(Vec::new, |scores, (row, ((slot, out), sums))| {
                let blocks = &mut slot.own[layer];
                if slot.length.is_multiple_of(BLOCK) {
                    blocks.push(Block::new(qkv.cached()));
                }
                if let Some(block) = blocks.last_mut() {
                    block.set(slot.length % BLOCK, qkv.cached(), row);
                }
                let slot = &*slot;
                let blocks = || slot.blocks(layer, slot.length + 1, heads);
                arch.dispatch(|| attend(out, sums, qkv.query.row(row), blocks, heads, scores));
            });
        (out, sums)
    }

    fn advance(&mut self, slots: &[usize]) {
        for &slot in slots {
            self.slots[slot].length += 1;
            self.slots[slot].forget(&self.heads);
        }
    }

    fn runs(&mut self) -> Option<&mut dyn Runs<Host>> {
        Some(self)
    }
}

#[cfg(test)]
impl HostCache {
    /// Bytes of keys and values that slots have of their own.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.iter().map(Slot::bytes).sum()
    }
}

impl Runs<Host> for HostCache {
    fn attend_run(&mut self, layer: usize, slot: usize, qkv: &Qkv<Rows>) -> (Rows, Rows) {
        let (heads, arch) = (self.heads[layer], self.arch);
        let (width, count) = (heads.query * heads.value_dim, qkv.key.rows());
        let mut out = Rows::stale(count, width);
        let mut sums = Rows::stale(count, heads.query);
        let slot = &mut self.slots[slot];
        for row in 0..count {
            let place = slot.length + row;
            let blocks = &mut slot.own[layer];
            if place.is_multiple_of(BLOCK) {
                blocks.push(Block::new(qkv.cached()));
            }
            if let Some(block) = blocks.last_mut() {
                block.set(place % BLOCK, qkv.cached(), row);
            }
        }
        let slot = &*slot;
        out.data_mut()
            .par_chunks_exact_mut(width)
            .zip(sums.data_mut().par_chunks_exact_mut(heads.query))
            .enumerate()
            .for_each_init(Vec::new, |scores, (row, (out, sums))| {
                let blocks = || slot.blocks(layer, slot.length + row + 1, heads);
                arch.dispatch(|| attend(out, sums, qkv.query.row(row), blocks, heads, scores));
            });
        (out, sums)
    }

    fn advance_run(&mut self, slot: usize, tokens: usize) {
        self.slots[slot].length += tokens;
        self.slots[slot].forget(&self.heads);
    }
}

/// One query row against all keys in `blocks`.
#[inline(always)]
fn attend<'a, I: Iterator<Item = (&'a Block, Range<usize>)>>(
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
    fn attend<'b, const H: usize, I: Iterator<Item = (&'b Block, Range<usize>)>>(
        &self,
        out: &mut [f32],
        sums: &mut [f32],
        blocks: &impl Fn() -> I,
        scores: &mut Vec<f32>,
    ) -> usize {
        let (dim, first) = (self.heads.query_dim, self.first);
        let width = self.heads.kv * dim;
        let band = first / self.heads.group() * dim;
        // [block][head][BLOCK]: what is beyond a block's tokens is never read.
        scores.clear();
        let queries: [&[f32]; H] = std::array::from_fn(|h| &self.query[(first + h) * dim..][..dim]);
        for (block, seen) in blocks() {
            let start = scores.len();
            scores.resize(start + H * BLOCK, 0.0);
            let scores = &mut scores[start..];
            if self.heads.joined {
                for place in seen {
                    let key = &block.values[place * width..(place + 1) * width];
                    for (h, query) in queries.iter().enumerate() {
                        scores[h * BLOCK + place] = dot(query, key) * self.heads.scale;
                    }
                }
                continue;
            }
            for run in seen.start / LANES..seen.end.div_ceil(LANES) {
                let keys = &block.keys[(run * width + band) * LANES..][..dim * LANES];
                let found = against(keys, queries, self.heads.scale);
                for (h, found) in found.iter().enumerate() {
                    scores[h * BLOCK + run * LANES..][..LANES].copy_from_slice(found);
                }
            }
        }
        let place = |b: usize, h: usize, seen: Range<usize>| {
            let start = (b * H + h) * BLOCK;
            start + seen.start..start + seen.end
        };
        let mut inverse = [0.0f32; H];
        for (h, inverse) in inverse.iter_mut().enumerate() {
            let mut top = f32::NEG_INFINITY;
            for (b, (_, seen)) in blocks().enumerate() {
                top = top.max(max(&scores[place(b, h, seen)]));
            }
            let mut sum = 0.0;
            for (b, (_, seen)) in blocks().enumerate() {
                sum += exp_sum(&mut scores[place(b, h, seen)], top, 1.0);
            }
            sums[first + h] = top + sum.ln();
            *inverse = 1.0 / sum;
        }
        let dim = self.heads.value_dim;
        let (width, band) = if self.heads.joined {
            (width, 0)
        } else {
            (self.heads.kv * dim, first / self.heads.group() * dim)
        };
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
        blocks: impl Iterator<Item = (&'b Block, Range<usize>)>,
    ) -> usize {
        let mut sums = [[0.0f32; L]; H];
        for (b, (block, seen)) in blocks.enumerate() {
            let weights: [&[f32]; H] =
                std::array::from_fn(|h| &self.weights[(b * H + h) * BLOCK..][seen.clone()]);
            let values = &block.values[seen.start * self.width..seen.end * self.width];
            for (i, values) in values.chunks_exact(self.width).enumerate() {
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
