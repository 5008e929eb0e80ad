//! The small layers: linear maps and root-mean-square normalisation, on `[rows, width]` matrices.
//!
//! The whole model works on matrices with one row a token: a `[batch, 1, width]` tensor would be
//! multiplied as `batch` separate vector products.

use burn::tensor::Tensor;

use super::parameters::ParameterVisitor;

/// `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    /// `[out, in]`, as checkpoints store it.
    pub(crate) weight: Tensor<2>,
    /// `[out]`.
    pub(crate) bias: Option<Tensor<1>>,
}

impl Linear {
    /// # Shapes
    /// - input: `[rows, in]`
    /// - output: `[rows, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.clone().transpose());
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze::<2>(),
            None => y,
        }
    }

    pub(crate) fn visit(&mut self, prefix: &str, f: &mut impl ParameterVisitor) {
        f.visit(&format!("{prefix}.weight"), &mut self.weight);
        if let Some(bias) = &mut self.bias {
            f.visit(&format!("{prefix}.bias"), bias);
        }
    }
}

/// `y = x / sqrt(mean(x²) + ε) · g` (Zhang & Sennrich, arXiv 1910.07467, eq. 4).
#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    /// `[width]`.
    pub(crate) weight: Tensor<1>,
    pub(crate) epsilon: f64,
}

impl RmsNorm {
    /// Normalises over the last axis.
    ///
    /// # Shapes
    /// - input and output: `[..., width]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mean_square = x.clone().square().mean_dim(D - 1);
        let rms = mean_square.add_scalar(self.epsilon).sqrt();
        x.div(rms).mul(self.weight.clone().unsqueeze::<D>())
    }

    pub(crate) fn visit(&mut self, prefix: &str, f: &mut impl ParameterVisitor) {
        f.visit(&format!("{prefix}.weight"), &mut self.weight);
    }
}
