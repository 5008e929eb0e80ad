//! The likelihood of what is learnt: its gradient, and its value on what is held out.

use std::time::Instant;

use super::SftConfig;
use crate::{
    learner::{
        BudgetError, GradientConfig, HeadConfig, Learner, Likelihood, MemorySection, MicroBatch,
        Sequence, batch_logprobs, pack, stream_gradients,
    },
    model::{Routing, Transformer, routing::is_router},
    stages::StageError,
    stages::{examples::Encoded, sft::SftMetrics},
};

/// Packs examples into micro-batches of at most `token_budget` rows, without padding. Rows of one
/// example do not see those of another, but examples with the same prompt share its rows. Only what
/// is learnt is among the targets.
///
/// # Errors
/// When a single example has more tokens than the budget.
pub fn pack_examples(
    examples: &[Encoded],
    token_budget: usize,
) -> Result<Vec<MicroBatch>, BudgetError> {
    let sequences: Vec<Sequence> = examples.iter().map(|e| e.sequence.clone()).collect();
    pack(&sequences, token_budget)
}

/// One update on `examples`, by the mean negative log-likelihood of all their tokens that are
/// learnt. `steps` is the length of the stage, for the schedule.
///
/// # Errors
/// When an example does not fit into a micro-batch.
pub fn step(
    config: &SftConfig,
    learner: &mut Learner,
    examples: &[Encoded],
    (step, steps): (u64, u64),
    memory: &MemorySection,
    gradient: GradientConfig,
) -> Result<SftMetrics, StageError> {
    let start = Instant::now();
    let total: usize = examples.iter().map(Encoded::learnt_tokens).sum();
    let batches = pack_examples(examples, memory.token_budget)?;
    let zeros = learner.zeros();
    let likelihood = Likelihood::mean_of(total);
    let (model, workers) = (&learner.model, memory.workers);
    let sequences: usize = batches.iter().map(|batch| batch.packing.trees.len()).sum();
    let gradient = GradientConfig {
        balance: config.balance.sequence_loss as f32 / sequences.max(1) as f32,
        ..gradient
    };
    let (mut gradients, outputs) =
        stream_gradients(model, &batches, gradient, workers, zeros, &likelihood);
    let mut routing = Routing::default();
    outputs
        .iter()
        .for_each(|output| routing.merge(&output.routing));
    let loss: f64 = outputs.iter().map(|output| output.loss).sum();
    let entropy: f64 = outputs
        .iter()
        .flat_map(|output| &output.entropy)
        .map(|&e| f64::from(e))
        .sum();
    let rate = config.learning_rate * config.schedule.factor(step, steps, config.warmup_steps);
    // NaN moves nothing; the figures say so, and an alarm.
    let grad_norm = if loss.is_finite() {
        if config.freeze_router {
            gradients.retain(|name| !is_router(name));
        }
        learner.update(gradients, rate)
    } else {
        f64::NAN
    };
    if grad_norm.is_finite() {
        learner
            .model
            .correct_routers(&routing, config.balance.rate as f32);
    }
    let step_s = start.elapsed().as_secs_f64();
    Ok(SftMetrics {
        loss,
        entropy: entropy / total.max(1) as f64,
        trained_tokens: total,
        expert_load: routing.figure(Routing::imbalance),
        router_entropy: routing.figure(Routing::entropy),
        idle_experts: routing.figure(Routing::idle),
        grad_norm,
        learning_rate: rate,
        heldout_loss: None,
        step_s,
        trained_tokens_per_s: total as f64 / step_s,
    })
}

/// The mean negative log-likelihood of all tokens of `examples` that would be learnt, in nats.
///
/// # Errors
/// When a single example has more tokens than the budget.
pub fn heldout_loss(
    model: &Transformer,
    examples: &[Encoded],
    token_budget: usize,
    head: HeadConfig,
) -> Result<f64, BudgetError> {
    let mut sum = 0.0;
    let mut tokens = 0;
    for batch in pack_examples(examples, token_budget)? {
        let scores = batch_logprobs(model, &batch, head);
        sum -= scores.logprobs.iter().map(|&x| f64::from(x)).sum::<f64>();
        tokens += scores.logprobs.len();
    }
    Ok(sum / tokens.max(1) as f64)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
