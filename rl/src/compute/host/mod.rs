//! The CPU: loops and matrix products on slices, with all cores where a matrix is large enough.
//!
//! | file | subject |
//! |---|---|
//! | [`rows`] | matrices in buffers that are used again |
//! | [`strided`] | rectangles inside them, and products of these |
//! | [`panel`] | products with few rows, as decoding needs them |
//! | [`products`] | products with weights, as they are stored |
//! | [`by_expert`] | rows sorted by what they go through |
//! | [`rms_norm`] | the gradients of a norm |
//! | [`distribution`] | the softmax over the vocabulary |
//! | [`attention`] | attention over packed rows, forward and backward |
//! | [`cache`] | keys and values of completions under way, and attention over them |
//! | [`tape`] | activations of sampled tokens, kept for training |

mod attention;
mod by_expert;
mod cache;
mod distribution;
mod latent;
mod panel;
mod products;
mod rms_norm;
mod rows;
mod strided;
mod tape;

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use self::{
    cache::HostCache,
    distribution::Distribution,
    rows::Rows,
    strided::{Into, Threads, ViewMut, product},
    tape::HostTape,
};
use super::{
    Absent, Attended, Compute, Direction, Frequencies, HeadOutput, HeadUpstream, Heads,
    LatentHeads, Qkv, Side,
    buffers::{Stored, Values, change},
    elementwise,
    packing::Packing,
};

/// Values from which on a loop is shared among threads.
const SHARED: usize = 1 << 15;

/// Rows from which on a general matrix product is faster than [`panel::few_rows`].
const MANY_ROWS: usize = 96;

/// The CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    arch: Arch,
    /// Rows from which on a general matrix product is used.
    many_rows: usize,
}

/// Angles of some rows.
pub(crate) struct Rotation {
    /// `[rows, half]`.
    cos: Vec<f32>,
    /// `[rows, half]`.
    sin: Vec<f32>,
    /// Half of the values of a head that are rotated.
    half: usize,
    /// Which these are.
    side: Side,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            arch: Arch::new(),
            many_rows: MANY_ROWS,
        }
    }

    /// Calls `f` on runs of whole rows of `out`, with the index of the first row, on all threads
    /// when there is enough to do. How rows are cut depends on the shape alone.
    fn by_rows(&self, out: &mut Rows, f: impl Fn(usize, &mut [f32]) + Sync) {
        let width = out.width();
        let run = row_run(out.rows(), width);
        let call = |(i, part): (usize, &mut [f32])| f(i * run, part);
        if out.data().len() >= SHARED {
            let runs = out.data_mut().par_chunks_mut(run * width);
            runs.enumerate().for_each(call);
        } else {
            let runs = out.data_mut().chunks_mut(run * width);
            runs.enumerate().for_each(call);
        }
    }

    /// `kernel` of every gate and what it lets through.
    fn gated(
        &self,
        gate: &Rows,
        up: &Rows,
        kernel: impl Fn(&mut [f32], &[f32], &[f32]) + Sync,
    ) -> Rows {
        let mut out = Rows::stale(gate.rows(), gate.width());
        self.by_rows(&mut out, |first, out| {
            let range = first * gate.width()..first * gate.width() + out.len();
            let (gate, up) = (&gate.data()[range.clone()], &up.data()[range]);
            kernel(out, gate, up);
        });
        out
    }
}

/// The gated product, and the gradients by gates and by what they let through, by `kernel`, which writes each in place of its
/// argument.
fn gated_backward(
    mut gate: Rows,
    mut up: Rows,
    mut by_y: Rows,
    kernel: impl Fn(&mut [f32], &mut [f32], &mut [f32]) + Sync,
) -> (Rows, Rows, Rows) {
    let run = SHARED / 2;
    let parts = gate
        .data_mut()
        .par_chunks_mut(run)
        .zip(up.data_mut().par_chunks_mut(run))
        .zip(by_y.data_mut().par_chunks_mut(run));
    parts.for_each(|((gate, up), by_y)| kernel(gate, up, by_y));
    (by_y, gate, up)
}

