//! The softmax over the vocabulary and its gradient.

use pulp::Arch;
use rayon::prelude::*;

use super::rows::Rows;
use crate::compute::{HeadOutput, HeadUpstream, elementwise};

/// Softmax weights before they are divided by their sum.
pub(crate) struct Distribution {
    /// `[tokens, vocabulary]`: `e^{(z − max z) / τ}`.
    pub(super) weights: Rows,
    /// `[tokens]`: their sums.
    pub(super) sums: Vec<f32>,
}

/// The softmax of `logits / temperature`, in their place.
pub(super) fn forward(
    arch: Arch,
    mut logits: Rows,
    targets: &[u32],
    temperature: f64,
) -> HeadOutput<Distribution> {
    let inverse = (1.0 / temperature) as f32;
    let softmax = |(z, &target): (&mut [f32], &u32)| {
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
    let all: Vec<(f32, f32, f32)> = rows.map(softmax).collect();
    HeadOutput {
        logprobs: all.iter().map(|row| row.1).collect(),
        entropy: all.iter().map(|row| row.2).collect(),
        distribution: Distribution {
            weights: logits,
            sums: all.iter().map(|row| row.0).collect(),
        },
    }
}

/// The gradient by logits, in the place of the weights.
pub(super) fn backward(
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
