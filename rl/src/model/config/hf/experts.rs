//! What `config.json` says of experts, family by family.

use serde_json::{Value, json};

use super::{ConfigError, Family, Fields};
use crate::model::{
    config::{ExpertsConfig, ModelConfig},
    router::{GroupScore, Groups, Router, Scores},
};

/// What families call the number of experts.
const COUNTS: [&str; 3] = ["num_experts", "num_local_experts", "n_routed_experts"];

/// DeepSeek-V3 adds this to the sum of weights.
const SUM_EPSILON: f32 = 1e-20;

/// The mixture of experts of a family, `None` where it has none.
///
/// # Errors
/// A key that is missing or makes no sense, and what a family would do that is not implemented here.
pub(super) fn read(
    fields: &Fields<'_>,
    family: Family,
    layers: usize,
) -> Result<Option<ExpertsConfig>, ConfigError> {
    if family.may_be_dense() {
        let none = fields.count("n_routed_experts")?.unwrap_or(0) == 0;
        let dense = fields.count("first_k_dense_replace")?.unwrap_or(0);
        if none || dense >= layers {
            return Ok(None);
        }
    }
    if !family.has_experts() {
        let found = COUNTS.into_iter().find_map(|name| {
            let value = fields.get(name)?;
            (value.as_u64() != Some(0)).then_some((name, value))
        });
        return match found {
            Some((name, value)) => {
                let reason = format!("the model type {family} has no experts");
                Err(fields.unsupported(name, value, &reason))
            }
            None => Ok(None),
        };
    }
    let router = Router {
        experts: count(fields)?,
        chosen: fields.required_count("num_experts_per_tok")?,
        scores: Scores::Softmax,
        correction: false,
        groups: None,
        normalized: None,
        scale: 1.0,
    };
    let experts = match family {
        Family::Qwen3Moe | Family::Qwen2Moe => qwen(fields, family, router)?,
        Family::Mixtral => {
            let router = Router {
                normalized: Some(0.0),
                ..router
            };
            ExpertsConfig::new(router, fields.required_count("intermediate_size")?)
        }
        Family::Olmoe => {
            let normalized = fields.flag("norm_topk_prob")?.unwrap_or(false);
            let router = Router {
                normalized: normalized.then_some(0.0),
                ..router
            };
            ExpertsConfig::new(router, fields.required_count("intermediate_size")?)
        }
        Family::GraniteMoe => {
            let router = Router {
                scores: Scores::SoftmaxOfChosen,
                ..router
            };
            ExpertsConfig::new(router, fields.required_count("intermediate_size")?)
        }
        Family::DeepseekV2 => deepseek_v2(fields, router)?,
        _ => deepseek(fields, router)?,
    };
    Ok(Some(experts))
}

fn count(fields: &Fields<'_>) -> Result<usize, ConfigError> {
    for name in COUNTS {
        if let Some(count) = fields.count(name)? {
            return Ok(count);
        }
    }
    Err(fields.missing(&COUNTS.join(" or ")))
}

fn qwen(fields: &Fields<'_>, family: Family, router: Router) -> Result<ExpertsConfig, ConfigError> {
    let normalized = fields.flag("norm_topk_prob")?.unwrap_or(false);
    let router = Router {
        normalized: normalized.then_some(0.0),
        ..router
    };
    let shared = if family == Family::Qwen2Moe {
        fields.required_count("shared_expert_intermediate_size")?
    } else {
        0
    };
    Ok(ExpertsConfig {
        shared_intermediate_size: shared,
        shared_gate: shared > 0,
        layer_step: fields.count("decoder_sparse_step")?.unwrap_or(1),
        dense_layers: dense_layers(fields)?,
        ..ExpertsConfig::new(router, fields.required_count("moe_intermediate_size")?)
    })
}

/// DeepSeek-V2: the best by softmax, perhaps of the best groups by their largest score.
fn deepseek_v2(fields: &Fields<'_>, router: Router) -> Result<ExpertsConfig, ConfigError> {
    let method = fields.text("topk_method")?.unwrap_or("greedy");
    let limited = match method {
        "greedy" => false,
        "group_limited_greedy" => true,
        other => {
            let reason = "this model type has \"greedy\" or \"group_limited_greedy\"";
            return Err(fields.unsupported("topk_method", &json!(other), reason));
        }
    };
    if let Some(scores) = fields.text("scoring_func")?
        && scores != "softmax"
    {
        let reason = "this model type has \"softmax\"";
        return Err(fields.unsupported("scoring_func", &json!(scores), reason));
    }
    let groups = Groups {
        count: fields.count("n_group")?.unwrap_or(1),
        kept: fields.count("topk_group")?.unwrap_or(1),
        score: GroupScore::Largest,
        excluded: 0.0,
    };
    // `norm_topk_prob` is in the files, and changes nothing in transformers.
    let router = Router {
        groups: limited.then_some(groups),
        scale: fields.number("routed_scaling_factor")?.unwrap_or(1.0) as f32,
        ..router
    };
    of_deepseek(fields, router)
}