/// Rows in a run that one thread takes: about 16 Ki values, but at least one.
fn row_run(rows: usize, width: usize) -> usize {
    (SHARED / 2 / width.max(1)).clamp(1, rows.max(1))
}

fn outputs(weight: &Tensor<2>) -> usize {
    weight.dims()[0]
}

/// The `log Σ eˢ` of each row and query head.
impl Attended<Self> for Rows {
    fn rows(&self) -> Option<&Self> {
        Some(self)
    }

    fn from_rows(rows: impl FnOnce() -> Self) -> Self {
        rows()
    }
}

impl Compute for Host {
    type Rows = Rows;
    type Layout = Packing;
    type Rotation = Rotation;
    type Attended = Rows;
    type Distribution = Distribution;
    type Ids = Vec<u32>;
    type Cache = HostCache;
    type Tape = HostTape;
    type Burst = Absent;

    /// Every product by the same way of adding, however many rows there are, so that a completion is
    /// the same to the bit whatever else is decoded with it.
    fn decoding(&self) -> Self {
        Self {
            many_rows: usize::MAX,
            ..*self
        }
    }

    fn tape(&self, layers: usize, most: usize, distributions: bool) -> Option<HostTape> {
        Some(HostTape::new(layers, most, distributions))
    }

    fn burst(&self) -> Option<Absent> {
        None
    }

