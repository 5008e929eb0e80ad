//! Rows that are sorted by what they go through, and put together again.

use rayon::prelude::*;

use super::{Host, rows::Rows};
use crate::compute::elementwise;

/// Multiplications from which on parts go to different threads.
const SHARED_WORK: usize = 1 << 18;

/// What `f` makes of each item, in their order.
pub(super) fn each<I: Send, T: Send>(
    items: Vec<I>,
    work: usize,
    f: impl Fn(I) -> T + Send + Sync,
) -> Vec<T> {
    if work > SHARED_WORK && items.len() > 1 && rayon::current_num_threads() > 1 {
        items.into_par_iter().map(f).collect()
    } else {
        items.into_iter().map(f).collect()
    }
}

impl Host {
    /// See [`Compute::gather`](crate::compute::Compute::gather).
    pub(super) fn gathered(&self, parts: &[Rows], places: &[(usize, usize)], width: usize) -> Rows {
        let mut out = Rows::stale(places.len(), width);
        self.by_rows(&mut out, |first, out| {
            for (out, &(part, row)) in out.chunks_exact_mut(width).zip(&places[first..]) {
                out.copy_from_slice(parts[part].row(row));
            }
        });
        out
    }

    /// See [`Compute::add_gathered`](crate::compute::Compute::add_gathered).
    pub(super) fn gathered_onto(
        &self,
        sum: Option<Rows>,
        parts: &[Rows],
        places: &[(usize, usize)],
        weights: Option<&[f32]>,
        count: usize,
    ) -> Rows {
        let width = parts[0].width();
        let share = places.len() / count;
        let mut out = sum.unwrap_or_else(|| Rows::zeros(count, width));
        self.by_rows(&mut out, |first, out| {
            for (i, sum) in out.chunks_exact_mut(width).enumerate() {
                let own = (first + i) * share..(first + i + 1) * share;
                for slot in own {
                    let (part, row) = places[slot];
                    let y = parts[part].row(row);
                    match weights {
                        Some(weights) => {
                            let weight = weights[slot];
                            sum.iter_mut().zip(y).for_each(|(s, y)| *s += weight * y);
                        }
                        None => sum.iter_mut().zip(y).for_each(|(s, y)| *s += y),
                    }
                }
            }
        });
        out
    }

    /// See [`Compute::scale_rows`](crate::compute::Compute::scale_rows).
    pub(super) fn scaled_rows(&self, mut x: Rows, factors: &[f32]) -> Rows {
        let width = x.width();
        self.by_rows(&mut x, |first, x| {
            for (row, factor) in x.chunks_exact_mut(width).zip(&factors[first..]) {
                row.iter_mut().for_each(|x| *x *= factor);
            }
        });
        x
    }

    /// See [`Compute::row_dots`](crate::compute::Compute::row_dots).
    pub(super) fn dots(&self, a: &Rows, b: &Rows) -> Rows {
        let mut out = Rows::stale(a.rows(), 1);
        for (row, out) in out.data_mut().iter_mut().enumerate() {
            *out = self
                .arch
                .dispatch(|| elementwise::dot(a.row(row), b.row(row)));
        }
        out
    }
}
