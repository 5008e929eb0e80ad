//! Adapters as files: `adapter_config.json` and `adapter_model.safetensors`, as PEFT writes them.

mod description;

use std::{collections::BTreeMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Serialize;

use super::{Lora, LoraError};
use crate::model::{
    Transformer,
    linear::{Adapter, Linear},
    module::last_part,
    names::{EMBEDDING, HEAD},
    parameters::from_host,
    stored::{gathered, scattered},
    weights::{HostTensor, written_name},
};
use description::Description;

/// Weights of an adapter, in its directory.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Its description, in its directory.
pub const CONFIG: &str = "adapter_config.json";
/// What PEFT puts before every name.
const PREFIX: &str = "base_model.model.";

/// PEFT's `adapter_config.json` as it is written.
#[derive(Debug, Serialize)]
struct Written {
    peft_type: &'static str,
    task_type: &'static str,
    base_model_name_or_path: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Vec<String>,
    lora_dropout: f64,
    bias: &'static str,
    use_rslora: bool,
    use_dora: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modules_to_save: Vec<String>,
}

impl Written {
    /// The description of the adapters that are on `model`.
    fn of(model: &Transformer, lora: &Lora, base: &str) -> Self {
        let mut written = Self {
            peft_type: "LORA",
            task_type: "CAUSAL_LM",
            base_model_name_or_path: base.to_owned(),
            r: lora.rank,
            lora_alpha: lora.alpha,
            target_modules: Vec::new(),
            lora_dropout: 0.0,
            bias: "none",
            use_rslora: false,
            use_dora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            modules_to_save: Vec::new(),
        };
        let mut modules: Vec<String> = lora.replaced.iter().map(|name| module(name)).collect();
        modules.dedup();
        written.modules_to_save = modules;
        let maps = model.adapter_scales();
        // Those that the model has, in its order: what is read again is then written as it was.
        let mut here: Vec<String> = Vec::new();
        for (name, _) in &maps {
            let target = last_part(name);
            if lora.targets.iter().any(|t| t == target) && here.iter().all(|t| t != target) {
                here.push(target.to_owned());
            }
        }
        written.target_modules = here;
        let targeted = |name: &String| {
            let last = name.rsplit('.').next().unwrap_or(name);
            lora.targets.iter().any(|target| target == last)
        };
        // Where some targets have none, all others are named in full.
        if maps
            .iter()
            .any(|(name, form)| form.is_some() != targeted(name))
        {
            let adapted = maps.iter().filter(|(_, form)| form.is_some());
            written.target_modules = adapted.map(|(name, _)| name.clone()).collect();
        }
        for (name, form) in maps {
            let Some((rank, scale)) = form else {
                continue;
            };
            if rank != lora.rank {
                written.rank_pattern.insert(name.clone(), rank);
            }
            if scale != (lora.alpha / rank as f64) as f32 {
                let alpha = f64::from(scale) * rank as f64;
                written.alpha_pattern.insert(name, alpha);
            }
        }
        written
    }
}

/// The module of a weight, as PEFT names it.
fn module(weight: &str) -> String {
    let module = weight.rsplit_once('.').map_or(weight, |(module, _)| module);
    module.strip_prefix("model.").unwrap_or(module).to_owned()
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
    let config = Written::of(model, lora, base);
    let path = dir.join(CONFIG);
    let text = serde_json::to_string_pretty(&config).map_err(|e| format(&path, &e))?;
    fs::write(&path, text + "\n").map_err(io(&path))?;

    let path = dir.join(WEIGHTS);
    let replaced = model
        .host_tensors()
        .filter(|(name, _)| lora.replaced.contains(name));
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = model
        .adapters_to_host()
        .into_iter()
        .chain(replaced.take(lora.replaced.len()))
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

/// Puts the adapters in `dir` on `model`, and the modules that the file holds whole (`modules_to_save`) in the place of its own.
///
/// # Errors
/// When they cannot be read, use what this program lacks, or were made for another model.
pub fn load_adapter(dir: &Path, model: &mut Transformer) -> Result<(), LoraError> {
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let description = Description::read(&path, &text)?;
    let mut targets = Vec::new();
    for (name, form) in model.adapter_names() {
        if description.adapter(&name).is_some() && !targets.contains(&form) {
            targets.push(form);
        }
    }
    if targets.is_empty() {
        return Err(format(
            &path,
            &"target_modules matches no linear map of this model's layers",
        ));
    }

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
                let values = floats(&path, &name, &view)?;
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
    let lora = Lora {
        rank: description.rank,
        alpha: description.alpha,
        targets,
        replaced: Vec::new(),
    };
    let family = model.config().family;
    model.adapt(lora, |_, linear: &Linear| {
        let Some((rank, scale)) = description.adapter(&linear.name) else {
            return Ok(None);
        };
        let [out, inner] = linear.weight.dims();
        let named = |matrix: &str| written_name(family, format_name(&linear.name, matrix));
        let down = take(named("A"), [rank, inner])?;
        let up = take(named("B"), [out, rank])?;
        Ok(Some(Adapter::new(down, up, scale)))
    })?;
    replace_modules(&path, model, tensors)
}

fn format_name(linear: &str, matrix: &str) -> String {
    std::format!("{linear}.lora_{matrix}.weight")
}

/// Puts what is left of a file in the place of the model's own weights of these names.
fn replace_modules(
    path: &Path,
    model: &mut Transformer,
    tensors: BTreeMap<String, TensorView<'_>>,
) -> Result<(), LoraError> {
    if tensors.is_empty() {
        return Ok(());
    }
    if tensors.keys().any(|name| name == HEAD || name == EMBEDDING) {
        model.untie();
    }
    let known = model.config().tensors();
    let mut values = BTreeMap::new();
    for (name, view) in tensors {
        let shape = known.iter().find(|(known, _)| *known == name);
        let Some((_, shape)) = shape else {
            return Err(no_place(path, &name));
        };
        if view.shape() != shape {
            let found = view.shape();
            return Err(format(
                path,
                &format_args!(
                    "{name} is {found:?}, this model's is {shape:?}: the vocabulary was resized, or the adapter belongs to another base model; hint: merge it into its base with PEFT (merge_and_unload) and open that"
                ),
            ));
        }
        let read = floats(path, &name, &view)?;
        values.insert(name, read);
    }
    model.replace(values);
    Ok(())
}

/// Why a tensor that is neither an adapter of a target nor a module of the model cannot be used.
fn no_place(path: &Path, name: &str) -> LoraError {
    if let Some((module, _)) = name.split_once(".lora_") {
        let where_ = if module == "lm_head" || module.ends_with("embed_tokens") {
            "adapters on the embedding or the head are not implemented"
        } else {
            "no linear map of this model that target_modules names has that name"
        };
        return format(
            path,
            &format_args!(
                "{name}: {where_}; hint: merge the adapter into its base with PEFT (merge_and_unload) and open that"
            ),
        );
    }
    // PEFT keeps the matrix below an adapter beside it where that is the embedding or the head.
    if let Some((module, _)) = name.split_once(".base_layer.") {
        return format(
            path,
            &format_args!(
                "target_modules has {module}: adapters on the embedding or the head are not implemented; hint: merge the adapter into its base with PEFT (merge_and_unload) and open that"
            ),
        );
    }
    format(
        path,
        &format_args!(
            "{name} has no place in this model; hint: merge the adapter into its base with PEFT (merge_and_unload) and open that"
        ),
    )
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
fn floats(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, LoraError> {
    let halves = || view.data().as_chunks::<2>().0.iter().copied();
    match view.dtype() {
        Dtype::F32 => {
            let words = view.data().as_chunks::<4>().0;
            Ok(words.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        Dtype::F16 => Ok(halves()
            .map(|b| half::f16::from_le_bytes(b).to_f32())
            .collect()),
        Dtype::BF16 => Ok(halves()
            .map(|b| half::bf16::from_le_bytes(b).to_f32())
            .collect()),
        other => Err(format(
            path,
            &format_args!("{name} is {other:?}, not a float type"),
        )),
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
