//! In what a family differs from Llama, from `config.json` and back.

use serde_json::{Value, json};

use super::{
    super::{Activation, Latent, ModelConfig, NormPlacement, NormSpan, Scales, Variation, Window},
    ConfigError, Family, Fields, nearest,
    rope::Ropes,
};

/// What of a model the settings of a family refer to.
pub(super) struct Around {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) head_dim: usize,
}

/// Whether a family normalises queries and keys.
pub(super) fn has_qk_norm(family: Family) -> bool {
    matches!(
        family,
        Family::Qwen3
            | Family::Gemma3
            | Family::Olmo2
            | Family::Olmo3
            | Family::Qwen3Moe
            | Family::Olmoe
    )
}

/// What `tie_word_embeddings` is where a file is silent.
pub(super) fn ties_by_default(family: Family) -> bool {
    matches!(
        family,
        Family::Gemma3 | Family::SmolLm3 | Family::MiniCpm3 | Family::Youtu
    )
}

/// Reads it.
pub(super) fn read(
    fields: &Fields<'_>,
    family: Family,
    around: &Around,
    latent: Option<Latent>,
    ropes: &Ropes,
) -> Result<Variation, ConfigError> {
    let plain = Variation {
        latent,
        window: window(fields, family, around.layers)?,
        local_rope: ropes.local.clone(),
        scales: scales(fields, family, around)?,
        ..Variation::default()
    };
    Ok(match family {
        Family::Gemma3 => Variation {
            norms: NormPlacement::Around,
            norm_offset: true,
            activation: Activation::GeluTanh,
            ..plain
        },
        Family::Olmo2 | Family::Olmo3 => Variation {
            norms: NormPlacement::After,
            qk_norm_span: NormSpan::Row,
            ..plain
        },
        Family::SmolLm3 => Variation {
            rotates: Some(rotating(fields, around.layers)?),
            ..plain
        },
        Family::Olmoe => Variation {
            qk_norm_span: NormSpan::Row,
            ..plain
        },
        Family::Phi3 | Family::Glm4Moe => {
            let outer = fields.number("partial_rotary_factor")?;
            let default = if family == Family::Glm4Moe { 0.5 } else { 1.0 };
            let factor = ropes.partial.or(outer).unwrap_or(default);
            Variation {
                rotated: (factor != 1.0).then_some((around.head_dim as f64 * factor) as usize),
                ..plain
            }
        }
        _ => plain,
    })
}

