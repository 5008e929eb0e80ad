//! Softmax attention over packed rows, forward and backward, a tree and a key-value head at a time.
//!
//! Scores exist only for one block of queries: with `S = s Q Kᵀ` and `P = softmax(S)`, what is kept
//! for the gradient is the row-wise `log Σ eˢ`, from which `P` comes back
//! (FlashAttention, arXiv 2205.14135, §3.1 and appendix B.2).

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::{
    rows::Rows,
    strided::{Into, Threads, View, ViewMut, product},
};
use crate::compute::{
    Heads, Qkv,
    elementwise::{dot, exp_sum, max},
    packing::{Packing, Segment, Tree},
};

/// Queries whose scores exist at the same time.
const BLOCK: usize = 128;

/// One tree's share of the rows, and one key-value head's share of the columns.
struct Job<'a> {
    tree: &'a Tree,
    /// `[rows, group * query_dim]`.
    query: View<'a>,
    /// `[rows, query_dim]`.
    key: View<'a>,
    /// `[rows, value_dim]`.
    value: View<'a>,
    heads: Heads,
    arch: Arch,
}

/// Rows of queries of a segment, counted from the tree's first row, and what any of them sees.
struct Block {
    rows: Range<usize>,
    prefix: Range<usize>,
    /// Own rows up to the last query of the block.
    own: Range<usize>,
    /// Position of the first query.
    position: usize,
    /// Positions before that of the first key.
    hidden: usize,
}

impl Block {
    /// Of a segment whose first row is `first`: the queries in `rows`, which see no key before the first's window.
    fn new(rows: Range<usize>, prefix: &Range<usize>, first: usize, heads: Heads) -> Self {
        let position = prefix.len() + rows.start - first;
        let hidden = heads.first_seen(position);
        let before = hidden.min(prefix.len());
        Self {
            prefix: prefix.start + before..prefix.end,
            own: first + hidden - before..rows.end,
            rows,
            position,
            hidden,
        }
    }

    /// Keys seen by the `i`-th of its queries, among all keys of the block: their places are their
    /// positions, counted from the first of them.
    fn seen(&self, i: usize, heads: Heads) -> Range<usize> {
        let position = self.position + i;
        heads.first_seen(position) - self.hidden..position + 1 - self.hidden
    }

    fn keys(&self) -> usize {
        self.prefix.len() + self.own.len()
    }

    /// Scores of one head.
    fn size(&self) -> usize {
        self.rows.len() * self.keys()
    }
}

