//! The optimiser's moments, in a directory beside the model: `optimizer.safetensors`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Tensor;
use safetensors::{Dtype, SafeTensors};

use super::SavedError;
use crate::{
    learner::{AdamW, Learner, visit_trained},
    model::{
        ParameterVisitor, Parameters,
        parameters::{from_host, to_host},
    },
};

const OPTIMIZER: &str = "optimizer.safetensors";

/// Reads the moments of the optimiser of `learner`, whose settings and steps stay. When it has made
/// steps there have to be moments of every weight that is trained, but for those of a mixture of experts.
///
/// # Errors
/// When the file is missing, damaged, or of another model.
pub fn load_moments(directory: &Path, learner: &mut Learner) -> Result<(), SavedError> {
    let path = directory.join(OPTIMIZER);
    let bytes = fs::read(&path).map_err(SavedError::io(&path))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| SavedError::invalid(&path, e))?;
    let device = learner.model.device();
    let (mut sizes, mut trained) = (Sizes::default(), Sizes::default());
    // Clones: to be shown an adapter is to be able to change it.
    let (mut model, mut head) = (learner.model.clone(), learner.head.clone());
    model.visit(&mut sizes);
    model.visit_adapters(&mut sizes);
    head.visit(&mut sizes);
    let Sizes(sizes) = sizes;
    visit_trained(&mut model, &mut head, &mut trained);
    let optimizer = &mut learner.optimizer;
    for (key, view) in tensors.tensors() {
        if view.dtype() != Dtype::F32 {
            let message = format!("{key} is {:?}, not F32", view.dtype());
            return Err(SavedError::invalid(&path, message));
        }
        let values: Vec<f32> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let count = values.len();
        let known = |name: &str| sizes.get(name) == Some(&count);
        let (moments, name) = match key.split_once('/') {
            Some(("mean", name)) if known(name) => (&mut optimizer.mean, name),
            Some(("square", name)) if known(name) => (&mut optimizer.square, name),
            _ => {
                let weight = key.split_once('/').and_then(|(_, name)| sizes.get(name));
                let message = match weight {
                    Some(size) => format!("{key} has {count} values, the model's weight {size}"),
                    None => format!("{key} fits no weight of the model"),
                };
                return Err(SavedError::invalid(&path, message));
            }
        };
        moments.insert(name, from_host(values, [count], &device));
    }
    // What a mixture of experts is made of may never have had a gradient: corrections of the choice, frozen routers, experts
    // that no token went to.
    let mixes = learner.model.config().experts.is_some();
    let may_lack = |name: &str| mixes && name.contains(".mlp.");
    let missing = |moments: &Parameters| {
        let mut names = trained.0.keys().filter(|name| !may_lack(name));
        names.find(|name| moments.get(name).is_none()).cloned()
    };
    match missing(&optimizer.mean).or_else(|| missing(&optimizer.square)) {
        Some(name) if optimizer.steps > 0 => Err(SavedError::invalid(
            &path,
            format!("it has nothing for the model's weight {name}"),
        )),
        _ => Ok(()),
    }
}

/// How many values each weight has.
#[derive(Default)]
struct Sizes(BTreeMap<String, usize>);

impl ParameterVisitor for Sizes {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        self.0
            .insert(name.to_owned(), tensor.dims().iter().product());
    }
}

/// Writes the moments of `optimizer` into `directory`; returns the file.
///
/// # Errors
/// When the disk does not take them.
pub fn save_moments(directory: &Path, optimizer: &AdamW) -> Result<PathBuf, SavedError> {
    let path = directory.join(OPTIMIZER);
    let named = |moments: &Parameters, prefix: &str| -> Vec<(String, Moment)> {
        let moment = |(name, tensor): (&str, &Tensor<1>)| {
            let (tensor, shape) = (tensor.clone(), tensor.dims());
            (format!("{prefix}/{name}"), Moment { tensor, shape })
        };
        moments.iter().map(moment).collect()
    };
    let mut views = named(&optimizer.mean, "mean");
    views.extend(named(&optimizer.square, "square"));
    safetensors::serialize_to_file(views, None, &path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => SavedError::Io {
            path: path.clone(),
            source,
        },
        other => SavedError::invalid(&path, other),
    })?;
    Ok(path)
}

/// A moment of one weight, read when it is written: there is never a second copy of all.
struct Moment {
    tensor: Tensor<1>,
    shape: [usize; 1],
}

impl safetensors::View for Moment {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = to_host(self.tensor.clone());
        Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.shape[0]
    }
}
