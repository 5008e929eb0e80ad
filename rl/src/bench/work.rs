//! How many floating-point operations a step needs, and how many the machine does in a second.
//!
//! Only what cannot be left out is counted: a multiplication and an addition for each weight that
//! a token meets and for each pair in attention, a prompt once for all completions of it, and in
//! training the gradients by inputs and weights. A forward pass that training takes from sampling is
//! counted there and not again. What is computed a second time, elementwise work,
//! the softmax and the optimiser count as nothing, so they lower the share.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use crate::{
    model::{ModelConfig, lora::Lora},
    rollout::RolloutGroup,
};

/// Floating-point operations of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Of reading the prompts and sampling the completions.
    pub generation: f64,
    /// Of the forward pass, unless it is that of sampling, and the backward pass.
    pub training: f64,
}

impl Work {
    /// The work of some rollouts; `recorded`: training takes the forward pass from sampling.
    pub fn of(
        groups: &[RolloutGroup],
        recorded: bool,
        config: &ModelConfig,
        lora: Option<&Lora>,
    ) -> Self {
        let tensors = config.tensors();
        let matrices = tensors
            .iter()
            .filter(|(name, shape)| shape.len() == 2 && name.contains("layers"))
            .map(|(_, shape)| shape.iter().product::<usize>() as f64);
        let body = 2.0 * matrices.sum::<f64>();
        let head = 2.0 * (config.vocab_size * config.hidden_size) as f64;
        let width = config.num_attention_heads * config.head_dim * config.num_hidden_layers;
        let pair = 4.0 * width as f64; // a key and a value
        let adapters = lora.map_or(0.0, |lora| 2.0 * lora.parameter_count(&tensors) as f64);

        let (mut rows, mut pairs, mut tokens) = (0.0, 0.0, 0.0);
        for group in groups {
            let prompt = group.prompt.len() as f64;
            rows += prompt;
            pairs += prompt * (prompt + 1.0) / 2.0;
            for completion in &group.completions {
                let length = completion.tokens.len() as f64;
                tokens += length;
                rows += length - 1.0;
                pairs += (length - 1.0) * prompt + length * (length - 1.0) / 2.0;
            }
        }
        let forward = rows * body + pairs * pair;
        // The gradient by inputs, and by weights where they are trained.
        let backward = if lora.is_some() { 1.0 } else { 2.0 };
        let again = if recorded { 0.0 } else { 1.0 };
        Self {
            generation: forward + tokens * head,
            // Adapters are part of the weights on the way forward; their own gradients take the narrow
            // rows on both sides, and a product with each.
            training: (backward + again) * rows * body
                + (2.0 + again) * pairs * pair
                + 2.0 * rows * adapters
                + (backward + 1.0) * tokens * head,
        }
    }
}

/// Floating-point operations per second of the better of two matrix products, each the best of
/// several: 2048³, and the model's feed-forward shape.
pub fn matmul_flops_per_s(config: &ModelConfig, device: &Device) -> f64 {
    let shapes = [
        [2048, 2048, 2048],
        [832, config.hidden_size, config.intermediate_size],
    ];
    shapes
        .map(|shape| best_of(shape, device))
        .into_iter()
        .fold(0.0, f64::max)
}

fn best_of([m, k, n]: [usize; 3], device: &Device) -> f64 {
    let random = |shape| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), device);
    let (a, b) = (random([m, k]), random([k, n]));
    let operations = 2.0 * (m * k * n) as f64;
    let repeats = (2e10 / operations).clamp(1.0, 50.0) as usize;
    let once = |_| {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..repeats {
            last = Some(a.clone().matmul(b.clone()));
        }
        // Reading a value waits for the device.
        let read = last.map(|c| c.narrow(0, 0, 1).narrow(1, 0, 1).into_scalar::<f32>());
        std::hint::black_box(read);
        operations * repeats as f64 / start.elapsed().as_secs_f64()
    };
    (0..6).map(once).fold(0.0, f64::max)
}
