//! Any Burn device, by tensor operations.
//!
//! | file | subject |
//! |---|---|
//! | this one | the operations of [`Compute`] |
//! | [`attention`] | attention over packed rows |
//! | [`by_expert`] | rows sorted by what they go through |
//! | [`distribution`] | the softmax over the vocabulary |
//! | [`ring`] | keys and values of completions under way, with static shapes |
//! | [`draw`] | choosing tokens without reading logits back |
//! | [`latent`] | keys and values out of latents, and queries against them |

mod attention;
mod by_expert;
mod distribution;
mod draw;
mod latent;
mod ring;

use burn::tensor::{
    DType, Device, IndexingUpdateOp, Int, Tensor, TensorData,
    activation::{sigmoid, silu},
};

use self::{attention::Layout, distribution::Distribution, draw::TensorBurst, ring::Ring};
use super::{
    Absent, Compute, Direction, Frequencies, HeadOutput, HeadUpstream, Heads, LatentHeads, Qkv,
    Side,
    buffers::{from_host, to_host},
    packing::Packing,
};

/// Added to the scores of pairs that must not attend to each other. Finite, so that a row of
/// padding, which may attend to nothing, stays free of NaN.
const MASKED: f32 = -1e9;

/// A Burn device.
#[derive(Debug, Clone)]
pub(crate) struct Tensors {
    pub(crate) device: Device,
}

/// Angles of some rows.
pub(crate) struct Rotation {
    /// `[rows, 1, half]`.
    cos: Tensor<3>,
    /// `[rows, 1, half]`.
    sin: Tensor<3>,
    /// Which values of a head are rotated.
    side: Side,
}

/// Ids as an index tensor.
pub(crate) fn index(ids: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
    let count = ids.len();
    Tensor::from_data(TensorData::new(ids, [count]), device)
}

/// A weight in the precision that is computed in, whatever it is stored in.
pub(crate) fn in_f32(weight: &Tensor<2>) -> Tensor<2> {
    match weight.dtype() {
        DType::F32 => weight.clone(),
        _ => weight.clone().cast(DType::F32),
    }
}

impl Tensors {
    fn targets(&self, targets: &[u32]) -> Tensor<2, Int> {
        index(targets.iter().map(|&id| id as usize), &self.device).unsqueeze_dim(1)
    }
}

impl Compute for Tensors {
    type Rows = Tensor<2>;
    type Layout = Layout;
    type Rotation = Rotation;
    type Attended = ();
    type Distribution = Distribution;
    type Ids = Tensor<1, Int>;
    type Cache = Ring;
    type Tape = Absent;
    type Burst = TensorBurst;

    fn tape(&self, _: usize, _: usize, _: bool) -> Option<Absent> {
        None
    }

    fn burst(&self) -> Option<TensorBurst> {
        Some(TensorBurst::default())
    }

