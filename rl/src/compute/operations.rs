//! The operations of a transformer: what an implementation of the arithmetic has to offer.

use burn::tensor::Tensor;

use super::{
    cache::Cache,
    draw::Burst,
    heads::{Heads, LatentHeads, Qkv},
    packing::Packing,
    position::{Direction, Frequencies},
    tape::Tape,
};

/// What attention keeps for its gradient.
pub(crate) trait Attended<R>: Send {
    /// It as a matrix, if it is anything.
    fn rows(&self) -> Option<&R>;
    /// It again, from such a matrix if it is one.
    fn from_rows(rows: impl FnOnce() -> R) -> Self;
}

/// Nothing is kept.
impl<R> Attended<R> for () {
    fn rows(&self) -> Option<&R> {
        None
    }

    fn from_rows(_: impl FnOnce() -> R) {}
}

/// What the head says of some tokens.
pub(crate) struct HeadOutput<D> {
    /// What the gradient needs.
    pub(crate) distribution: D,
    /// Log-probability of each target, in nats.
    pub(crate) logprobs: Vec<f32>,
    /// Entropy of each distribution, in nats.
    pub(crate) entropy: Vec<f32>,
}

/// What comes back to the head: derivatives of the loss, one a token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeadUpstream {
    /// By each target's log-probability.
    pub by_logprobs: Vec<f32>,
    /// By each distribution's entropy; empty when the loss does not depend on it.
    pub by_entropy: Vec<f32>,
}

