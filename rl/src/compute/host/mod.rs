//! The CPU: loops and matrix products on slices, with all cores where a matrix is large enough.
//!
//! | file | subject |
//! |---|---|
//! | [`rows`] | matrices in buffers that are used again |
//! | [`strided`] | rectangles inside them, and products of these |
//! | [`panel`] | products with few rows, as decoding needs them |
//! | [`attention`] | attention over packed rows, forward and backward |
//! | [`cache`] | keys and values of completions under way, and attention over them |
//! | [`tape`] | activations of sampled tokens, kept for training |

mod attention;
pub(crate) mod cache;
mod panel;
mod rows;
mod strided;
pub(crate) mod tape;

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use self::strided::{Into, Threads, View, ViewMut, product};
use super::{
    Compute, Direction, HeadOutput, HeadUpstream, Heads, Qkv,
    buffers::{Stored, Values, Weights, change},
    elementwise,
    packing::Packing,
};
use crate::model::rope::Rope;

pub(crate) use self::rows::Rows;

/// Values from which on a loop is shared among threads.
const SHARED: usize = 1 << 15;

/// Rows from which on a general matrix product is faster than [`panel::few_rows`].
const MANY_ROWS: usize = 96;

/// Weights stored in half precision that are in f32 at the same time: 4 MiB of them.
const WIDENED: usize = 1 << 20;

/// Rows of a weight that get their adapter at a time.
const MERGED_ROWS: usize = 64;

/// The CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    arch: Arch,
    /// Rows from which on a general matrix product is used.
    many_rows: usize,
}

/// Angles of some rows.
pub(crate) struct Rotation {
    /// `[rows, dim / 2]`.
    cos: Vec<f32>,
    /// `[rows, dim / 2]`.
    sin: Vec<f32>,
}