    fn look<T: Send>(
        &self,
        x: &mut Tensor<2>,
        rows: &[usize],
        f: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> Vec<T> {
        let [_, width] = x.dims();
        let mut values = to_host(x.clone());
        let show = |(i, &row): (usize, &usize)| f(i, &mut values[row * width..(row + 1) * width]);
        rows.iter().enumerate().map(show).collect()
    }

    fn rotation(&self, frequencies: &Frequencies, positions: &[usize]) -> Rotation {
        let (cos, sin) = frequencies.angles(positions);
        let shape = [positions.len(), 1, frequencies.pairs()];
        Rotation {
            cos: from_host(cos, shape, &self.device),
            sin: from_host(sin, shape, &self.device),
            side: frequencies.side(),
        }
    }

    fn ids(&self, ids: &[u32]) -> Tensor<1, Int> {
        index(ids.iter().map(|&id| id as usize), &self.device)
    }

    fn embed(&self, table: &Tensor<2>, ids: &Tensor<1, Int>) -> Tensor<2> {
        in_f32(&table.clone().select(0, ids.clone()))
    }

    fn embed_backward(&self, sum: Tensor<1>, ids: &[u32], by_rows: &Tensor<2>) -> Tensor<1> {
        let [_, width] = by_rows.dims();
        let count = sum.dims()[0];
        let ids = index(ids.iter().map(|&id| id as usize), &self.device);
        sum.reshape([count / width, width])
            .select_assign(0, ids, by_rows.clone(), IndexingUpdateOp::Add)
            .reshape([count])
    }

    fn copy(&self, x: &Tensor<2>) -> Tensor<2> {
        x.clone()
    }

    fn zeros_like(&self, x: &Tensor<2>) -> Tensor<2> {
        x.zeros_like()
    }

    fn select(&self, x: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
        x.clone()
            .select(0, index(rows.iter().copied(), &self.device))
    }

    fn select_backward_onto(
        &self,
        sum: Option<Tensor<2>>,
        by_y: &Tensor<2>,
        rows: &[usize],
        count: usize,
    ) -> Tensor<2> {
        let [_, width] = by_y.dims();
        let rows = index(rows.iter().copied(), &self.device);
        sum.unwrap_or_else(|| Tensor::zeros([count, width], &self.device))
            .select_assign(0, rows, by_y.clone(), IndexingUpdateOp::Add)
    }

    fn project(&self, x: &Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
        x.clone().matmul(in_f32(weight).transpose())
    }

    fn project_onto(
        &self,
        sum: Tensor<2>,
        x: &Tensor<2>,
        weight: &Tensor<2>,
        scale: f32,
    ) -> Tensor<2> {
        sum + scaled(self.project(x, weight), scale)
    }

    fn project_back(&self, by_y: &Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
        by_y.clone().matmul(in_f32(weight))
    }

    fn project_back_onto(
        &self,
        sum: Tensor<2>,
        by_y: &Tensor<2>,
        weight: &Tensor<2>,
        scale: f32,
    ) -> Tensor<2> {
        sum + scaled(self.project_back(by_y, weight), scale)
    }

    fn merge(
        &self,
        weight: &Tensor<2>,
        up: &Tensor<2>,
        down: &Tensor<2>,
        scale: f32,
        memory: Option<Tensor<2>>,
    ) -> Tensor<2> {
        drop(memory); // the device's allocator uses it again
        in_f32(weight) + scaled(up.clone().matmul(down.clone()), scale)
    }

    fn outer_onto(&self, sum: Tensor<1>, by_y: &Tensor<2>, x: &Tensor<2>, scale: f32) -> Tensor<1> {
        let count = sum.dims()[0];
        let outer = by_y.clone().transpose().matmul(x.clone());
        sum + scaled(outer, scale).reshape([count])
    }

    fn add_bias(&self, x: Tensor<2>, bias: &Tensor<1>) -> Tensor<2> {
        x + bias.clone().unsqueeze::<2>()
    }

    fn add(&self, sum: Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
        sum + x.clone()
    }

    fn column_sums_onto(&self, sum: Tensor<1>, by_y: &Tensor<2>) -> Tensor<1> {
        sum + by_y.clone().sum_dim(0).squeeze_dim::<1>(0)
    }

    fn each<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        _: usize,
        f: impl Fn(I) -> T + Send + Sync,
    ) -> Vec<T> {
        items.into_iter().map(f).collect()
    }

    fn fold(&self, x: Tensor<2>, width: usize) -> Tensor<2> {
        let [rows, old] = x.dims();
        x.reshape([rows * old / width, width])
    }

    fn gather(&self, parts: &[Tensor<2>], places: &[(usize, usize)], _: usize) -> Tensor<2> {
        by_expert::gather(parts, places, &self.device)
    }

    fn add_gathered(
        &self,
        sum: Option<Tensor<2>>,
        parts: &[Tensor<2>],
        places: &[(usize, usize)],
        weights: Option<&[f32]>,
        count: usize,
    ) -> Tensor<2> {
        by_expert::add_gathered(sum, parts, places, weights, count, &self.device)
    }

    fn scale_rows(&self, x: Tensor<2>, factors: &[f32]) -> Tensor<2> {
        x.mul(by_expert::column(factors, &self.device))
    }

    fn row_dots(&self, a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
        a.clone().mul(b.clone()).sum_dim(1)
    }

    fn rms_norm(&self, x: &Tensor<2>, weight: &Tensor<1>, epsilon: f64) -> Tensor<2> {
        let [rows, width] = x.dims();
        let [run] = weight.dims();
        let x = x.clone().reshape([rows * width / run, run]);
        let rms = x.clone().square().mean_dim(1).add_scalar(epsilon).sqrt();
        let y = x.div(rms).mul(weight.clone().unsqueeze::<2>());
        y.reshape([rows, width])
    }

