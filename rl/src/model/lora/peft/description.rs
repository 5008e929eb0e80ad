//! `adapter_config.json`: which linear maps an adapter changes, and by how much, as PEFT decides it
//! (`check_target_module_exists` and `get_pattern_key` of its sources).

use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value};

use super::{CONFIG, format};
use crate::model::lora::LoraError;

/// Settings that are read.
const READ: [&str; 14] = [
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "alpha_pattern",
    "rank_pattern",
    "layers_to_transform",
    "layers_pattern",
    "exclude_modules",
    "modules_to_save",
    "bias",
    "init_lora_weights",
    "base_model_name_or_path",
];

/// Settings that leave what an adapter computes as it is: where it came from, how it was trained, how
/// its base was sharded then.
const HARMLESS: [&str; 15] = [
    "task_type",
    "revision",
    "inference_mode",
    "auto_mapping",
    "peft_version",
    "lora_dropout",
    "runtime_config",
    "ephemeral_gpu_offload",
    "megatron_config",
    "megatron_core",
    "loftq_config",
    "qalora_group_size",
    "eva_config",
    "corda_config",
    "lora_ga_config",
];

/// Settings that change what an adapter computes, and what they would change.
const CHANGES: [(&str, &str); 9] = [
    ("lora_bias", "adapters would have biases"),
    (
        "use_dora",
        "weights would be divided into direction and magnitude",
    ),
    ("use_qalora", "inputs would be pooled by groups"),
    (
        "alora_invocation_tokens",
        "the adapter would only be used behind certain tokens (aLoRA)",
    ),
    (
        "trainable_token_indices",
        "rows of the embedding would be replaced",
    ),
    (
        "target_parameters",
        "parameters that are no linear maps would get adapters",
    ),
    ("layer_replication", "layers would be repeated"),
    ("fan_in_fan_out", "weights would be stored as [in, out]"),
    (
        "arrow_config",
        "each token would choose among several adapters",
    ),
];

/// Names of modules, as PEFT's settings give them.
#[derive(Debug)]
enum Names {
    /// Every linear map but the head.
    AllLinear,
    /// Those whose whole name matches.
    Pattern(Regex),
    /// Those with one of these names, or names that end with one.
    List(Vec<String>),
}

impl Names {
    fn contain(&self, name: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Pattern(pattern) => pattern.is_match(name),
            Self::List(names) => names.iter().any(|listed| {
                let before = name.strip_suffix(listed.as_str());
                before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }),
        }
    }
}

/// An adapter's description.
#[derive(Debug)]
pub(super) struct Description {
    /// The rank where no pattern says another.
    pub(super) rank: usize,
    /// The same of the numerator of the scale.
    pub(super) alpha: f64,
    rank_stabilised: bool,
    targets: Names,
    excluded: Option<Names>,
    layers: Option<Vec<usize>>,
    layer_patterns: Vec<Regex>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    /// Modules of which the file holds all weights, by the last part of their names.
    saved: Vec<String>,
}

impl Description {
    /// Reads what `text`, the file at `path`, says.
    ///
    /// # Errors
    /// [`LoraError::Format`] for what is not PEFT's, [`LoraError::Unsupported`] for settings that would change what is computed
    /// in a way that is not implemented here.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, LoraError> {
        let all: Map<String, Value> = serde_json::from_str(text).map_err(|e| format(path, &e))?;
        let kind = all.get("peft_type").and_then(Value::as_str);
        if kind != Some("LORA") {
            let kind = kind.unwrap_or("missing");
            return Err(format(path, &format_args!("peft_type is {kind}, not LORA")));
        }
        let fields = Fields { path, all: &all };
        fields.refuse_what_is_not_known()?;
        let rank = fields.number("r")?;
        Ok(Self {
            rank: whole(rank).ok_or_else(|| fields.wrong("r"))?,
            alpha: fields.number("lora_alpha")?,
            rank_stabilised: all.get("use_rslora").and_then(Value::as_bool) == Some(true),
            targets: fields
                .names("target_modules")?
                .ok_or_else(|| fields.wrong("target_modules"))?,
            excluded: fields.names("exclude_modules")?,
            layers: fields.layers()?,
            layer_patterns: fields.layer_patterns()?,
            ranks: fields.patterns("rank_pattern", whole)?,
            alphas: fields.patterns("alpha_pattern", Some)?,
            saved: fields.strings("modules_to_save")?,
        })
    }

    /// Rank and scale of the adapter of a linear map, if it has one.
    pub(super) fn adapter(&self, name: &str) -> Option<(usize, f32)> {
        let excluded = self.excluded.as_ref();
        let is_saved = |module: &String| name.split('.').any(|part| part == module);
        if excluded.is_some_and(|excluded| excluded.contain(name))
            || self.saved.iter().any(is_saved)
            || !self.targets.contain(name)
            || !self.in_layers(name)
        {
            return None;
        }
        let rank = find(&self.ranks, name).unwrap_or(self.rank);
        let alpha = find(&self.alphas, name).unwrap_or(self.alpha);
        let divisor = if self.rank_stabilised {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        Some((rank, (alpha / divisor) as f32))
    }

    /// Whether a module is in a layer that gets adapters. PEFT asks only where targets are a list.
    fn in_layers(&self, name: &str) -> bool {
        let Some(layers) = &self.layers else {
            return true;
        };
        if !matches!(self.targets, Names::List(_)) {
            return true;
        }
        let mut patterns = self.layer_patterns.iter();
        let layer = patterns.find_map(|pattern| pattern.captures(name)?.get(1));
        let layer = layer.and_then(|layer| layer.as_str().parse().ok());
        layer.is_some_and(|layer| layers.contains(&layer))
    }
}

