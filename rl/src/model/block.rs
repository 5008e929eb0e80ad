//! One transformer block, forward and backward: attention and a feed-forward part, each with its norms.

use burn::tensor::Tensor;

use super::{
    attention::{Attention, AttentionKept, Form, Place},
    build::Maker,
    feed_forward::{FeedForward, FeedForwardKept},
    gradients::Gradients,
    kept::kept,
    linear::Linear,
    module::Module,
    norm::Norms,
    parameters::ParameterVisitor,
    plan::{LayerPlan, NormPlan},
    router::Router,
    weights::HostTensor,
};
use crate::compute::{Cached, Compute, Heads, Qkv};

/// The norms of a block. The one before the feed-forward part is named after what comes before it,
/// unless there is another norm with that name.
pub(crate) const TABLE: [Module<LayerPlan>; 5] = [
    Module::norm("input_layernorm", "attn_norm", |plan, hidden| {
        sized(plan.attention_norms.before, hidden)
    }),
    Module::norm("post_attention_layernorm", "ffn_norm", |plan, hidden| {
        sized(plan.feed_forward_norms.before, hidden).filter(|_| !sandwiched(plan))
    }),
    Module::norm(
        "post_attention_layernorm",
        "post_attention_norm",
        |plan, hidden| sized(plan.attention_norms.after, hidden),
    ),
    Module::norm("pre_feedforward_layernorm", "ffn_norm", |plan, hidden| {
        sized(plan.feed_forward_norms.before, hidden).filter(|_| sandwiched(plan))
    }),
    Module::norm(
        "post_feedforward_layernorm",
        "post_ffw_norm",
        |plan, hidden| sized(plan.feed_forward_norms.after, hidden),
    ),
];

fn sized(norm: Option<NormPlan>, hidden: usize) -> Option<(NormPlan, usize)> {
    norm.map(|norm| (norm, hidden))
}

fn sandwiched(plan: &LayerPlan) -> bool {
    plan.attention_norms.after.is_some()
}

/// Attention and feed-forward, each added to the residual stream.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    attention_norms: Norms,
    attention: Attention,
    feed_forward_norms: Norms,
    feed_forward: FeedForward,
}

kept! {
    /// What a block's backward pass needs of its forward pass. Normalised rows are cheap and computed
    /// again.
    Kept of Block {
        /// The residual stream that came in, `[rows, hidden]`.
        input: rows,
        /// Of attention.
        attention: part(AttentionKept),
        /// What attention gave, before the norm after it.
        attention_out: maybe(attention_norms.after),
        /// The residual stream between attention and feed-forward.
        middle: rows,
        /// Of the feed-forward part.
        feed_forward: part(FeedForwardKept),
        /// What it gave, before the norm after it.
        feed_forward_out: maybe(feed_forward_norms.after),
    }
}

impl<C: Compute> Kept<C> {
    /// The input alone: enough to compute the rest again.
    pub(crate) fn into_input(self) -> C::Rows {
        self.input
    }

    /// Its matrices.
    pub(crate) fn parts(&self) -> Vec<&C::Rows> {
        let mut parts = Vec::new();
        self.for_each(&mut |rows| parts.push(rows));
        parts
    }

    /// The experts that each row of the pass went to, `[rows, chosen]`; `None` where there is no choice.
    pub(crate) fn routed(&self) -> Option<&[u32]> {
        self.feed_forward.routed()
    }
}

impl Block {
    /// What a plan asks for.
    pub(crate) fn build<E>(
        plan: &LayerPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let [
            before_attention,
            before,
            after_attention,
            before_instead,
            after,
        ] = &TABLE;
        let before_attention = make.norm(before_attention, plan)?;
        let attention = Attention::build(&plan.attention, make)?;
        let before = match make.norm(before, plan)? {
            Some(norm) => Some(norm),
            None => make.norm(before_instead, plan)?,
        };
        Ok(Self {
            attention_norms: Norms {
                before: before_attention,
                after: make.norm(after_attention, plan)?,
                scale: plan.residual_scale,
            },
            attention,
            feed_forward_norms: Norms {
                before,
                after: make.norm(after, plan)?,
                scale: plan.residual_scale,
            },
            feed_forward: FeedForward::build(&plan.feed_forward, make)?,
        })
    }

