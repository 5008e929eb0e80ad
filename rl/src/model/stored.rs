//! Between the tensors of a model and those of a checkpoint in Hugging Face form: matrices that are fused there, rows that
//! are in another order.

use super::{
    config::{Family, Latent, ModelConfig},
    weights::{HostTensor, WeightError, WeightSource},
};

/// Where a tensor of the model is in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The tensor there.
    pub(crate) name: String,
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// The first of its rows that belong to this one.
    pub(crate) first: usize,
    /// For each row here the row among these, where they are in another order.
    pub(crate) order: Option<Vec<usize>>,
}

/// A fused matrix: its name, and those that follow each other in it with their rows.
struct Fused {
    name: &'static str,
    parts: Vec<(&'static str, usize)>,
}

impl ModelConfig {
    /// The matrices that checkpoints of the family fuse.
    fn fused(&self) -> Vec<Fused> {
        if self.family != Family::Phi3 {
            return Vec::new();
        }
        let rows = |heads: usize| heads * self.head_dim;
        let (queries, keys) = (self.num_attention_heads, self.num_key_value_heads);
        vec![
            Fused {
                name: "self_attn.qkv_proj.weight",
                parts: vec![
                    ("self_attn.q_proj.weight", rows(queries)),
                    ("self_attn.k_proj.weight", rows(keys)),
                    ("self_attn.v_proj.weight", rows(keys)),
                ],
            },
            Fused {
                name: "mlp.gate_up_proj.weight",
                parts: vec![
                    ("mlp.gate_proj.weight", self.intermediate_size),
                    ("mlp.up_proj.weight", self.intermediate_size),
                ],
            },
        ]
    }

    /// Where a tensor of the model is in a checkpoint.
    pub(crate) fn stored(&self, name: &str, shape: &[usize]) -> Stored {
        let order = self.row_order(name);
        for fused in self.fused() {
            let total = fused.parts.iter().map(|(_, rows)| rows).sum();
            let mut first = 0;
            for (part, rows) in fused.parts {
                if let Some(prefix) = name.strip_suffix(part)
                    && prefix.ends_with('.')
                {
                    let mut shape = shape.to_vec();
                    shape[0] = total;
                    return Stored {
                        name: format!("{prefix}{}", fused.name),
                        shape,
                        first,
                        order,
                    };
                }
                first += rows;
            }
        }
        Stored {
            name: name.to_owned(),
            shape: shape.to_vec(),
            first: 0,
            order,
        }
    }

    /// Every tensor of a checkpoint by its name there with its shape, each once, in the order of the forward pass.
    pub fn stored_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut all: Vec<(String, Vec<usize>)> = Vec::new();
        for (name, shape) in self.tensors() {
            let Stored { name, shape, .. } = self.stored(&name, &shape);
            if all.last().is_none_or(|(last, _)| *last != name) {
                all.push((name, shape));
            }
        }
        all
    }

    /// For each row of a matrix or bias its row in checkpoints, where they rotate neighbours.
    pub(crate) fn row_order(&self, name: &str) -> Option<Vec<usize>> {
        let latent = self
            .variation
            .latent
            .filter(|latent| latent.rope_interleave)?;
        let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
        let module = module.rsplit('.').next()?;
        let heads = self.num_attention_heads;
        match module {
            "q_proj" | "q_b_proj" => Some(queries(&latent, heads)),
            "kv_a_proj_with_mqa" => {
                let plain = 0..latent.kv_lora_rank;
                let rotated = halves(latent.qk_rope_head_dim);
                let rotated = rotated.map(|row| latent.kv_lora_rank + row);
                Some(plain.chain(rotated).collect())
            }
            _ => None,
        }
    }

    /// Whether a checkpoint's tensor is one that the model rightly leaves out: layers behind the last, which predict
    /// several tokens.
    pub(crate) fn skips(&self, name: &str) -> bool {
        let behind = matches!(self.family, Family::DeepseekV2 | Family::DeepseekV3);
        let layer = name.strip_prefix("model.layers.");
        let layer = layer.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        behind && layer.is_some_and(|layer| layer >= self.num_hidden_layers)
            || self.tie_word_embeddings && name == "lm_head.weight"
    }
}

/// Of pairs that are neighbours in a checkpoint, the first of each and then the second.
fn halves(rotated: usize) -> impl Iterator<Item = usize> {
    (0..rotated).map(move |row| match row.checked_sub(rotated / 2) {
        None => 2 * row,
        Some(row) => 2 * row + 1,
    })
}

