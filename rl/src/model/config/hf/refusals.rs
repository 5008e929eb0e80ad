//! Settings that would change the forward pass in a way that is not implemented: errors, never ignored.

use serde_json::{Value, json};

use super::{ConfigError, Family, Fields};

/// What is read of each family is in `variation`; everything else that would matter is refused here.
pub(super) fn check(fields: &Fields<'_>, family: Family) -> Result<(), ConfigError> {
    if let Some(quantization) = fields.get("quantization_config") {
        let reason = "quantised Hugging Face checkpoints, FP8 among them, are not read; use the unquantised one or a GGUF";
        return Err(fields.unsupported("quantization_config", quantization, reason));
    }
    activation(fields, family)?;
    let windowed = matches!(family, Family::SmolLm3);
    for (field, implemented, reason) in [
        ("mlp_bias", false, "feed-forward biases are not implemented"),
        (
            "use_sliding_window",
            windowed,
            "sliding-window attention is not implemented for this family",
        ),
        (
            "use_bidirectional_attention",
            false,
            "tokens that see later ones are not implemented",
        ),
    ] {
        if fields.flag(field)?.unwrap_or(false) && !implemented {
            return Err(fields.unsupported(field, &Value::Bool(true), reason));
        }
    }
    for field in ["final_logit_softcapping", "attn_logit_softcapping"] {
        if let Some(cap) = fields.get(field) {
            return Err(fields.unsupported(field, cap, "soft caps are not implemented"));
        }
    }
    let plain = matches!(
        family,
        Family::Llama
            | Family::Mistral
            | Family::Qwen3
            | Family::Gemma3
            | Family::Phi3
            | Family::Qwen3Moe
            | Family::Mixtral
    );
    if plain && fields.flag("attention_bias")?.unwrap_or(false) {
        let reason = "attention biases are not implemented for this family";
        return Err(fields.unsupported("attention_bias", &Value::Bool(true), reason));
    }
    if !matches!(family, Family::Phi3 | Family::Glm4Moe)
        && let Some(factor) = fields.number("partial_rotary_factor")?
        && factor != 1.0
    {
        let reason = "RoPE rotates whole heads in this family";
        return Err(fields.unsupported("partial_rotary_factor", &json!(factor), reason));
    }
    of_experts(fields, family)?;
    layer_types(fields, family)
}

fn activation(fields: &Fields<'_>, family: Family) -> Result<(), ConfigError> {
    let (expected, reason) = match family {
        Family::Gemma3 => (
            "gelu_pytorch_tanh",
            "only gelu_pytorch_tanh is implemented for gemma3",
        ),
        _ => ("silu", "only silu is implemented"),
    };
    for field in ["hidden_act", "hidden_activation"] {
        // Some files of Gemma have both, of which the second counts.
        let other = family == Family::Gemma3 && field == "hidden_act";
        if let Some(act) = fields.text(field)?
            && act != expected
            && !other
        {
            return Err(fields.unsupported(field, &json!(act), reason));
        }
    }
    Ok(())
}

/// Kinds of layers, of which families without windows have one.
fn layer_types(fields: &Fields<'_>, family: Family) -> Result<(), ConfigError> {
    let Some(Value::Array(layers)) = fields.get("layer_types") else {
        return Ok(());
    };
    let windows = matches!(family, Family::Gemma3 | Family::Olmo3 | Family::SmolLm3);
    let known = |layer: &Value| match layer.as_str() {
        Some("full_attention") => true,
        Some("sliding_attention") => windows || family == Family::Mistral,
        _ => false,
    };
    match layers.iter().find(|layer| !known(layer)) {
        None => Ok(()),
        Some(other) if windows => {
            let reason = "layers must be full_attention or sliding_attention";
            Err(fields.unsupported("layer_types", other, reason))
        }
        Some(other) => {
            let reason = "every layer must be full_attention";
            Err(fields.unsupported("layer_types", other, reason))
        }
    }
}

/// What families with experts have besides.
fn of_experts(fields: &Fields<'_>, family: Family) -> Result<(), ConfigError> {
    if family == Family::Qwen2Moe && !fields.flag("qkv_bias")?.unwrap_or(true) {
        let reason = "qwen2_moe is implemented with biases";
        return Err(fields.unsupported("qkv_bias", &Value::Bool(false), reason));
    }
    for (of, field, reason) in [
        (
            Family::Mixtral,
            "sliding_window",
            "sliding-window attention is not implemented for this family",
        ),
        (
            Family::Olmoe,
            "clip_qkv",
            "bounds of queries, keys and values are not implemented",
        ),
    ] {
        if family == of
            && let Some(value) = fields.get(field)
        {
            return Err(fields.unsupported(field, value, reason));
        }
    }
    Ok(())
}
