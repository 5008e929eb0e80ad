//! A model as a Hugging Face directory.

use std::path::Path;

use super::Codec;
use crate::model::{
    Transformer,
    weights::{
        HostTensor, WeightError,
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
    let export = Export {
        config: model.config(),
        tokenizer: &codec.encoder.tokenizer,
        template: codec.encoder.template.as_ref(),
        special: &codec.special,
        eos_token_ids: &codec.eos,
        max_shard_bytes: DEFAULT_SHARD_BYTES,
    };
    save_pretrained(dir, &export, tensors)
}
