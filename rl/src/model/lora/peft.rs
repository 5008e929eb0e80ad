//! Adapters as files: `adapter_config.json` and `adapter_model.safetensors`, as PEFT writes them.

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Lora, LoraError};
use crate::model::{
    Transformer,
    linear::{Adapter, Linear},
    parameters::from_host,
    stored::{gathered, scattered},
    weights::{HostTensor, written_name},
};

/// Weights of an adapter, in its directory.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Its description, in its directory.
pub const CONFIG: &str = "adapter_config.json";
/// What PEFT puts before every name.
const PREFIX: &str = "base_model.model.";

/// PEFT's `adapter_config.json`: what is needed of it.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    task_type: Option<String>,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    target_modules: Vec<String>,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default = "none")]
    bias: String,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
}

fn none() -> String {
    "none".to_owned()
}

/// Settings that leave what an adapter computes as it is: where it came from, how it was trained, how
/// its base was sharded then.
const HARMLESS: [&str; 17] = [
    "r",
    "lora_alpha",
    "target_modules",
    "peft_type",
    "task_type",
    "base_model_name_or_path",
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
];

/// Settings that change what an adapter computes, and what they would change.
const CHANGES: [(&str, &str); 15] = [
    ("bias", "biases would be trained too"),
    ("lora_bias", "adapters would have biases"),
    (
        "use_rslora",
        "adapters would be scaled by alpha / sqrt(rank)",
    ),
    (
        "use_dora",
        "weights would be divided into direction and magnitude",
    ),
    ("use_qalora", "inputs would be pooled by groups"),
    (
        "alpha_pattern",
        "some layers would be scaled by another alpha",
    ),
    ("rank_pattern", "some layers would have another rank"),
    ("modules_to_save", "whole modules would be replaced"),
    (
        "trainable_token_indices",
        "rows of the embedding would be replaced",
    ),
    (
        "target_parameters",
        "parameters that are no linear maps would get adapters",
    ),
    ("layers_to_transform", "only some layers would get adapters"),
    ("layer_replication", "layers would be repeated"),
    ("exclude_modules", "some targets would be left out"),
    ("fan_in_fan_out", "weights would be stored as [in, out]"),
    (
        "init_lora_weights",
        "the base would be changed before the adapter is added",
    ),
];

/// Settings of a file that are read, if they say all that they change.
fn read_config(path: &Path, text: &str) -> Result<Lora, LoraError> {
    let all: Map<String, Value> = serde_json::from_str(text).map_err(|e| format(path, &e))?;
    let kind = all.get("peft_type").and_then(Value::as_str);
    if kind != Some("LORA") {
        let kind = kind.unwrap_or("missing");
        return Err(format(path, &format_args!("peft_type is {kind}, not LORA")));
    }
    for (key, value) in &all {
        if HARMLESS.contains(&key.as_str()) || neutral(key, value) {
            continue;
        }
        let known = CHANGES.iter().find(|(name, _)| name == key);
        return Err(LoraError::Unsupported {
            path: path.to_owned(),
            key: key.clone(),
            value: value.to_string(),
            reason: known.map_or(
                "this setting is not known here, and may change what is computed",
                |(_, reason)| reason,
            ),
        });
    }
    let peft: PeftConfig =
        serde_json::from_value(Value::Object(all)).map_err(|e| format(path, &e))?;
    let lora = Lora {
        rank: peft.r,
        alpha: peft.lora_alpha,
        targets: peft.target_modules,
    };
    lora.validate()?;
    Ok(lora)
}

/// Whether a setting is off.
fn neutral(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => key == "init_lora_weights",
        Value::Number(_) => false,
        // Drawn otherwise, or by what the base is: but the base stays as it is.
        Value::String(text) if key == "init_lora_weights" => {
            matches!(text.as_str(), "gaussian" | "eva" | "orthogonal")
        }
        Value::String(text) => text.is_empty() || (key == "bias" && text == "none"),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Writes the adapters of `model` into `dir` as PEFT does; `base` is what its users are told to put
/// them on. Nothing is written for a model without adapters.
///
/// # Errors
/// When the disk does not take it.
pub fn save_adapter(dir: &Path, model: &Transformer, base: &str) -> Result<(), LoraError> {
    let Some(lora) = model.lora() else {
        return Ok(());
    };
    fs::create_dir_all(dir).map_err(io(dir))?;
    let config = PeftConfig {
        peft_type: "LORA".to_owned(),
        task_type: Some("CAUSAL_LM".to_owned()),
        base_model_name_or_path: Some(base.to_owned()),
        r: lora.rank,
        lora_alpha: lora.alpha,
        target_modules: present(lora, model),
        lora_dropout: 0.0,
        bias: none(),
        use_rslora: false,
        use_dora: false,
    };
    let path = dir.join(CONFIG);
    let text = serde_json::to_string_pretty(&config).map_err(|e| format(&path, &e))?;
    fs::write(&path, text + "\n").map_err(io(&path))?;

    let path = dir.join(WEIGHTS);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = model
        .adapters_to_host()
        .into_iter()
        .map(|(name, host)| {
            let host = in_order(model, &name, host, scattered);
            let bytes = host.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let name = written_name(model.config().family, name);
            (std::format!("{PREFIX}{name}"), host.shape, bytes)
        })
        .collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|e| format(&path, &e))?;
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    safetensors::serialize_to_file(views, metadata, &path).map_err(|e| format(&path, &e))
}

