//! How much a model of an architecture holds of each token.

use super::{ModelConfig, NormPlacement, RopeScaling};

impl ModelConfig {
    /// The longest sequence that is run, in tokens: with LongRoPE the context of pre-training, since frequencies
    /// change beyond it.
    pub fn context(&self) -> usize {
        match &self.rope_scaling {
            Some(RopeScaling::LongRope(long)) => self
                .max_position_embeddings
                .min(long.original_max_position_embeddings),
            _ => self.max_position_embeddings,
        }
    }

    /// Values that a cache keeps of a token in all layers.
    pub fn cached_values(&self) -> usize {
        let layer = match &self.variation.latent {
            Some(latent) => latent.kv_lora_rank + latent.qk_rope_head_dim,
            None => 2 * self.num_key_value_heads * self.head_dim,
        };
        layer * self.num_hidden_layers
    }

    /// Values of a token's queries and of what attention gives, in a layer.
    pub(crate) fn attended_values(&self) -> usize {
        let values = match &self.variation.latent {
            Some(latent) => latent.query_dim() + latent.v_head_dim,
            None => 2 * self.head_dim,
        };
        self.num_attention_heads * values
    }

    /// Values that attention, and norms after parts, keep of a token in a layer for their gradients.
    pub(crate) fn attention_activations(&self) -> usize {
        let sums = self.num_attention_heads;
        let own = match &self.variation.latent {
            Some(latent) => {
                latent.kv_lora_rank + latent.qk_rope_head_dim + latent.q_lora_rank.unwrap_or(0)
            }
            None => {
                let keys = self.num_key_value_heads * self.head_dim;
                let queries = self.num_attention_heads * self.head_dim;
                let plain = if self.qk_norm { queries + keys } else { 0 };
                2 * keys + plain
            }
        };
        // What attention and the feed-forward part gave, before the norms after them.
        let behind = match self.variation.norms {
            NormPlacement::Before => 0,
            NormPlacement::After | NormPlacement::Around => 2 * self.hidden_size,
        };
        self.attended_values() + own + sums + behind
    }

    /// Values that exist of a token beside those while a layer's attention goes backward.
    pub(crate) fn attention_passing(&self) -> usize {
        match &self.variation.latent {
            // Keys and values of every head, and gradients of all.
            Some(_) => 3 * self.attended_values(),
            None => 2 * self.head_dim * (self.num_attention_heads + self.num_key_value_heads),
        }
    }
}
