//! In what a family differs from Llama, as data.

use super::{ConfigError, RopeScaling, invalid, scaling};
pub use crate::model::plan::{Activation, NormSpan};

/// In what an architecture differs from Llama; [`Variation::default`] in nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// Where norms stand around attention and the feed-forward part.
    pub norms: NormPlacement,
    /// Norm weights are stored as what they differ from 1 by.
    pub norm_offset: bool,
    /// What norms of queries and keys are over, where there are any.
    pub qk_norm_span: NormSpan,
    /// What opens the gate of the feed-forward part.
    pub activation: Activation,
    /// Which layers see how far.
    pub window: Option<Window>,
    /// How layers with a window rotate, where that is not how the others do.
    pub local_rope: Option<LocalRope>,
    /// For each layer whether it rotates; without it all do.
    pub rotates: Option<Vec<bool>>,
    /// The first values of a head are rotated, so many; without it all are. Even.
    pub rotated: Option<usize>,
    /// Factors.
    pub scales: Scales,
    /// Latent attention in the place of grouped attention.
    pub latent: Option<Latent>,
}

/// Where norms stand around a part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Of what goes in.
    Before,
    /// Of what comes out, before it is added to the residual stream (OLMo 2).
    After,
    /// Of both (Gemma 3).
    Around,
}

/// How far some layers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Tokens that a token sees, itself included.
    pub width: usize,
    /// For each layer whether it has the window.
    pub layers: Vec<bool>,
}

/// Rotary positions of layers with a window.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalRope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How they are stretched, if they are.
    pub scaling: Option<RopeScaling>,
}

/// Factors of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scales {
    /// Rows of the embedding are multiplied by this where they enter the stream.
    pub embedding: f64,
    /// What attention and feed-forward parts give is multiplied by this before it is added to the stream.
    pub residual: f64,
    /// Logits are divided by this.
    pub logits: f64,
    /// Scores are multiplied by this; without it by `1 / sqrt(head_dim)`.
    pub attention: Option<f64>,
}

/// Latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Width of the latent of queries; without it they are made of the stream.
    pub q_lora_rank: Option<usize>,
    /// Width of the latent of keys and values.
    pub kv_lora_rank: usize,
    /// Width of a head's queries and keys without position.
    pub qk_nope_head_dim: usize,
    /// Width of what is rotated of them; even.
    pub qk_rope_head_dim: usize,
    /// Width of a head's values.
    pub v_head_dim: usize,
    /// Checkpoints rotate neighbours `(2j, 2j + 1)`: their rows are put in another order when they are read, and back when they
    /// are written.
    pub rope_interleave: bool,
}

impl Default for Variation {
    fn default() -> Self {
        Self {
            norms: NormPlacement::Before,
            norm_offset: false,
            qk_norm_span: NormSpan::Head,
            activation: Activation::Silu,
            window: None,
            local_rope: None,
            rotates: None,
            rotated: None,
            scales: Scales::default(),
            latent: None,
        }
    }
}

impl Default for Scales {
    fn default() -> Self {
        Self {
            embedding: 1.0,
            residual: 1.0,
            logits: 1.0,
            attention: None,
        }
    }
}

impl Latent {
    /// Width of a head's queries and keys.
    pub fn query_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }
}

impl Variation {
    /// Checks what the transformer relies on, for so many layers and heads of such a width.
    pub(super) fn validate(&self, layers: usize, head_dim: usize) -> Result<(), ConfigError> {
        let listed = |field: &str, found: usize| {
            if found == layers {
                return Ok(());
            }
            let rule = format!("entries must be as many as num_hidden_layers = {layers}");
            Err(invalid(field, found, rule))
        };
        if let Some(window) = &self.window {
            listed("layer_types", window.layers.len())?;
            if window.width == 0 {
                return Err(invalid(
                    "sliding_window",
                    0,
                    "must be at least 1".to_string(),
                ));
            }
        }
        if let Some(rotates) = &self.rotates {
            listed("no_rope_layers", rotates.len())?;
        }
        if let Some(rotated) = self.rotated
            && (rotated == 0 || rotated > head_dim || !rotated.is_multiple_of(2))
        {
            let rule = format!("must be even and at most head_dim = {head_dim}");
            return Err(invalid("rotated values of a head", rotated, rule));
        }
        if let Some(local) = &self.local_rope {
            super::positive("rope_local_base_freq", local.theta)?;
            local.scaling.as_ref().map_or(Ok(()), scaling::validate)?;
        }
        self.scales.validate()?;
        self.latent.as_ref().map_or(Ok(()), Latent::validate)
    }
}

impl Scales {
    fn validate(&self) -> Result<(), ConfigError> {
        super::positive("embedding multiplier", self.embedding)?;
        super::positive("residual multiplier", self.residual)?;
        super::positive("logits divisor", self.logits)?;
        self.attention.map_or(Ok(()), |scale| {
            super::positive("attention multiplier", scale)
        })
    }
}

impl Latent {
    fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("q_lora_rank", self.q_lora_rank.unwrap_or(1)),
            ("kv_lora_rank", self.kv_lora_rank),
            ("qk_nope_head_dim", self.qk_nope_head_dim),
            ("qk_rope_head_dim", self.qk_rope_head_dim),
            ("v_head_dim", self.v_head_dim),
        ] {
            if value == 0 || value > super::MAX_DIMENSION {
                let rule = format!("must be between 1 and {}", super::MAX_DIMENSION);
                return Err(invalid(field, value, rule));
            }
        }
        if !self.qk_rope_head_dim.is_multiple_of(2) {
            let rule = "must be even, since RoPE rotates pairs".to_string();
            return Err(invalid("qk_rope_head_dim", self.qk_rope_head_dim, rule));
        }
        Ok(())
    }
}