/// What DeepSeek-V3 has, and those that follow it: a corrected choice among groups by sigmoids.
fn deepseek(fields: &Fields<'_>, router: Router) -> Result<ExpertsConfig, ConfigError> {
    for (name, supported) in [("topk_method", "noaux_tc"), ("scoring_func", "sigmoid")] {
        if let Some(value) = fields.text(name)?
            && value != supported
        {
            let reason = format!("this model type has {supported:?}");
            return Err(fields.unsupported(name, &json!(value), &reason));
        }
    }
    let groups = Groups {
        count: fields.count("n_group")?.unwrap_or(1),
        kept: fields.count("topk_group")?.unwrap_or(1),
        score: GroupScore::TwoLargest,
        excluded: f32::NEG_INFINITY,
    };
    let normalized = fields.flag("norm_topk_prob")?.unwrap_or(true);
    let router = Router {
        scores: Scores::Sigmoid,
        correction: true,
        // One group of which one stays is none; more than one of one is wrong, and checked.
        groups: (groups.count, groups.kept).ne(&(1, 1)).then_some(groups),
        normalized: normalized.then_some(SUM_EPSILON),
        scale: fields.number("routed_scaling_factor")?.unwrap_or(1.0) as f32,
        ..router
    };
    of_deepseek(fields, router)
}

fn of_deepseek(fields: &Fields<'_>, router: Router) -> Result<ExpertsConfig, ConfigError> {
    let inner = fields.required_count("moe_intermediate_size")?;
    Ok(ExpertsConfig {
        shared_intermediate_size: inner * fields.count("n_shared_experts")?.unwrap_or(0),
        first_layer: fields.count("first_k_dense_replace")?.unwrap_or(0),
        dense_layers: dense_layers(fields)?,
        ..ExpertsConfig::new(router, inner)
    })
}

/// Layers that are listed as dense, by either of the two keys that list them.
fn dense_layers(fields: &Fields<'_>) -> Result<Vec<usize>, ConfigError> {
    let wrong = |name: &str, value: &Value, expected| {
        Err(super::wrong_type(fields.file, name, value, expected))
    };
    let mut dense = Vec::new();
    if let Some(value) = fields.get("mlp_only_layers") {
        let layer = |value: &Value| value.as_u64().and_then(|layer| usize::try_from(layer).ok());
        let layers = value.as_array().map(|all| all.iter().map(layer).collect());
        match layers {
            Some(Some(layers)) => dense = layers,
            _ => return wrong("mlp_only_layers", value, "a list of numbers of layers"),
        }
    }
    if let Some(value) = fields.get("mlp_layer_types") {
        let Some(kinds) = value.as_array() else {
            return wrong("mlp_layer_types", value, "a list");
        };
        for (layer, kind) in kinds.iter().enumerate() {
            match kind.as_str() {
                Some("dense") if !dense.contains(&layer) => dense.push(layer),
                Some("dense" | "sparse") => {}
                _ => return wrong("mlp_layer_types", kind, "\"dense\" or \"sparse\""),
            }
        }
    }
    dense.sort_unstable();
    Ok(dense)
}

/// Writes what [`read`] reads.
pub(super) fn write(model: &ModelConfig, config: &mut Value) {
    let (family, Some(experts)) = (model.family, &model.experts) else {
        return;
    };
    let ExpertsConfig {
        router,
        intermediate_size,
        shared_intermediate_size,
        shared_gate: _, // a property of the family
        first_layer,
        layer_step,
        dense_layers,
    } = experts;
    config["num_experts_per_tok"] = json!(router.chosen);
    config["output_router_logits"] = json!(false);
    match family {
        Family::Qwen3Moe | Family::Qwen2Moe => {
            config["num_experts"] = json!(router.experts);
            config["moe_intermediate_size"] = json!(intermediate_size);
            config["norm_topk_prob"] = json!(router.normalized.is_some());
            config["decoder_sparse_step"] = json!(layer_step);
            config["mlp_only_layers"] = json!(dense_layers);
            if family == Family::Qwen2Moe {
                config["shared_expert_intermediate_size"] = json!(shared_intermediate_size);
            }
        }
        Family::Mixtral | Family::GraniteMoe => {
            config["num_local_experts"] = json!(router.experts);
            config["intermediate_size"] = json!(intermediate_size);
            if family == Family::Mixtral {
                config["sliding_window"] = Value::Null;
            }
        }
        Family::Olmoe => {
            config["num_experts"] = json!(router.experts);
            config["intermediate_size"] = json!(intermediate_size);
            config["norm_topk_prob"] = json!(router.normalized.is_some());
        }
        _ => {
            let groups = router.groups;
            config["n_routed_experts"] = json!(router.experts);
            config["moe_intermediate_size"] = json!(intermediate_size);
            config["n_shared_experts"] = json!(shared_intermediate_size / intermediate_size);
            config["first_k_dense_replace"] = json!(first_layer);
            config["norm_topk_prob"] = json!(router.normalized.is_some());
            config["routed_scaling_factor"] = json!(router.scale);
            config["n_group"] = json!(groups.map_or(1, |groups| groups.count));
            config["topk_group"] = json!(groups.map_or(1, |groups| groups.kept));
            config["num_nextn_predict_layers"] = json!(0);
            let (method, scores) = match (family, groups) {
                (Family::DeepseekV2, None) => ("greedy", "softmax"),
                (Family::DeepseekV2, Some(_)) => ("group_limited_greedy", "softmax"),
                _ => ("noaux_tc", "sigmoid"),
            };
            config["topk_method"] = json!(method);
            config["scoring_func"] = json!(scores);
        }
    }
}
