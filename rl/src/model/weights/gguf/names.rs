//! Between GGUF and Hugging Face: tensor names, and the row order of queries and keys.

use crate::model::{
    module::RowOrder,
    names::{TOP_LEVEL, layer_prefix},
    table::entries,
};

/// Tensors of experts below a layer: GGUF name, the name here. Those of all experts together have names that no file of
/// Hugging Face has, without a number.
const EXPERTS: [(&str, &str); 10] = [
    ("ffn_gate_inp.weight", "gate.weight"),
    ("exp_probs_b.bias", "gate.e_score_correction_bias"),
    ("ffn_gate_exps.weight", "experts.gate_proj.weight"),
    ("ffn_up_exps.weight", "experts.up_proj.weight"),
    ("ffn_down_exps.weight", "experts.down_proj.weight"),
    ("ffn_gate_up_exps.weight", "experts.gate_up_proj"),
    ("ffn_gate_shexp.weight", "shared_experts.gate_proj.weight"),
    ("ffn_up_shexp.weight", "shared_experts.up_proj.weight"),
    ("ffn_down_shexp.weight", "shared_experts.down_proj.weight"),
    ("ffn_gate_inp_shexp.weight", "shared_expert_gate.weight"),
];

/// What modules below `blk.N` are called where an architecture has another name for them than others do: architecture, GGUF
/// name, Hugging Face name.
const OTHERWISE: [(&str, &str, &str); 3] = [
    ("gemma3", "ffn_norm", "pre_feedforward_layernorm"),
    ("phi3", "attn_qkv", "self_attn.qkv_proj"),
    ("phi3", "ffn_up", "mlp.gate_up_proj"),
];

/// The Hugging Face name of a tensor of a GGUF file of this architecture, or the name itself when there is none.
pub(super) fn to_hf(architecture: &str, gguf_name: &str) -> String {
    if let Some((_, hf)) = TOP_LEVEL.iter().find(|(gguf, _)| *gguf == gguf_name) {
        return (*hf).to_string();
    }
    layer_name(architecture, gguf_name).unwrap_or_else(|| gguf_name.to_string())
}

fn layer_name(architecture: &str, gguf_name: &str) -> Option<String> {
    let (layer, rest) = gguf_name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    if let Some((_, name)) = EXPERTS.iter().find(|(gguf, _)| *gguf == rest) {
        return Some(format!("{}.mlp.{name}", layer_prefix(layer)));
    }
    let (module, parameter) = rest.rsplit_once('.')?;
    let mut otherwise = OTHERWISE.iter();
    let name = match otherwise.find(|(of, gguf, _)| *of == architecture && *gguf == module) {
        Some((_, _, name)) => name,
        None => {
            entries()
                .into_iter()
                .find(|entry| entry.gguf == module)?
                .name
        }
    };
    matches!(parameter, "weight" | "bias")
        .then(|| format!("{}.{name}.{parameter}", layer_prefix(layer)))
}

/// The GGUF name of a Hugging Face tensor, if it has one.
pub(super) fn to_gguf(hf_name: &str) -> Option<String> {
    if let Some((gguf, _)) = TOP_LEVEL.iter().find(|(_, hf)| *hf == hf_name) {
        return Some((*gguf).to_string());
    }
    let (layer, rest) = hf_name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, parameter) = rest.rsplit_once('.')?;
    let entry = entries().into_iter().find(|entry| entry.name == module)?;
    Some(format!("blk.{layer}.{}.{parameter}", entry.gguf))
}

/// Puts query or key rows into the order of a Llama file: the reverse of [`undo_permutation`].
///
/// # Shapes
/// - values: `[heads * head_dim, row_width]`, flat
/// - returns: the same
pub(super) fn permute(values: &[f32], heads: usize, row_width: usize) -> Vec<f32> {
    let rows = values.len() / row_width.max(1);
    if heads == 0 || !rows.is_multiple_of(heads.saturating_mul(2)) {
        return values.to_vec();
    }
    let half = rows / heads / 2;
    let mut permuted = Vec::with_capacity(values.len());
    for head in 0..heads {
        for j in 0..half {
            for i in 0..2 {
                let row = head * 2 * half + i * half + j;
                permuted.extend_from_slice(&values[row * row_width..(row + 1) * row_width]);
            }
        }
    }
    permuted
}

