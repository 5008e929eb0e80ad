//! From an architecture to the plan of its layers.

use super::{Family, Latent, ModelConfig, NormPlacement, RopeScaling};
use crate::{
    compute::{Heads, LatentHeads, Side},
    model::{
        plan::{AttentionPlan, GroupedPlan, LatentPlan, LayerPlan, ModelPlan, NormPlan, NormsPlan},
        position::PositionPlan,
    },
};

/// Added to the mean square in the norms of latents, whatever a file says of the others.
const LATENT_EPSILON: f64 = 1e-6;

impl ModelConfig {
    /// What a model of this architecture is made of.
    pub(crate) fn plan(&self) -> ModelPlan {
        let scales = self.variation.scales;
        ModelPlan {
            vocabulary: self.vocab_size,
            hidden: self.hidden_size,
            tied: self.tie_word_embeddings,
            embedding_scale: scales.embedding as f32,
            layers: (0..self.num_hidden_layers)
                .map(|layer| self.layer(layer))
                .collect(),
            norm: NormPlan {
                // Logits are linear in what this norm gives.
                scale: 1.0 / scales.logits,
                ..self.norm()
            },
        }
    }

    fn norm(&self) -> NormPlan {
        NormPlan {
            epsilon: self.rms_norm_eps,
            offset: if self.variation.norm_offset { 1.0 } else { 0.0 },
            scale: 1.0,
        }
    }

    fn layer(&self, layer: usize) -> LayerPlan {
        let placement = self.variation.norms;
        let norms = NormsPlan {
            before: (placement != NormPlacement::After).then(|| self.norm()),
            after: (placement != NormPlacement::Before).then(|| self.norm()),
        };
        LayerPlan {
            hidden: self.hidden_size,
            attention: match &self.variation.latent {
                Some(latent) => AttentionPlan::Latent(self.latent(latent)),
                None => AttentionPlan::Grouped(self.grouped(layer)),
            },
            attention_norms: norms,
            feed_forward: self.feed_forward(layer),
            feed_forward_norms: norms,
            residual_scale: self.variation.scales.residual as f32,
        }
    }

    fn grouped(&self, layer: usize) -> GroupedPlan {
        let variation = &self.variation;
        let window = variation.window.as_ref();
        let window = window.filter(|window| window.layers[layer]);
        let plain = 1.0 / (self.head_dim as f32).sqrt();
        GroupedPlan {
            heads: Heads {
                query: self.num_attention_heads,
                kv: self.num_key_value_heads,
                query_dim: self.head_dim,
                value_dim: self.head_dim,
                scale: variation
                    .scales
                    .attention
                    .map_or(plain, |scale| scale as f32),
                window: window.map(|window| window.width),
                joined: false,
            },
            bias: self.attention_bias,
            output_bias: self.attention_bias
                && !matches!(
                    self.family,
                    Family::Qwen2 | Family::Qwen2Moe | Family::Glm4Moe
                ),
            head_norm: self.qk_norm.then(|| (self.norm(), variation.qk_norm_span)),
            position: self.rotates(layer).then(|| self.position(window.is_some())),
        }
    }

    /// Whether a layer rotates.
    fn rotates(&self, layer: usize) -> bool {
        let rotates = self.variation.rotates.as_ref();
        rotates.is_none_or(|layers| layers[layer])
    }

    /// How layers rotate, with a window or without.
    fn position(&self, windowed: bool) -> PositionPlan {
        let (theta, scaling) = match &self.variation.local_rope {
            Some(local) if windowed => (local.theta, &local.scaling),
            _ => (self.rope_theta, &self.rope_scaling),
        };
        PositionPlan {
            rotated: self.rotated(),
            side: Side::First,
            theta,
            scaling: scaling.clone(),
        }
    }

    /// How many values of a head are rotated.
    pub(in crate::model::config) fn rotated(&self) -> usize {
        match (&self.variation.latent, self.variation.rotated) {
            (Some(latent), _) => latent.qk_rope_head_dim,
            (None, Some(rotated)) => rotated,
            (None, None) => self.head_dim,
        }
    }

    fn latent(&self, latent: &Latent) -> LatentPlan {
        let plain = 1.0 / (latent.query_dim() as f64).sqrt();
        let factor = match &self.rope_scaling {
            Some(RopeScaling::Yarn(yarn)) => yarn.score_factor(),
            _ => 1.0,
        };
        LatentPlan {
            heads: LatentHeads {
                count: self.num_attention_heads,
                plain: latent.qk_nope_head_dim,
                rotated: latent.qk_rope_head_dim,
                value: latent.v_head_dim,
                latent: latent.kv_lora_rank,
            },
            scale: (plain * factor) as f32,
            query_latent: latent.q_lora_rank,
            bias: self.attention_bias,
            norm: NormPlan {
                epsilon: LATENT_EPSILON,
                offset: 0.0,
                scale: 1.0,
            },
            position: PositionPlan {
                rotated: latent.qk_rope_head_dim,
                side: Side::Last,
                theta: self.rope_theta,
                scaling: self.rope_scaling.clone(),
            },
        }
    }
}
