//! What is computed of each token alone: the kinds of feed-forward parts that a layer may have.

mod expert;
pub(crate) mod experts;
pub(crate) mod gated;
mod shared;

use self::{
    experts::{Experts, ExpertsKept},
    gated::{Gated, GatedKept},
};
use super::{
    build::Maker, gradients::Gradients, linear::Linear, parameters::ParameterVisitor,
    plan::FeedForwardPlan, router::Router, weights::HostTensor,
};
use crate::compute::Compute;

/// The feed-forward part of one layer.
#[derive(Debug, Clone)]
pub(crate) enum FeedForward {
    /// One gated map.
    Gated(Box<Gated>),
    /// Several, of which a router chooses.
    Experts(Box<Experts>),
}

/// What its backward pass needs.
pub(crate) enum FeedForwardKept<C: Compute> {
    /// Of a gated map.
    Gated(GatedKept<C>),
    /// Of a mixture of experts.
    Experts(ExpertsKept<C>),
}

impl<C: Compute> FeedForwardKept<C> {
    /// Shows every matrix to `f`, in an order of its own.
    pub(crate) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
        match self {
            Self::Gated(kept) => kept.for_each(f),
            Self::Experts(kept) => kept.for_each(f),
        }
    }

    /// The experts that each row of the pass went to, `[rows, chosen]`; `None` where there is no choice.
    pub(crate) fn routed(&self) -> Option<&[u32]> {
        match self {
            Self::Gated(_) => None,
            Self::Experts(kept) => Some(kept.routed()),
        }
    }

    /// The same again, from matrices in that order.
    pub(crate) fn from_parts(part: &FeedForward, next: &mut impl FnMut() -> C::Rows) -> Self {
        match part {
            FeedForward::Gated(part) => Self::Gated(GatedKept::from_parts(part, next)),
            FeedForward::Experts(part) => Self::Experts(ExpertsKept::from_parts(part, next)),
        }
    }
}

impl FeedForward {
    /// What a plan asks for.
    pub(crate) fn build<E>(
        plan: &FeedForwardPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        match plan {
            FeedForwardPlan::Gated(plan) => {
                Gated::build(plan, make).map(|part| Self::Gated(Box::new(part)))
            }
            FeedForwardPlan::Experts(plan) => {
                Experts::build(plan, make).map(|part| Self::Experts(Box::new(part)))
            }
        }
    }

    /// What it makes of normalised rows, added to `sum` if there is one, and what its gradient needs. `given`: the experts of each
    /// row, `[rows, chosen]`, if they are not for the router to choose.
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        given: Option<&[u16]>,
        sum: impl FnOnce() -> Option<C::Rows>,
    ) -> (C::Rows, FeedForwardKept<C>) {
        match self {
            Self::Gated(part) => {
                let (y, kept) = part.forward(c, normed, sum);
                (y, FeedForwardKept::Gated(kept))
            }
            Self::Experts(part) => {
                let (y, kept) = part.forward(c, normed, given, sum);
                (y, FeedForwardKept::Experts(kept))
            }
        }
    }

    /// Adds the gradients of its weights, and gives that by the normalised rows, which `normed` computes
    /// again.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: FeedForwardKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        match (self, kept) {
            (Self::Gated(part), FeedForwardKept::Gated(kept)) => {
                part.backward(c, kept, by_y, normed, gradients)
            }
            (Self::Experts(part), FeedForwardKept::Experts(kept)) => {
                part.backward(c, kept, by_y, normed, gradients)
            }
            _ => unreachable!("what was kept is of the part that kept it"),
        }
    }

    /// How it chooses among experts, if it has any.
    pub(crate) fn router(&self) -> Option<&Router> {
        match self {
            Self::Gated(_) => None,
            Self::Experts(part) => Some(part.router()),
        }
    }

    /// Every linear map.
    pub(crate) fn linears(&mut self) -> Vec<&mut Linear> {
        match self {
            Self::Gated(part) => part.linears(),
            Self::Experts(part) => part.linears(),
        }
    }

    /// Shows every weight to `f`.
    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        match self {
            Self::Gated(part) => part.visit(f),
            Self::Experts(part) => part.visit(f),
        }
    }
}
