//! Rotary position embedding in the Hugging Face layout: pairs are `(i, i + head_dim / 2)`.
//!
//! Burn's own rotary module pairs neighbours `(2i, 2i + 1)`; checkpoints with the Hugging Face
//! layout would be silently wrong under it, so the rotation is written here.

use burn::tensor::{Device, Tensor, TensorData};

use super::config::ModelConfig;

/// Cosines and sines of the rotation angles of some rows of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// `[rows, 1, head_dim / 2]`.
    cos: Tensor<3>,
    /// `[rows, 1, head_dim / 2]`.
    sin: Tensor<3>,
}

impl Rotation {
    /// Rotates every head of every row (Su et al., arXiv 2104.09864, eq. 34).
    ///
    /// # Shapes
    /// - input and output: `[rows, heads, head_dim]`
    pub(crate) fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        let half = x.dims()[2] / 2;
        let first = x.clone().narrow(2, 0, half);
        let second = x.narrow(2, half, half);
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        Tensor::cat(
            vec![
                first.clone().mul(cos.clone()) - second.clone().mul(sin.clone()),
                second.mul(cos) + first.mul(sin),
            ],
            2,
        )
    }
}

/// The angular frequency of each pair of one head, in radians per position.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    frequencies: Vec<f32>,
}

impl Rope {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let dim = config.head_dim;
        let plain = (0..dim / 2).map(|i| {
            // transformers computes these in f32: follow it to the last bit.
            let exponent = (2 * i) as f32 / dim as f32;
            1.0 / (config.rope_theta as f32).powf(exponent)
        });
        let frequencies = match &config.rope_scaling {
            None => plain.collect(),
            Some(scaling) => plain
                .map(|f| f / scaling.divisor(f64::from(f)) as f32)
                .collect(),
        };
        Self { frequencies }
    }

    /// The rotation of one row per entry of `positions`.
    pub(crate) fn rotation(&self, positions: &[usize], device: &Device) -> Rotation {
        let (rows, half) = (positions.len(), self.frequencies.len());
        let angles = || {
            positions
                .iter()
                .flat_map(|&p| self.frequencies.iter().map(move |f| p as f32 * f))
        };
        let tensor = |values: Vec<f32>| {
            Tensor::<3>::from_data(TensorData::new(values, [rows, 1, half]), device)
        };
        Rotation {
            cos: tensor(angles().map(f32::cos).collect()),
            sin: tensor(angles().map(f32::sin).collect()),
        }
    }
}