    fn look<T: Send>(
        &self,
        x: &mut Rows,
        rows: &[usize],
        f: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> Vec<T> {
        let width = x.width();
        let mut all: Vec<Option<&mut [f32]>> =
            x.data_mut().chunks_exact_mut(width).map(Some).collect();
        let shown: Vec<&mut [f32]> = rows
            .iter()
            .map(|&row| all[row].take().expect("each row is looked at once"))
            .collect();
        let shown = shown.into_par_iter().enumerate();
        shown.map(|(i, row)| f(i, row)).collect()
    }

    fn rotation(&self, frequencies: &Frequencies, positions: &[usize]) -> Rotation {
        let (cos, sin) = frequencies.angles(positions);
        let half = frequencies.pairs();
        Rotation {
            cos,
            sin,
            half,
            side: frequencies.side(),
        }
    }

    fn ids(&self, ids: &[u32]) -> Vec<u32> {
        ids.to_vec()
    }

    fn embed(&self, table: &Tensor<2>, ids: &Vec<u32>) -> Rows {
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
        products::merge(weight, up, down, scale, memory)
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

    fn add(&self, mut sum: Rows, x: &Rows) -> Rows {
        self.by_rows(&mut sum, |first, sum| {
            let x = &x.data()[first * x.width()..][..sum.len()];
            sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
        });
        sum
    }

    fn column_sums_onto(&self, sum: Tensor<1>, by_y: &Rows) -> Tensor<1> {
        let add = |sum: &mut [f32]| {
            for row in by_y.data().chunks_exact(sum.len()) {
                sum.iter_mut().zip(row).for_each(|(s, d)| *s += d);
            }
        };
        change(sum, add).0
    }

    fn each<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        work: usize,
        f: impl Fn(I) -> T + Send + Sync,
    ) -> Vec<T> {
        by_expert::each(items, work, f)
    }

    fn fold(&self, x: Rows, width: usize) -> Rows {
        x.folded(width)
    }

    fn gather(&self, parts: &[Rows], places: &[(usize, usize)], width: usize) -> Rows {
        self.gathered(parts, places, width)
    }

    fn add_gathered(
        &self,
        sum: Option<Rows>,
        parts: &[Rows],
        places: &[(usize, usize)],
        weights: Option<&[f32]>,
        count: usize,
    ) -> Rows {
        self.gathered_onto(sum, parts, places, weights, count)
    }

    fn scale_rows(&self, x: Rows, factors: &[f32]) -> Rows {
        self.scaled_rows(x, factors)
    }

    fn row_dots(&self, a: &Rows, b: &Rows) -> Rows {
        self.dots(a, b)
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
        by_x: Rows,
        by_weight: Option<Tensor<1>>,
        x: &Rows,
        weight: &Tensor<1>,
        epsilon: f64,
        by_y: &Rows,
    ) -> (Rows, Option<Tensor<1>>) {
        rms_norm::backward(self.arch, by_x, by_weight, x, weight, epsilon as f32, by_y)
    }

    fn swiglu(&self, gate: &Rows, up: &Rows) -> Rows {
        self.gated(gate, up, |out, gate, up| {
            self.arch.dispatch(|| elementwise::swiglu(out, gate, up));
        })
    }

    fn swiglu_backward(&self, gate: Rows, up: Rows, by_y: Rows) -> (Rows, Rows, Rows) {
        gated_backward(gate, up, by_y, |gate, up, by_y| {
            self.arch
                .dispatch(|| elementwise::swiglu_backward(gate, up, by_y));
        })
    }

    fn geglu(&self, gate: &Rows, up: &Rows) -> Rows {
        self.gated(gate, up, |out, gate, up| {
            self.arch.dispatch(|| elementwise::geglu(out, gate, up));
        })
    }

    fn geglu_backward(&self, gate: Rows, up: Rows, by_y: Rows) -> (Rows, Rows, Rows) {
        gated_backward(gate, up, by_y, |gate, up, by_y| {
            self.arch
                .dispatch(|| elementwise::geglu_backward(gate, up, by_y));
        })
    }

    fn scale(&self, mut x: Rows, factor: f32) -> Rows {
        self.by_rows(&mut x, |_, part| part.iter_mut().for_each(|x| *x *= factor));
        x
    }

    fn split(&self, x: &Rows, at: usize) -> (Rows, Rows) {
        latent::split(x, at)
    }

    fn beside(&self, left: &Rows, right: &Rows) -> Rows {
        latent::beside(left, right)
    }

    fn expand(&self, up: &Rows, rotated: &Rows, heads: LatentHeads) -> (Rows, Rows) {
        latent::expand(up, rotated, heads)
    }

    fn expand_backward(&self, by_key: &Rows, by_value: &Rows, heads: LatentHeads) -> (Rows, Rows) {
        latent::expand_backward(by_key, by_value, heads)
    }

    fn absorb(&self, query: &Rows, weight: &Tensor<2>, heads: LatentHeads) -> Rows {
        latent::absorb(self.arch, query, weight, heads)
    }

    fn release(&self, mixed: &Rows, weight: &Tensor<2>, heads: LatentHeads) -> Rows {
        latent::release(self.arch, mixed, weight, heads)
    }

    fn rotate(&self, mut x: Rows, rotation: &Rotation, heads: usize, direction: Direction) -> Rows {
        let width = x.width();
        let (dim, half) = (width / heads, rotation.half);
        let start = rotation.side.start(dim, 2 * half);
        let direction = match direction {
            Direction::Forward => 1.0,
            Direction::Backward => -1.0,
        };
        self.by_rows(&mut x, |first, part| {
            self.arch.dispatch(|| {
                for (i, row) in part.chunks_exact_mut(width).enumerate() {
                    let angles = (first + i) * half..(first + i + 1) * half;
                    let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
                    elementwise::rotate(row, (dim, start), cos, sin, direction);
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
        logits: Rows,
        targets: &[u32],
        temperature: f64,
    ) -> HeadOutput<Distribution> {
        distribution::forward(self.arch, logits, targets, temperature)
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

    fn rows_of(&self, values: Vec<f32>, width: usize) -> Rows {
        let mut rows = Rows::stale(values.len() / width.max(1), width);
        rows.data_mut().copy_from_slice(&values);
        rows
    }

    fn values_of(&self, x: &Rows) -> Vec<f32> {
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
        distribution::backward(distribution, targets, upstream, entropy, temperature)
    }
}
