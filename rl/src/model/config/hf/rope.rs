//! Rotary settings of `config.json`, in the spellings of transformers 4 and 5.

use serde_json::{Value, json};

use super::{
    super::{LocalRope, LongRope, ModelConfig, RopeScaling, Yarn},
    ConfigError, Family, Fields, nearest,
};

/// Rotary settings of all layers.
pub(super) struct Ropes {
    pub(super) theta: f64,
    pub(super) scaling: Option<RopeScaling>,
    /// Of layers with a window, where families set these apart.
    pub(super) local: Option<LocalRope>,
    /// The share of a head that is rotated, where a file says so beside the others.
    pub(super) partial: Option<f64>,
}

/// What kinds of layers are called in files that set them apart.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// The base that transformers assumes when a file names none: of all layers, or of those without a window; of those with one.
fn default_theta(family: Family) -> (f64, f64) {
    match family {
        Family::Gemma3 => (1_000_000.0, 10_000.0),
        Family::Olmo3 => (500_000.0, 500_000.0),
        Family::SmolLm3 => (2_000_000.0, 2_000_000.0),
        _ => (10_000.0, 10_000.0),
    }
}

/// Whether layers with a window have rotary settings of their own.
fn apart(family: Family) -> bool {
    matches!(family, Family::Gemma3 | Family::Olmo3)
}

impl Ropes {
    /// Reads them. With `context`, the longest sequence that the file promises, some settings get their defaults.
    pub(super) fn read(
        fields: &Fields<'_>,
        family: Family,
        context: usize,
    ) -> Result<Self, ConfigError> {
        let reader = Reader {
            fields,
            family,
            context,
        };
        if apart(family) {
            return reader.both();
        }
        let outer = fields.number("rope_theta")?;
        let default = default_theta(family).0;
        let (name, inner) = match (
            fields.below("rope_parameters")?,
            fields.below("rope_scaling")?,
        ) {
            (Some(inner), _) => ("rope_parameters", inner),
            (None, Some(inner)) => ("rope_scaling", inner),
            (None, None) => {
                return Ok(Self {
                    theta: outer.unwrap_or(default),
                    scaling: None,
                    local: None,
                    partial: None,
                });
            }
        };
        Ok(Self {
            theta: inner.number("rope_theta")?.or(outer).unwrap_or(default),
            scaling: reader.scaling(name, &inner)?,
            local: None,
            partial: reader.partial(&inner)?,
        })
    }
}

struct Reader<'a> {
    fields: &'a Fields<'a>,
    family: Family,
    context: usize,
}

impl Reader<'_> {
    /// Those of layers without and with a window.
    fn both(&self) -> Result<Ropes, ConfigError> {
        let (global, local) = default_theta(self.family);
        let fields = self.fields;
        let outer = fields.number("rope_theta")?;
        let outer_local = match self.family {
            Family::Gemma3 => fields.number("rope_local_base_freq")?,
            _ => outer,
        };
        let parameters = fields.below("rope_parameters")?;
        let of = |kind: &str| match &parameters {
            Some(parameters) => parameters.below(kind),
            None => Ok(None),
        };
        let (full, sliding) = (of(FULL)?, of(SLIDING)?);
        let old = fields.below("rope_scaling")?;
        let theta = |inner: &Option<Fields<'_>>| match inner {
            Some(inner) => inner.number("rope_theta"),
            None => Ok(None),
        };
        let scaling = match (&full, &old) {
            (Some(full), _) => self.scaling("rope_parameters.full_attention", full)?,
            (None, Some(old)) => self.scaling("rope_scaling", old)?,
            (None, None) => None,
        };
        let local_scaling = match &sliding {
            Some(sliding) => self.scaling("rope_parameters.sliding_attention", sliding)?,
            None => None,
        };
        Ok(Ropes {
            theta: theta(&full)?.or(outer).unwrap_or(global),
            scaling,
            local: Some(LocalRope {
                theta: theta(&sliding)?.or(outer_local).unwrap_or(local),
                scaling: local_scaling,
            }),
            partial: None,
        })
    }

    /// The share of a head that is rotated.
    fn partial(&self, inner: &Fields<'_>) -> Result<Option<f64>, ConfigError> {
        let factor = inner.number("partial_rotary_factor")?;
        match factor {
            Some(factor)
                if factor != 1.0 && !matches!(self.family, Family::Phi3 | Family::Glm4Moe) =>
            {
                let reason = "RoPE rotates whole heads in this family";
                Err(self
                    .fields
                    .unsupported("partial_rotary_factor", &json!(factor), reason))
            }
            factor => Ok(factor),
        }
    }

    /// How frequencies are stretched by the object `name`.
    fn scaling(&self, name: &str, inner: &Fields<'_>) -> Result<Option<RopeScaling>, ConfigError> {
        let kind = match inner.text("rope_type")? {
            Some(kind) => kind,
            None => inner.text("type")?.unwrap_or("default"),
        };
        let required = |field: &str| {
            inner
                .number(field)?
                .ok_or_else(|| inner.missing(&format!("{name}.{field}")))
        };
        // Phi-3 says so beside the object.
        let original = || match self.fields.count("original_max_position_embeddings")? {
            Some(original) => Ok(original),
            None => inner.required_count("original_max_position_embeddings"),
        };
        let scaling = match kind {
            "default" => return Ok(None),
            "linear" => RopeScaling::Linear {
                factor: required("factor")?,
            },
            "llama3" => RopeScaling::Llama3 {
                factor: required("factor")?,
                low_freq_factor: required("low_freq_factor")?,
                high_freq_factor: required("high_freq_factor")?,
                original_max_position_embeddings: inner
                    .required_count("original_max_position_embeddings")?,
            },
            "yarn" if self.family != Family::Phi3 => RopeScaling::Yarn(Yarn {
                factor: required("factor")?,
                original_max_position_embeddings: original()?,
                beta_fast: inner.number("beta_fast")?.unwrap_or(32.0),
                beta_slow: inner.number("beta_slow")?.unwrap_or(1.0),
                attention_factor: inner.number("attention_factor")?,
                mscale: inner.number("mscale")?,
                mscale_all_dim: inner.number("mscale_all_dim")?,
                truncate: inner.flag("truncate")?.unwrap_or(true),
            }),
            // The first files of Phi-3 have other names for it.
            "longrope" | "su" | "yarn" => self.long(name, inner, original()?)?,
            other => {
                let reason =
                    "supported kinds of RoPE scaling: default, linear, llama3, yarn, longrope";
                let field = format!("{name}.rope_type");
                return Err(self.fields.unsupported(&field, &json!(other), reason));
            }
        };
        Ok(Some(scaling))
    }

    fn long(
        &self,
        name: &str,
        inner: &Fields<'_>,
        original: usize,
    ) -> Result<RopeScaling, ConfigError> {
        let factors = |field: &str| {
            inner
                .numbers(field)?
                .ok_or_else(|| inner.missing(&format!("{name}.{field}")))
        };
        let factor = match inner.number("factor")? {
            Some(factor) => factor,
            None => self.context as f64 / original.max(1) as f64,
        };
        let attention_factor = match inner.number("attention_factor")? {
            Some(factor) => factor,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        };
        Ok(RopeScaling::LongRope(LongRope {
            short_factor: factors("short_factor")?,
            long_factor: factors("long_factor")?,
            original_max_position_embeddings: original,
            attention_factor,
        }))
    }
}

