//! The vocabulary head in chunks: log-probabilities, entropy, and their gradient in closed form.
//!
//! With logits `z = h Wᵀ / τ`, `p = softmax(z)` and a chosen token `c`,
//! `∂ log p_c / ∂ z = onehot(c) − p`. So when `g` is the loss's derivative by the log-probability,
//! the gradients are `∂z = g (onehot(c) − p) / τ`, `∂h = ∂z W` and `∂W = ∂zᵀ h`: no autodiff graph
//! ever sees the logits, and only one chunk of them exists at a time.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation::softmax};

/// How the head is evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadConfig {
    /// Logits are divided by this before the softmax. Above 0.
    pub temperature: f64,
    /// Bytes that one chunk of f32 logits may take; WebGPU may grant no more than 128 MiB a binding.
    pub chunk_bytes: usize,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            chunk_bytes: 96 << 20,
        }
    }
}

impl HeadConfig {
    /// Tokens in a chunk, at least one.
    pub fn chunk_tokens(&self, vocab_size: usize) -> usize {
        (self.chunk_bytes / (4 * vocab_size)).max(1)
    }
}

/// What one chunk of tokens gives.
pub(crate) struct HeadChunk {
    /// `[tokens, vocabulary]`, the one large tensor.
    probabilities: Tensor<2>,
    /// `[tokens]`, in nats.
    pub(crate) logprobs: Tensor<1>,
    /// `[tokens]`, in nats: the true entropy of the distribution.
    pub(crate) entropy: Tensor<1>,
}

/// The distribution over the vocabulary for each hidden state.
///
/// # Shapes
/// - hidden: `[tokens, hidden]`, weight: `[vocabulary, hidden]`, targets: `[tokens]`
pub(crate) fn forward(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> HeadChunk {
    let mut logits = hidden.matmul(weight.transpose());
    if temperature != 1.0 {
        logits = logits.div_scalar(temperature);
    }
    let probabilities = softmax(logits.clone(), 1);
    // The largest probability is 1 / Σ exp(z − max z), hence log Σ exp(z) = max z − log max p.
    let normalizer = logits.clone().max_dim(1) - probabilities.clone().max_dim(1).log();
    let chosen = logits.clone().gather(1, targets.unsqueeze_dim::<2>(1));
    let mean_logit = probabilities.clone().mul(logits).sum_dim(1);
    HeadChunk {
        logprobs: (chosen - normalizer.clone()).squeeze_dim::<1>(1),
        entropy: (normalizer - mean_logit).squeeze_dim::<1>(1),
        probabilities,
    }
}

/// The gradients by hidden states and head, when `upstream` is that by the log-probabilities.
///
/// # Shapes
/// - hidden: `[tokens, hidden]`, weight: `[vocabulary, hidden]`, targets and upstream: `[tokens]`
/// - output: `[tokens, hidden]` and `[vocabulary, hidden]`
pub(crate) fn backward(
    chunk: HeadChunk,
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    upstream: Tensor<1>,
    temperature: f64,
) -> (Tensor<2>, Tensor<2>) {
    let scaled = upstream.div_scalar(temperature).unsqueeze_dim::<2>(1); // [tokens, 1]
    let by_logits = chunk.probabilities.mul(scaled.clone().neg()).scatter(
        1,
        targets.unsqueeze_dim::<2>(1),
        scaled,
        IndexingUpdateOp::Add,
    );
    (
        by_logits.clone().matmul(weight),
        by_logits.transpose().matmul(hidden),
    )
}

/// Ids as an index tensor next to `like`.
pub(crate) fn index(ids: impl IntoIterator<Item = usize>, like: &Tensor<2>) -> Tensor<1, Int> {
    let ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
    let count = ids.len();
    Tensor::from_data(TensorData::new(ids, [count]), &like.device().inner())
}