impl<'a> Job<'a> {
    /// Every pair of a tree and a key-value head, in that order.
    fn all(qkv: &'a Qkv<Rows>, packing: &'a Packing, heads: Heads) -> Vec<Self> {
        let arch = Arch::new();
        let band = |rows: &'a Rows, tree: &Tree, head: usize, width: usize| {
            rows.view()
                .part(tree.rows.clone(), head * width..(head + 1) * width)
        };
        let pairs = packing
            .trees
            .iter()
            .flat_map(|tree| (0..heads.kv).map(move |head| (tree, head)));
        pairs
            .map(|(tree, head)| Self {
                tree,
                query: band(&qkv.query, tree, head, heads.group() * heads.query_dim),
                key: band(&qkv.key, tree, head, heads.query_dim),
                value: band(qkv.values(), tree, head, heads.value_dim),
                heads,
                arch,
            })
            .collect()
    }

    fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let (start, heads) = (self.tree.rows.start, self.heads);
        let split = move |segment: &Segment| {
            let (rows, prefix) = (segment.rows.clone(), segment.prefix.clone());
            let first = rows.start - start;
            let last = rows.end - start;
            let prefix = prefix.start - start..prefix.end - start;
            (first..last)
                .step_by(BLOCK)
                .map(move |from| Block::new(from..(from + BLOCK).min(last), &prefix, first, heads))
        };
        self.tree.segments.iter().flat_map(split)
    }

    /// Room for the scores of any of its blocks.
    fn scratch(&self) -> Rows {
        let largest = self.blocks().map(|block| block.size()).max();
        Rows::stale(largest.unwrap_or(0), 1)
    }

    /// The columns of one of the query heads among those of queries.
    fn queries(&self, head: usize) -> Range<usize> {
        head * self.heads.query_dim..(head + 1) * self.heads.query_dim
    }

    /// The same among those of what attention gives.
    fn outputs(&self, head: usize) -> Range<usize> {
        head * self.heads.value_dim..(head + 1) * self.heads.value_dim
    }

    /// `out = scale · a bᵀ` for the keys (or values) `b` of a block: `[queries, keys]`.
    fn against(&self, out: &mut [f32], a: View, b: View, block: &Block, scale: f32) {
        let rows = block.rows.len();
        let columns = 0..b.columns();
        let prefix = block.prefix.len();
        let mut left = ViewMut::new(out, block.keys()).part(0..rows, 0..prefix);
        let keys = b.part(block.prefix.clone(), columns.clone());
        product(&mut left, a, keys.t(), scale, Into::Replace, Threads::One);
        let mut right = ViewMut::new(out, block.keys()).part(0..rows, prefix..block.keys());
        let keys = b.part(block.own.clone(), columns);
        product(&mut right, a, keys.t(), scale, Into::Replace, Threads::One);
    }

    /// `out (+)= weights b` for the keys (or values) `b` of a block: `[queries, dim]`.
    fn mix(&self, out: &mut ViewMut, weights: &[f32], b: View, block: &Block) {
        let weights = View::new(weights, block.keys());
        let rows = 0..block.rows.len();
        let columns = 0..b.columns();
        let prefix = block.prefix.len();
        let left = weights.part(rows.clone(), 0..prefix);
        let right = weights.part(rows, prefix..block.keys());
        let b_prefix = b.part(block.prefix.clone(), columns.clone());
        let b_own = b.part(block.own.clone(), columns);
        product(out, right, b_own, 1.0, Into::Replace, Threads::One);
        if prefix > 0 {
            product(out, left, b_prefix, 1.0, Into::Add, Threads::One);
        }
    }

    /// `out += weightsᵀ a` for the keys (or values) of a block: `[keys, dim]` of the whole tree.
    fn spread(&self, out: &mut ViewMut, weights: &[f32], a: View, block: &Block) {
        let weights = View::new(weights, block.keys());
        let rows = 0..block.rows.len();
        let columns = 0..a.columns();
        let prefix = block.prefix.len();
        for (keys, weights) in [
            (block.prefix.clone(), weights.part(rows.clone(), 0..prefix)),
            (
                block.own.clone(),
                weights.part(rows.clone(), prefix..block.keys()),
            ),
        ] {
            let mut out = out.again().part(keys, columns.clone());
            product(&mut out, weights.t(), a, 1.0, Into::Add, Threads::One);
        }
    }

    /// Fills `out` and `sums` (`[rows, group]`, the `log Σ eˢ`).
    fn forward(&self, mut out: ViewMut, mut sums: ViewMut) {
        let mut scores = self.scratch();
        for block in self.blocks() {
            let scores = &mut scores.data_mut()[..block.size()];
            for head in 0..self.heads.group() {
                let query = self.query.part(block.rows.clone(), self.queries(head));
                self.against(scores, query, self.key, &block, self.heads.scale);
                for (i, scores) in scores.chunks_exact_mut(block.keys()).enumerate() {
                    let sum = &mut sums.row(block.rows.start + i)[head];
                    *sum = self
                        .arch
                        .dispatch(|| softmax(scores, block.seen(i, self.heads)));
                }
                let mut out = out.again().part(block.rows.clone(), self.outputs(head));
                self.mix(&mut out, scores, self.value, &block);
            }
        }
    }

    /// Fills the gradients, which start at zero.
    fn backward(
        &self,
        output: View,
        sums: View,
        by_output: View,
        mut by_query: ViewMut,
        mut by_key: ViewMut,
        mut by_value: ViewMut,
    ) {
        let (mut weights, mut by_scores) = (self.scratch(), self.scratch());
        let scale = self.heads.scale;
        for block in self.blocks() {
            let weights = &mut weights.data_mut()[..block.size()];
            let by_scores = &mut by_scores.data_mut()[..block.size()];
            for head in 0..self.heads.group() {
                let rows = block.rows.clone();
                let query = self.query.part(rows.clone(), self.queries(head));
                let by_output = by_output.part(rows.clone(), self.outputs(head));
                let output = output.part(rows.clone(), self.outputs(head));
                self.against(weights, query, self.key, &block, scale);
                self.against(by_scores, by_output, self.value, &block, 1.0);
                let pairs = weights
                    .chunks_exact_mut(block.keys())
                    .zip(by_scores.chunks_exact_mut(block.keys()));
                for (i, (weights, by_scores)) in pairs.enumerate() {
                    let sum = sums.row(rows.start + i)[head];
                    let (o, by_o) = (output.row(i), by_output.row(i));
                    self.arch.dispatch(|| {
                        softmax_backward(
                            weights,
                            by_scores,
                            sum,
                            dot(o, by_o),
                            scale,
                            block.seen(i, self.heads),
                        );
                    });
                }
                self.spread(&mut by_value, weights, by_output, &block);
                self.spread(&mut by_key, by_scores, query, &block);
                let mut by_query = by_query.again().part(rows, self.queries(head));
                self.mix(&mut by_query, by_scores, self.key, &block);
            }
        }
    }
}