/// Writes the rotary settings in both spellings.
pub(super) fn write(config: &ModelConfig, json: &mut Value) {
    let scaling = config.rope_scaling.as_ref().map(scaling_json);
    let with_theta = |scaling: Option<Value>, theta: f64| {
        let mut parameters = scaling.unwrap_or_else(|| json!({ "rope_type": "default" }));
        parameters["rope_theta"] = json!(theta);
        parameters
    };
    let mut parameters = with_theta(scaling.clone(), config.rope_theta);
    // GLM's default is half a head.
    let rotated = match config.family {
        Family::Phi3 => config.variation.rotated,
        Family::Glm4Moe => Some(config.rotated()),
        _ => None,
    };
    if let Some(rotated) = rotated {
        let width = config.head_dim as f64;
        let factor = nearest(rotated as f64 / width, |x| (width * x) as usize == rotated);
        parameters["partial_rotary_factor"] = json!(factor);
        json["partial_rotary_factor"] = json!(factor);
    }
    json["rope_theta"] = json!(config.rope_theta);
    json["rope_scaling"] = json!(scaling);
    json["rope_parameters"] = match &config.variation.local_rope {
        None => parameters,
        Some(local) => {
            let own = local.scaling.as_ref().map(scaling_json);
            json!({ FULL: parameters, SLIDING: with_theta(own, local.theta) })
        }
    };
    if let (Family::Gemma3, Some(local)) = (config.family, &config.variation.local_rope) {
        json["rope_local_base_freq"] = json!(local.theta);
    }
    if let (Family::Phi3, Some(RopeScaling::LongRope(long))) = (config.family, &config.rope_scaling)
    {
        json["original_max_position_embeddings"] = json!(long.original_max_position_embeddings);
    }
}

fn scaling_json(scaling: &RopeScaling) -> Value {
    match scaling {
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
        RopeScaling::Yarn(yarn) => {
            let mut json = json!({
                "rope_type": "yarn",
                "factor": yarn.factor,
                "original_max_position_embeddings": yarn.original_max_position_embeddings,
                "beta_fast": yarn.beta_fast,
                "beta_slow": yarn.beta_slow,
                "truncate": yarn.truncate,
            });
            for (field, value) in [
                ("attention_factor", yarn.attention_factor),
                ("mscale", yarn.mscale),
                ("mscale_all_dim", yarn.mscale_all_dim),
            ] {
                if let Some(value) = value {
                    json[field] = json!(value);
                }
            }
            json
        }
        RopeScaling::LongRope(long) => json!({
            "rope_type": "longrope",
            "short_factor": long.short_factor,
            "long_factor": long.long_factor,
            "original_max_position_embeddings": long.original_max_position_embeddings,
            "attention_factor": long.attention_factor,
        }),
    }
}
