//! The SwiGLU feed-forward block.

use burn::tensor::{Tensor, activation::silu};

use super::{layers::Linear, parameters::ParameterVisitor};

/// `down(silu(gate(x)) ⊙ up(x))` (Shazeer, arXiv 2002.05202, eq. 6).
#[derive(Debug, Clone)]
pub(crate) struct SwiGlu {
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

impl SwiGlu {
    /// # Shapes
    /// - input and output: `[rows, hidden]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate = silu(self.gate.forward(x.clone()));
        self.down.forward(gate.mul(self.up.forward(x)))
    }

    pub(crate) fn visit(&mut self, prefix: &str, f: &mut impl ParameterVisitor) {
        self.gate.visit(&format!("{prefix}.gate_proj"), f);
        self.up.visit(&format!("{prefix}.up_proj"), f);
        self.down.visit(&format!("{prefix}.down_proj"), f);
    }
}
