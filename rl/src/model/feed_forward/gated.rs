//! The gated feed-forward part: `down(activation(gate(x)) ⊙ up(x))` (arXiv 2002.05202, eq. 6).

use crate::{
    compute::Compute,
    model::{
        build::Maker,
        gradients::Gradients,
        kept::kept,
        linear::Linear,
        module::{Map, Module},
        parameters::ParameterVisitor,
        plan::{Activation, GatedPlan},
        weights::HostTensor,
    },
};

/// Its modules.
pub(crate) const TABLE: [Module<GatedPlan>; 3] = [
    Module::linear("mlp.gate_proj", "ffn_gate", widening),
    Module::linear("mlp.up_proj", "ffn_up", widening),
    Module::linear("mlp.down_proj", "ffn_down", |plan, hidden| Map {
        out: hidden,
        inner: plan.inner,
        bias: false,
    }),
];

fn widening(plan: &GatedPlan, hidden: usize) -> Map {
    Map {
        out: plan.inner,
        inner: hidden,
        bias: false,
    }
}

/// Three maps.
#[derive(Debug, Clone)]
pub(crate) struct Gated {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
}

kept! {
    /// What its backward pass needs. The gated product is cheap and computed again.
    GatedKept of Gated {
        /// `gate(x)`.
        gate: rows,
        /// `up(x)`.
        up: rows,
    }
}

impl Gated {
    /// What a plan asks for.
    pub(super) fn build<E>(
        plan: &GatedPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let [gate, up, down] = &TABLE;
        Ok(Self {
            gate: make.linear(gate, plan)?,
            up: make.linear(up, plan)?,
            down: make.linear(down, plan)?,
            activation: plan.activation,
        })
    }

    /// See [`FeedForward::forward`](super::FeedForward::forward).
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        sum: impl FnOnce() -> Option<C::Rows>,
    ) -> (C::Rows, GatedKept<C>) {
        let [gate, up] = Linear::forward_all(c, [&self.gate, &self.up], &normed);
        drop(normed);
        let gated = match self.activation {
            Activation::Silu => c.swiglu(&gate, &up),
            Activation::GeluTanh => c.geglu(&gate, &up),
        };
        let y = self.down.forward_onto(c, sum(), &gated);
        (y, GatedKept { gate, up })
    }

    /// See [`FeedForward::backward`](super::FeedForward::backward).
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: GatedKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let GatedKept { gate, up } = kept;
        let (by_gated, narrow) = self.down.input_gradient(c, by_y, None);
        let (gated, by_gate, by_up) = match self.activation {
            Activation::Silu => c.swiglu_backward(gate, up, by_gated),
            Activation::GeluTanh => c.geglu_backward(gate, up, by_gated),
        };
        self.down
            .weight_gradient(c, &gated, by_y, narrow, gradients);
        drop(gated);
        let maps = [(&self.gate, by_gate), (&self.up, by_up)];
        let by_normed = Linear::backward_all(c, maps, &normed(), true, gradients);
        by_normed.expect("it is asked for")
    }

    /// Every linear map.
    pub(super) fn linears(&mut self) -> Vec<&mut Linear> {
        vec![&mut self.gate, &mut self.up, &mut self.down]
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        for linear in self.linears() {
            linear.visit(f);
        }
    }
}