/// The targets that `model` has.
fn present(lora: &Lora, model: &Transformer) -> Vec<String> {
    let tensors = model.config().tensors();
    let found = |target: &&String| {
        let end = format!(".{target}.weight");
        tensors.iter().any(|(name, _)| name.ends_with(&end))
    };
    lora.targets.iter().filter(found).cloned().collect()
}

/// Puts the adapters in `dir` on `model`.
///
/// # Errors
/// When they cannot be read, use what this program lacks, or were made for another model.
pub fn load_adapter(dir: &Path, model: &mut Transformer) -> Result<(), LoraError> {
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let lora = read_config(&path, &text)?;

    let path = dir.join(WEIGHTS);
    let bytes = fs::read(&path).map_err(io(&path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| format(&path, &e))?;
    let mut tensors: BTreeMap<String, TensorView> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), view))
        .collect();
    let device = model.device();
    let ordered = model.clone();
    let mut take = |name: String, expected: [usize; 2]| {
        let view = tensors.remove(&name);
        let found = view
            .as_ref()
            .map_or(Vec::new(), |view| view.shape().to_vec());
        match view {
            Some(view) if found == expected => {
                let values = floats(&view).ok_or_else(|| {
                    format(
                        &path,
                        &format_args!("{name} is {:?}, not a float type", view.dtype()),
                    )
                })?;
                let host = HostTensor {
                    shape: expected.to_vec(),
                    values,
                };
                let host = in_order(&ordered, &name, host, gathered);
                Ok(from_host::<2>(host.values, expected, &device))
            }
            _ => Err(LoraError::OtherBase {
                path: path.clone(),
                name,
                found,
                expected,
            }),
        }
    };
    let (targets, rank, scale) = (lora.targets.clone(), lora.rank, lora.scale());
    let family = model.config().family;
    model.adapt(lora, |name, linear: &Linear| {
        if !targets.iter().any(|target| target == name) {
            return Ok(None);
        }
        let [out, inner] = linear.weight.dims();
        let named =
            |part: &str| written_name(family, std::format!("{}.{part}.weight", linear.name));
        let down = take(named("lora_A"), [rank, inner])?;
        let up = take(named("lora_B"), [out, rank])?;
        Ok(Some(Adapter::new(down, up, scale)))
    })?;
    match tensors.keys().next() {
        None => Ok(()),
        Some(name) => Err(format(
            &path,
            &format_args!("{name} has no place in this model"),
        )),
    }
}

/// The rows of B in the order of checkpoints, or back.
fn in_order(
    model: &Transformer,
    name: &str,
    host: HostTensor,
    change: fn(&[f32], &[usize], usize) -> Vec<f32>,
) -> HostTensor {
    let module = name.strip_suffix(".lora_B.weight");
    let order = module.and_then(|module| model.config().row_order(&format!("{module}.weight")));
    match order {
        Some(order) => HostTensor {
            values: change(&host.values, &order, host.shape[1]),
            shape: host.shape,
        },
        None => host,
    }
}

/// Values of a tensor in f32, f16 or bf16.
fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let halves = || view.data().as_chunks::<2>().0.iter().copied();
    match view.dtype() {
        Dtype::F32 => {
            let words = view.data().as_chunks::<4>().0;
            Some(words.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        Dtype::F16 => Some(
            halves()
                .map(|b| half::f16::from_le_bytes(b).to_f32())
                .collect(),
        ),
        Dtype::BF16 => Some(
            halves()
                .map(|b| half::bf16::from_le_bytes(b).to_f32())
                .collect(),
        ),
        _ => None,
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> LoraError + '_ {
    move |source| LoraError::Io {
        path: path.to_owned(),
        source,
    }
}

fn format(path: &Path, detail: &dyn std::fmt::Display) -> LoraError {
    LoraError::Format {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
