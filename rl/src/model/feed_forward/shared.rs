//! The expert that every token goes to, as it is or multiplied by `sigmoid(gate(x))`.

use super::expert::{self, Expert, Passed};
use crate::{
    compute::Compute,
    model::{
        build::Maker,
        gradients::Gradients,
        linear::Linear,
        module::{Map, Named},
        parameters::ParameterVisitor,
        plan::SharedPlan,
        weights::HostTensor,
    },
};

/// Its name below a layer.
const SHARED: &str = "mlp.shared_experts";
/// The name of what it is multiplied by.
const GATE: &str = "mlp.shared_expert_gate";

/// The expert that every token goes to.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    expert: Expert,
    gate: Option<Linear>,
}

/// What its backward pass needs.
pub(super) struct SharedKept<C: Compute> {
    gate: C::Rows,
    up: C::Rows,
    /// `gate(x)`, `[rows, 1]`.
    logit: Option<C::Rows>,
}

impl<C: Compute> SharedKept<C> {
    /// Shows every matrix to `f`.
    pub(super) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
        f(&self.gate);
        f(&self.up);
        self.logit.iter().for_each(f);
    }

    /// The same again, from matrices in that order.
    pub(super) fn from_parts(part: &Shared, next: &mut impl FnMut() -> C::Rows) -> Self {
        Self {
            gate: next(),
            up: next(),
            logit: part.gate.as_ref().map(|_| next()),
        }
    }
}

const fn one(hidden: usize) -> Map {
    Map {
        out: 1,
        inner: hidden,
        bias: false,
    }
}

/// Its tensors, named below `prefix`.
pub(super) fn tensors(prefix: &str, plan: &SharedPlan, hidden: usize) -> Vec<Named> {
    let name = format!("{prefix}.{SHARED}");
    let mut tensors: Vec<Named> = expert::tensors(&name, plan.inner, hidden).collect();
    if plan.gated {
        tensors.push((format!("{prefix}.{GATE}.weight"), vec![1, hidden]));
    }
    tensors
}

fn sigmoids<C: Compute>(c: &C, logit: &C::Rows) -> Vec<f32> {
    let sigmoid = |z: f32| 1.0 / (1.0 + (-z).exp());
    c.values_of(logit).into_iter().map(sigmoid).collect()
}

impl Shared {
    /// What a plan asks for.
    pub(super) fn build<E>(
        plan: &SharedPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let name = format!("{}.{SHARED}", make.prefix);
        let expert = Expert::build(&name, plan.inner, make)?;
        let gate = if plan.gated {
            let name = format!("{}.{GATE}", make.prefix);
            Some(make.linear_named(name, one(make.hidden))?)
        } else {
            None
        };
        Ok(Self { expert, gate })
    }

    /// What it makes of rows, added to `sum` if there is one, and what its gradient needs.
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        x: &C::Rows,
        sum: Option<C::Rows>,
    ) -> (C::Rows, SharedKept<C>) {
        let Some(map) = &self.gate else {
            let [gate, up, y] = self.expert.forward(c, x, sum);
            let logit = None;
            return (y, SharedKept { gate, up, logit });
        };
        let [gate, up, y] = self.expert.forward(c, x, None);
        let logit = map.forward_onto(c, None, x);
        let y = c.scale_rows(y, &sigmoids(c, &logit));
        let y = match sum {
            Some(sum) => c.add(sum, &y),
            None => y,
        };
        let logit = Some(logit);
        (y, SharedKept { gate, up, logit })
    }

    /// Adds the gradients of its weights, and gives that by the input, added to `sum`.
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: SharedKept<C>,
        by_y: &C::Rows,
        x: &C::Rows,
        sum: C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let weights = kept.logit.as_ref().map(|logit| sigmoids(c, logit));
        let passed = Passed {
            gate: kept.gate,
            up: kept.up,
            x,
            weights: weights.as_deref(),
        };
        let (by_x, by_weights) = self.expert.backward(c, passed, by_y, gradients);
        let sum = c.add(sum, &by_x);
        let (Some(map), Some(by_weights), Some(weights)) = (&self.gate, by_weights, weights) else {
            return sum;
        };
        let slopes: Vec<f32> = weights.iter().map(|s| s * (1.0 - s)).collect();
        let by_logit = c.scale_rows(by_weights, &slopes);
        map.weight_gradient(c, x, &by_logit, None, gradients);
        map.input_gradient(c, &by_logit, Some(sum)).0
    }

    /// The maps that may get an adapter.
    pub(super) fn linears(&mut self) -> [&mut Linear; 3] {
        self.expert.linears()
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        self.expert.visit(f);
        if let Some(gate) = &mut self.gate {
            gate.visit(f);
        }
    }
}
