//! The vocabulary head in chunks: log-probabilities, entropy, and their gradient in closed form.
//!
//! With logits `z = h Wᵀ / τ`, `p = softmax(z)` and a chosen token `c`,
//! `∂ log p_c / ∂ z = onehot(c) − p`. So when `g` is the loss's derivative by the log-probability,
//! the gradients are `∂z = g (onehot(c) − p) / τ`, `∂h = ∂z W` and `∂W = ∂zᵀ h`: no autodiff graph
//! ever sees the logits, and only one chunk of them exists at a time. A loss may depend on the entropy
//! as well: `∂H / ∂z = −p (log p + H)`.

use std::ops::Range;

use crate::{
    compute::{Compute, HeadOutput, HeadUpstream},
    learner::distance::Distance,
    model::{
        Transformer,
        gradients::{Gradients, Trained},
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

/// Some tokens that are predicted at the same time.
pub(crate) struct Chunk<'a, C: Compute> {
    pub(crate) model: &'a Transformer,
    /// Normalised hidden states, `[tokens, hidden]`.
    pub(crate) hidden: &'a C::Rows,
    /// What followed each.
    pub(crate) targets: &'a [u32],
    pub(crate) config: HeadConfig,
}

impl<C: Compute> Chunk<'_, C> {
    /// Log-probabilities and entropies of the targets.
    pub(crate) fn output(&self, c: &C) -> HeadOutput<C::Distribution> {
        let logits = c.project(self.hidden, self.model.head_weight());
        c.distribution(logits, self.targets, self.config.temperature)
    }

    /// The distances of some tokens, added up, and the gradient by the logits of each of these tokens. `show` is shown the
    /// probabilities at each, and what its distance comes to.
    pub(crate) fn distances(
        &self,
        c: &C,
        output: &HeadOutput<C::Distribution>,
        distances: &[(usize, Distance)],
        mut show: impl FnMut(usize, &[f32], &Distance, f64),
    ) -> (f64, Vec<(usize, Vec<f32>)>) {
        if distances.is_empty() {
            return (0.0, Vec::new());
        }
        let places: Vec<usize> = distances.iter().map(|(place, _)| *place).collect();
        let probabilities = c.probabilities(&output.distribution, &places);
        let mut sum = 0.0;
        let mut by_logits = Vec::with_capacity(places.len());
        for ((place, distance), probabilities) in distances.iter().zip(probabilities) {
            let (value, by) = distance.of(&probabilities, self.config.temperature);
            show(*place, &probabilities, distance, value);
            sum += value;
            by_logits.push((*place, by));
        }
        (sum, by_logits)
    }

    /// The gradient by the hidden states, when `upstream` is that by the log-probabilities and
    /// entropies of `output`, and `more` that by all logits of some tokens; adds that by the head where it is trained.
    pub(crate) fn backward(
        &self,
        c: &C,
        output: HeadOutput<C::Distribution>,
        upstream: &HeadUpstream,
        more: Vec<(usize, Vec<f32>)>,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let weight = self.model.head_weight();
        let by_logits = c.distribution_backward(
            output.distribution,
            self.targets,
            upstream,
            &output.entropy,
            self.config.temperature,
        );
        let by_logits = if more.is_empty() {
            by_logits
        } else {
            c.add_to_rows(by_logits, more)
        };
        if gradients.trained == Trained::All {
            let name = self.model.head_name();
            gradients.sums.change(name, weight, |sum| {
                c.outer_onto(sum, &by_logits, self.hidden, 1.0)
            });
        }
        c.project_back(&by_logits, weight)
    }
}
