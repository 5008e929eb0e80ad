//! Low-rank adapters: what is trained instead of the whole model, and its files in PEFT's format
//! (`peft`).

mod peft;

use std::{collections::BTreeSet, path::PathBuf};

use burn::tensor::Tensor;
use dunwu_datasets::{derive_seed, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};

pub use peft::{CONFIG, WEIGHTS, load_adapter, save_adapter};

use super::{
    Transformer, linear::Adapter, module::last_part, parameters::from_host, table::linear_names,
};

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
    /// Weights that an adapter from elsewhere brought whole (PEFT's `modules_to_save`), by name. Not a setting.
    #[serde(skip)]
    pub replaced: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            targets: linear_names().into_iter().map(str::to_owned).collect(),
            replaced: Vec::new(),
        }
    }
}

/// Why a model cannot have an adapter.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// A target is no linear map.
    #[error("lora.targets: {target:?} matches nothing; there are: {}", linear_names().join(", "))]
    NoSuchTarget {
        /// The target.
        target: String,
    },
    /// Only experts have such a map in this model.
    #[error(
        "lora.targets: only the experts of this model have a map {target:?}, and experts have no adapters; hint: remove it from the targets"
    )]
    NotHere {
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
    /// An adapter that does more than `scale · B A` on each target.
    #[error(
        "{path}: {key} = {value}: {reason}; hint: merge it into its base with PEFT (merge_and_unload) and open that"
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What it would change.
        reason: &'static str,
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
        let known = linear_names();
        match self.targets.iter().find(|t| !known.contains(&t.as_str())) {
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
            self.targets.iter().any(|target| target == last_part(name))
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
        let mut matched = BTreeSet::new();
        model.adapt(self.clone(), |name, linear| {
            if !self.targets.iter().any(|target| target == name) {
                return Ok::<_, LoraError>(None);
            }
            matched.insert(name.to_owned());
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
        })?;
        // Of maps that only experts have, none would be trained, and nobody would notice.
        let tensors = model.config().tensors();
        let of_experts = |target: &&String| {
            let end = format!(".{target}.weight");
            let mut experts = tensors
                .iter()
                .filter(|(name, _)| name.contains(".mlp.experts."));
            !matched.contains(*target) && experts.any(|(name, _)| name.ends_with(&end))
        };
        match self.targets.iter().find(of_experts) {
            Some(target) => Err(LoraError::NotHere {
                target: target.clone(),
            }),
            None => Ok(()),
        }
    }

    fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }
}
