//! `config.json` of a Hugging Face checkpoint, read and written.

mod experts;
mod refusals;
mod rope;
mod variation;

use serde_json::{Map, Value, json};

use super::{ConfigError, Family, ModelConfig};

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
        let family = match Family::of_model_type(model_type) {
            // Without a window, Mistral is a Llama.
            Some(Family::Mistral) if fields.get("sliding_window").is_none() => Family::Llama,
            Some(family) => family,
            None => {
                return Err(ConfigError::UnsupportedArchitecture {
                    file: file.to_string(),
                    architecture: model_type.into(),
                });
            }
        };
        refusals::check(&fields, family)?;
        let hidden_size = fields.required_count("hidden_size")?;
        let num_hidden_layers = fields.required_count("num_hidden_layers")?;
        let num_attention_heads = fields.required_count("num_attention_heads")?;
        let latent = variation::latent(&fields, family)?;
        let head_dim = match (latent, fields.count("head_dim")?, family) {
            // What is called `head_dim` in files of latent attention is another width.
            (Some(latent), ..) => latent.query_dim(),
            (None, Some(head_dim), _) => head_dim,
            (None, None, Family::Qwen3 | Family::Qwen3Moe | Family::Gemma3) => {
                return Err(fields.missing("head_dim"));
            }
            (None, None, _) => hidden_size / num_attention_heads.max(1),
        };
        let max_position_embeddings = fields.required_count("max_position_embeddings")?;
        let ropes = rope::Ropes::read(&fields, family, max_position_embeddings)?;
        let around = variation::Around {
            layers: num_hidden_layers,
            hidden: hidden_size,
            head_dim,
        };
        let variation = variation::read(&fields, family, &around, latent, &ropes)?;
        let kv_heads = fields.count("num_key_value_heads")?;
        let config = Self {
            family,
            vocab_size: fields.required_count("vocab_size")?,
            hidden_size,
            intermediate_size: fields.required_count("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: match latent {
                Some(_) => num_attention_heads,
                None => kv_heads.unwrap_or(num_attention_heads),
            },
            head_dim,
            rms_norm_eps: fields
                .number("rms_norm_eps")?
                .ok_or_else(|| fields.missing("rms_norm_eps"))?,
            rope_theta: ropes.theta,
            rope_scaling: ropes.scaling,
            max_position_embeddings,
            tie_word_embeddings: fields
                .flag("tie_word_embeddings")?
                .unwrap_or_else(|| variation::ties_by_default(family)),
            attention_bias: matches!(family, Family::Qwen2 | Family::Qwen2Moe)
                || fields.flag("attention_bias")?.unwrap_or(false),
            qk_norm: variation::has_qk_norm(family)
                || (family == Family::Glm4Moe && fields.flag("use_qk_norm")?.unwrap_or(false)),
            variation,
            experts: experts::read(&fields, family, num_hidden_layers)?,
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
            rope_theta: _,
            rope_scaling: _,
            max_position_embeddings,
            tie_word_embeddings,
            attention_bias: _,
            qk_norm: _,
            variation: _,
            experts: _,
        } = self;
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
            "max_position_embeddings": max_position_embeddings,
            "tie_word_embeddings": tie_word_embeddings,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "use_cache": true,
            "torch_dtype": "float32",
            "bos_token_id": bos_token_id,
            "eos_token_id": token_ids_json(eos_token_ids),
        });
        if family.padding().is_some_and(|id| *vocab_size <= id) {
            config["pad_token_id"] = Value::Null;
        }
        rope::write(self, &mut config);
        variation::write(self, &mut config);
        experts::write(self, &mut config);
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

/// A number next to `x` that reads as what it was, or else `x`.
fn nearest(x: f64, same: impl Fn(f64) -> bool) -> f64 {
    let near = [x, x.next_up(), x.next_down()];
    near.into_iter().find(|&x| same(x)).unwrap_or(x)
}

/// Typed look-ups in one JSON object; `null` counts as absent, as in transformers.
#[derive(Clone, Copy)]
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

    /// A list of numbers.
    fn numbers(&self, field: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.typed(field, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    /// An object below this one.
    fn below(&self, field: &str) -> Result<Option<Fields<'a>>, ConfigError> {
        let file = self.file;
        let below = self.get(field).map(|value| object(value, field, file));
        Ok(below.transpose()?.map(|map| Fields { map, file }))
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
