//! Any Burn device, by tensor operations.
//!
//! | file | subject |
//! |---|---|
//! | this one | the operations of [`Compute`] |
//! | [`ring`] | keys and values of completions under way, with static shapes |
//! | [`draw`] | choosing tokens without reading logits back |

pub(crate) mod draw;
pub(crate) mod ring;

use burn::tensor::{
    DType, Device, IndexingUpdateOp, Int, Tensor, TensorData,
    activation::{sigmoid, silu, softmax},
};

use super::{Compute, Direction, HeadOutput, HeadUpstream, Heads, Qkv, packing::Packing};
use crate::model::{
    parameters::{from_host, to_host},
    rope::Rope,
};

/// Added to the scores of pairs that must not attend to each other. Finite, so that a row of
/// padding, which may attend to nothing, stays free of NaN.
pub(crate) const MASKED: f32 = -1e9;

/// A Burn device.
#[derive(Debug, Clone)]
pub(crate) struct Tensors {
    pub(crate) device: Device,
}

/// Angles of some rows.
pub(crate) struct Rotation {
    /// `[rows, 1, dim / 2]`.
    cos: Tensor<3>,
    /// `[rows, 1, dim / 2]`.
    sin: Tensor<3>,
}

/// A packing's trees and their masks.
pub(crate) struct Layout {
    trees: Vec<(std::ops::Range<usize>, Tensor<3>)>,
}

/// A softmax over the vocabulary, `[tokens, vocabulary]`.
pub(crate) struct Distribution(Tensor<2>);

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
    /// Rows of `table`, for ids that are on the device already.
    pub(crate) fn embed_ids(&self, table: &Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
        in_f32(&table.clone().select(0, ids))
    }

    fn targets(&self, targets: &[u32]) -> Tensor<2, Int> {
        index(targets.iter().map(|&id| id as usize), &self.device).unsqueeze_dim(1)
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
    fn new(
        qkv: &Qkv<Tensor<2>>,
        rows: &std::ops::Range<usize>,
        mask: &Tensor<3>,
        heads: Heads,
    ) -> Self {
        let part = |x: &Tensor<2>| {
            let x = x.clone().narrow(0, rows.start, rows.len());
            stacked(x, heads.kv, heads.dim)
        };
        let (query, key, value) = (part(&qkv.query), part(&qkv.key), part(&qkv.value));
        let scores = query.clone().matmul(key.clone().transpose());
        let scores = scores.mul_scalar(heads.scale()) + mask.clone();
        Self {
            weights: softmax(scores, 2),
            query,
            key,
            value,
        }
    }
}

impl Compute for Tensors {
    type Rows = Tensor<2>;
    type Layout = Layout;
    type Rotation = Rotation;
    type Attended = ();
    type Distribution = Distribution;

    fn rotation(&self, rope: &Rope, positions: &[usize]) -> Rotation {
        let (cos, sin) = rope.angles(positions);
        let shape = [positions.len(), 1, cos.len() / positions.len().max(1)];
        Rotation {
            cos: from_host(cos, shape, &self.device),
            sin: from_host(sin, shape, &self.device),
        }
    }

