//! How much memory a run will take, before it takes it.

use serde::Serialize;

use super::RunError;
use crate::{
    bundle::Outline,
    config::RunConfig,
    learner::batch::activation_bytes_per_token,
    model::{ModelConfig, Precision},
    stages::{Demand, SecondModel},
};

/// What a run needs, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Weights of the model.
    pub parameters: u64,
    /// What memory goes to while training.
    pub parts: Vec<(&'static str, u64)>,
    /// What is held at the worst moment.
    pub peak_bytes: u64,
}

/// Estimates the peak of a run in f32, from the model's shape and the config's limits.
///
/// # Errors
/// When a pretrained model cannot be found or understood.
pub fn of(config: &RunConfig) -> Result<Estimate, RunError> {
    let Outline { config: model, .. } = Outline::of(&config.model)?;
    Ok(of_shape(config, &model))
}

/// Bytes of the program itself, its tokenizer and tasks; measured.
const PROGRAM: u64 = 64 << 20;

/// Bytes of a worker's threads, of buffers too small to be counted, and of what the allocator keeps
/// free between them; measured.
const PER_WORKER: u64 = 48 << 20;

/// The same for a model of this shape.
pub fn of_shape(config: &RunConfig, model: &ModelConfig) -> Estimate {
    let parameters = model.parameter_count();
    let weights = 4 * parameters;
    let memory = &config.memory;
    let frozen = memory.frozen.bytes() * parameters;
    let components = Vec::new(); // no need to know the rubric here
    let settings = config.settings();
    let demands: Vec<Demand> = settings
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let around = config.surroundings(index, &settings, &components);
            stage.demand(&around, model)
        })
        .collect();
    let (stored, trained, merged) = match &config.lora {
        Some(lora) => {
            let tensors = model.tensors();
            let merged = match memory.frozen {
                Precision::F32 => 4 * lora.adapted_count(&tensors),
                Precision::Bf16 | Precision::F16 => 0,
            };
            (frozen, 4 * lora.parameter_count(&tensors), merged)
        }
        None => (weights, weights, 0),
    };
    let second = demands.iter().map(|demand| match demand.reference {
        SecondModel::None => 0,
        SecondModel::Adapters => trained,
        SecondModel::Whole => frozen,
    });
    let reference = second.max().unwrap_or(0);
    // Where sampling goes on beside training, it has the weights of some steps ago.
    let samples_ahead = demands.iter().any(|demand| demand.samples_ahead);
    let ahead = match (samples_ahead, &config.lora) {
        (true, Some(_)) => merged,
        (true, None) => weights,
        (false, _) => 0,
    };
    // A second learner: its weights, gradients and moments, and the copy with its adapters added.
    let learners = demands.iter().map(|demand| match demand.critic {
        SecondModel::None => 0,
        SecondModel::Adapters => trained * (3 + memory.workers as u64) + merged,
        SecondModel::Whole => weights * (3 + memory.workers as u64),
    });
    let critic = learners.max().unwrap_or(0);
    let (kept, passing) = activation_bytes_per_token(model, memory.activations());
    let budget = memory.token_budget as u64;
    let workers = memory.workers as u64;
    // A chunk of logits never needs more rows than a micro-batch has.
    let chunk = (memory.head_chunk_mib as u64) << 20;
    let logits = chunk.min(4 * budget * model.vocab_size as u64);
    let kv = model.cached_values();
    // Each worker decodes its share of the completions, with places of its own.
    let rollouts = demands.iter().map(|d| d.rollouts).max().unwrap_or(0);
    let share = rollouts.div_ceil(memory.workers.max(1));
    let slots = memory.batch_rows.min(share) * memory.workers;
    let cached = (4 * slots * kv * config.sampling.max_tokens.next_multiple_of(64)) as u64;
    // What sampling keeps for training: of a step's tokens, if they are as few as the config allows.
    let tapes = demands.iter().map(|demand| {
        let recorded = demand.tokens.min(demand.recorded_tokens);
        let distribution = config.lora.as_ref().map_or(0, |_| 4 * model.vocab_size);
        recorded * (kept + distribution)
    });
    let tape = tapes.max().unwrap_or(0) as u64;
    let working = kept as u64 * budget * workers;
    // A critic works while the tape is still there.
    let held = if critic > 0 {
        working + tape
    } else {
        working.max(tape)
    };
    let parts = vec![
        ("program and tokenizer", PROGRAM),
        ("threads and allocator", PER_WORKER * workers),
        ("weights", stored),
        ("gradients", trained * workers),
        ("optimiser moments", 2 * trained),
        ("reference", reference),
        ("critic", critic),
        ("copy with adapters added", merged),
        ("weights to sample ahead", ahead),
        ("activations", held + passing as u64 * budget * workers),
        ("vocabulary head", logits * workers),
        ("keys and values", cached),
    ];
    Estimate {
        parameters,
        peak_bytes: parts.iter().map(|(_, bytes)| bytes).sum(),
        parts,
    }
}
