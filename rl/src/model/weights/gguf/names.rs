//! Between GGUF and Hugging Face: tensor names, and the row order of queries and keys.

/// Tensors outside the layers: GGUF name, Hugging Face name.
const TOP_LEVEL: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Modules of a layer: the part between `blk.N.` and `.weight` or `.bias`, and its Hugging Face name.
const LAYER_MODULES: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The Hugging Face name of a GGUF tensor, or the name itself when there is none.
pub(super) fn to_hf(gguf_name: &str) -> String {
    if let Some((_, hf)) = TOP_LEVEL.iter().find(|(gguf, _)| *gguf == gguf_name) {
        return (*hf).to_string();
    }
    layer_name(gguf_name).unwrap_or_else(|| gguf_name.to_string())
}

fn layer_name(gguf_name: &str) -> Option<String> {
    let (layer, rest) = gguf_name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (module, parameter) = rest.rsplit_once('.')?;
    let (_, hf_module) = LAYER_MODULES.iter().find(|(gguf, _)| *gguf == module)?;
    matches!(parameter, "weight" | "bias")
        .then(|| format!("model.layers.{layer}.{hf_module}.{parameter}"))
}

/// Whether the Hugging Face name is a query projection, weight or bias.
pub(super) fn is_query_projection(hf_name: &str) -> bool {
    hf_name.contains(".self_attn.q_proj.")
}

/// Whether the Hugging Face name is a key projection, weight or bias.
pub(super) fn is_key_projection(hf_name: &str) -> bool {
    hf_name.contains(".self_attn.k_proj.")
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
        assert_eq!(to_hf("token_embd.weight"), "model.embed_tokens.weight");
        assert_eq!(
            to_hf("blk.12.attn_q_norm.weight"),
            "model.layers.12.self_attn.q_norm.weight"
        );
        assert_eq!(
            to_hf("blk.0.attn_k.bias"),
            "model.layers.0.self_attn.k_proj.bias"
        );
        assert_eq!(to_hf("rope_freqs.weight"), "rope_freqs.weight");
        assert_eq!(
            to_hf("blk.0.ffn_gate_exps.weight"),
            "blk.0.ffn_gate_exps.weight"
        );
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
    }
}
