//! A model as a Hugging Face directory, or as a GGUF file.

use std::path::Path;

use super::Codec;
pub use crate::formats::gguf::Stored;
use crate::model::{
    Transformer,
    weights::{
        HostTensor, WeightError, gguf,
        writer::{DEFAULT_SHARD_BYTES, Export, save_pretrained},
    },
};

/// Writes the model as a Hugging Face directory.
///
/// # Errors
/// When `dir` exists and is not empty, or the disk does not take it.
pub fn save_model(dir: &Path, model: &Transformer, codec: &Codec) -> Result<(), WeightError> {
    save_tensors(dir, model, codec, model.host_tensors())
}

/// Writes some weights in the place of those of `model`.
///
/// # Errors
/// As for [`save_model`].
pub fn save_tensors(
    dir: &Path,
    model: &Transformer,
    codec: &Codec,
    tensors: impl IntoIterator<Item = (String, HostTensor)>,
) -> Result<(), WeightError> {
    save_pretrained(dir, &export(model, codec), tensors)
}

/// Writes the model as a GGUF file, matrices as `stored`.
///
/// # Errors
/// See [`gguf::save_gguf`].
pub fn save_gguf(
    path: &Path,
    model: &Transformer,
    codec: &Codec,
    stored: Stored,
) -> Result<(), WeightError> {
    let tensors = model.host_tensors();
    gguf::save_gguf(path, &export(model, codec), stored, tensors)
}

fn export<'a>(model: &'a Transformer, codec: &'a Codec) -> Export<'a> {
    Export {
        config: model.config(),
        tokenizer: &codec.encoder.tokenizer,
        template: codec.encoder.template.as_ref(),
        special: &codec.special,
        eos_token_ids: &codec.eos,
        max_shard_bytes: DEFAULT_SHARD_BYTES,
    }
}
