//! What the metadata of a GGUF file say of experts.

use super::Keys;
use crate::formats::gguf::GgufError;
use crate::model::{
    config::{ExpertsConfig, Family},
    router::{Router, Scores},
    weights::gguf::GgufFile,
};

/// The mixture of experts of a file, `None` where its family has none. Which layers are dense follows from which have
/// no router.
pub(super) fn read(keys: &Keys<'_>, gguf: &GgufFile) -> Result<Option<ExpertsConfig>, GgufError> {
    if !keys.family.has_experts() {
        return Ok(None);
    }
    // Without a key, llama.cpp has these rules in its code.
    let normalized = match keys.family {
        Family::Qwen2Moe => false,
        Family::Qwen3Moe | Family::Mixtral => true,
        _ => keys.flag("expert_weights_norm")?.unwrap_or(false),
    };
    let router = Router {
        experts: keys.required("expert_count")?,
        chosen: keys.required("expert_used_count")?,
        scores: Scores::Softmax,
        correction: false,
        groups: None,
        normalized: normalized.then_some(0.0),
        scale: 1.0,
    };
    let inner = match keys.count("expert_feed_forward_length")? {
        Some(inner) => inner,
        None => keys.required("feed_forward_length")?,
    };
    let shared = if keys.family == Family::Qwen2Moe {
        keys.required("expert_shared_feed_forward_length")?
    } else {
        0
    };
    let layers = keys.required("block_count")?;
    let dense = |layer: &usize| {
        let router = format!("model.layers.{layer}.mlp.gate.weight");
        gguf.shape(&router).is_none()
    };
    Ok(Some(ExpertsConfig {
        shared_intermediate_size: shared,
        shared_gate: shared > 0,
        dense_layers: (0..layers).filter(dense).collect(),
        ..ExpertsConfig::new(router, inner)
    }))
}