/// The operations of a transformer on matrices with one row a token.
///
/// Weights are Burn tensors as checkpoints store them, `[out, in]`; what moves between operations
/// is [`Self::Rows`]. Sums into a gradient go to a flat Burn tensor.
pub(crate) trait Compute: Sized + Sync + Clone + 'static {
    /// A matrix `[rows, width]` of f32.
    type Rows: Send + Sync;
    /// Ids of tokens, where the arithmetic is done.
    type Ids;
    /// Cosines and sines for some rows.
    type Rotation;
    /// A packing, made ready for attention.
    type Layout;
    /// What attention keeps for its gradient besides its inputs and output.
    type Attended: Attended<Self::Rows>;
    /// A softmax over the vocabulary for some tokens, the one large thing.
    type Distribution;
    /// Keys and values of completions under way.
    type Cache: Cache<Self>;
    /// Activations kept from sampling; [`Absent`] where none are.
    type Tape: Tape<Self>;
    /// Draws tokens where the logits are; [`Absent`] where a look at them costs nothing.
    type Burst: Burst<Self>;

    /// The same for decoding: what a row becomes does not depend on the rows beside it.
    fn decoding(&self) -> Self {
        self.clone()
    }
    /// An empty tape, where there are tapes, for so many layers and at most so many tokens, with or
    /// without the distributions that they are drawn from.
    fn tape(&self, layers: usize, most: usize, distributions: bool) -> Option<Self::Tape>;
    /// Tokens that are drawn before the next look at them, where there are bursts.
    fn burst(&self) -> Option<Self::Burst>;
    /// Shows some rows to `f` on the host, with their places among `rows`. It may change them: where
    /// the matrix is on the host it changes with them, elsewhere they are copies.
    fn look<T: Send>(
        &self,
        x: &mut Self::Rows,
        rows: &[usize],
        f: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> Vec<T>;

    /// The rotation of one row for each of `positions`.
    fn rotation(&self, frequencies: &Frequencies, positions: &[usize]) -> Self::Rotation;
    /// Ids made ready for [`Self::embed`].
    fn ids(&self, ids: &[u32]) -> Self::Ids;
    /// Rows of `table`.
    fn embed(&self, table: &Tensor<2>, ids: &Self::Ids) -> Self::Rows;
    /// Adds each row of `by_rows` to row `ids[i]` of a flat `[vocabulary, hidden]` gradient.
    fn embed_backward(&self, sum: Tensor<1>, ids: &[u32], by_rows: &Self::Rows) -> Tensor<1>;
    /// Another of the same values.
    fn copy(&self, x: &Self::Rows) -> Self::Rows;
    /// Zeros of the same shape.
    fn zeros_like(&self, x: &Self::Rows) -> Self::Rows;
    /// Some rows, in that order; a row may be taken several times.
    fn select(&self, x: &Self::Rows, rows: &[usize]) -> Self::Rows;
    /// The gradient of [`Self::select`] by a matrix of `count` rows, added to `sum` if there is one.
    fn select_backward_onto(
        &self,
        sum: Option<Self::Rows>,
        by_y: &Self::Rows,
        rows: &[usize],
        count: usize,
    ) -> Self::Rows;

    /// `x Wᵀ`.
    fn project(&self, x: &Self::Rows, weight: &Tensor<2>) -> Self::Rows;
    /// [`Self::project`] by several weights, for which the same rows are made ready once.
    fn project_all<const N: usize>(
        &self,
        x: &Self::Rows,
        weights: [&Tensor<2>; N],
    ) -> [Self::Rows; N] {
        weights.map(|weight| self.project(x, weight))
    }
    /// `sum + scale · x Wᵀ`.
    fn project_onto(
        &self,
        sum: Self::Rows,
        x: &Self::Rows,
        weight: &Tensor<2>,
        scale: f32,
    ) -> Self::Rows;
    /// `∂y W`.
    fn project_back(&self, by_y: &Self::Rows, weight: &Tensor<2>) -> Self::Rows;
    /// `sum + scale · ∂y W`.
    fn project_back_onto(
        &self,
        sum: Self::Rows,
        by_y: &Self::Rows,
        weight: &Tensor<2>,
        scale: f32,
    ) -> Self::Rows;
    /// `W + scale · up · down` in f32, in the place of `memory` where that can be.
    fn merge(
        &self,
        weight: &Tensor<2>,
        up: &Tensor<2>,
        down: &Tensor<2>,
        scale: f32,
        memory: Option<Tensor<2>>,
    ) -> Tensor<2>;
    /// `sum + scale · ∂yᵀ x`, flat.
    fn outer_onto(
        &self,
        sum: Tensor<1>,
        by_y: &Self::Rows,
        x: &Self::Rows,
        scale: f32,
    ) -> Tensor<1>;
    /// `sum + x`.
    fn add(&self, sum: Self::Rows, x: &Self::Rows) -> Self::Rows;
    /// Adds a bias to every row.
    fn add_bias(&self, x: Self::Rows, bias: &Tensor<1>) -> Self::Rows;
    /// `sum + Σ_rows ∂y`.
    fn column_sums_onto(&self, sum: Tensor<1>, by_y: &Self::Rows) -> Tensor<1>;

    /// What `f` makes of each item, in their order, at the same time where `work` multiplications in all pay for that.
    fn each<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        work: usize,
        f: impl Fn(I) -> T + Send + Sync,
    ) -> Vec<T>;
    /// The same values in rows of `width`.
    fn fold(&self, x: Self::Rows, width: usize) -> Self::Rows;
    /// Rows of several matrices of one width, each by its matrix and its row there.
    fn gather(&self, parts: &[Self::Rows], places: &[(usize, usize)], width: usize) -> Self::Rows;
    /// To each of `count` rows of `sum`, or of zeros, the rows of its share of `places`, in their order, times their
    /// weights where there are some.
    ///
    /// # Shapes
    /// - places and weights: `[count, any]`, sum and output: `[count, width of the parts]`
    fn add_gathered(
        &self,
        sum: Option<Self::Rows>,
        parts: &[Self::Rows],
        places: &[(usize, usize)],
        weights: Option<&[f32]>,
        count: usize,
    ) -> Self::Rows;
    /// Each row times a number.
    fn scale_rows(&self, x: Self::Rows, factors: &[f32]) -> Self::Rows;
    /// `⟨a_i, b_i⟩` of each row: `[rows, 1]`.
    fn row_dots(&self, a: &Self::Rows, b: &Self::Rows) -> Self::Rows;

    /// Root-mean-square normalisation of each run of `weight.len()` values
    /// (arXiv 1910.07467, eq. 4).
    fn rms_norm(&self, x: &Self::Rows, weight: &Tensor<1>, epsilon: f64) -> Self::Rows;
    /// Adds the gradients of [`Self::rms_norm`] by its input and its weight; no gradient of the
    /// weight when there is no sum for it.
    fn rms_norm_backward(
        &self,
        by_x: Self::Rows,
        by_weight: Option<Tensor<1>>,
        x: &Self::Rows,
        weight: &Tensor<1>,
        epsilon: f64,
        by_y: &Self::Rows,
    ) -> (Self::Rows, Option<Tensor<1>>);
    /// `silu(gate) ⊙ up` (arXiv 2002.05202, eq. 6).
    fn swiglu(&self, gate: &Self::Rows, up: &Self::Rows) -> Self::Rows;
    /// From `∂y`: the output again, and the gradients by `gate` and `up`.
    fn swiglu_backward(
        &self,
        gate: Self::Rows,
        up: Self::Rows,
        by_y: Self::Rows,
    ) -> (Self::Rows, Self::Rows, Self::Rows);
    /// `gelu(gate) ⊙ up` with gelu by tanh (arXiv 2002.05202, eq. 6).
    fn geglu(&self, gate: &Self::Rows, up: &Self::Rows) -> Self::Rows;
    /// The same as [`Self::swiglu_backward`], of [`Self::geglu`].
    fn geglu_backward(
        &self,
        gate: Self::Rows,
        up: Self::Rows,
        by_y: Self::Rows,
    ) -> (Self::Rows, Self::Rows, Self::Rows);
    /// `factor · x`.
    fn scale(&self, x: Self::Rows, factor: f32) -> Self::Rows;
    /// The first `at` columns, and the others.
    fn split(&self, x: &Self::Rows, at: usize) -> (Self::Rows, Self::Rows);
    /// The columns of both, one row beside the other.
    fn beside(&self, left: &Self::Rows, right: &Self::Rows) -> Self::Rows;
    /// Keys and values of every head out of `[rows, heads * (plain + value)]` and the rotated part of keys,
    /// `[rows, rotated]`, which all heads get a copy of.
    fn expand(
        &self,
        up: &Self::Rows,
        rotated: &Self::Rows,
        heads: LatentHeads,
    ) -> (Self::Rows, Self::Rows);
    /// The gradients by both of what [`Self::expand`] was given.
    fn expand_backward(
        &self,
        by_key: &Self::Rows,
        by_value: &Self::Rows,
        heads: LatentHeads,
    ) -> (Self::Rows, Self::Rows);
    /// Queries against latents: with `[heads * (plain + value), latent]`, `W_hᵀ q_h` of each head's plain rows and
    /// query, then the rotated part as it is: `[rows, heads * (latent + rotated)]`.
    fn absorb(&self, query: &Self::Rows, weight: &Tensor<2>, heads: LatentHeads) -> Self::Rows;
    /// Values out of mixed latents, `[rows, heads * latent]`: `W_h c_h` with each head's value rows,
    /// `[rows, heads * value]`.
    fn release(&self, mixed: &Self::Rows, weight: &Tensor<2>, heads: LatentHeads) -> Self::Rows;
    /// Rotary positions on every head (arXiv 2104.09864, eq. 34); what a head has beyond the rotation's
    /// pairs stays.
    fn rotate(
        &self,
        x: Self::Rows,
        rotation: &Self::Rotation,
        heads: usize,
        direction: Direction,
    ) -> Self::Rows;

    /// What attention needs to know of a packing, made once for all layers.
    fn layout(&self, packing: &Packing, heads: Heads) -> Self::Layout;
    /// Softmax attention where the layout allows it.
    fn attention(
        &self,
        qkv: &Qkv<Self::Rows>,
        layout: &Self::Layout,
        heads: Heads,
    ) -> (Self::Rows, Self::Attended);
    /// The gradients of [`Self::attention`] by queries, keys and values; `output` is what it gave.
    fn attention_backward(
        &self,
        qkv: &Qkv<Self::Rows>,
        output: &Self::Rows,
        attended: &Self::Attended,
        by_output: &Self::Rows,
        layout: &Self::Layout,
        heads: Heads,
    ) -> Qkv<Self::Rows>;

    /// The softmax of `logits / temperature`, `[tokens, vocabulary]`.
    fn distribution(
        &self,
        logits: Self::Rows,
        targets: &[u32],
        temperature: f64,
    ) -> HeadOutput<Self::Distribution>;
    /// The probabilities of all tokens in some rows of a distribution.
    fn probabilities(&self, distribution: &Self::Distribution, rows: &[usize]) -> Vec<Vec<f32>>;
    /// `x` with more values added to some of its rows.
    fn add_to_rows(&self, x: Self::Rows, more: Vec<(usize, Vec<f32>)>) -> Self::Rows;
    /// Rows of given values, of `width` values each.
    fn rows_of(&self, values: Vec<f32>, width: usize) -> Self::Rows;
    /// The values of all rows, one row after the other.
    fn values_of(&self, x: &Self::Rows) -> Vec<f32>;
    /// `∂z = (g (onehot(c) − p) − h p (log p + H)) / τ` for the derivatives `g` by each target's
    /// log-probability and `h` by each distribution's entropy `H`.
    fn distribution_backward(
        &self,
        distribution: Self::Distribution,
        targets: &[u32],
        upstream: &HeadUpstream,
        entropy: &[f32],
        temperature: f64,
    ) -> Self::Rows;
}
