//! From an architecture to the plan of its layers.

use super::ModelConfig;
use crate::{
    compute::Heads,
    model::{
        plan::{AttentionPlan, GroupedPlan, LayerPlan, ModelPlan, NormPlan, NormsPlan},
        position::PositionPlan,
    },
};

impl ModelConfig {
    /// What a model of this architecture is made of.
    pub(crate) fn plan(&self) -> ModelPlan {
        let norm = NormPlan {
            epsilon: self.rms_norm_eps,
            offset: 0.0,
        };
        let before = NormsPlan {
            before: Some(norm),
            after: None,
        };
        let attention = GroupedPlan {
            heads: Heads {
                query: self.num_attention_heads,
                kv: self.num_key_value_heads,
                query_dim: self.head_dim,
                value_dim: self.head_dim,
                scale: 1.0 / (self.head_dim as f32).sqrt(),
                window: None,
            },
            bias: self.attention_bias,
            head_norm: self.qk_norm.then_some(norm),
            position: Some(PositionPlan {
                rotated: self.head_dim,
                theta: self.rope_theta,
                scaling: self.rope_scaling,
            }),
        };
        let layer = |index| LayerPlan {
            hidden: self.hidden_size,
            attention: AttentionPlan::Grouped(attention.clone()),
            attention_norms: before,
            feed_forward: self.feed_forward(index),
            feed_forward_norms: before,
        };
        ModelPlan {
            vocabulary: self.vocab_size,
            hidden: self.hidden_size,
            tied: self.tie_word_embeddings,
            layers: (0..self.num_hidden_layers).map(layer).collect(),
            norm,
        }
    }
}