    /// How the rows of its attention are laid out.
    pub(crate) fn heads(&self, form: Form) -> Heads {
        self.attention.heads(form)
    }

    /// Shows what a cache stores of the rows of a pass to `f`.
    pub(crate) fn cached<C: Compute>(&self, c: &C, kept: &Kept<C>, f: impl FnMut(Cached<C::Rows>)) {
        self.attention.cached(c, &kept.attention, f);
    }

    /// The residual stream after the block, and what its gradient needs. `given`: the experts of each row, `[rows, chosen]`, if they
    /// are not for the router to choose.
    ///
    /// # Shapes
    /// - x and output: `[rows, hidden]`
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        x: C::Rows,
        (rotation, form): (Option<&C::Rotation>, Form),
        given: Option<&[u16]>,
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, Kept<C>) {
        let norms = &self.attention_norms;
        let (normed, stream) = (norms.enter(c, &x), || norms.stream(c, &x));
        let rotated = (rotation, form);
        let (y, attention) = self.attention.forward(c, normed, stream, rotated, attend);
        let (middle, attention_out) = norms.leave(c, &x, y);

        let norms = &self.feed_forward_norms;
        let (normed, stream) = (norms.enter(c, &middle), || norms.stream(c, &middle));
        let (y, feed_forward) = self.feed_forward.forward(c, normed, given, stream);
        let (out, feed_forward_out) = norms.leave(c, &middle, y);
        let kept = Kept {
            input: x,
            attention,
            attention_out,
            middle,
            feed_forward,
            feed_forward_out,
        };
        (out, kept)
    }

    /// Adds the gradients of the weights and returns that by what came in, if anything below needs
    /// it. `by_out` is that by the residual stream after the block.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: Kept<C>,
        by_out: C::Rows,
        place: &Place<C>,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        let Kept {
            input,
            attention,
            attention_out,
            middle,
            feed_forward,
            feed_forward_out,
        } = kept;

        let norms = &self.feed_forward_norms;
        let by_y = norms.leave_backward(c, feed_forward_out, &by_out, gradients);
        let by_y = by_y.as_ref().unwrap_or(&by_out);
        let normed = || norms.enter(c, &middle);
        let by_normed = self
            .feed_forward
            .backward(c, feed_forward, by_y, normed, gradients);
        let by_middle = norms.enter_backward(c, by_out, &middle, &by_normed, gradients);
        drop((by_normed, middle));

        let norms = &self.attention_norms;
        let by_y = norms.leave_backward(c, attention_out, &by_middle, gradients);
        let by_y = by_y.as_ref().unwrap_or(&by_middle);
        let normed = || norms.enter(c, &input);
        let by_normed = self
            .attention
            .backward(c, attention, by_y, normed, place, gradients)?;
        Some(norms.enter_backward(c, by_middle, &input, &by_normed, gradients))
    }

    /// What was kept of a forward pass, from matrices in the order of [`Kept::parts`].
    pub(crate) fn recall<C: Compute>(&self, mut next: impl FnMut() -> C::Rows) -> Kept<C> {
        Kept::from_parts(self, &mut next)
    }

    /// How it chooses among experts, if it has any.
    pub(crate) fn router(&self) -> Option<&Router> {
        self.feed_forward.router()
    }

    /// The router's name, and what is added to its scores for the choice, if there is such a thing.
    pub(crate) fn correction(&mut self) -> Option<(&str, &mut Tensor<1>)> {
        match &mut self.feed_forward {
            FeedForward::Experts(part) => part.correction(),
            FeedForward::Gated(_) => None,
        }
    }

    /// Every linear map.
    pub(crate) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        let attention = self.attention.linears().into_iter();
        attention.chain(self.feed_forward.linears())
    }

    /// Shows every weight to `f`.
    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        self.attention_norms.visit(f);
        self.attention.visit(f);
        self.feed_forward_norms.visit(f);
        self.feed_forward.visit(f);
    }
}
