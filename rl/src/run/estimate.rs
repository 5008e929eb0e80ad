//! How much memory a run will take, before it takes it.

use crate::{
    config::{ModelSection, RunConfig, StageConfig},
    model::{ModelConfig, Pretrained},
    policy::batch::activation_bytes_per_token,
    run::{RunError, bundle},
};

/// What a run needs, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    let model = match &config.model {
        ModelSection::Scratch(scratch) => bundle::scratch_config(
            scratch,
            scratch.alphabet.chars().count() + scratch.special_tokens.len() + 1,
        ),
        ModelSection::Pretrained(model) => {
            Pretrained::open(&bundle::expand(&model.path).map_err(RunError::Config)?)?.config
        }
    };
    Ok(from_shape(config, &model))
}

fn from_shape(config: &RunConfig, model: &ModelConfig) -> Estimate {
    let parameters = model.parameter_count();
    let weights = 4 * parameters;
    let memory = &config.memory;
    let trained = match &config.lora {
        Some(lora) => 4 * lora.parameter_count(&model.tensors()),
        None => weights,
    };
    let with_reference = |s: &StageConfig| matches!(s, StageConfig::Grpo(g) if g.beta > 0.0);
    let (reference, merged) = match &config.lora {
        // The reference is the base; to sample and to save, adapters are added to a copy.
        Some(_) => (0, weights),
        None => (
            weights * u64::from(config.stages.iter().any(with_reference)),
            0,
        ),
    };
    let (kept, passing) = activation_bytes_per_token(model, memory.activations());
    let budget = memory.token_budget as u64;
    let workers = memory.workers as u64;
    // A chunk of logits never needs more rows than a micro-batch has.
    let chunk = (memory.head_chunk_mib as u64) << 20;
    let logits = chunk.min(4 * budget * model.vocab_size as u64);
    let kv = 2 * model.num_key_value_heads * model.head_dim * model.num_hidden_layers;
    let slots = match config.stages.iter().map(rollouts).max() {
        Some(rollouts) if rollouts > 0 => memory.batch_rows.min(rollouts),
        _ => 0,
    };
    let cached = (4 * slots * kv * config.sampling.max_tokens.next_multiple_of(64)) as u64;
    let parts = vec![
        ("program and tokenizer", 64 << 20),
        ("weights", weights),
        ("gradients", trained * workers),
        ("optimiser moments", 2 * trained),
        ("reference", reference),
        ("merged copy to sample", merged),
        ("activations", (kept + passing) as u64 * budget * workers),
        ("vocabulary head", logits * workers),
        ("keys and values", cached),
    ];
    Estimate {
        parameters,
        peak_bytes: parts.iter().map(|(_, bytes)| bytes).sum(),
        parts,
    }
}

/// Completions of one step.
fn rollouts(stage: &StageConfig) -> usize {
    match stage {
        StageConfig::Grpo(grpo) => grpo.prompts * grpo.group,
        StageConfig::RejectionSampling(stage) => stage.chunk.min(stage.tasks) * stage.samples,
        StageConfig::Sft(_) => 0,
    }
}
