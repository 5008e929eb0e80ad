//! Low-rank adapters: what is trained instead of the whole model, and its files in PEFT's format.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Tensor;
use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    Transformer,
    layers::{Adapter, Linear},
    parameters::from_host,
};

/// Weights of an adapter, in its directory.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Its description, in its directory.
pub const CONFIG: &str = "adapter_config.json";
/// What PEFT puts before every name.
const PREFIX: &str = "base_model.model.";

/// Low-rank adaptation (Hu et al., arXiv 2106.09685): a weight `W` becomes
/// `W + alpha / rank · B A`, and only `A` `[rank, in]` and `B` `[out, rank]` are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rows of A.
    pub rank: usize,
    /// The change is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The linear maps that get an adapter, by the last part of their names.
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            targets: LINEARS.map(str::to_owned).to_vec(),
        }
    }
}

/// Every linear map of a block.
const LINEARS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Why a model cannot have an adapter.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// A target is no linear map.
    #[error("lora.targets: {target:?} matches nothing; there are: {}", LINEARS.join(", "))]
    NoSuchTarget {
        /// The target.
        target: String,
    },
    /// A number makes no sense.
    #[error("lora.{name} = {value} must be {rule}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {detail}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The adapter was made for another model.
    #[error(
        "{path}: {name} is {found:?}, this model needs {expected:?}: the adapter belongs to another base model"
    )]
    OtherBase {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape; empty if it is missing.
        found: Vec<usize>,
        /// The shape that fits.
        expected: [usize; 2],
    },
}

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