    fn rms_norm_backward(
        &self,
        by_x: Tensor<2>,
        by_weight: Option<Tensor<1>>,
        x: &Tensor<2>,
        weight: &Tensor<1>,
        epsilon: f64,
        by_y: &Tensor<2>,
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let [rows, width] = x.dims();
        let [run] = weight.dims();
        let runs = |x: &Tensor<2>| x.clone().reshape([rows * width / run, run]);
        let (x, by_y) = (runs(x), runs(by_y));
        let rms = x.clone().square().mean_dim(1).add_scalar(epsilon).sqrt();
        let normed = x.div(rms.clone());
        let by_weight = by_weight.map(|sum| {
            sum + normed
                .clone()
                .mul(by_y.clone())
                .sum_dim(0)
                .squeeze_dim::<1>(0)
        });
        let by_normed = by_y.mul(weight.clone().unsqueeze::<2>());
        let mean = by_normed.clone().mul(normed.clone()).mean_dim(1);
        let change = (by_normed - normed.mul(mean)).div(rms);
        (by_x + change.reshape([rows, width]), by_weight)
    }

    fn swiglu(&self, gate: &Tensor<2>, up: &Tensor<2>) -> Tensor<2> {
        silu(gate.clone()).mul(up.clone())
    }

    fn swiglu_backward(
        &self,
        gate: Tensor<2>,
        up: Tensor<2>,
        by_y: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let gated = sigmoid(gate.clone());
        let silu = gate.mul(gated.clone());
        let value = silu.clone().mul(up.clone());
        let by_up = by_y.clone().mul(silu.clone());
        // silu' = σ + silu (1 − σ)
        let slope = gated.clone() + silu.clone() - silu.mul(gated);
        (value, by_y.mul(up).mul(slope), by_up)
    }

    fn geglu(&self, gate: &Tensor<2>, up: &Tensor<2>) -> Tensor<2> {
        gate.clone().mul(gelu_gate(gate)).mul(up.clone())
    }

    fn geglu_backward(
        &self,
        gate: Tensor<2>,
        up: Tensor<2>,
        by_y: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let open = gelu_gate(&gate);
        let gelu = gate.clone().mul(open.clone());
        let value = gelu.clone().mul(up.clone());
        let by_up = by_y.clone().mul(gelu.clone());
        let inner = gate.square().mul_scalar(3.0 * GELU.1).add_scalar(1.0);
        let inner = inner.mul_scalar(2.0 * GELU.0);
        let slope = open.clone() + (gelu.clone() - gelu.mul(open)).mul(inner);
        (value, by_y.mul(up).mul(slope), by_up)
    }

    fn scale(&self, x: Tensor<2>, factor: f32) -> Tensor<2> {
        scaled(x, factor)
    }

    fn split(&self, x: &Tensor<2>, at: usize) -> (Tensor<2>, Tensor<2>) {
        let [_, width] = x.dims();
        let part = |from: usize, to: usize| x.clone().narrow(1, from, to - from);
        (part(0, at), part(at, width))
    }

    fn beside(&self, left: &Tensor<2>, right: &Tensor<2>) -> Tensor<2> {
        Tensor::cat(vec![left.clone(), right.clone()], 1)
    }

    fn expand(
        &self,
        up: &Tensor<2>,
        rotated: &Tensor<2>,
        heads: LatentHeads,
    ) -> (Tensor<2>, Tensor<2>) {
        latent::expand(up, rotated, heads)
    }

    fn expand_backward(
        &self,
        by_key: &Tensor<2>,
        by_value: &Tensor<2>,
        heads: LatentHeads,
    ) -> (Tensor<2>, Tensor<2>) {
        latent::expand_backward(by_key, by_value, heads)
    }

    fn absorb(&self, query: &Tensor<2>, weight: &Tensor<2>, heads: LatentHeads) -> Tensor<2> {
        latent::absorb(query, in_f32(weight), heads)
    }

    fn release(&self, mixed: &Tensor<2>, weight: &Tensor<2>, heads: LatentHeads) -> Tensor<2> {
        latent::release(mixed, in_f32(weight), heads)
    }

