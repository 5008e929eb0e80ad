//! The map from latents to keys and values, which GGUF files have in two parts, the keys' transposed by head.

use std::collections::HashMap;

use super::HostTensor;
use crate::formats::gguf::TensorInfo;

/// A matrix in two parts: of each head the rows of its key, then those of its value.
#[derive(Debug)]
pub(super) struct Split {
    /// Of the whole, `[heads * (plain + value), latent]`.
    pub(super) shape: Vec<usize>,
    /// `[heads, latent, plain]`.
    pub(super) key: TensorInfo,
    /// `[heads, value, latent]`.
    pub(super) value: TensorInfo,
}

/// Takes the matrices in two parts out of the others.
pub(super) fn take_split(
    tensors: &mut HashMap<String, TensorInfo>,
    order: &mut Vec<String>,
) -> HashMap<String, Split> {
    let mut all = HashMap::new();
    let layers: Vec<String> = order
        .iter()
        .filter_map(|name| name.strip_suffix(".attn_k_b.weight").map(str::to_owned))
        .collect();
    for layer in layers {
        let (key_name, value_name) = (
            format!("{layer}.attn_k_b.weight"),
            format!("{layer}.attn_v_b.weight"),
        );
        let Some(shape) = shape(tensors.get(&key_name), tensors.get(&value_name)) else {
            continue;
        };
        let number = layer.strip_prefix("blk.").unwrap_or(&layer);
        let whole = format!("model.layers.{number}.self_attn.kv_b_proj.weight");
        let parts = (tensors.remove(&key_name), tensors.remove(&value_name));
        if let (Some(key), Some(value)) = parts {
            order.retain(|name| *name != value_name);
            if let Some(name) = order.iter_mut().find(|name| **name == key_name) {
                name.clone_from(&whole);
            }
            all.insert(whole, Split { shape, key, value });
        }
    }
    all
}

/// The shape of the whole, if the parts fit together.
fn shape(key: Option<&TensorInfo>, value: Option<&TensorInfo>) -> Option<Vec<usize>> {
    match (&key?.shape[..], &value?.shape[..]) {
        (&[heads, latent, plain], &[others, width, same]) if heads == others && latent == same => {
            Some(vec![heads * (plain + width), latent])
        }
        _ => None,
    }
}

impl Split {
    /// The whole out of the values of its parts.
    pub(super) fn joined(&self, key: &[f32], value: &[f32]) -> HostTensor {
        let (heads, latent, plain) = (self.key.shape[0], self.key.shape[1], self.key.shape[2]);
        let keys = key.chunks_exact(latent * plain);
        let values = value.chunks_exact(value.len() / heads.max(1));
        let mut joined = Vec::with_capacity(key.len() + value.len());
        for (key, value) in keys.zip(values) {
            for row in 0..plain {
                joined.extend((0..latent).map(|column| key[column * plain + row]));
            }
            joined.extend_from_slice(value);
        }
        HostTensor {
            shape: self.shape.clone(),
            values: joined,
        }
    }
}
