//! How many floating-point operations a step needs, and how many the machine does in a second.
//!
//! Only what cannot be left out is counted: a multiplication and an addition for each weight that
//! a token meets and for each pair in attention, a prompt once for all completions of it, and in
//! training the gradients by inputs and weights. What training takes from sampling (a forward pass, a
//! softmax) is counted there and not again. What is computed a second time, elementwise work,
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
    /// The work of some rollouts.
    pub fn of(groups: &[RolloutGroup], config: &ModelConfig, lora: Option<&Lora>) -> Self {
        let tensors = config.tensors();
        let matrices = tensors
            .iter()
            .filter(|(name, shape)| shape.len() == 2 && name.contains("layers"))
            .map(|(name, shape)| {
                let values = shape.iter().product::<usize>() as f64;
                // Of experts, a token meets those that it is sent to.
                match config
                    .experts
                    .as_ref()
                    .filter(|_| name.contains(".mlp.experts."))
                {
                    Some(experts) => {
                        let router = &experts.router;
                        values * router.chosen as f64 / router.experts as f64
                    }
                    None => values,
                }
            });
        let body = 2.0 * matrices.sum::<f64>();
        let head = 2.0 * (config.vocab_size * config.hidden_size) as f64;
        // A key and a value.
        let pair = 2.0 * (config.attended_values() * config.num_hidden_layers) as f64;
        let adapters = lora.map_or(0.0, |lora| 2.0 * lora.parameter_count(&tensors) as f64);

        let (mut all, mut again) = (Amount::default(), Amount::default());
        for group in groups {
            let prompt = group.prompt.len() as f64;
            let own = Amount {
                rows: prompt,
                pairs: prompt * (prompt + 1.0) / 2.0,
                tokens: 0.0,
            };
            all.add(own);
            let mut recorded = group.completions.iter().map(|c| c.recorded.as_ref());
            if recorded.clone().all(|recorded| recorded.is_none()) {
                again.add(own);
            }
            for completion in &group.completions {
                let length = completion.sampled_tokens() as f64;
                let own = Amount {
                    rows: length - 1.0,
                    pairs: (length - 1.0) * prompt + length * (length - 1.0) / 2.0,
                    tokens: length,
                };
                all.add(own);
                match recorded.next().flatten() {
                    None => again.add(own),
                    Some(recorded) if !recorded.has_distributions() => again.tokens += length,
                    Some(_) => {}
                }
            }
        }
        let forward =
            |amount: Amount| amount.rows * body + amount.pairs * pair + amount.tokens * head;
        // The gradient by inputs, and by weights where they are trained.
        let backward = if lora.is_some() { 1.0 } else { 2.0 };
        Self {
            generation: forward(all),
            // Adapters are part of the weights on the way forward; their own gradients take the narrow
            // rows on both sides, and a product with each.
            training: forward(again)
                + backward * (all.rows * body + all.tokens * head)
                + 2.0 * (all.pairs * pair + all.rows * adapters),
        }
    }
}

/// What goes through a model.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    /// Tokens that meet the weights of the blocks.
    rows: f64,
    /// Pairs of a query and a key.
    pairs: f64,
    /// Tokens that are predicted.
    tokens: f64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.pairs += other.pairs;
        self.tokens += other.tokens;
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
