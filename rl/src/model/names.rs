//! Names of tensors in checkpoints that belong to no part of a layer, and what the names of a layer begin with.

/// The embedding, `[vocabulary, hidden]`.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The head, `[vocabulary, hidden]`, where it is not the embedding.
pub(crate) const HEAD: &str = "lm_head.weight";
/// The norm before the head, without `.weight`.
pub(crate) const LAST_NORM: &str = "model.norm";

/// Tensors outside the layers: GGUF name, Hugging Face name.
pub(crate) const TOP_LEVEL: [(&str, &str); 3] = [
    ("token_embd.weight", EMBEDDING),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", HEAD),
];

/// What the names of a layer begin with.
pub(crate) fn layer_prefix(index: usize) -> String {
    format!("model.layers.{index}")
}
