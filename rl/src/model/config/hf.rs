//! `config.json` of a Hugging Face checkpoint, read and written.

mod experts;

use serde_json::{Map, Value, json};

use super::{ConfigError, Family, ModelConfig, RopeScaling};

impl ModelConfig {
    /// Reads the parsed `config.json` of a checkpoint; `file` names it in errors.
    ///
    /// Both spellings of RoPE are read: `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
    /// (transformers 5).
    ///
    /// # Errors
    /// An architecture or setting that the transformer here does not implement is an error, never ignored; so is a
    /// missing field, one of the wrong type, and a combination that [`ModelConfig::validate`] rejects.
    pub fn from_hf_json(json: &Value, file: &str) -> Result<Self, ConfigError> {
        let fields = Fields {
            map: object(json, "the file", file)?,
            file,
        };
        let model_type = fields.text("model_type")?.unwrap_or("");
        let family = match model_type {
            "llama" | "mistral" => Family::Llama,
            "qwen2" => Family::Qwen2,
            "qwen3" => Family::Qwen3,
            "qwen2_moe" => Family::Qwen2Moe,
            "qwen3_moe" => Family::Qwen3Moe,
            "mixtral" => Family::Mixtral,
            "glm4_moe" => Family::Glm4Moe,
            other => {
                return Err(ConfigError::UnsupportedArchitecture {
                    file: file.to_string(),
                    architecture: other.into(),
                });
            }
        };
        refuse_unsupported(&fields, model_type)?;
        let rope = Rope::read(&fields)?;
        let hidden_size = fields.required_count("hidden_size")?;
        let num_attention_heads = fields.required_count("num_attention_heads")?;
        let head_dim = match (fields.count("head_dim")?, family) {
            (Some(head_dim), _) => head_dim,
            (None, Family::Qwen3 | Family::Qwen3Moe) => return Err(fields.missing("head_dim")),
            (None, _) => hidden_size / num_attention_heads.max(1),
        };
        let config = Self {
            family,
            vocab_size: fields.required_count("vocab_size")?,
            hidden_size,
            intermediate_size: fields.required_count("intermediate_size")?,
            num_hidden_layers: fields.required_count("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: fields
                .count("num_key_value_heads")?
                .unwrap_or(num_attention_heads),
            head_dim,
            rms_norm_eps: fields
                .number("rms_norm_eps")?
                .ok_or_else(|| fields.missing("rms_norm_eps"))?,
            rope_theta: rope.theta,
            rope_scaling: rope.scaling,
            max_position_embeddings: fields.required_count("max_position_embeddings")?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            attention_bias: match family {
                Family::Qwen2 | Family::Qwen2Moe => true,
                Family::Glm4Moe => fields.flag("attention_bias")?.unwrap_or(false),
                _ => false,
            },
            qk_norm: match family {
                Family::Qwen3 | Family::Qwen3Moe => true,
                Family::Glm4Moe => fields.flag("use_qk_norm")?.unwrap_or(false),
                _ => false,
            },
            experts: experts::read(&fields, family)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` with which transformers (4 and 5) loads an export of this model in f32.
    ///
    /// RoPE is written in both spellings. `eos_token_ids` may be empty, then the field is `null`.
    pub fn to_hf_json(&self, bos_token_id: Option<u32>, eos_token_ids: &[u32]) -> Value {
        let Self {
            family,
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps,
            rope_theta,
            rope_scaling,
            max_position_embeddings,
            tie_word_embeddings,
            attention_bias,
            qk_norm,
            experts,
        } = self;
        let scaling = rope_scaling.as_ref().map(scaling_json);
        let mut parameters = scaling
            .clone()
            .unwrap_or_else(|| json!({ "rope_type": "default" }));
        parameters["rope_theta"] = json!(rope_theta);
        let mut config = json!({
            "architectures": [family.architecture()],
            "model_type": family.model_type(),
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "intermediate_size": intermediate_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "num_key_value_heads": num_key_value_heads,
            "head_dim": head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": rms_norm_eps,
            "rope_theta": rope_theta,
            "rope_scaling": scaling,
            "rope_parameters": parameters,
            "max_position_embeddings": max_position_embeddings,
            "tie_word_embeddings": tie_word_embeddings,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "use_cache": true,
            "torch_dtype": "float32",
            "bos_token_id": bos_token_id,
            "eos_token_id": token_ids_json(eos_token_ids),
        });
        match family {
            Family::Llama => {
                config["attention_bias"] = json!(attention_bias);
                config["mlp_bias"] = json!(false);
            }
            Family::Qwen2 => config["use_sliding_window"] = json!(false),
            Family::Qwen2Moe => {
                config["qkv_bias"] = json!(attention_bias);
                config["use_sliding_window"] = json!(false);
            }
            Family::Qwen3 | Family::Qwen3Moe => {
                config["attention_bias"] = json!(attention_bias);
                config["use_sliding_window"] = json!(false);
            }
            Family::Mixtral => {}
            Family::Glm4Moe => {
                config["attention_bias"] = json!(attention_bias);
                config["use_qk_norm"] = json!(qk_norm);
                config["partial_rotary_factor"] = json!(1.0);
                config["rope_parameters"]["partial_rotary_factor"] = json!(1.0);
            }
        }
        if let Some(experts) = experts {
            experts::write(&mut config, *family, experts);
        }
        config
    }
}

/// Token ids as `config.json` writes them: nothing is `null`, one is a number, several are a list.
pub(crate) fn token_ids_json(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [id] => json!(id),
        ids => json!(ids),
    }
}

fn scaling_json(scaling: &RopeScaling) -> Value {
    match *scaling {
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
    }
}

/// Settings that would change the forward pass in a way that is not implemented.
fn refuse_unsupported(fields: &Fields<'_>, model_type: &str) -> Result<(), ConfigError> {
    if let Some(quantization) = fields.get("quantization_config") {
        let reason =
            "quantised Hugging Face checkpoints are not read; use the unquantised one or a GGUF";
        return Err(fields.unsupported("quantization_config", quantization, reason));
    }
    if let Some(act) = fields.text("hidden_act")?
        && act != "silu"
    {
        return Err(fields.unsupported("hidden_act", &json!(act), "only silu is implemented"));
    }
    for (field, reason) in [
        ("mlp_bias", "feed-forward biases are not implemented"),
        (
            "use_sliding_window",
            "sliding-window attention is not implemented",
        ),
    ] {
        if fields.flag(field)?.unwrap_or(false) {
            return Err(fields.unsupported(field, &Value::Bool(true), reason));
        }
    }
    if !matches!(model_type, "qwen2" | "glm4_moe")
        && fields.flag("attention_bias")?.unwrap_or(false)
    {
        let reason = "attention biases are implemented for qwen2 and glm4_moe only";
        return Err(fields.unsupported("attention_bias", &Value::Bool(true), reason));
    }
    if model_type == "qwen2_moe" && !fields.flag("qkv_bias")?.unwrap_or(true) {
        let reason = "qwen2_moe is implemented with biases";
        return Err(fields.unsupported("qkv_bias", &Value::Bool(false), reason));
    }
    if matches!(model_type, "mistral" | "mixtral")
        && let Some(window) = fields.get("sliding_window")
    {
        return Err(fields.unsupported(
            "sliding_window",
            window,
            "sliding-window attention is not implemented",
        ));
    }
    if let Some(Value::Array(layers)) = fields.get("layer_types")
        && let Some(other) = layers
            .iter()
            .find(|layer| layer.as_str() != Some("full_attention"))
    {
        return Err(fields.unsupported("layer_types", other, "every layer must be full_attention"));
    }
    let of_rope = |name| {
        fields
            .get(name)
            .and_then(|rope| rope.get("partial_rotary_factor"))
    };
    if model_type == "glm4_moe"
        && fields.get("partial_rotary_factor").is_none()
        && of_rope("rope_parameters")
            .or(of_rope("rope_scaling"))
            .is_none()
    {
        let (name, reason) = (
            "partial_rotary_factor",
            "RoPE rotates whole heads, the default is 0.5",
        );
        return Err(fields.unsupported(name, &Value::Null, reason));
    }
    if let Some(factor) = fields.number("partial_rotary_factor")?
        && factor != 1.0
    {
        return Err(fields.unsupported(
            "partial_rotary_factor",
            &json!(factor),
            "RoPE rotates whole heads",
        ));
    }
    Ok(())
}

/// Rotary settings, from either spelling.
struct Rope {
    theta: f64,
    scaling: Option<RopeScaling>,
}

impl Rope {
    /// The base that transformers assumes for the supported families when a file names none.
    const DEFAULT_THETA: f64 = 10_000.0;

    fn read(fields: &Fields<'_>) -> Result<Self, ConfigError> {
        let outer_theta = fields.number("rope_theta")?;
        let (name, parameters) = match (fields.get("rope_parameters"), fields.get("rope_scaling")) {
            (Some(parameters), _) => ("rope_parameters", parameters),
            (None, Some(scaling)) => ("rope_scaling", scaling),
            (None, None) => {
                return Ok(Self {
                    theta: outer_theta.unwrap_or(Self::DEFAULT_THETA),
                    scaling: None,
                });
            }
        };
        let inner = Fields {
            map: object(parameters, name, fields.file)?,
            file: fields.file,
        };
        let theta = inner
            .number("rope_theta")?
            .or(outer_theta)
            .unwrap_or(Self::DEFAULT_THETA);
        let kind = match inner.text("rope_type")? {
            Some(kind) => kind,
            None => inner.text("type")?.unwrap_or("default"),
        };
        let required = |field: &str| {
            inner
                .number(field)?
                .ok_or_else(|| inner.missing(&format!("{name}.{field}")))
        };
        let scaling = match kind {
            "default" => None,
            "linear" => Some(RopeScaling::Linear {
                factor: required("factor")?,
            }),
            "llama3" => Some(RopeScaling::Llama3 {
                factor: required("factor")?,
                low_freq_factor: required("low_freq_factor")?,
                high_freq_factor: required("high_freq_factor")?,
                original_max_position_embeddings: inner
                    .required_count("original_max_position_embeddings")?,
            }),
            other => {
                let reason = "supported kinds of RoPE scaling: default, linear, llama3";
                return Err(fields.unsupported(
                    &format!("{name}.rope_type"),
                    &json!(other),
                    reason,
                ));
            }
        };
        if let Some(factor) = inner.number("partial_rotary_factor")?
            && factor != 1.0
        {
            return Err(fields.unsupported(
                "partial_rotary_factor",
                &json!(factor),
                "RoPE rotates whole heads",
            ));
        }
        Ok(Self { theta, scaling })
    }
}

fn object<'a>(
    json: &'a Value,
    field: &str,
    file: &str,
) -> Result<&'a Map<String, Value>, ConfigError> {
    json.as_object()
        .ok_or_else(|| wrong_type(file, field, json, "an object"))
}

fn wrong_type(file: &str, field: &str, value: &Value, expected: &'static str) -> ConfigError {
    ConfigError::WrongType {
        file: file.to_string(),
        field: field.to_string(),
        value: short(value),
        expected,
    }
}

/// A JSON value short enough for an error message.
fn short(value: &Value) -> String {
    const LIMIT: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Typed look-ups in one JSON object; `null` counts as absent, as in transformers.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    file: &'a str,
}

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        field: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(field)
            .map(|value| {
                convert(value).ok_or_else(|| wrong_type(self.file, field, value, expected))
            })
            .transpose()
    }

    fn text(&self, field: &str) -> Result<Option<&'a str>, ConfigError> {
        self.typed(field, "a string", Value::as_str)
    }

    fn number(&self, field: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(field, "a number", Value::as_f64)
    }

    fn flag(&self, field: &str) -> Result<Option<bool>, ConfigError> {
        self.typed(field, "true or false", Value::as_bool)
    }

    fn count(&self, field: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(field, "a whole number", |value| {
            value.as_u64().and_then(|count| usize::try_from(count).ok())
        })
    }

    fn required_count(&self, field: &str) -> Result<usize, ConfigError> {
        self.count(field)?.ok_or_else(|| self.missing(field))
    }

    fn missing(&self, field: &str) -> ConfigError {
        ConfigError::Missing {
            file: self.file.to_string(),
            field: field.to_string(),
        }
    }

    fn unsupported(&self, field: &str, value: &Value, reason: &str) -> ConfigError {
        ConfigError::Unsupported {
            file: self.file.to_string(),
            field: field.to_string(),
            value: short(value),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