impl Lora {
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), LoraError> {
        let invalid = |name, value, rule| Err(LoraError::Invalid { name, value, rule });
        if !(1..=4096).contains(&self.rank) {
            return invalid("rank", self.rank as f64, "between 1 and 4096");
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return invalid("alpha", self.alpha, "above 0");
        }
        if self.targets.is_empty() {
            return invalid("targets", 0.0, "a list of at least one name");
        }
        match self.targets.iter().find(|t| !LINEARS.contains(&t.as_str())) {
            Some(target) => Err(LoraError::NoSuchTarget {
                target: target.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Trained values of a model with these adapters.
    pub fn parameter_count(&self, tensors: &[(String, Vec<usize>)]) -> u64 {
        let adapted = self.adapted(tensors);
        let ranks = adapted.map(|[out, inner]| self.rank * (out + inner));
        ranks.sum::<usize>() as u64
    }

    /// Values of the matrices that get an adapter: those of a copy with them added.
    pub fn adapted_count(&self, tensors: &[(String, Vec<usize>)]) -> u64 {
        let adapted = self.adapted(tensors);
        adapted.map(|[out, inner]| out * inner).sum::<usize>() as u64
    }

    /// Shapes of the matrices that get an adapter.
    fn adapted(&self, tensors: &[(String, Vec<usize>)]) -> impl Iterator<Item = [usize; 2]> {
        let targeted = |name: &str| {
            let name = name.strip_suffix(".weight").unwrap_or(name);
            let mut targets = self.targets.iter();
            targets.any(|t| name.ends_with(&format!(".{t}")))
        };
        let matrix = move |(name, shape): &(String, Vec<usize>)| match shape[..] {
            [out, inner] if targeted(name) => Some([out, inner]),
            _ => None,
        };
        tensors.iter().filter_map(matrix)
    }

    /// Puts new adapters on `model`: A uniform in `±1 / sqrt(in)`, as PEFT draws it, and B zero, so
    /// that nothing changes yet.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn apply(&self, model: &mut Transformer, seed: u64) -> Result<(), LoraError> {
        self.validate()?;
        let device = model.device();
        let mut index = 0;
        model.adapt(self.clone(), |name, linear| {
            if !self.targets.iter().any(|target| target == name) {
                return Ok(None);
            }
            index += 1;
            let [out, inner] = linear.weight.dims();
            let bound = 1.0 / (inner as f64).sqrt();
            let mut rng = rng(derive_seed(seed, &[index]));
            let draw = |_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32;
            let down = (0..self.rank * inner).map(draw).collect();
            Ok(Some(Adapter::new(
                from_host(down, [self.rank, inner], &device),
                Tensor::zeros([out, self.rank], &device),
                self.scale(),
            )))
        })
    }

    fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
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
        target_modules: lora.targets.clone(),
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
            let bytes = host.values.iter().flat_map(|x| x.to_le_bytes()).collect();
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

/// Puts the adapters in `dir` on `model`.
///
/// # Errors
/// When they cannot be read, use what this program lacks, or were made for another model.
pub fn load_adapter(dir: &Path, model: &mut Transformer) -> Result<(), LoraError> {
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let peft: PeftConfig = serde_json::from_str(&text).map_err(|e| format(&path, &e))?;
    let unknown = [
        ("peft_type", peft.peft_type != "LORA"),
        ("bias", peft.bias != "none"),
        ("use_rslora", peft.use_rslora),
        ("use_dora", peft.use_dora),
    ];
    if let Some((name, _)) = unknown.iter().find(|(_, bad)| *bad) {
        return Err(format(
            &path,
            &format_args!("{name} is not plain LoRA, which is all that is read"),
        ));
    }
    let lora = Lora {
        rank: peft.r,
        alpha: peft.lora_alpha,
        targets: peft.target_modules,
    };
    lora.validate()?;

    let path = dir.join(WEIGHTS);
    let bytes = fs::read(&path).map_err(io(&path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| format(&path, &e))?;
    let mut tensors: BTreeMap<String, TensorView> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), view))
        .collect();
    let device = model.device();
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
                Ok(from_host::<2>(values, expected, &device))
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
    model.adapt(lora, |name, linear: &Linear| {
        if !targets.iter().any(|target| target == name) {
            return Ok(None);
        }
        let [out, inner] = linear.weight.dims();
        let down = take(format!("{}.lora_A.weight", linear.name), [rank, inner])?;
        let up = take(format!("{}.lora_B.weight", linear.name), [out, rank])?;
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
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::{ModelConfig, config::Family, weights::HostTensor};

    fn model(hidden: usize, layers: usize) -> Transformer {
        let config = ModelConfig {
            family: Family::Llama,
            vocab_size: 11,
            hidden_size: hidden,
            intermediate_size: 12,
            num_hidden_layers: layers,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: hidden / 2,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            max_position_embeddings: 64,
            tie_word_embeddings: true,
            attention_bias: false,
            qk_norm: false,
        };
        Transformer::build(config, &Device::flex(), |_, shape| {
            Ok::<_, std::convert::Infallible>(HostTensor {
                shape: shape.to_vec(),
                values: vec![0.1; shape.iter().product()],
            })
        })
        .unwrap()
    }

    #[test]
    fn an_adapter_of_another_base_is_refused_by_the_name_of_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let mut base = model(8, 2);
        Lora::default().apply(&mut base, 1).unwrap();
        save_adapter(dir.path(), &base, "here").unwrap();
        load_adapter(dir.path(), &mut model(8, 2)).unwrap();

        let message = |model: &mut Transformer| {
            let error = load_adapter(dir.path(), model).unwrap_err();
            error.to_string()
        };
        let wider = message(&mut model(16, 2));
        for part in [
            "q_proj.lora_A.weight",
            "[16, 8]",
            "[16, 16]",
            "another base",
        ] {
            assert!(wider.contains(part), "{part} in {wider}");
        }
        let deeper = message(&mut model(8, 3));
        assert!(
            deeper.contains("layers.2") && deeper.contains("another base"),
            "{deeper}"
        );
        let shallower = message(&mut model(8, 1));
        assert!(shallower.contains("layers.1"), "{shallower}");
    }
}