/// Softmax of the `seen` scores, 0 for the rest; returns `log Σ eˢ`.
#[inline(always)]
fn softmax(scores: &mut [f32], seen: Range<usize>) -> f32 {
    let scores = only(scores, seen);
    let top = max(scores);
    let sum = exp_sum(scores, top, 1.0);
    let inverse = 1.0 / sum;
    scores.iter_mut().for_each(|p| *p *= inverse);
    top + sum.ln()
}

/// The part of a row that is seen; the rest becomes 0.
#[inline(always)]
fn only(row: &mut [f32], seen: Range<usize>) -> &mut [f32] {
    let (row, later) = row.split_at_mut(seen.end);
    let (earlier, row) = row.split_at_mut(seen.start);
    earlier.fill(0.0);
    later.fill(0.0);
    row
}

/// Turns scores into weights `P`, and `∂P` into the gradient `P (∂P − o·∂o) s` by `Q Kᵀ`.
#[inline(always)]
fn softmax_backward(
    scores: &mut [f32],
    by_weights: &mut [f32],
    sum: f32,
    mean: f32,
    scale: f32,
    seen: Range<usize>,
) {
    let scores = only(scores, seen.clone());
    let by_weights = only(by_weights, seen);
    exp_sum(scores, sum, 1.0);
    for (d, &p) in by_weights.iter_mut().zip(&*scores) {
        *d = p * (*d - mean) * scale;
    }
}

/// A matrix's rows by tree and its columns by key-value head, in the order of [`Job::all`].
fn shares<'a>(rows: &'a mut Rows, packing: &Packing, heads: Heads) -> Vec<ViewMut<'a>> {
    let width = rows.width() / heads.kv;
    let trees = packing.trees.iter().map(|tree| tree.rows.len());
    let trees = rows.view_mut().split_rows(trees);
    trees
        .into_iter()
        .flat_map(|tree| tree.split_columns(width))
        .collect()
}

/// The mixed values, `[rows, query heads * value_dim]`, and the `log Σ eˢ` of each row and query head.
pub(crate) fn forward(qkv: &Qkv<Rows>, packing: &Packing, heads: Heads) -> (Rows, Rows) {
    let mut out = Rows::stale(qkv.query.rows(), heads.query * heads.value_dim);
    let mut sums = Rows::stale(qkv.query.rows(), heads.query);
    let jobs = Job::all(qkv, packing, heads);
    let outs = shares(&mut out, packing, heads);
    let all_sums = shares(&mut sums, packing, heads);
    jobs.par_iter()
        .zip(outs)
        .zip(all_sums)
        .for_each(|((job, out), sums)| job.forward(out, sums));
    (out, sums)
}

/// The gradients by queries, keys and values.
pub(crate) fn backward(
    qkv: &Qkv<Rows>,
    output: &Rows,
    sums: &Rows,
    by_output: &Rows,
    packing: &Packing,
    heads: Heads,
) -> Qkv<Rows> {
    let zeros = |like: &Rows| Rows::zeros(like.rows(), like.width());
    let mut by_query = Rows::stale(qkv.query.rows(), qkv.query.width());
    let (mut by_key, mut by_value) = (zeros(&qkv.key), zeros(qkv.values()));
    let jobs = Job::all(qkv, packing, heads);
    let views = |rows: &'_ Rows| -> Vec<(Range<usize>, Range<usize>)> {
        let width = rows.width() / heads.kv;
        let pairs = packing.trees.iter().flat_map(|tree| {
            (0..heads.kv).map(move |head| (tree.rows.clone(), head * width..(head + 1) * width))
        });
        pairs.collect()
    };
    let (wide, narrow) = (views(output), views(sums));
    jobs.par_iter()
        .zip(shares(&mut by_query, packing, heads))
        .zip(shares(&mut by_key, packing, heads))
        .zip(shares(&mut by_value, packing, heads))
        .zip(wide)
        .zip(narrow)
        .for_each(|(((((job, by_query), by_key), by_value), wide), narrow)| {
            let output = output.view().part(wide.0.clone(), wide.1.clone());
            let by_output = by_output.view().part(wide.0, wide.1);
            let sums = sums.view().part(narrow.0, narrow.1);
            job.backward(output, sums, by_output, by_query, by_key, by_value);
        });
    Qkv::apart(by_query, by_key, by_value)
}
