//! A head that is not the model's, in a directory beside the model: `head.safetensors`.

use std::{fs, path::Path};

use burn::tensor::Tensor;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{SavedError, sync};
use crate::{
    learner::{
        Head, ScalarHead,
        head::scalar::{SCALAR_BIAS, SCALAR_WEIGHT},
    },
    model::{
        Transformer,
        parameters::{from_host, to_host},
    },
};

/// The file; a directory without it is of a policy that its own head reads.
pub const HEAD: &str = "head.safetensors";

/// Writes the weights of `head` into `directory`, where they are not the model's.
///
/// # Errors
/// When the disk does not take them.
pub fn save_head(directory: &Path, head: &Head) -> Result<(), SavedError> {
    let Some(head) = head.scalar() else {
        return Ok(());
    };
    let path = directory.join(HEAD);
    let [rows, width] = head.weight.dims();
    let weight = bytes(head.weight.clone().reshape([rows * width]));
    let bias = bytes(head.bias.clone());
    let view = |shape: Vec<usize>, bytes| TensorView::new(Dtype::F32, shape, bytes);
    let views = [
        (SCALAR_WEIGHT, view(vec![rows, width], &weight)),
        (SCALAR_BIAS, view(vec![1], &bias)),
    ];
    let mut named = Vec::with_capacity(views.len());
    for (name, view) in views {
        named.push((name, view.map_err(|e| SavedError::invalid(&path, e))?));
    }
    let file = safetensors::serialize(named, None).map_err(|e| SavedError::invalid(&path, e))?;
    fs::write(&path, file).map_err(SavedError::io(&path))?;
    sync(&path)
}

/// The head that was saved into `directory`, for the model in it.
///
/// # Errors
/// When its file is damaged, or of another model.
pub fn load_head(directory: &Path, model: &Transformer) -> Result<Head, SavedError> {
    let path = directory.join(HEAD);
    if !path.is_file() {
        return Ok(Head::Vocabulary);
    }
    let file = fs::read(&path).map_err(SavedError::io(&path))?;
    let tensors = SafeTensors::deserialize(&file).map_err(|e| SavedError::invalid(&path, e))?;
    let values = |name: &str, shape: &[usize]| {
        let view = tensors
            .tensor(name)
            .map_err(|e| SavedError::invalid(&path, format!("{name}: {e}")))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let (dtype, found) = (view.dtype(), view.shape());
            let message = format!("{name} is {dtype:?} {found:?}, this model needs F32 {shape:?}");
            return Err(SavedError::invalid(&path, message));
        }
        let words = view.data().as_chunks::<4>().0.iter();
        Ok(words.map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>())
    };
    let (width, device) = (model.config().hidden_size, model.device());
    Ok(Head::from(ScalarHead {
        weight: from_host(values(SCALAR_WEIGHT, &[1, width])?, [1, width], &device),
        bias: from_host(values(SCALAR_BIAS, &[1])?, [1], &device),
    }))
}

fn bytes(tensor: Tensor<1>) -> Vec<u8> {
    let values = to_host(tensor);
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
