//! Latent attention (arXiv 2405.04434, section 2.1) by tensors: keys and values out of latents, and queries
//! against latents.

use burn::tensor::Tensor;

use crate::compute::LatentHeads;

/// `[rows, heads * width]` to `[rows, heads, width]`.
fn by_head(x: &Tensor<2>, heads: usize) -> Tensor<3> {
    let [rows, width] = x.dims();
    x.clone().reshape([rows, heads, width / heads])
}

/// The other way round.
fn joined(x: Tensor<3>) -> Tensor<2> {
    let [rows, heads, width] = x.dims();
    x.reshape([rows, heads * width])
}

/// See [`Compute::expand`](crate::compute::Compute::expand).
pub(super) fn expand(
    up: &Tensor<2>,
    rotated: &Tensor<2>,
    heads: LatentHeads,
) -> (Tensor<2>, Tensor<2>) {
    let up = by_head(up, heads.count);
    let rotated = by_head(rotated, 1).repeat_dim(1, heads.count);
    let plain = up.clone().narrow(2, 0, heads.plain);
    let value = up.narrow(2, heads.plain, heads.value);
    (joined(Tensor::cat(vec![plain, rotated], 2)), joined(value))
}

/// See [`Compute::expand_backward`](crate::compute::Compute::expand_backward).
pub(super) fn expand_backward(
    by_key: &Tensor<2>,
    by_value: &Tensor<2>,
    heads: LatentHeads,
) -> (Tensor<2>, Tensor<2>) {
    let by_key = by_head(by_key, heads.count);
    let plain = by_key.clone().narrow(2, 0, heads.plain);
    let rotated = by_key.narrow(2, heads.plain, heads.rotated).sum_dim(1);
    let by_up = Tensor::cat(vec![plain, by_head(by_value, heads.count)], 2);
    (joined(by_up), joined(rotated))
}

/// The plain rows and the value rows of each head: `[heads, plain, latent]` and `[heads, value, latent]`.
fn parts(weight: Tensor<2>, heads: LatentHeads) -> (Tensor<3>, Tensor<3>) {
    let weight = weight.reshape([heads.count, heads.expanded(), heads.latent]);
    let plain = weight.clone().narrow(1, 0, heads.plain);
    (plain, weight.narrow(1, heads.plain, heads.value))
}

/// See [`Compute::absorb`](crate::compute::Compute::absorb).
pub(super) fn absorb(query: &Tensor<2>, weight: Tensor<2>, heads: LatentHeads) -> Tensor<2> {
    let query = by_head(query, heads.count);
    let plain = query.clone().narrow(2, 0, heads.plain).swap_dims(0, 1);
    let rotated = query.narrow(2, heads.plain, heads.rotated);
    let latent = plain.matmul(parts(weight, heads).0).swap_dims(0, 1);
    joined(Tensor::cat(vec![latent, rotated], 2))
}

/// See [`Compute::release`](crate::compute::Compute::release).
pub(super) fn release(mixed: &Tensor<2>, weight: Tensor<2>, heads: LatentHeads) -> Tensor<2> {
    let mixed = by_head(mixed, heads.count).swap_dims(0, 1);
    let values = mixed.matmul(parts(weight, heads).1.transpose());
    joined(values.swap_dims(0, 1))
}
