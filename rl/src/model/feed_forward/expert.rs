//! One expert: a gated map whose output is multiplied by a weight a token.

use crate::{
    compute::Compute,
    model::{
        build::Maker,
        gradients::Gradients,
        linear::Linear,
        module::{Map, Named},
        parameters::ParameterVisitor,
        weights::HostTensor,
    },
};

/// Its maps: their names, and whether they widen.
const MAPS: [(&str, bool); 3] = [("gate_proj", true), ("up_proj", true), ("down_proj", false)];

/// `down(silu(gate(x)) ⊙ up(x))`.
#[derive(Debug, Clone)]
pub(super) struct Expert {
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// What a backward pass needs of some rows that went through it.
pub(super) struct Passed<'a, R> {
    /// `gate(x)`.
    pub(super) gate: R,
    /// `up(x)`.
    pub(super) up: R,
    /// What came in.
    pub(super) x: &'a R,
    /// What each row that came out was multiplied by, if by anything.
    pub(super) weights: Option<&'a [f32]>,
}

fn map(widens: bool, inner: usize, hidden: usize) -> Map {
    let (out, inner) = if widens {
        (inner, hidden)
    } else {
        (hidden, inner)
    };
    Map {
        out,
        inner,
        bias: false,
    }
}

/// The tensors of an expert of that name.
pub(super) fn tensors(name: &str, inner: usize, hidden: usize) -> impl Iterator<Item = Named> {
    MAPS.into_iter().map(move |(part, widens)| {
        let Map { out, inner, .. } = map(widens, inner, hidden);
        (format!("{name}.{part}.weight"), vec![out, inner])
    })
}

impl Expert {
    /// An expert of that name, of a width between.
    pub(super) fn build<E>(
        name: &str,
        inner: usize,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let mut part = |place: usize| {
            let (part, widens) = MAPS[place];
            make.linear_named(format!("{name}.{part}"), map(widens, inner, make.hidden))
        };
        Ok(Self {
            gate: part(0)?,
            up: part(1)?,
            down: part(2)?,
        })
    }

    /// `gate(x)`, `up(x)`, and the output, added to `sum` if there is one.
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        x: &C::Rows,
        sum: Option<C::Rows>,
    ) -> [C::Rows; 3] {
        let [gate, up] = Linear::forward_all(c, [&self.gate, &self.up], x);
        let y = self.down.forward_onto(c, sum, &c.swiglu(&gate, &up));
        [gate, up, y]
    }

    /// Adds the gradients of its weights; that by the input, and that by each row's weight, `[rows, 1]`, if it has one.
    /// `by_y` is that by the weighted output.
    ///
    /// With `t = ∂y W_down` the gradient by a weight is `⟨h, t⟩`, where `h` is the gated product, and that by `h` is
    /// `weight · t`: no output has to be kept.
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        passed: Passed<C::Rows>,
        by_y: &C::Rows,
        gradients: &mut Gradients,
    ) -> (C::Rows, Option<C::Rows>) {
        let Passed {
            gate,
            up,
            x,
            weights,
        } = passed;
        let (t, narrow) = self.down.input_gradient(c, by_y, None);
        let (gated, by_gate, by_up, by_weights) = match weights {
            None => {
                let (gated, by_gate, by_up) = c.swiglu_backward(gate, up, t);
                (gated, by_gate, by_up, None)
            }
            Some(weights) => {
                let by_gated = c.scale_rows(c.copy(&t), weights);
                let (gated, by_gate, by_up) = c.swiglu_backward(gate, up, by_gated);
                let by_weights = c.row_dots(&gated, &t);
                let weighted = c.scale_rows(gated, weights);
                (weighted, by_gate, by_up, Some(by_weights))
            }
        };
        self.down
            .weight_gradient(c, &gated, by_y, narrow, gradients);
        drop(gated);
        let maps = [(&self.gate, by_gate), (&self.up, by_up)];
        let by_x = Linear::backward_all(c, maps, x, true, gradients);
        (by_x.expect("it is asked for"), by_weights)
    }

    /// Its maps.
    pub(super) fn linears(&mut self) -> [&mut Linear; 3] {
        [&mut self.gate, &mut self.up, &mut self.down]
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        for linear in self.linears() {
            linear.visit(f);
        }
    }
}
