//! How tokens look at each other: the kinds of attention that a layer may have.

pub(crate) mod grouped;
pub(crate) mod latent;

use self::{
    grouped::{GroupedAttention, GroupedKept},
    latent::{LatentAttention, LatentKept},
};
use super::{
    build::Maker, gradients::Gradients, linear::Linear, parameters::ParameterVisitor,
    plan::AttentionPlan, weights::HostTensor,
};
use crate::compute::{Cached, Compute, Direction, Heads, Qkv};

/// The attention of one layer.
#[derive(Debug, Clone)]
pub(crate) enum Attention {
    /// Keys and values of several query heads are shared.
    Grouped(Box<GroupedAttention>),
    /// Keys and values are made of one latent a token.
    Latent(Box<LatentAttention>),
}

/// Which keys and values a pass attends by, where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Those of every head: for many rows at once.
    Expanded,
    /// What is kept of a token in a cache: for few rows and a long past.
    Cached,
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
    /// Of latent attention.
    Latent(LatentKept<C>),
}

impl<C: Compute> AttentionKept<C> {
    /// Shows every matrix to `f`, in an order of its own.
    pub(crate) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
        match self {
            Self::Grouped(kept) => kept.for_each(f),
            Self::Latent(kept) => kept.for_each(f),
        }
    }

    /// The same again, from matrices in that order.
    pub(crate) fn from_parts(part: &Attention, next: &mut impl FnMut() -> C::Rows) -> Self {
        match part {
            Attention::Grouped(part) => Self::Grouped(GroupedKept::from_parts(part, next)),
            Attention::Latent(part) => Self::Latent(LatentKept::from_parts(part, next)),
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
            AttentionPlan::Grouped(plan) => {
                GroupedAttention::build(plan, make).map(|part| Self::Grouped(Box::new(part)))
            }
            AttentionPlan::Latent(plan) => {
                LatentAttention::build(plan, make).map(|part| Self::Latent(Box::new(part)))
            }
        }
    }

    /// How its rows are laid out.
    pub(crate) fn heads(&self, form: Form) -> Heads {
        match self {
            Self::Grouped(part) => part.heads,
            Self::Latent(part) => part.heads(form),
        }
    }

    /// Shows what a cache stores of the rows of a pass to `f`.
    pub(crate) fn cached<C: Compute>(
        &self,
        c: &C,
        kept: &AttentionKept<C>,
        mut f: impl FnMut(Cached<C::Rows>),
    ) {
        match (self, kept) {
            (Self::Latent(part), AttentionKept::Latent(kept)) => f(Cached {
                key: &part.cached(c, kept),
                value: None,
            }),
            (_, AttentionKept::Grouped(kept)) => f(kept.qkv.cached()),
            (Self::Grouped(_), AttentionKept::Latent(_)) => unreachable!("{OTHER}"),
        }
    }

    /// What it makes of normalised rows, added to `sum` if there is one, and what its gradient needs.
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        sum: impl FnOnce() -> Option<C::Rows>,
        (rotation, form): (Option<&C::Rotation>, Form),
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, AttentionKept<C>) {
        match self {
            Self::Grouped(part) => {
                let (y, kept) = part.forward(c, normed, sum, rotation, attend);
                (y, AttentionKept::Grouped(kept))
            }
            Self::Latent(part) => {
                let rotated = (rotation, form);
                let (y, kept) = part.forward(c, normed, sum, rotated, attend);
                (y, AttentionKept::Latent(kept))
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
            (Self::Latent(part), AttentionKept::Latent(kept)) => {
                part.backward(c, kept, by_y, normed, place, gradients)
            }
            _ => unreachable!("{OTHER}"),
        }
    }

    /// Every linear map.
    pub(crate) fn linears(&mut self) -> Vec<&mut Linear> {
        match self {
            Self::Grouped(part) => part.linears(),
            Self::Latent(part) => part.linears(),
        }
    }

    /// Shows every weight to `f`.
    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        match self {
            Self::Grouped(part) => part.visit(f),
            Self::Latent(part) => part.visit(f),
        }
    }
}

/// Rows of so many heads, rotated if they are at all.
fn turned<C: Compute>(
    c: &C,
    x: C::Rows,
    (rotation, heads): (Option<&C::Rotation>, usize),
    direction: Direction,
) -> C::Rows {
    match rotation {
        Some(rotation) => c.rotate(x, rotation, heads, direction),
        None => x,
    }
}

/// A pass is kept by the attention that made it.
const OTHER: &str = "what was kept is of another kind of attention";