/// For each layer of SmolLM3 whether it rotates.
fn rotating(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>, ConfigError> {
    if let Some(listed) = fields.numbers("no_rope_layers")? {
        // 1 stands for a layer that does, whatever the name says.
        return Ok(listed.iter().take(layers).map(|&one| one != 0.0).collect());
    }
    let interval = fields.count("no_rope_layer_interval")?.unwrap_or(4).max(1);
    Ok((0..layers)
        .map(|layer| !(layer + 1).is_multiple_of(interval))
        .collect())
}

/// Which layers see how far.
fn window(
    fields: &Fields<'_>,
    family: Family,
    layers: usize,
) -> Result<Option<Window>, ConfigError> {
    let all = |sliding: bool| vec![sliding; layers];
    let every = |interval: usize| -> Vec<bool> {
        let interval = interval.max(1);
        let sliding = |layer: usize| !(layer + 1).is_multiple_of(interval);
        (0..layers).map(sliding).collect()
    };
    let width = fields.count("sliding_window")?;
    let listed = fields.get("layer_types").and_then(Value::as_array);
    let listed = listed.map(|listed| -> Vec<bool> {
        let sliding = |layer: &Value| layer.as_str() == Some("sliding_attention");
        listed.iter().map(sliding).collect()
    });
    let sliding = match family {
        Family::Mistral => all(true),
        Family::Phi3 => all(width.is_some()),
        Family::Gemma3 => match listed {
            Some(listed) => listed,
            None => every(fields.count("sliding_window_pattern")?.unwrap_or(6)),
        },
        Family::Olmo3 => listed.unwrap_or_else(|| every(4)),
        Family::SmolLm3 => match listed {
            Some(listed) => listed,
            None if fields.flag("use_sliding_window")?.unwrap_or(false) && width.is_some() => {
                let rotating = rotating(fields, layers)?;
                rotating.iter().map(|rotates| !rotates).collect()
            }
            None => all(false),
        },
        _ => return Ok(None),
    };
    if !sliding.contains(&true) {
        return Ok(None);
    }
    let width =
        width.ok_or_else(|| fields.missing("sliding_window, which layer_types ask for,"))?;
    Ok(Some(Window {
        width,
        layers: sliding,
    }))
}

fn scales(fields: &Fields<'_>, family: Family, around: &Around) -> Result<Scales, ConfigError> {
    let or_one = |field: &str| Ok::<_, ConfigError>(fields.number(field)?.unwrap_or(1.0));
    Ok(match family {
        Family::Gemma3 => {
            let scalar = fields.number("query_pre_attn_scalar")?.unwrap_or(256.0);
            Scales {
                embedding: f64::from((around.hidden as f32).sqrt()),
                attention: Some(scalar.sqrt().recip()),
                ..Scales::default()
            }
        }
        Family::Granite | Family::GraniteMoe => Scales {
            embedding: or_one("embedding_multiplier")?,
            residual: or_one("residual_multiplier")?,
            logits: or_one("logits_scaling")?,
            attention: Some(or_one("attention_multiplier")?),
        },
        Family::MiniCpm3 => {
            let depth = (around.layers as f64).sqrt();
            let hidden = around.hidden as f64;
            Scales {
                embedding: fields.number("scale_emb")?.unwrap_or(12.0),
                residual: fields.number("scale_depth")?.unwrap_or(1.4) / depth,
                logits: hidden / fields.number("dim_model_base")?.unwrap_or(256.0),
                attention: None,
            }
        }
        _ => Scales::default(),
    })
}

/// Latent attention, in the families that have it.
pub(super) fn latent(fields: &Fields<'_>, family: Family) -> Result<Option<Latent>, ConfigError> {
    let interleaved = match family {
        Family::DeepseekV2 => true,
        Family::DeepseekV3 | Family::Youtu => fields.flag("rope_interleave")?.unwrap_or(true),
        Family::MiniCpm3 => false,
        _ => return Ok(None),
    };
    Ok(Some(Latent {
        // 0 and nothing at all say the same.
        q_lora_rank: fields.count("q_lora_rank")?.filter(|&rank| rank > 0),
        kv_lora_rank: fields.required_count("kv_lora_rank")?,
        qk_nope_head_dim: fields.required_count("qk_nope_head_dim")?,
        qk_rope_head_dim: fields.required_count("qk_rope_head_dim")?,
        v_head_dim: fields.required_count("v_head_dim")?,
        rope_interleave: interleaved,
    }))
}

/// Writes what `config` has beyond a Llama into its `config.json`.
pub(super) fn write(config: &ModelConfig, json: &mut Value) {
    let variation = &config.variation;
    if config.family == Family::Qwen2Moe {
        json["qkv_bias"] = json!(config.attention_bias);
    } else if config.family != Family::Qwen2 {
        json["attention_bias"] = json!(config.attention_bias);
    }
    match config.family {
        Family::Qwen2 | Family::Qwen3 | Family::Qwen2Moe | Family::Qwen3Moe => {
            json["use_sliding_window"] = json!(false);
        }
        Family::Glm4Moe => json["use_qk_norm"] = json!(config.qk_norm),
        Family::Llama | Family::Granite | Family::SmolLm3 | Family::MiniCpm3 => {
            json["mlp_bias"] = json!(false);
        }
        _ => {}
    }
    if let Some(window) = &variation.window {
        json["sliding_window"] = json!(window.width);
    }
    if matches!(
        config.family,
        Family::Gemma3 | Family::Olmo3 | Family::SmolLm3
    ) {
        let kind = |layer: usize| match &variation.window {
            Some(window) if window.layers[layer] => "sliding_attention",
            _ => "full_attention",
        };
        json["layer_types"] = (0..config.num_hidden_layers).map(kind).collect();
    }
    let scales = variation.scales;
    match config.family {
        Family::Gemma3 => {
            if let Some(object) = json.as_object_mut() {
                object.remove("hidden_act");
            }
            json["hidden_activation"] = json!("gelu_pytorch_tanh");
            let scalar = scales
                .attention
                .map_or(256.0, |scale| (scale * scale).recip());
            // Releases have whole numbers, and transformers reads nothing else.
            json["query_pre_attn_scalar"] = if (scalar - scalar.round()).abs() < 1e-6 {
                json!(scalar.round() as u64)
            } else {
                json!(scalar)
            };
        }
        Family::SmolLm3 => {
            let rotates = |layer: usize| match &variation.rotates {
                Some(rotates) => u8::from(rotates[layer]),
                None => 1,
            };
            json["no_rope_layers"] = (0..config.num_hidden_layers).map(rotates).collect();
            json["use_sliding_window"] = json!(variation.window.is_some());
        }
        Family::Granite | Family::GraniteMoe => {
            let plain = 1.0 / (config.head_dim as f64).sqrt();
            json["embedding_multiplier"] = json!(scales.embedding);
            json["residual_multiplier"] = json!(scales.residual);
            json["logits_scaling"] = json!(scales.logits);
            json["attention_multiplier"] = json!(scales.attention.unwrap_or(plain));
        }
        Family::MiniCpm3 => {
            let depth = (config.num_hidden_layers as f64).sqrt();
            json["scale_emb"] = json!(scales.embedding);
            json["scale_depth"] = json!(nearest(scales.residual * depth, |x| {
                x / depth == scales.residual
            }));
            let base = config.hidden_size as f64 / scales.logits;
            // transformers reads nothing but whole numbers.
            json["dim_model_base"] = json!(base.round() as u64);
        }
        _ => {}
    }
    if let Some(latent) = &variation.latent {
        write_latent(config, latent, json);
    }
}

fn write_latent(config: &ModelConfig, latent: &Latent, json: &mut Value) {
    json["q_lora_rank"] = json!(latent.q_lora_rank);
    json["kv_lora_rank"] = json!(latent.kv_lora_rank);
    json["qk_nope_head_dim"] = json!(latent.qk_nope_head_dim);
    json["qk_rope_head_dim"] = json!(latent.qk_rope_head_dim);
    json["v_head_dim"] = json!(latent.v_head_dim);
    // As transformers writes it, and nobody should read it.
    json["head_dim"] = json!(latent.qk_rope_head_dim);
    if matches!(config.family, Family::DeepseekV3 | Family::Youtu) {
        json["rope_interleave"] = json!(latent.rope_interleave);
    }
    if matches!(config.family, Family::DeepseekV2 | Family::DeepseekV3) {
        json["first_k_dense_replace"] = json!(config.num_hidden_layers);
        json["num_nextn_predict_layers"] = json!(0);
    }
}
