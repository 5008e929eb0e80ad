//! The softmax over the vocabulary and its gradient.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation::softmax};

use super::scaled;
use crate::compute::{
    HeadOutput, HeadUpstream,
    buffers::{from_host, to_host},
};

/// A softmax over the vocabulary, `[tokens, vocabulary]`.
pub(crate) struct Distribution(pub(super) Tensor<2>);

/// The softmax of `logits / temperature`; `targets` is `[tokens, 1]`.
pub(super) fn forward(
    logits: Tensor<2>,
    targets: Tensor<2, Int>,
    temperature: f64,
) -> HeadOutput<Distribution> {
    let count = targets.dims()[0];
    let logits = scaled(logits, (1.0 / temperature) as f32);
    let probabilities = softmax(logits.clone(), 1);
    // The largest probability is 1 / Σ exp(z − max z), hence log Σ exp(z) = max z − log max p.
    let normalizer = logits.clone().max_dim(1) - probabilities.clone().max_dim(1).log();
    let chosen = logits.clone().gather(1, targets);
    let mean_logit = probabilities.clone().mul(logits).sum_dim(1);
    // One read-back for both.
    let both = vec![chosen - normalizer.clone(), normalizer - mean_logit];
    let mut both = to_host(Tensor::cat(both, 0));
    let entropy = both.split_off(count);
    HeadOutput {
        distribution: Distribution(probabilities),
        logprobs: both,
        entropy,
    }
}

/// The gradient by logits.
pub(super) fn backward(
    distribution: Distribution,
    targets: Tensor<2, Int>,
    upstream: &HeadUpstream,
    entropy: &[f32],
    temperature: f64,
) -> Tensor<2> {
    let device = distribution.0.device();
    let column = |values: &[f32]| {
        let shape = [values.len(), 1];
        from_host::<2>(values.to_vec(), shape, &device)
    };
    let inverse = (1.0 / temperature) as f32;
    let by_logprobs = scaled(column(&upstream.by_logprobs), inverse);
    let probabilities = distribution.0;
    let by_logits = if upstream.by_entropy.is_empty() {
        probabilities.mul(by_logprobs.clone().neg())
    } else {
        // Where p is 0, so is p log p: the logarithm only has to be a number.
        let log = probabilities.clone().clamp_min(f32::MIN_POSITIVE).log();
        let by_entropy = scaled(column(&upstream.by_entropy), inverse);
        let factor = (log + column(entropy)).mul(by_entropy) + by_logprobs.clone();
        probabilities.mul(factor).neg()
    };
    by_logits.scatter(1, targets, by_logprobs, IndexingUpdateOp::Add)
}
