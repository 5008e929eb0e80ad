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
        Family::Llama | Family::Mistral | Family::Qwen3 | Family::Gemma3 | Family::Phi3
    );
    if plain && fields.flag("attention_bias")?.unwrap_or(false) {
        let reason = "attention biases are not implemented for this family";
        return Err(fields.unsupported("attention_bias", &Value::Bool(true), reason));
    }
    if family != Family::Phi3
        && let Some(factor) = fields.number("partial_rotary_factor")?
        && factor != 1.0
    {
        let reason = "RoPE rotates whole heads in this family";
        return Err(fields.unsupported("partial_rotary_factor", &json!(factor), reason));
    }
    layer_types(fields, family)?;
    experts(fields)
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

/// Layers whose feed-forward part is a mixture of experts.
fn experts(fields: &Fields<'_>) -> Result<(), ConfigError> {
    let (Some(count), Some(layers)) = (
        fields.count("n_routed_experts")?,
        fields.count("num_hidden_layers")?,
    ) else {
        return Ok(());
    };
    let dense = fields.count("first_k_dense_replace")?.unwrap_or(0);
    if count == 0 || dense >= layers {
        return Ok(());
    }
    let reason = "mixtures of experts are not implemented; with first_k_dense_replace = num_hidden_layers there are none";
    Err(fields.unsupported("n_routed_experts", &json!(count), reason))
}
