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
    let head = 4 * (model.vocab_size * model.hidden_size) as u64;
    let references = config
        .stages
        .iter()
        .filter(|s| matches!(s, StageConfig::Grpo(g) if g.beta > 0.0));
    let chunk = (config.memory.head_chunk_mib as u64) << 20;
    // A chunk of logits never needs more rows than a micro-batch has.
    let logits = chunk.min(4 * (config.memory.token_budget * model.vocab_size) as u64);
    let (kept, passing) = activation_bytes_per_token(model, config.memory.activations());
    let parts = vec![
        ("weights", weights),
        ("gradients", weights),
        ("optimiser moments", 2 * weights),
        ("reference", weights * references.count().min(1) as u64),
        (
            "activations",
            ((kept + passing) * config.memory.token_budget * config.memory.workers) as u64,
        ),
        // Logits, probabilities, their product, and the head's gradient in the making.
        (
            "vocabulary head",
            (3 * logits + head) * config.memory.workers as u64,
        ),
    ];
    Estimate {
        parameters,
        peak_bytes: parts.iter().map(|(_, bytes)| bytes).sum(),
        parts,
    }
}