/// How the rows of the tensor with this Hugging Face name, weight or bias, are ordered.
pub(super) fn row_order(hf_name: &str) -> RowOrder {
    let module = hf_name
        .rsplit_once('.')
        .map_or(hf_name, |(module, _)| module);
    let named = |name: &str| {
        let before = module.strip_suffix(name);
        before.is_some_and(|before| before.ends_with('.'))
    };
    let entry = entries().into_iter().find(|entry| named(entry.name));
    entry.map_or(RowOrder::Plain, |entry| entry.rows)
}

/// Puts query or key rows back into Hugging Face order.
///
/// For Llama the converter reorders the rows of each head so that RoPE turns neighbours `(2j, 2j + 1)`; Hugging Face
/// turns `(j, j + head_dim / 2)`. Row `2j + i` of a head here goes to row `i * head_dim / 2 + j`.
///
/// # Shapes
/// - values: `[heads * head_dim, row_width]`, flat
/// - returns: the same
///
/// Values whose rows do not divide into heads of even width are returned as they are; the shape check of the caller
/// makes that impossible for a valid configuration.
pub(super) fn undo_permutation(values: &[f32], heads: usize, row_width: usize) -> Vec<f32> {
    let rows = values.len() / row_width.max(1);
    if heads == 0 || !rows.is_multiple_of(heads.saturating_mul(2)) {
        return values.to_vec();
    }
    let half = rows / heads / 2;
    let mut restored = Vec::with_capacity(values.len());
    for head in 0..heads {
        for i in 0..2 {
            for j in 0..half {
                let row = head * 2 * half + 2 * j + i;
                restored.extend_from_slice(&values[row * row_width..(row + 1) * row_width]);
            }
        }
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mapped_and_unknown_ones_kept() {
        assert_eq!(
            to_hf("llama", "token_embd.weight"),
            "model.embed_tokens.weight"
        );
        assert_eq!(
            to_hf("llama", "blk.12.attn_q_norm.weight"),
            "model.layers.12.self_attn.q_norm.weight"
        );
        assert_eq!(
            to_hf("llama", "blk.0.attn_k.bias"),
            "model.layers.0.self_attn.k_proj.bias"
        );
        assert_eq!(to_hf("llama", "rope_freqs.weight"), "rope_freqs.weight");
        assert_eq!(
            to_hf("llama", "blk.0.ffn_gate_exps.weight"),
            "model.layers.0.mlp.experts.gate_proj.weight"
        );
        assert_eq!(
            to_hf("llama", "blk.0.ffn_gate.0.weight"),
            "blk.0.ffn_gate.0.weight"
        );
        let norm = "blk.3.ffn_norm.weight";
        assert_eq!(
            to_hf("llama", norm),
            "model.layers.3.post_attention_layernorm.weight"
        );
        assert_eq!(
            to_hf("gemma3", norm),
            "model.layers.3.pre_feedforward_layernorm.weight"
        );
        assert_eq!(
            to_hf("phi3", "blk.1.ffn_up.weight"),
            "model.layers.1.mlp.gate_up_proj.weight"
        );
    }

    #[test]
    fn queries_and_keys_alone_are_ordered_by_heads_that_are_rotated() {
        for (name, order) in [
            ("model.layers.3.self_attn.q_proj.weight", RowOrder::Queries),
            ("model.layers.3.self_attn.q_proj.bias", RowOrder::Queries),
            ("model.layers.3.self_attn.k_proj.weight", RowOrder::Keys),
            ("model.layers.3.self_attn.v_proj.weight", RowOrder::Plain),
            ("model.layers.3.self_attn.q_norm.weight", RowOrder::Plain),
            ("model.embed_tokens.weight", RowOrder::Plain),
        ] {
            assert_eq!(row_order(name), order, "{name}");
        }
    }

    // The converter's order: np.arange(8).reshape(2, 2, 2, 1).swapaxes(1, 2).reshape(8) = [0 2 1 3 4 6 5 7]
    // (2 heads of width 4), written as rows of one value.
    #[test]
    fn the_converters_permutation_is_undone() {
        let written = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(
            undo_permutation(&written, 2, 1),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        );
        let plain = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        assert_eq!(permute(&plain, 2, 1), written);
    }

    #[test]
    fn names_go_both_ways() {
        for name in [
            "model.embed_tokens.weight",
            "lm_head.weight",
            "model.layers.12.self_attn.q_norm.weight",
            "model.layers.0.self_attn.k_proj.bias",
            "model.layers.3.mlp.down_proj.weight",
        ] {
            assert_eq!(to_hf("llama", &to_gguf(name).unwrap()), name);
        }
        assert_eq!(to_gguf("model.layers.0.mlp.experts.weight"), None);
    }
}
