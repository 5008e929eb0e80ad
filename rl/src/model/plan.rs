//! What a model is made of, as data: a plan for each layer.
//!
//! A family is a [`ModelPlan`]. What varies between families, and between the layers of one, stands here;
//! the parts that carry it out are in [`attention`](super::attention),
//! [`feed_forward`](super::feed_forward) and [`norm`](super::norm).

use super::{position::PositionPlan, router::Router};
use crate::compute::{Heads, LatentHeads};

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelPlan {
    /// Rows of the embedding and of the head.
    pub(crate) vocabulary: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Whether the embedding serves as head too.
    pub(crate) tied: bool,
    /// What rows of the embedding are multiplied by where they enter the stream.
    pub(crate) embedding_scale: f32,
    /// One for each layer.
    pub(crate) layers: Vec<LayerPlan>,
    /// The norm before the head.
    pub(crate) norm: NormPlan,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerPlan {
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    pub(crate) attention: AttentionPlan,
    /// Around attention.
    pub(crate) attention_norms: NormsPlan,
    pub(crate) feed_forward: FeedForwardPlan,
    /// Around the feed-forward part.
    pub(crate) feed_forward_norms: NormsPlan,
    /// What both parts give is multiplied by this before it is added to the stream.
    pub(crate) residual_scale: f32,
}

/// How tokens look at each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AttentionPlan {
    /// Keys and values of several query heads are shared.
    Grouped(GroupedPlan),
    /// Keys and values are made of one latent a token.
    Latent(LatentPlan),
}

/// Grouped-query attention (arXiv 2305.13245).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupedPlan {
    /// Number and widths of heads, the scale of scores, the window.
    pub(crate) heads: Heads,
    /// Biases on queries, keys and values.
    pub(crate) bias: bool,
    /// A bias on the output.
    pub(crate) output_bias: bool,
    /// A norm of queries and of keys, before rotation, and what it is over.
    pub(crate) head_norm: Option<(NormPlan, NormSpan)>,
    /// How queries and keys are rotated by their positions; without it they are not.
    pub(crate) position: Option<PositionPlan>,
}

/// What a norm of queries or keys is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormSpan {
    /// Each head by itself, with the same weights.
    Head,
    /// All heads at once.
    Row,
}

/// Latent attention (arXiv 2405.04434, section 2.1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LatentPlan {
    /// Number and widths of heads.
    pub(crate) heads: LatentHeads,
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// Width of the latent that queries are made of; without it they are made of the stream.
    pub(crate) query_latent: Option<usize>,
    /// Biases on the maps to latents and on the output.
    pub(crate) bias: bool,
    /// Of the latents.
    pub(crate) norm: NormPlan,
    /// How the last part of queries, and the part of keys that heads share, are rotated.
    pub(crate) position: PositionPlan,
}

/// What is computed of each token alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FeedForwardPlan {
    /// `down(activation(gate(x)) ⊙ up(x))`.
    Gated(GatedPlan),
    /// Several such maps, of which a router chooses.
    Experts(ExpertsPlan),
}

/// A gated feed-forward part (arXiv 2002.05202).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatedPlan {
    /// Width between.
    pub(crate) inner: usize,
    /// What opens the gate.
    pub(crate) activation: Activation,
}

/// What opens a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x σ(x)`.
    Silu,
    /// Gaussian error linear units, approximated by tanh (arXiv 1606.08415, section 2).
    GeluTanh,
}

/// A mixture of experts (arXiv 2401.06066).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExpertsPlan {
    /// How they are chosen.
    pub(crate) router: Router,
    /// Width between of each expert.
    pub(crate) inner: usize,
    /// The expert that every token goes to, if there is one.
    pub(crate) shared: Option<SharedPlan>,
}

/// An expert that every token goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedPlan {
    /// Width between.
    pub(crate) inner: usize,
    /// Whether it is multiplied by `sigmoid(gate(x))`.
    pub(crate) gated: bool,
}

/// A root-mean-square norm (arXiv 1910.07467).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormPlan {
    /// Added to the mean square.
    pub(crate) epsilon: f64,
    /// Added to the weights: 0, or 1 where they are stored as what they differ from 1 by.
    pub(crate) offset: f64,
    /// What comes out is multiplied by this.
    pub(crate) scale: f64,
}

/// The norms around a part of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NormsPlan {
    /// Of what goes in.
    pub(crate) before: Option<NormPlan>,
    /// Of what comes out, before it is added to the residual stream.
    pub(crate) after: Option<NormPlan>,
}

#[cfg(all(test, feature = "flex"))]
pub(crate) mod tests;
