//! Products of rows with weights, as weights are stored.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::{
    Host, SHARED, panel,
    rows::Rows,
    strided::{Into, Threads, View, ViewMut, product},
};
use crate::compute::buffers::{Stored, Values, Weights, change};

/// Weights stored in half precision that are in f32 at the same time: 4 MiB of them.
const WIDENED: usize = 1 << 20;

/// Rows of a weight that get their adapter at a time.
const MERGED_ROWS: usize = 64;

impl Host {
    /// `out (+)= scale · x Wᵀ`.
    pub(super) fn times_weight(
        &self,
        out: &mut Rows,
        x: &Rows,
        weight: &Tensor<2>,
        scale: f32,
        into: Into,
    ) {
        let stored = Stored::of(weight);
        let inputs = x.width();
        if x.rows() < self.many_rows && scale == 1.0 {
            let add = into == Into::Add;
            let (out, weight) = (out.data_mut(), stored.weights());
            panel::few_rows(self.arch, out, x.data(), weight, inputs, add, Threads::Pool);
            return;
        }
        let rows = x.rows();
        self.in_f32(stored.weights(), inputs, |outputs, weight| {
            let mut out = out.view_mut().part(0..rows, outputs);
            product(&mut out, x.view(), weight.t(), scale, into, Threads::Pool);
        });
    }

    /// `out (+)= scale · ∂y W`.
    pub(super) fn times_weight_back(
        &self,
        out: &mut Rows,
        by_y: &Rows,
        weight: &Tensor<2>,
        scale: f32,
        into: Into,
    ) {
        let stored = Stored::of(weight);
        let (rows, mut into) = (by_y.rows(), into);
        self.in_f32(stored.weights(), out.width(), |outputs, weight| {
            let by_y = by_y.view().part(0..rows, outputs);
            product(
                &mut out.view_mut(),
                by_y,
                weight,
                scale,
                into,
                Threads::Pool,
            );
            into = Into::Add; // what other outputs bring
        });
    }

    /// Calls `f` with runs of the rows of a weight in f32: all of them at once where they are
    /// stored so.
    fn in_f32(
        &self,
        weights: Weights,
        inputs: usize,
        mut f: impl FnMut(std::ops::Range<usize>, View),
    ) {
        let outputs = weights.len() / inputs;
        if let Weights::F32(values) = weights {
            return f(0..outputs, View::new(values, inputs));
        }
        let run = (WIDENED / inputs).clamp(1, outputs.max(1));
        let mut wide = Rows::stale(run, inputs);
        for first in (0..outputs).step_by(run) {
            let rows = first..(first + run).min(outputs);
            let part = weights.part(rows.start * inputs..rows.end * inputs);
            let wide = &mut wide.data_mut()[..part.len()];
            let pieces = wide.par_chunks_mut(SHARED).enumerate();
            pieces.for_each(|(i, wide)| {
                let part = part.part(i * SHARED..i * SHARED + wide.len());
                self.arch.dispatch(|| part.widen(wide));
            });
            f(rows, View::new(wide, inputs));
        }
    }
}

/// `W + scale · up · down` in f32, in the place of `memory` where that can be.
pub(super) fn merge(
    weight: &Tensor<2>,
    up: &Tensor<2>,
    down: &Tensor<2>,
    scale: f32,
    memory: Option<Tensor<2>>,
) -> Tensor<2> {
    let (up, down, stored) = (Values::of(up), Values::of(down), Stored::of(weight));
    let [outputs, inputs] = weight.dims();
    let rank = down.len() / inputs;
    let zeros = || Tensor::zeros([outputs, inputs], &weight.device());
    let add = |sum: &mut [f32]| {
        // A few rows at a time, so that they are still in the cache when they are added to.
        let runs = sum.par_chunks_mut(MERGED_ROWS * inputs).enumerate();
        runs.for_each(|(i, sum)| {
            let first = i * MERGED_ROWS;
            let part = first * inputs..first * inputs + sum.len();
            stored.weights().part(part).widen(sum);
            let up = &up[first * rank..][..sum.len() / inputs * rank];
            let (up, down) = (View::new(up, rank), View::new(&down, inputs));
            let mut sum = ViewMut::new(sum, inputs);
            product(&mut sum, up, down, scale, Into::Add, Threads::One);
        });
    };
    change(memory.unwrap_or_else(zeros), add).0
}
