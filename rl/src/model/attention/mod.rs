//! How tokens look at each other: the kinds of attention that a layer may have.

pub(crate) mod grouped;

use self::grouped::{GroupedAttention, GroupedKept};
use super::{
    build::Maker, gradients::Gradients, linear::Linear, parameters::ParameterVisitor,
    plan::AttentionPlan, weights::HostTensor,
};
use crate::compute::{Compute, Heads, Qkv};

/// The attention of one layer.
#[derive(Debug, Clone)]
pub(crate) enum Attention {
    /// Keys and values of several query heads are shared.
    Grouped(GroupedAttention),
}

/// Where the rows of a pass stand, as one layer sees them.
pub(crate) struct Place<'a, C: Compute> {
    /// Without it, rows are not rotated.
    pub(crate) rotation: Option<&'a C::Rotation>,
    pub(crate) layout: &'a C::Layout,
    /// Whether anything below needs the gradient by what came in.
    pub(crate) below: bool,
}

/// What its backward pass needs.
pub(crate) enum AttentionKept<C: Compute> {
    /// Of grouped attention.
    Grouped(GroupedKept<C>),
}

impl<C: Compute> AttentionKept<C> {
    /// Shows every matrix to `f`, in an order of its own.
    pub(crate) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
        match self {
            Self::Grouped(kept) => kept.for_each(f),
        }
    }

    /// The same again, from matrices in that order.
    pub(crate) fn from_parts(part: &Attention, next: &mut impl FnMut() -> C::Rows) -> Self {
        match part {
            Attention::Grouped(part) => Self::Grouped(GroupedKept::from_parts(part, next)),
        }
    }

    /// The queries, keys and values that were attended by.
    pub(crate) fn qkv(&self) -> &Qkv<C::Rows> {
        match self {
            Self::Grouped(kept) => &kept.qkv,
        }
    }
}

impl Attention {
    /// What a plan asks for.
    pub(crate) fn build<E>(
        plan: &AttentionPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        match plan {
            AttentionPlan::Grouped(plan) => GroupedAttention::build(plan, make).map(Self::Grouped),
        }
    }

    /// How its rows are laid out.
    pub(crate) fn heads(&self) -> Heads {
        match self {
            Self::Grouped(part) => part.heads,
        }
    }

    /// What it makes of normalised rows, added to `sum` if there is one, and what its gradient needs.
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        sum: impl FnOnce() -> Option<C::Rows>,
        rotation: Option<&C::Rotation>,
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, AttentionKept<C>) {
        match self {
            Self::Grouped(part) => {
                let (y, kept) = part.forward(c, normed, sum, rotation, attend);
                (y, AttentionKept::Grouped(kept))
            }
        }
    }

    /// Adds the gradients of its weights, and gives that by the normalised rows, if anything below needs
    /// it. `normed` computes these rows again.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: AttentionKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        place: &Place<C>,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        match (self, kept) {
            (Self::Grouped(part), AttentionKept::Grouped(kept)) => {
                part.backward(c, kept, by_y, normed, place, gradients)
            }
        }
    }

    /// Every linear map.
    pub(crate) fn linears(&mut self) -> Vec<&mut Linear> {
        match self {
            Self::Grouped(part) => part.linears(),
        }
    }

    /// Shows every weight to `f`.
    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        match self {
            Self::Grouped(part) => part.visit(f),
        }
    }
}