/// Softmax weights before they are divided by their sum.
pub(crate) struct Distribution {
    /// `[tokens, vocabulary]`: `e^{(z − max z) / τ}`.
    weights: Rows,
    /// `[tokens]`: their sums.
    sums: Vec<f32>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            arch: Arch::new(),
            many_rows: MANY_ROWS,
        }
    }

    /// For decoding: every product by the same way of adding, however many rows there are, so that
    /// a completion is the same to the bit whatever else is decoded with it.
    pub(crate) fn decoding() -> Self {
        Self {
            arch: Arch::new(),
            many_rows: usize::MAX,
        }
    }

    /// Calls `f` on runs of whole rows of `out`, with the index of the first row, on all threads
    /// when there is enough to do. How rows are cut depends on the shape alone.
    fn by_rows(&self, out: &mut Rows, f: impl Fn(usize, &mut [f32]) + Sync) {
        let width = out.width();
        let run = row_run(out.rows(), width);
        let call = |(i, part): (usize, &mut [f32])| f(i * run, part);
        match out.data().len() >= SHARED {
            true => out
                .data_mut()
                .par_chunks_mut(run * width)
                .enumerate()
                .for_each(call),
            false => out
                .data_mut()
                .chunks_mut(run * width)
                .enumerate()
                .for_each(call),
        }
    }

    /// `out (+)= scale · x Wᵀ`.
    fn times_weight(&self, out: &mut Rows, x: &Rows, weight: &Tensor<2>, scale: f32, into: Into) {
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
    fn times_weight_back(
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

/// Rows in a run that one thread takes: about 16 Ki values, but at least one.
fn row_run(rows: usize, width: usize) -> usize {
    (SHARED / 2 / width.max(1)).clamp(1, rows.max(1))
}

fn outputs(weight: &Tensor<2>) -> usize {
    weight.dims()[0]
}

impl Compute for Host {
    type Rows = Rows;
    type Layout = Packing;
    type Rotation = Rotation;
    type Attended = Rows;
    type Distribution = Distribution;

    fn rotation(&self, rope: &Rope, positions: &[usize]) -> Rotation {
        let (cos, sin) = rope.angles(positions);
        Rotation { cos, sin }
    }

    fn embed(&self, table: &Tensor<2>, ids: &[u32]) -> Rows {
        let [_, width] = table.dims();
        let table = Stored::of(table);
        let mut out = Rows::stale(ids.len(), width);
        for (out, &id) in out.data_mut().chunks_exact_mut(width).zip(ids) {
            let start = id as usize * width;
            table.weights().part(start..start + width).widen(out);
        }
        out
    }

    fn embed_backward(&self, sum: Tensor<1>, ids: &[u32], by_rows: &Rows) -> Tensor<1> {
        let width = by_rows.width();
        let add = |sum: &mut [f32]| {
            for (row, &id) in ids.iter().enumerate() {
                let sum = &mut sum[id as usize * width..][..width];
                sum.iter_mut()
                    .zip(by_rows.row(row))
                    .for_each(|(s, d)| *s += d);
            }
        };
        change(sum, add).0
    }

    fn copy(&self, x: &Rows) -> Rows {
        let mut out = Rows::stale(x.rows(), x.width());
        out.data_mut().copy_from_slice(x.data());
        out
    }

    fn zeros_like(&self, x: &Rows) -> Rows {
        Rows::zeros(x.rows(), x.width())
    }

    fn select(&self, x: &Rows, rows: &[usize]) -> Rows {
        let mut out = Rows::stale(rows.len(), x.width());
        for (out, &row) in out.data_mut().chunks_exact_mut(x.width()).zip(rows) {
            out.copy_from_slice(x.row(row));
        }
        out
    }

    fn select_backward_onto(
        &self,
        sum: Option<Rows>,
        by_y: &Rows,
        rows: &[usize],
        count: usize,
    ) -> Rows {
        let mut out = sum.unwrap_or_else(|| Rows::zeros(count, by_y.width()));
        let width = by_y.width();
        for (i, &row) in rows.iter().enumerate() {
            let out = &mut out.data_mut()[row * width..(row + 1) * width];
            out.iter_mut().zip(by_y.row(i)).for_each(|(o, d)| *o += d);
        }
        out
    }

    fn project(&self, x: &Rows, weight: &Tensor<2>) -> Rows {
        let mut out = Rows::stale(x.rows(), outputs(weight));
        self.times_weight(&mut out, x, weight, 1.0, Into::Replace);
        out
    }

    fn project_all<const N: usize>(&self, x: &Rows, weights: [&Tensor<2>; N]) -> [Rows; N] {
        if x.rows() >= self.many_rows {
            return weights.map(|weight| self.project(x, weight));
        }
        let stored = weights.map(Stored::of);
        let mut outs = weights.map(|weight| Rows::stale(x.rows(), outputs(weight)));
        let pairs = outs
            .iter_mut()
            .map(Rows::data_mut)
            .zip(stored.iter().map(Stored::weights));
        panel::few_rows_all(self.arch, pairs, x.data(), x.width(), false, Threads::Pool);
        outs
    }

    fn project_onto(&self, mut sum: Rows, x: &Rows, weight: &Tensor<2>, scale: f32) -> Rows {
        self.times_weight(&mut sum, x, weight, scale, Into::Add);
        sum
    }

    fn project_back(&self, by_y: &Rows, weight: &Tensor<2>) -> Rows {
        let mut out = Rows::stale(by_y.rows(), weight.dims()[1]);
        self.times_weight_back(&mut out, by_y, weight, 1.0, Into::Replace);
        out
    }

    fn project_back_onto(
        &self,
        mut sum: Rows,
        by_y: &Rows,
        weight: &Tensor<2>,
        scale: f32,
    ) -> Rows {
        self.times_weight_back(&mut sum, by_y, weight, scale, Into::Add);
        sum
    }

    fn merge(
        &self,
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

    fn outer_onto(&self, sum: Tensor<1>, by_y: &Rows, x: &Rows, scale: f32) -> Tensor<1> {
        let add = |sum: &mut [f32]| {
            let mut sum = ViewMut::new(sum, x.width());
            let left = by_y.view().t();
            product(&mut sum, left, x.view(), scale, Into::Add, Threads::Pool);
        };
        change(sum, add).0
    }

    fn add_bias(&self, mut x: Rows, bias: &Tensor<1>) -> Rows {
        let bias = Values::of(bias);
        for row in x.data_mut().chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(&*bias).for_each(|(x, b)| *x += b);
        }
        x
    }

    fn column_sums_onto(&self, sum: Tensor<1>, by_y: &Rows) -> Tensor<1> {
        let add = |sum: &mut [f32]| {
            for row in by_y.data().chunks_exact(sum.len()) {
                sum.iter_mut().zip(row).for_each(|(s, d)| *s += d);
            }
        };
        change(sum, add).0
    }

    fn rms_norm(&self, x: &Rows, weight: &Tensor<1>, epsilon: f64) -> Rows {
        let weight = Values::of(weight);
        let mut out = Rows::stale(x.rows(), x.width());
        self.by_rows(&mut out, |first, out| {
            let x = &x.data()[first * x.width()..][..out.len()];
            self.arch
                .dispatch(|| elementwise::rms_norm(out, x, &weight, epsilon as f32));
        });
        out
    }

    fn rms_norm_backward(
        &self,
        mut by_x: Rows,
        by_weight: Option<Tensor<1>>,
        x: &Rows,
        weight: &Tensor<1>,
        epsilon: f64,
        by_y: &Rows,
    ) -> (Rows, Option<Tensor<1>>) {
        let weight = Values::of(weight);
        let width = by_x.width();
        let run = row_run(by_x.rows(), width) * width;
        // A partial sum for each run of rows, added in order.
        let one = |((by_x, x), by_y): ((&mut [f32], &[f32]), &[f32])| {
            let mut sum = vec![0.0; weight.len()];
            let (weight, epsilon) = (&*weight, epsilon as f32);
            self.arch.dispatch(|| {
                elementwise::rms_norm_backward(by_x, &mut sum, x, weight, epsilon, by_y);
            });
            sum
        };
        let parts: Vec<Vec<f32>> = by_x
            .data_mut()
            .par_chunks_mut(run)
            .zip(x.data().par_chunks(run))
            .zip(by_y.data().par_chunks(run))
            .map(one)
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

    fn swiglu(&self, gate: &Rows, up: &Rows) -> Rows {
        let mut out = Rows::stale(gate.rows(), gate.width());
        self.by_rows(&mut out, |first, out| {
            let range = first * gate.width()..first * gate.width() + out.len();
            let (gate, up) = (&gate.data()[range.clone()], &up.data()[range]);
            self.arch.dispatch(|| elementwise::swiglu(out, gate, up));
        });
        out
    }

    fn swiglu_backward(&self, mut gate: Rows, mut up: Rows, mut by_y: Rows) -> (Rows, Rows, Rows) {
        let run = SHARED / 2;
        let parts = gate
            .data_mut()
            .par_chunks_mut(run)
            .zip(up.data_mut().par_chunks_mut(run))
            .zip(by_y.data_mut().par_chunks_mut(run));
        parts.for_each(|((gate, up), by_y)| {
            self.arch
                .dispatch(|| elementwise::swiglu_backward(gate, up, by_y));
        });
        (by_y, gate, up)
    }

    fn rotate(&self, mut x: Rows, rotation: &Rotation, heads: usize, direction: Direction) -> Rows {
        let width = x.width();
        let half = width / heads / 2;
        let direction = match direction {
            Direction::Forward => 1.0,
            Direction::Backward => -1.0,
        };
        self.by_rows(&mut x, |first, part| {
            self.arch.dispatch(|| {
                for (i, row) in part.chunks_exact_mut(width).enumerate() {
                    let angles = (first + i) * half..(first + i + 1) * half;
                    let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
                    elementwise::rotate(row, cos, sin, direction);
                }
            });
        });
        x
    }

    fn layout(&self, packing: &Packing, _: Heads) -> Packing {
        packing.clone()
    }

    fn attention(&self, qkv: &Qkv<Rows>, packing: &Packing, heads: Heads) -> (Rows, Rows) {
        attention::forward(qkv, packing, heads)
    }

    fn attention_backward(
        &self,
        qkv: &Qkv<Rows>,
        output: &Rows,
        attended: &Rows,
        by_output: &Rows,
        packing: &Packing,
        heads: Heads,
    ) -> Qkv<Rows> {
        attention::backward(qkv, output, attended, by_output, packing, heads)
    }

    fn distribution(
        &self,
        mut logits: Rows,
        targets: &[u32],
        temperature: f64,
    ) -> HeadOutput<Distribution> {
        let inverse = (1.0 / temperature) as f32;
        let arch = self.arch;
        let one = |(z, &target): (&mut [f32], &u32)| {
            arch.dispatch(|| {
                let top = elementwise::max(z);
                let chosen = (z[target as usize] - top) * inverse;
                // H = log Σ w − Σ w log w / Σ w, with log w = (z − top) / τ.
                let (mut sum, mut weighted) = (0.0f64, 0.0f64);
                for z in z.chunks_mut(1 << 10) {
                    let (s, w) = elementwise::exp_moments(z, top, inverse);
                    sum += s;
                    weighted += w;
                }
                let log = sum.ln();
                (
                    sum as f32,
                    chosen - log as f32,
                    (log - weighted / sum) as f32,
                )
            })
        };
        let width = logits.width();
        let rows = logits.data_mut().par_chunks_mut(width).zip(targets);
        let all: Vec<(f32, f32, f32)> = rows.map(one).collect();
        HeadOutput {
            logprobs: all.iter().map(|row| row.1).collect(),
            entropy: all.iter().map(|row| row.2).collect(),
            distribution: Distribution {
                weights: logits,
                sums: all.iter().map(|row| row.0).collect(),
            },
        }
    }

    fn probabilities(&self, distribution: &Distribution, rows: &[usize]) -> Vec<Vec<f32>> {
        let row = |&row: &usize| {
            let inverse = 1.0 / distribution.sums[row];
            let weights = distribution.weights.row(row).iter();
            weights.map(|weight| weight * inverse).collect()
        };
        rows.iter().map(row).collect()
    }

    fn add_to_rows(&self, mut x: Rows, more: Vec<(usize, Vec<f32>)>) -> Rows {
        let width = x.width();
        for (row, more) in more {
            let row = &mut x.data_mut()[row * width..(row + 1) * width];
            row.iter_mut().zip(more).for_each(|(x, more)| *x += more);
        }
        x
    }

    fn rows(&self, values: Vec<f32>, width: usize) -> Rows {
        let mut rows = Rows::stale(values.len() / width.max(1), width);
        rows.data_mut().copy_from_slice(&values);
        rows
    }

    fn values(&self, x: &Rows) -> Vec<f32> {
        x.data().to_vec()
    }

    fn distribution_backward(
        &self,
        distribution: Distribution,
        targets: &[u32],
        upstream: &HeadUpstream,
        entropy: &[f32],
        temperature: f64,
    ) -> Rows {
        let Distribution { mut weights, sums } = distribution;
        let inverse = (1.0 / temperature) as f32;
        let width = weights.width();
        let rows = weights.data_mut().par_chunks_mut(width).enumerate();
        rows.for_each(|(row, weights)| {
            let scaled = upstream.by_logprobs[row] * inverse;
            match upstream.by_entropy.get(row) {
                None => {
                    let factor = -scaled / sums[row];
                    weights.iter_mut().for_each(|w| *w *= factor);
                }
                Some(by_entropy) => {
                    let by_entropy = by_entropy * inverse;
                    // log p = log w − log Σ w; where w is 0, so is p log p.
                    let shift = entropy[row] - sums[row].ln();
                    for w in weights.iter_mut() {
                        let log = if *w > 0.0 { w.ln() } else { 0.0 };
                        *w *= -(scaled + by_entropy * (log + shift)) / sums[row];
                    }
                }
            }
            weights[targets[row] as usize] += scaled;
        });
        weights
    }
}
