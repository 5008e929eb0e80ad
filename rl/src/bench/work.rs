//! How many floating-point operations a step needs, and how many the machine does in a second.
//!
//! What is counted, [`crate::rollout::work`] says. What training takes from sampling (a forward pass, a softmax) is counted there
//! and not again; what is computed a second time lowers the share of what the machine can do.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use crate::{
    model::{ModelConfig, lora::Lora},
    rollout::{
        RolloutGroup,
        work::{Amount, Rates},
    },
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
        let rates = Rates::of(config, lora);
        let (mut all, mut again) = (Amount::default(), Amount::default());
        for group in groups {
            let prompt = group.prompt.len();
            all += Amount::prompt(prompt);
            let recorded = || group.completions.iter().map(|c| c.recorded.as_ref());
            if recorded().all(|recorded| recorded.is_none()) {
                again += Amount::prompt(prompt);
            }
            for (completion, recorded) in group.completions.iter().zip(recorded()) {
                let length = completion.sampled_tokens();
                let own = Amount::completion(prompt, length);
                all += own;
                match recorded {
                    None => again += own,
                    Some(recorded) if !recorded.has_distributions() => again.tokens += own.tokens,
                    Some(_) => {}
                }
            }
        }
        Self {
            generation: rates.forward(all),
            training: rates.forward(again) + rates.backward(all),
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
