//! The weights of a model in a few letters, so that a later session knows them again wherever they lie.

use sha2::{Digest, Sha256};

use crate::model::Transformer;

/// SHA-256 of all weights of `model`, adapters apart, in hexadecimal: names, shapes and values in f32, in the order of a
/// checkpoint.
pub fn fingerprint(model: &Transformer) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in model.host_tensors() {
        hash.update(name.as_bytes());
        for size in &tensor.shape {
            hash.update((*size as u64).to_le_bytes());
        }
        for part in tensor.values.chunks(1 << 14) {
            let bytes: Vec<u8> = part.iter().flat_map(|x| x.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
    format!("{:x}", hash.finalize())
}
