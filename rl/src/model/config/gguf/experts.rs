//! What the metadata of a GGUF file say of experts.

use super::Keys;
use crate::formats::gguf::GgufError;
use crate::model::{
    config::{ExpertsConfig, Family},
    router::{GroupScore, Groups, Router, Scores},
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
    if keys.count("expert_count")?.unwrap_or(0) == 0 {
        return Ok(None);
    }
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
    let shared = match keys.family {
        Family::Qwen2Moe => keys.required("expert_shared_feed_forward_length")?,
        Family::DeepseekV3 => inner * keys.count("expert_shared_count")?.unwrap_or(0),
        _ => 0,
    };
    let router = match keys.family {
        Family::DeepseekV3 => deepseek(keys, router)?,
        Family::GraniteMoe => Router {
            scores: Scores::SoftmaxOfChosen,
            ..router
        },
        _ => router,
    };
    let layers = keys.required("block_count")?;
    let dense = |layer: &usize| {
        let router = format!("model.layers.{layer}.mlp.gate.weight");
        gguf.shape(&router).is_none()
    };
    Ok(Some(ExpertsConfig {
        shared_intermediate_size: shared,
        shared_gate: keys.family == Family::Qwen2Moe,
        dense_layers: (0..layers).filter(dense).collect(),
        ..ExpertsConfig::new(router, inner)
    }))
}

/// Sigmoids, as llama.cpp numbers the functions of gates.
const SIGMOID: usize = 2;

/// DeepSeek-V2 or V3, which have one architecture there.
fn deepseek(keys: &Keys<'_>, router: Router) -> Result<Router, GgufError> {
    let sigmoid = keys.count("expert_gating_func")? == Some(SIGMOID);
    let groups = Groups {
        count: keys.count("expert_group_count")?.unwrap_or(1),
        kept: keys.count("expert_group_used_count")?.unwrap_or(1),
        score: if sigmoid {
            GroupScore::TwoLargest
        } else {
            GroupScore::Largest
        },
        excluded: if sigmoid { f32::NEG_INFINITY } else { 0.0 },
    };
    let scores = if sigmoid {
        Scores::Sigmoid
    } else {
        Scores::Softmax
    };
    Ok(Router {
        scores,
        correction: sigmoid,
        groups: (groups.count, groups.kept).ne(&(1, 1)).then_some(groups),
        normalized: router.normalized.filter(|_| sigmoid).map(|_| 1e-20),
        scale: keys.number("expert_weights_scale")?.unwrap_or(1.0) as f32,
        ..router
    })
}