    fn embed(&self, table: &Tensor<2>, ids: &[u32]) -> Tensor<2> {
        self.embed_ids(
            table,
            index(ids.iter().map(|&id| id as usize), &self.device),
        )
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

    fn column_sums_onto(&self, sum: Tensor<1>, by_y: &Tensor<2>) -> Tensor<1> {
        sum + by_y.clone().sum_dim(0).squeeze_dim::<1>(0)
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

    fn rotate(
        &self,
        x: Tensor<2>,
        rotation: &Rotation,
        heads: usize,
        direction: Direction,
    ) -> Tensor<2> {
        let [rows, width] = x.dims();
        let half = width / heads / 2;
        let x = x.reshape([rows, heads, 2 * half]);
        let first = x.clone().narrow(2, 0, half);
        let second = x.narrow(2, half, half);
        let cos = rotation.cos.clone();
        let sin = match direction {
            Direction::Forward => rotation.sin.clone(),
            Direction::Backward => rotation.sin.clone().neg(),
        };
        let turned = vec![
            first.clone().mul(cos.clone()) - second.clone().mul(sin.clone()),
            second.mul(cos) + first.mul(sin),
        ];
        Tensor::cat(turned, 2).reshape([rows, width])
    }

    fn layout(&self, packing: &Packing, heads: Heads) -> Layout {
        let group = heads.group();
        let tree = |tree: &super::packing::Tree| {
            let count = tree.rows.len();
            let mut mask = vec![MASKED; count * count];
            tree.each_row(|row, seen| {
                for keys in seen {
                    mask[row * count..][keys].fill(0.0);
                }
            });
            let mask = from_host::<2>(mask, [count, count], &self.device);
            let mask = mask.repeat_dim(0, group).unsqueeze::<3>(); // [1, group * rows, rows]
            (tree.rows.clone(), mask)
        };
        let filled = packing.trees.iter().filter(|tree| !tree.rows.is_empty());
        Layout {
            trees: filled.map(tree).collect(),
        }
    }

    fn attention(&self, qkv: &Qkv<Tensor<2>>, layout: &Layout, heads: Heads) -> (Tensor<2>, ()) {
        let tree = |(rows, mask): &(std::ops::Range<usize>, Tensor<3>)| {
            let tree = TreeHeads::new(qkv, rows, mask, heads);
            unstacked(tree.weights.matmul(tree.value), rows.len())
        };
        (Tensor::cat(layout.trees.iter().map(tree).collect(), 0), ())
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
        let (mut by_query, mut by_key, mut by_value) = (Vec::new(), Vec::new(), Vec::new());
        for (rows, mask) in &layout.trees {
            let part = |x: &Tensor<2>| {
                let x = x.clone().narrow(0, rows.start, rows.len());
                stacked(x, heads.kv, heads.dim)
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
                .mul_scalar(heads.scale());
            by_query.push(unstacked(by_scores.clone().matmul(key), rows.len()));
            by_key.push(unstacked(by_scores.transpose().matmul(query), rows.len()));
            by_value.push(unstacked(weights.transpose().matmul(by_output), rows.len()));
        }
        Qkv {
            query: Tensor::cat(by_query, 0),
            key: Tensor::cat(by_key, 0),
            value: Tensor::cat(by_value, 0),
        }
    }

    fn distribution(
        &self,
        logits: Tensor<2>,
        targets: &[u32],
        temperature: f64,
    ) -> HeadOutput<Distribution> {
        let logits = scaled(logits, (1.0 / temperature) as f32);
        let probabilities = softmax(logits.clone(), 1);
        // The largest probability is 1 / Σ exp(z − max z), hence log Σ exp(z) = max z − log max p.
        let normalizer = logits.clone().max_dim(1) - probabilities.clone().max_dim(1).log();
        let chosen = logits.clone().gather(1, self.targets(targets));
        let mean_logit = probabilities.clone().mul(logits).sum_dim(1);
        // One read-back for both.
        let both = vec![chosen - normalizer.clone(), normalizer - mean_logit];
        let mut both = to_host(Tensor::cat(both, 0));
        let entropy = both.split_off(targets.len());
        HeadOutput {
            distribution: Distribution(probabilities),
            logprobs: both,
            entropy,
        }
    }

    fn probabilities(&self, distribution: &Distribution, rows: &[usize]) -> Vec<Vec<f32>> {
        let width = distribution.0.dims()[1];
        let all = to_host(self.select(&distribution.0, rows));
        all.chunks_exact(width).map(<[f32]>::to_vec).collect()
    }

    fn add_to_rows(&self, x: Tensor<2>, more: Vec<(usize, Vec<f32>)>) -> Tensor<2> {
        let [_, width] = x.dims();
        let (rows, values): (Vec<usize>, Vec<Vec<f32>>) = more.into_iter().unzip();
        let values = self.rows(values.concat(), width);
        let rows = index(rows, &self.device);
        x.select_assign(0, rows, values, IndexingUpdateOp::Add)
    }

    fn rows(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        let shape = [values.len() / width.max(1), width];
        from_host::<2>(values, shape, &self.device)
    }

    fn values(&self, x: &Tensor<2>) -> Vec<f32> {
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
        let column = |values: &[f32]| {
            let shape = [values.len(), 1];
            from_host::<2>(values.to_vec(), shape, &self.device)
        };
        let inverse = (1.0 / temperature) as f32;
        let by_logprobs = scaled(column(&upstream.by_logprobs), inverse);
        let probabilities = distribution.0;
        let by_logits = match upstream.by_entropy.is_empty() {
            true => probabilities.mul(by_logprobs.clone().neg()),
            false => {
                // Where p is 0, so is p log p: the logarithm only has to be a number.
                let log = probabilities.clone().clamp_min(f32::MIN_POSITIVE).log();
                let by_entropy = scaled(column(&upstream.by_entropy), inverse);
                let factor = (log + column(entropy)).mul(by_entropy) + by_logprobs.clone();
                probabilities.mul(factor).neg()
            }
        };
        by_logits.scatter(1, self.targets(targets), by_logprobs, IndexingUpdateOp::Add)
    }
}

/// `x` times a number that is mostly 1.
fn scaled<const D: usize>(x: Tensor<D>, scale: f32) -> Tensor<D> {
    match scale == 1.0 {
        true => x,
        false => x.mul_scalar(scale),
    }
}
