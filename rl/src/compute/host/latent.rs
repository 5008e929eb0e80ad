//! Latent attention (arXiv 2405.04434, section 2.1) on slices: keys and values out of latents, and queries
//! against latents.
//!
//! The map from latents to keys and values is read where it lies, a head at a time. A row's sums are added in one
//! order, however many rows there are.

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::rows::Rows;
use crate::compute::{LatentHeads, buffers::Stored, elementwise::dot};

/// The first `at` columns, and the others.
pub(super) fn split(x: &Rows, at: usize) -> (Rows, Rows) {
    let mut left = Rows::stale(x.rows(), at);
    let mut right = Rows::stale(x.rows(), x.width() - at);
    let rest = x.width() - at;
    let outs = left.data_mut().chunks_exact_mut(at);
    let outs = outs.zip(right.data_mut().chunks_exact_mut(rest));
    for ((left, right), x) in outs.zip(x.data().chunks_exact(x.width())) {
        left.copy_from_slice(&x[..at]);
        right.copy_from_slice(&x[at..]);
    }
    (left, right)
}

/// The columns of both.
pub(super) fn beside(left: &Rows, right: &Rows) -> Rows {
    let width = left.width() + right.width();
    let mut out = Rows::stale(left.rows(), width);
    for (row, out) in out.data_mut().chunks_exact_mut(width).enumerate() {
        let (first, second) = out.split_at_mut(left.width());
        first.copy_from_slice(left.row(row));
        second.copy_from_slice(right.row(row));
    }
    out
}

/// See [`Compute::expand`](crate::compute::Compute::expand).
pub(super) fn expand(up: &Rows, rotated: &Rows, heads: LatentHeads) -> (Rows, Rows) {
    let (query, plain) = (heads.query(), heads.plain);
    let mut key = Rows::stale(up.rows(), heads.count * query);
    let mut value = Rows::stale(up.rows(), heads.count * heads.value);
    let outs = key.data_mut().par_chunks_exact_mut(heads.count * query);
    let outs = outs.zip(
        value
            .data_mut()
            .par_chunks_exact_mut(heads.count * heads.value),
    );
    outs.enumerate().for_each(|(row, (key, value))| {
        let heads_of = up.row(row).chunks_exact(heads.expanded());
        let outs = key.chunks_exact_mut(query);
        let outs = outs.zip(value.chunks_exact_mut(heads.value));
        for ((key, value), up) in outs.zip(heads_of) {
            key[..plain].copy_from_slice(&up[..plain]);
            key[plain..].copy_from_slice(rotated.row(row));
            value.copy_from_slice(&up[plain..]);
        }
    });
    (key, value)
}

/// See [`Compute::expand_backward`](crate::compute::Compute::expand_backward).
pub(super) fn expand_backward(by_key: &Rows, by_value: &Rows, heads: LatentHeads) -> (Rows, Rows) {
    let plain = heads.plain;
    let width = heads.count * heads.expanded();
    let mut by_up = Rows::stale(by_key.rows(), width);
    let mut by_rotated = Rows::zeros(by_key.rows(), heads.rotated);
    let outs = by_up.data_mut().par_chunks_exact_mut(width);
    let outs = outs.zip(by_rotated.data_mut().par_chunks_exact_mut(heads.rotated));
    outs.enumerate().for_each(|(row, (by_up, by_rotated))| {
        let keys = by_key.row(row).chunks_exact(heads.query());
        let values = by_value.row(row).chunks_exact(heads.value);
        let outs = by_up.chunks_exact_mut(heads.expanded());
        for (up, (key, value)) in outs.zip(keys.zip(values)) {
            up[..plain].copy_from_slice(&key[..plain]);
            up[plain..].copy_from_slice(value);
            let sums = by_rotated.iter_mut().zip(&key[plain..]);
            sums.for_each(|(sum, d)| *sum += d);
        }
    });
    (by_up, by_rotated)
}

/// Calls `f` for every head, on all threads, with its number and its `[rows, width]` of what becomes
/// `[rows, heads * width]`.
fn by_head(rows: usize, heads: usize, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Rows {
    let mut apart = Rows::stale(heads, rows * width);
    let parts = apart.data_mut().par_chunks_exact_mut(rows * width);
    parts.enumerate().for_each(|(head, out)| f(head, out));
    let mut out = Rows::stale(rows, heads * width);
    for (row, out) in out.data_mut().chunks_exact_mut(heads * width).enumerate() {
        for (head, out) in out.chunks_exact_mut(width).enumerate() {
            out.copy_from_slice(&apart.row(head)[row * width..(row + 1) * width]);
        }
    }
    out
}

/// See [`Compute::absorb`](crate::compute::Compute::absorb).
pub(super) fn absorb(arch: Arch, query: &Rows, weight: &Tensor<2>, heads: LatentHeads) -> Rows {
    let stored = Stored::of(weight);
    let (latent, cached) = (heads.latent, heads.cached());
    by_head(query.rows(), heads.count, cached, |head, out| {
        let mut wide = vec![0.0; latent];
        let of = |row: usize| &query.row(row)[head * heads.query()..][..heads.query()];
        for (row, out) in out.chunks_exact_mut(cached).enumerate() {
            out[..latent].fill(0.0);
            out[latent..].copy_from_slice(&of(row)[heads.plain..]);
        }
        arch.dispatch(|| {
            for d in 0..heads.plain {
                let start = (head * heads.expanded() + d) * latent;
                stored
                    .weights()
                    .part(start..start + latent)
                    .widen(&mut wide);
                for (row, out) in out.chunks_exact_mut(cached).enumerate() {
                    let q = of(row)[d];
                    out.iter_mut().zip(&wide).for_each(|(o, w)| *o += q * w);
                }
            }
        });
    })
}

/// See [`Compute::release`](crate::compute::Compute::release).
pub(super) fn release(arch: Arch, mixed: &Rows, weight: &Tensor<2>, heads: LatentHeads) -> Rows {
    let stored = Stored::of(weight);
    let latent = heads.latent;
    by_head(mixed.rows(), heads.count, heads.value, |head, out| {
        let mut wide = vec![0.0; latent];
        arch.dispatch(|| {
            for d in 0..heads.value {
                let start = (head * heads.expanded() + heads.plain + d) * latent;
                stored
                    .weights()
                    .part(start..start + latent)
                    .widen(&mut wide);
                for (row, out) in out.chunks_exact_mut(heads.value).enumerate() {
                    out[d] = dot(&mixed.row(row)[head * latent..][..latent], &wide);
                }
            }
        });
    })
}
