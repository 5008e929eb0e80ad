//! Softmax attention over packed rows, a tree at a time.

use std::ops::Range;

use burn::tensor::{Device, Tensor, activation::softmax};

use super::MASKED;
use crate::compute::{
    Heads, Qkv,
    buffers::from_host,
    packing::{Packing, Tree},
};

/// A packing's trees and their masks.
pub(crate) struct Layout {
    trees: Vec<(Range<usize>, Tensor<3>)>,
}

impl Layout {
    /// The masks of a packing, for such heads.
    pub(super) fn new(packing: &Packing, heads: Heads, device: &Device) -> Self {
        let group = heads.group();
        let tree = |tree: &Tree| {
            let count = tree.rows.len();
            let mut mask = vec![MASKED; count * count];
            tree.each_row(|row, seen| {
                let positions: usize = seen.iter().map(Range::len).sum();
                let mut hidden = heads.first_seen(positions - 1);
                for keys in seen {
                    let skipped = hidden.min(keys.len());
                    hidden -= skipped;
                    mask[row * count..][keys.start + skipped..keys.end].fill(0.0);
                }
            });
            let mask = from_host::<2>(mask, [count, count], device);
            let mask = mask.repeat_dim(0, group).unsqueeze::<3>(); // [1, group * rows, rows]
            (tree.rows.clone(), mask)
        };
        let filled = packing.trees.iter().filter(|tree| !tree.rows.is_empty());
        Self {
            trees: filled.map(tree).collect(),
        }
    }
}

/// `[rows, heads * dim]` to `[kv heads, group * rows, dim]`: the query heads of a group are stacked
/// as further rows, so that keys and values are never expanded.
fn stacked(x: Tensor<2>, kv: usize, dim: usize) -> Tensor<3> {
    let [rows, width] = x.dims();
    let group = width / dim / kv;
    x.reshape([rows, kv, group, dim])
        .permute([1, 2, 0, 3])
        .reshape([kv, group * rows, dim])
}

/// The other way round.
fn unstacked(x: Tensor<3>, rows: usize) -> Tensor<2> {
    let [kv, stacked, dim] = x.dims();
    let group = stacked / rows;
    x.reshape([kv, group, rows, dim])
        .permute([2, 0, 1, 3])
        .reshape([rows, kv * group * dim])
}

/// Queries, keys and values of the rows of one tree, and the softmax of their scores.
struct TreeHeads {
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    weights: Tensor<3>,
}

impl TreeHeads {
    fn new(qkv: &Qkv<Tensor<2>>, rows: &Range<usize>, mask: &Tensor<3>, heads: Heads) -> Self {
        let part = |x: &Tensor<2>, dim: usize| {
            let x = x.clone().narrow(0, rows.start, rows.len());
            stacked(x, heads.kv, dim)
        };
        let query = part(&qkv.query, heads.query_dim);
        let key = part(&qkv.key, heads.query_dim);
        let value = part(qkv.values(), heads.value_dim);
        let scores = query.clone().matmul(key.clone().transpose());
        let scores = scores.mul_scalar(heads.scale) + mask.clone();
        Self {
            weights: softmax(scores, 2),
            query,
            key,
            value,
        }
    }
}

/// The mixed values, `[rows, query heads * value_dim]`.
pub(super) fn forward(qkv: &Qkv<Tensor<2>>, layout: &Layout, heads: Heads) -> Tensor<2> {
    let tree = |(rows, mask): &(Range<usize>, Tensor<3>)| {
        let tree = TreeHeads::new(qkv, rows, mask, heads);
        unstacked(tree.weights.matmul(tree.value), rows.len())
    };
    Tensor::cat(layout.trees.iter().map(tree).collect(), 0)
}

/// The gradients by queries, keys and values.
pub(super) fn backward(
    qkv: &Qkv<Tensor<2>>,
    output: &Tensor<2>,
    by_output: &Tensor<2>,
    layout: &Layout,
    heads: Heads,
) -> Qkv<Tensor<2>> {
    let (mut by_query, mut by_key, mut by_value) = (Vec::new(), Vec::new(), Vec::new());
    for (rows, mask) in &layout.trees {
        let part = |x: &Tensor<2>| {
            let x = x.clone().narrow(0, rows.start, rows.len());
            stacked(x, heads.kv, heads.value_dim)
        };
        let TreeHeads {
            query,
            key,
            value,
            weights,
        } = TreeHeads::new(qkv, rows, mask, heads);
        let (output, by_output) = (part(output), part(by_output));
        let mean = output.mul(by_output.clone()).sum_dim(2);
        let by_weights = by_output.clone().matmul(value.transpose());
        let by_scores = weights
            .clone()
            .mul(by_weights - mean)
            .mul_scalar(heads.scale);
        by_query.push(unstacked(by_scores.clone().matmul(key), rows.len()));
        by_key.push(unstacked(by_scores.transpose().matmul(query), rows.len()));
        by_value.push(unstacked(weights.transpose().matmul(by_output), rows.len()));
    }
    Qkv::apart(
        Tensor::cat(by_query, 0),
        Tensor::cat(by_key, 0),
        Tensor::cat(by_value, 0),
    )
}