    fn rotate(
        &self,
        x: Tensor<2>,
        rotation: &Rotation,
        heads: usize,
        direction: Direction,
    ) -> Tensor<2> {
        let [rows, width] = x.dims();
        let (dim, [_, _, half]) = (width / heads, rotation.cos.dims());
        let x = x.reshape([rows, heads, dim]);
        let start = rotation.side.start(dim, 2 * half);
        let end = start + 2 * half;
        let before = (start > 0).then(|| x.clone().narrow(2, 0, start));
        let after = (dim > end).then(|| x.clone().narrow(2, end, dim - end));
        let first = x.clone().narrow(2, start, half);
        let second = x.narrow(2, start + half, half);
        let cos = rotation.cos.clone();
        let sin = match direction {
            Direction::Forward => rotation.sin.clone(),
            Direction::Backward => rotation.sin.clone().neg(),
        };
        let turned = [
            first.clone().mul(cos.clone()) - second.clone().mul(sin.clone()),
            second.mul(cos) + first.mul(sin),
        ];
        let parts = before.into_iter().chain(turned).chain(after);
        Tensor::cat(parts.collect(), 2).reshape([rows, width])
    }

    fn layout(&self, packing: &Packing, heads: Heads) -> Layout {
        Layout::new(packing, heads, &self.device)
    }

    fn attention(&self, qkv: &Qkv<Tensor<2>>, layout: &Layout, heads: Heads) -> (Tensor<2>, ()) {
        (attention::forward(qkv, layout, heads), ())
    }

    fn attention_backward(
        &self,
        qkv: &Qkv<Tensor<2>>,
        output: &Tensor<2>,
        _: &(),
        by_output: &Tensor<2>,
        layout: &Layout,
        heads: Heads,
    ) -> Qkv<Tensor<2>> {
        attention::backward(qkv, output, by_output, layout, heads)
    }

    fn distribution(
        &self,
        logits: Tensor<2>,
        targets: &[u32],
        temperature: f64,
    ) -> HeadOutput<Distribution> {
        distribution::forward(logits, self.targets(targets), temperature)
    }

    fn probabilities(&self, distribution: &Distribution, rows: &[usize]) -> Vec<Vec<f32>> {
        let width = distribution.0.dims()[1];
        let all = to_host(self.select(&distribution.0, rows));
        all.chunks_exact(width).map(<[f32]>::to_vec).collect()
    }

    fn add_to_rows(&self, x: Tensor<2>, more: Vec<(usize, Vec<f32>)>) -> Tensor<2> {
        let [_, width] = x.dims();
        let (rows, values): (Vec<usize>, Vec<Vec<f32>>) = more.into_iter().unzip();
        let values = self.rows_of(values.concat(), width);
        let rows = index(rows, &self.device);
        x.select_assign(0, rows, values, IndexingUpdateOp::Add)
    }

    fn rows_of(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        let shape = [values.len() / width.max(1), width];
        from_host::<2>(values, shape, &self.device)
    }

    fn values_of(&self, x: &Tensor<2>) -> Vec<f32> {
        to_host(x.clone())
    }

    fn distribution_backward(
        &self,
        distribution: Distribution,
        targets: &[u32],
        upstream: &HeadUpstream,
        entropy: &[f32],
        temperature: f64,
    ) -> Tensor<2> {
        let targets = self.targets(targets);
        distribution::backward(distribution, targets, upstream, entropy, temperature)
    }
}

/// `√(2/π)` and the factor of the cube in [`gelu_gate`].
const GELU: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

/// `σ(2u)` with `u = √(2/π) (x + 0.044715 x³)`, for `gelu(x) = x σ(2u)` by tanh.
fn gelu_gate(x: &Tensor<2>) -> Tensor<2> {
    let cube = x.clone().square().mul(x.clone()).mul_scalar(GELU.1);
    sigmoid((x.clone() + cube).mul_scalar(2.0 * GELU.0))
}

/// `x` times a number that is mostly 1.
fn scaled<const D: usize>(x: Tensor<D>, scale: f32) -> Tensor<D> {
    if scale == 1.0 { x } else { x.mul_scalar(scale) }
}
