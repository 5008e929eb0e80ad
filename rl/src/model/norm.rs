//! Root-mean-square normalisation, and where it stands around a part of a block.

use burn::tensor::Tensor;

use super::{
    gradients::{Gradients, Trained},
    parameters::ParameterVisitor,
    plan::NormPlan,
};
use crate::compute::Compute;

/// `y = x / sqrt(mean(x²) + ε) · (g + offset) · scale` (Zhang & Sennrich, arXiv 1910.07467, eq. 4).
#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    /// Its name in checkpoints, without `.weight`.
    pub(crate) name: String,
    /// `[width]`.
    pub(crate) weight: Tensor<1>,
    pub(crate) plan: NormPlan,
}

impl RmsNorm {
    /// Normalises each run of `width` values.
    ///
    /// # Shapes
    /// - input and output: `[rows, n * width]`
    pub(crate) fn forward<C: Compute>(&self, c: &C, x: &C::Rows) -> C::Rows {
        c.rms_norm(x, &self.factors(), self.plan.epsilon)
    }

    /// What normalised values are multiplied by.
    fn factors(&self) -> Tensor<1> {
        let NormPlan { offset, scale, .. } = self.plan;
        let mut factors = self.weight.clone();
        if offset != 0.0 {
            factors = factors.add_scalar(offset);
        }
        if scale == 1.0 {
            factors
        } else {
            factors.mul_scalar(scale)
        }
    }

    /// Adds the gradient by the weight, and that by the input to `sum`.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        sum: C::Rows,
        x: &C::Rows,
        by_y: &C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let (factors, epsilon) = (self.factors(), self.plan.epsilon);
        if gradients.trained != Trained::All {
            return c.rms_norm_backward(sum, None, x, &factors, epsilon, by_y).0;
        }
        let mut by_x = None;
        let name = format!("{}.weight", self.name);
        gradients.sums.change(&name, &self.weight, |by_weight| {
            // Of factors, of which weights are one part.
            let scale = self.plan.scale;
            let apart = (scale != 1.0).then(|| by_weight.zeros_like());
            let (before, into) = match apart {
                Some(zeros) => (Some(by_weight), zeros),
                None => (None, by_weight),
            };
            let (rows, into) = c.rms_norm_backward(sum, Some(into), x, &factors, epsilon, by_y);
            by_x = Some(rows);
            let into = into.expect("a sum was given");
            match before {
                Some(before) => before + into.mul_scalar(scale),
                None => into,
            }
        });
        by_x.expect("the closure ran")
    }

    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit(&format!("{}.weight", self.name), &mut self.weight);
    }
}

/// The norms around a part of a block, which adds `scale · after(part(before(x)))` to the residual stream `x`.
#[derive(Debug, Clone)]
pub(crate) struct Norms {
    /// Of what goes in.
    pub(crate) before: Option<RmsNorm>,
    /// Of what comes out.
    pub(crate) after: Option<RmsNorm>,
    /// What comes out is multiplied by this.
    pub(crate) scale: f32,
}

impl Norms {
    /// Shows the weights to `f`.
    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        for norm in [&mut self.before, &mut self.after] {
            norm.iter_mut().for_each(|norm| norm.visit(f));
        }
    }

    /// What the part is given.
    pub(crate) fn enter<C: Compute>(&self, c: &C, x: &C::Rows) -> C::Rows {
        match &self.before {
            Some(norm) => norm.forward(c, x),
            None => c.copy(x),
        }
    }

    /// What the part adds its output to as it computes it: the stream, unless a norm or a factor stands between.
    pub(crate) fn stream<C: Compute>(&self, c: &C, x: &C::Rows) -> Option<C::Rows> {
        (self.after.is_none() && self.scale == 1.0).then(|| c.copy(x))
    }

    /// What the part gave, multiplied.
    fn scaled<C: Compute>(&self, c: &C, y: C::Rows) -> C::Rows {
        if self.scale == 1.0 {
            y
        } else {
            c.scale(y, self.scale)
        }
    }

    /// The stream behind the part, and what the gradient of the norm after it needs.
    pub(crate) fn leave<C: Compute>(
        &self,
        c: &C,
        x: &C::Rows,
        y: C::Rows,
    ) -> (C::Rows, Option<C::Rows>) {
        match &self.after {
            Some(norm) => (c.add(self.scaled(c, norm.forward(c, &y)), x), Some(y)),
            None if self.scale == 1.0 => (y, None),
            None => (c.add(self.scaled(c, y), x), None),
        }
    }

    /// The gradient by what the part gave, where it is not that by the stream behind it; `y` is what
    /// [`Self::leave`] kept.
    pub(crate) fn leave_backward<C: Compute>(
        &self,
        c: &C,
        y: Option<C::Rows>,
        by_stream: &C::Rows,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        let scaled = (self.scale != 1.0).then(|| c.scale(c.copy(by_stream), self.scale));
        let (Some(norm), Some(y)) = (&self.after, y) else {
            return scaled;
        };
        let by_y = scaled.as_ref().unwrap_or(by_stream);
        Some(norm.backward(c, c.zeros_like(&y), &y, by_y, gradients))
    }

    /// The gradient by the stream before the part, from that by the stream behind it and that by
    /// what the part was given.
    pub(crate) fn enter_backward<C: Compute>(
        &self,
        c: &C,
        by_stream: C::Rows,
        x: &C::Rows,
        by_entered: &C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        match &self.before {
            Some(norm) => norm.backward(c, by_stream, x, by_entered, gradients),
            None => c.add(by_stream, by_entered),
        }
    }
}
