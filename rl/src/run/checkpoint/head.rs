//! A head that is not the model's in a checkpoint: `head.safetensors`.

use std::{fs, path::Path};

use burn::tensor::Tensor;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::CheckpointError;
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

/// The file; a checkpoint without it is of a policy that its own head reads.
const HEAD: &str = "head.safetensors";

/// Writes the weights of `head` into a checkpoint, where they are not the model's.
///
/// # Errors
/// When the disk does not take them.
pub(super) fn save_head(checkpoint: &Path, head: &Head) -> Result<(), CheckpointError> {
    let Some(head) = head.scalar() else {
        return Ok(());
    };
    let path = checkpoint.join(HEAD);
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
        named.push((name, view.map_err(|e| CheckpointError::invalid(&path, e))?));
    }
    let file =
        safetensors::serialize(named, None).map_err(|e| CheckpointError::invalid(&path, e))?;
    fs::write(&path, file).map_err(CheckpointError::io(&path))?;
    super::sync(&path)
}

/// The head that a checkpoint was saved with, for the model in it.
///
/// # Errors
/// When its file is damaged, or of another model.
pub(in crate::run) fn load_head(
    checkpoint: &Path,
    model: &Transformer,
) -> Result<Head, CheckpointError> {
    let path = checkpoint.join(HEAD);
    if !path.is_file() {
        return Ok(Head::Vocabulary);
    }
    let file = fs::read(&path).map_err(CheckpointError::io(&path))?;
    let tensors =
        SafeTensors::deserialize(&file).map_err(|e| CheckpointError::invalid(&path, e))?;
    let values = |name: &str, shape: &[usize]| {
        let view = tensors
            .tensor(name)
            .map_err(|e| CheckpointError::invalid(&path, format!("{name}: {e}")))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let (dtype, found) = (view.dtype(), view.shape());
            let message = format!("{name} is {dtype:?} {found:?}, this model needs F32 {shape:?}");
            return Err(CheckpointError::invalid(&path, message));
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{
        bundle::{Bundle, ModelSection},
        learner::{
            AdamW, AdamWConfig, Learner, Sequence, accumulate_scalar_gradients, pack_ends,
            scalar_values,
        },
        model::{Activations, Parameters},
        run::checkpoint::{CONFIG, Checkpointer, load_moments, state::State},
    };

    fn bundle(hidden_size: usize) -> Bundle {
        let section: ModelSection = serde_json::from_value(serde_json::json!({
            "source": "scratch",
            "alphabet": "0123456789",
            "hidden_size": hidden_size,
            "intermediate_size": 16,
            "layers": 1,
            "heads": 2,
            "kv_heads": 1,
            "context": 32,
        }))
        .unwrap();
        Bundle::from_section(&section, 1, &Device::flex()).unwrap()
    }

    fn sequences() -> Vec<Sequence> {
        let digits = |seed: u32, length: u32| -> Vec<u32> {
            (0..length).map(|i| (seed * 3 + i * 7) % 10).collect()
        };
        [(1, 2), (2, 5), (3, 3), (4, 1)]
            .map(|(seed, length)| Sequence::new(digits(seed, 2), digits(seed + 4, length)))
            .into()
    }

    /// One update towards values that tell the sequences apart: the loss before it.
    fn update(learner: &mut Learner) -> f64 {
        let batch = &pack_ends(&sequences(), 100).unwrap()[0];
        let head = learner.head.scalar().unwrap().clone();
        let mut gradients = Parameters::default();
        let towards = |values: &[f32]| {
            let wanted = batch.members.iter().map(|&m| [1.0, -1.0, 0.5, -0.5][m]);
            let off: Vec<f32> = values.iter().zip(wanted).map(|(v, w)| v - w).collect();
            let loss = off.iter().map(|&x| f64::from(x * x)).sum();
            (loss, off.into_iter().map(|x| 2.0 * x).collect())
        };
        let activations = Activations::All;
        let model = &learner.model;
        let (_, loss) =
            accumulate_scalar_gradients(model, &head, batch, activations, &mut gradients, towards);
        learner.update(gradients, 0.02);
        loss
    }

    fn values(learner: &Learner) -> Vec<f32> {
        let batch = &pack_ends(&sequences(), 100).unwrap()[0];
        scalar_values(&learner.model, learner.head.scalar().unwrap(), batch)
    }

    #[test]
    fn a_scalar_head_learns_is_saved_and_goes_on_to_the_bit() {
        let Bundle { model, codec } = bundle(8);
        let optimizer = || AdamW::new(AdamWConfig::default());
        let head = Head::from(ScalarHead::zeros(&model));
        let mut learner = Learner::new(model, optimizer(), 0).with_head(head);
        let losses: Vec<f64> = (0..40).map(|_| update(&mut learner)).collect();
        assert!(losses[39] < 0.1 * losses[0], "{losses:?}");
        assert!(to_host(learner.head.scalar().unwrap().bias.clone())[0] != 0.0);

        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join(CONFIG), "").unwrap();
        let checkpointer = Checkpointer::new(run.path(), 2).unwrap();
        let mut state = State {
            step: 40,
            optimizer_steps: learner.optimizer.steps,
            ..State::default()
        };
        let path = checkpointer
            .save(&learner, &codec, &mut state, None)
            .unwrap();

        let model = path.join("model").display().to_string();
        let Bundle { model, .. } = Bundle::open(&model, &Device::flex()).unwrap();
        let head = load_head(&path, &model).unwrap();
        let mut again = Learner::new(model, optimizer(), 40).with_head(head);
        again.optimizer.steps = 40;
        load_moments(&path, &mut again).unwrap();
        assert_eq!(values(&again), values(&learner));
        for _ in 0..3 {
            assert_eq!(update(&mut again), update(&mut learner));
        }
        assert_eq!(values(&again), values(&learner));

        // Without it the moments are of more than there is, and for another model it does not fit.
        let error = load_head(&path, &bundle(16).model).unwrap_err().to_string();
        assert!(
            error.contains("score.weight is F32 [1, 8]") && error.contains("[1, 16]"),
            "{error}"
        );
        fs::remove_file(path.join(HEAD)).unwrap();
        again.head = load_head(&path, &again.model).unwrap();
        let error = load_moments(&path, &mut again).unwrap_err().to_string();
        assert!(error.contains("score."), "{error}");
    }
}
