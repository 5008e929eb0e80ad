//! Mixtures of experts as part of an architecture.

use super::{ConfigError, Family, MAX_DIMENSION, ModelConfig, invalid};
use crate::model::{
    plan::{ExpertsPlan, FeedForwardPlan, GatedPlan, SharedPlan},
    router::Router,
};

/// Which layers are mixtures of experts, and of what.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertsConfig {
    /// How experts are chosen.
    pub router: Router,
    /// Inner width of each expert.
    pub intermediate_size: usize,
    /// Inner width of the expert that every token goes to; 0 where there is none.
    pub shared_intermediate_size: usize,
    /// Whether that expert is multiplied by `sigmoid(gate(x))`.
    pub shared_gate: bool,
    /// Layers before this one are dense.
    pub first_layer: usize,
    /// Of all layers, those whose number, counted from 1, is a multiple of this may be mixtures.
    pub layer_step: usize,
    /// Other layers that are dense.
    pub dense_layers: Vec<usize>,
}

impl ExpertsConfig {
    /// A mixture in every layer, without an expert for all tokens.
    pub fn new(router: Router, intermediate_size: usize) -> Self {
        Self {
            router,
            intermediate_size,
            shared_intermediate_size: 0,
            shared_gate: false,
            first_layer: 0,
            layer_step: 1,
            dense_layers: Vec::new(),
        }
    }

    /// Whether a layer is a mixture.
    pub fn mixes(&self, layer: usize) -> bool {
        layer >= self.first_layer
            && (layer + 1).is_multiple_of(self.layer_step.max(1))
            && !self.dense_layers.contains(&layer)
    }

    /// Values of all feed-forward parts between their maps that one token has in a layer that is a mixture.
    pub fn active_size(&self) -> usize {
        self.router.chosen * self.intermediate_size + self.shared_intermediate_size
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.router
            .validate()
            .map_err(|(name, value, rule)| invalid(name, value, rule))?;
        let widths = [
            ("moe_intermediate_size", self.intermediate_size, 1),
            (
                "shared_expert_intermediate_size",
                self.shared_intermediate_size,
                0,
            ),
            ("number of experts", self.router.experts, 1),
        ];
        for (name, value, least) in widths {
            if !(least..=MAX_DIMENSION).contains(&value) {
                let rule = format!("must be between {least} and {MAX_DIMENSION}");
                return Err(invalid(name, value, rule));
            }
        }
        if self.layer_step == 0 {
            return Err(invalid(
                "decoder_sparse_step",
                0,
                "must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }

    fn plan(&self) -> ExpertsPlan {
        let shared = SharedPlan {
            inner: self.shared_intermediate_size,
            gated: self.shared_gate,
        };
        ExpertsPlan {
            router: self.router.clone(),
            inner: self.intermediate_size,
            shared: (shared.inner > 0).then_some(shared),
        }
    }
}

impl ModelConfig {
    /// The feed-forward part of a layer.
    pub(super) fn feed_forward(&self, layer: usize) -> FeedForwardPlan {
        match &self.experts {
            Some(experts) if experts.mixes(layer) => FeedForwardPlan::Experts(experts.plan()),
            _ => FeedForwardPlan::Gated(GatedPlan {
                inner: self.intermediate_size,
                activation: self.variation.activation,
            }),
        }
    }
}

impl Family {
    /// Whether layers of the family may be mixtures of experts; in DeepSeek's they need not be.
    pub fn has_experts(self) -> bool {
        self.may_be_dense()
            || matches!(
                self,
                Self::Qwen2Moe
                    | Self::Qwen3Moe
                    | Self::Mixtral
                    | Self::Olmoe
                    | Self::GraniteMoe
                    | Self::Glm4Moe
            )
    }

    /// Whether a family with experts may do without.
    pub(super) fn may_be_dense(self) -> bool {
        matches!(self, Self::DeepseekV2 | Self::DeepseekV3)
    }
}