/// The rows of all heads of queries.
fn queries(latent: &Latent, heads: usize) -> Vec<usize> {
    let (plain, width) = (latent.qk_nope_head_dim, latent.query_dim());
    let head = |head: usize| {
        let rotated = halves(latent.qk_rope_head_dim).map(move |row| plain + row);
        (0..plain).chain(rotated).map(move |row| head * width + row)
    };
    (0..heads).flat_map(head).collect()
}

impl Stored {
    /// Reads the tensor of this shape from a checkpoint.
    ///
    /// # Errors
    /// See [`WeightSource::read`].
    pub(crate) fn read(
        &self,
        source: &WeightSource,
        shape: &[usize],
    ) -> Result<HostTensor, WeightError> {
        let host = source.read(&self.name, &self.shape)?;
        if self.order.is_none() && self.shape == shape {
            return Ok(host);
        }
        let width: usize = shape[1..].iter().product();
        let from = self.first * width;
        let rows = &host.values[from..from + shape[0] * width];
        Ok(HostTensor {
            shape: shape.to_vec(),
            values: match &self.order {
                Some(order) => gathered(rows, order, width),
                None => rows.to_vec(),
            },
        })
    }

    /// The values of a tensor of the model in the order of the checkpoint.
    pub(crate) fn written(&self, tensor: HostTensor) -> Vec<f32> {
        let Some(order) = &self.order else {
            return tensor.values;
        };
        let width: usize = tensor.shape[1..].iter().product();
        scattered(&tensor.values, order, width)
    }
}

/// Row `i` is row `order[i]` of `values`.
pub(crate) fn gathered(values: &[f32], order: &[usize], width: usize) -> Vec<f32> {
    let row = |&row: &usize| &values[row * width..(row + 1) * width];
    order.iter().flat_map(row).copied().collect()
}

/// Row `order[i]` is row `i` of `values`.
pub(crate) fn scattered(values: &[f32], order: &[usize], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (row, &place) in values.chunks_exact(width).zip(order) {
        out[place * width..(place + 1) * width].copy_from_slice(row);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        config::{Variation, tests::smollm2_135m},
        names::layer_prefix,
    };

    fn latent() -> ModelConfig {
        let latent = Latent {
            q_lora_rank: None,
            kv_lora_rank: 3,
            qk_nope_head_dim: 2,
            qk_rope_head_dim: 4,
            v_head_dim: 5,
            rope_interleave: true,
        };
        ModelConfig {
            family: Family::DeepseekV3,
            num_attention_heads: 2,
            num_key_value_heads: 2,
            head_dim: 6,
            variation: Variation {
                latent: Some(latent),
                ..Variation::default()
            },
            ..smollm2_135m()
        }
    }

    #[test]
    fn rotated_rows_are_put_in_halves_and_back() {
        let config = latent();
        let order = config
            .row_order("model.layers.3.self_attn.q_proj.weight")
            .unwrap();
        assert_eq!(order, [0, 1, 2, 4, 3, 5, 6, 7, 8, 10, 9, 11]);
        let keys = "model.layers.0.self_attn.kv_a_proj_with_mqa.bias";
        assert_eq!(config.row_order(keys).unwrap(), [0, 1, 2, 3, 5, 4, 6]);
        assert_eq!(
            config.row_order("model.layers.0.self_attn.o_proj.weight"),
            None
        );
        let values: Vec<f32> = (0..24).map(|x| x as f32).collect();
        let there = gathered(&values, &order, 2);
        assert_eq!(there[6..8], [8.0, 9.0]);
        assert_eq!(scattered(&there, &order, 2), values);
    }

    #[test]
    fn fused_matrices_are_stored_once() {
        let config = ModelConfig {
            family: Family::Phi3,
            ..smollm2_135m()
        };
        let prefix = layer_prefix(7);
        let name = format!("{prefix}.self_attn.v_proj.weight");
        let stored = config.stored(&name, &[192, 576]);
        assert_eq!(stored.name, format!("{prefix}.self_attn.qkv_proj.weight"));
        assert_eq!((stored.shape, stored.first), (vec![960, 576], 768));
        let all = config.stored_tensors();
        let count = |end: &str| all.iter().filter(|(name, _)| name.ends_with(end)).count();
        assert_eq!(count("qkv_proj.weight"), 30);
        assert_eq!(count("gate_up_proj.weight"), 30);
        assert_eq!(count("q_proj.weight"), 0);
        assert_eq!(all.len(), config.tensors().len() - 3 * 30);
    }

    #[test]
    fn layers_that_predict_several_tokens_are_left_out() {
        let config = latent();
        assert!(config.skips("model.layers.30.eh_proj.weight"));
        assert!(!config.skips("model.layers.29.mlp.up_proj.weight"));
        assert!(!smollm2_135m().skips("model.layers.30.mlp.up_proj.weight"));
    }
}
