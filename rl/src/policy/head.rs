//! The vocabulary head in chunks: log-probabilities, entropy, and their gradient in closed form.
//!
//! With logits `z = h Wᵀ / τ`, `p = softmax(z)` and a chosen token `c`,
//! `∂ log p_c / ∂ z = onehot(c) − p`. So when `g` is the loss's derivative by the log-probability,
//! the gradients are `∂z = g (onehot(c) − p) / τ`, `∂h = ∂z W` and `∂W = ∂zᵀ h`: no autodiff graph
//! ever sees the logits, and only one chunk of them exists at a time. A loss may depend on the entropy
//! as well: `∂H / ∂z = −p (log p + H)`.

use std::ops::Range;

use crate::{
    compute::{Compute, HeadUpstream},
    model::{
        Transformer,
        layers::{Gradients, Trained},
    },
};

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
            chunk_bytes: 64 << 20,
        }
    }
}

impl HeadConfig {
    /// Tokens in a chunk, at least one.
    pub fn chunk_tokens(&self, vocab_size: usize) -> usize {
        (self.chunk_bytes / (4 * vocab_size)).max(1)
    }

    /// The chunks of so many tokens, of about the same size.
    pub(crate) fn chunks(&self, tokens: usize, vocab_size: usize) -> Vec<Range<usize>> {
        let most = self.chunk_tokens(vocab_size);
        let size = tokens.div_ceil(tokens.div_ceil(most).max(1)).max(1);
        (0..tokens)
            .step_by(size)
            .map(|start| start..(start + size).min(tokens))
            .collect()
    }
}

/// Log-probabilities and entropies of `targets` in one chunk, and the gradients by `hidden` and by
/// the head when `upstream` gives that by the log-probabilities.
///
/// # Shapes
/// - hidden and its gradient: `[tokens, hidden]`
pub(crate) fn chunk<C: Compute>(
    c: &C,
    model: &Transformer,
    hidden: &C::Rows,
    targets: &[u32],
    config: HeadConfig,
    gradients: Option<&mut Gradients>,
    upstream: impl FnOnce(&[f32], &[f32]) -> HeadUpstream,
) -> (Vec<f32>, Vec<f32>, Option<C::Rows>) {
    let weight = model.head_weight();
    let logits = c.project(hidden, weight);
    let output = c.distribution(logits, targets, config.temperature);
    let by_hidden = gradients.map(|gradients| {
        let upstream = upstream(&output.logprobs, &output.entropy);
        let distribution = output.distribution;
        let by_logits = c.distribution_backward(
            distribution,
            targets,
            &upstream,
            &output.entropy,
            config.temperature,
        );
        if gradients.trained == Trained::All {
            gradients.sums.change(model.head_name(), weight, |sum| {
                c.outer_onto(sum, &by_logits, hidden, 1.0)
            });
        }
        c.project_back(&by_logits, weight)
    });
    (output.logprobs, output.entropy, by_hidden)
}