fn find<T: Copy>(patterns: &[(Regex, T)], name: &str) -> Option<T> {
    let mut patterns = patterns.iter();
    let found = patterns.find(|(pattern, _)| pattern.is_match(name));
    found.map(|(_, value)| *value)
}

fn whole(number: f64) -> Option<usize> {
    (number >= 1.0 && number.fract() == 0.0 && number <= 65_536.0).then_some(number as usize)
}

/// The settings of a file.
struct Fields<'a> {
    path: &'a Path,
    all: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn refuse_what_is_not_known(&self) -> Result<(), LoraError> {
        for (key, value) in self.all {
            let reason = match key.as_str() {
                // Biases are weights of the base; only an adapter that leaves them alone is one of A and B.
                "bias" if value != "none" => "biases would be trained too",
                "init_lora_weights" if !keeps_base(value) => {
                    "the base would be changed before the adapter is added"
                }
                key if READ.contains(&key) || HARMLESS.contains(&key) || is_off(value) => continue,
                key => CHANGES.iter().find(|(name, _)| *name == key).map_or(
                    "this setting is not known here, and may change what is computed",
                    |(_, reason)| reason,
                ),
            };
            return Err(self.unsupported(key, reason));
        }
        Ok(())
    }

    fn unsupported(&self, key: &str, reason: &'static str) -> LoraError {
        LoraError::Unsupported {
            path: self.path.to_owned(),
            key: key.to_owned(),
            value: self.value(key).to_string(),
            reason,
        }
    }

    fn value(&self, key: &str) -> &Value {
        self.all.get(key).unwrap_or(&Value::Null)
    }

    fn wrong(&self, key: &str) -> LoraError {
        let value = self.value(key);
        format(
            self.path,
            &format_args!("{key} = {value} is not what PEFT writes in {CONFIG}"),
        )
    }

    fn number(&self, key: &str) -> Result<f64, LoraError> {
        self.value(key).as_f64().ok_or_else(|| self.wrong(key))
    }

    /// An expression that has to be one for this crate, too.
    fn regex(&self, key: &str, expression: &str) -> Result<Regex, LoraError> {
        Regex::new(expression).map_err(|error| {
            format(
                self.path,
                &format_args!("{key}: the expression {expression:?} is not read here: {}; hint: merge the adapter into its base with PEFT (merge_and_unload) and open that", last_line(&error)),
            )
        })
    }

    fn names(&self, key: &str) -> Result<Option<Names>, LoraError> {
        match self.value(key) {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text.eq_ignore_ascii_case("all-linear") => {
                Ok(Some(Names::AllLinear))
            }
            Value::String(text) => {
                let pattern = self.regex(key, &std::format!("^(?:{text})$"))?;
                Ok(Some(Names::Pattern(pattern)))
            }
            _ => {
                let list = self.strings(key)?;
                Ok((!list.is_empty()).then_some(Names::List(list)))
            }
        }
    }

    fn strings(&self, key: &str) -> Result<Vec<String>, LoraError> {
        match self.value(key) {
            Value::Null => Ok(Vec::new()),
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(list) => list
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| self.wrong(key)),
            _ => Err(self.wrong(key)),
        }
    }

    fn layers(&self) -> Result<Option<Vec<usize>>, LoraError> {
        let key = "layers_to_transform";
        let layer = |value: &Value| value.as_u64().and_then(|layer| usize::try_from(layer).ok());
        match self.value(key) {
            Value::Null => Ok(None),
            Value::Array(list) if list.is_empty() => Ok(None),
            Value::Array(list) => {
                let layers: Option<_> = list.iter().map(layer).collect();
                layers.map(Some).ok_or_else(|| self.wrong(key))
            }
            one => {
                let layer = layer(one).ok_or_else(|| self.wrong(key))?;
                Ok(Some(vec![layer]))
            }
        }
    }

    /// How the number of a layer is found in a name.
    fn layer_patterns(&self) -> Result<Vec<Regex>, LoraError> {
        let key = "layers_pattern";
        let named = self
            .strings(key)?
            .into_iter()
            .filter(|name| !name.is_empty());
        let mut expressions: Vec<String> = named
            .map(|name| std::format!(r"^(?:.*?\.)?{name}\.(\d+)\."))
            .collect();
        if expressions.is_empty() {
            expressions.push(r"^.*?\.[^.]*\.(\d+)\.".to_owned());
        }
        let expressions = expressions.iter();
        expressions.map(|text| self.regex(key, text)).collect()
    }

    /// `{"expression": number}`, in the order of the file: the first that matches the end of a name counts.
    fn patterns<T>(
        &self,
        key: &str,
        value: impl Fn(f64) -> Option<T>,
    ) -> Result<Vec<(Regex, T)>, LoraError> {
        let map = match self.value(key) {
            Value::Null => return Ok(Vec::new()),
            Value::Object(map) => map,
            _ => return Err(self.wrong(key)),
        };
        let read = |(expression, number): (&String, &Value)| {
            let number = number.as_f64().and_then(&value);
            let number = number.ok_or_else(|| self.wrong(key))?;
            let expression = self.regex(key, &std::format!(r"^(?:.*\.)?(?:{expression})$"))?;
            Ok((expression, number))
        };
        map.iter().map(read).collect()
    }
}

/// What is wrong with an expression, without the drawing of where.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Whether weights that were drawn so leave the base as it is.
fn keeps_base(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => matches!(text.as_str(), "gaussian" | "eva" | "orthogonal"),
        _ => false,
    }
}

/// Whether a setting is off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
