//! The gradients of root-mean-square normalisation, by runs of rows.

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::{row_run, rows::Rows};
use crate::compute::{
    buffers::{Values, change},
    elementwise,
};

/// Adds the gradients by input and weight; no gradient of the weight when there is no sum for it.
pub(super) fn backward(
    arch: Arch,
    mut by_x: Rows,
    by_weight: Option<Tensor<1>>,
    x: &Rows,
    weight: &Tensor<1>,
    epsilon: f32,
    by_y: &Rows,
) -> (Rows, Option<Tensor<1>>) {
    let weight = Values::of(weight);
    let width = by_x.width();
    let run = row_run(by_x.rows(), width) * width;
    // A partial sum for each run of rows, added in order.
    let add_run = |((by_x, x), by_y): ((&mut [f32], &[f32]), &[f32])| {
        let mut sum = vec![0.0; weight.len()];
        let weight = &*weight;
        arch.dispatch(|| {
            elementwise::rms_norm_backward(by_x, &mut sum, x, weight, epsilon, by_y);
        });
        sum
    };
    let parts: Vec<Vec<f32>> = by_x
        .data_mut()
        .par_chunks_mut(run)
        .zip(x.data().par_chunks(run))
        .zip(by_y.data().par_chunks(run))
        .map(add_run)
        .collect();
    let by_weight = by_weight.map(|sum| {
        let add = |sum: &mut [f32]| {
            for part in &parts {
                sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
            }
        };
        change(sum, add).0
    });
    (by_x, by_weight)
}
