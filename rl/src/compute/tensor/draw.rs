//! Choosing tokens on the device: no logits and no token is read back until somebody asks.

use burn::tensor::{Int, Tensor, activation::softmax};

use super::Tensors;
use crate::compute::{
    buffers::{from_host, to_host},
    draw::{Burst, Drawing},
};

/// Probabilities in a run; runs are looked for before tokens.
const RUN: usize = 256;

/// Tokens and log-probabilities that are still on the device.
#[derive(Debug, Default)]
pub(crate) struct TensorBurst {
    /// In turn a token and its log-probability of every row, `[rows, 1]` each.
    drawn: Vec<Tensor<2>>,
}

impl Burst<Tensors> for TensorBurst {
    const TOKENS: usize = 8;

    fn draw(&mut self, c: &Tensors, logits: Tensor<2>, drawing: Drawing) -> Tensor<1, Int> {
        let logits = logits.mul_scalar(drawing.inverse_temperature);
        let uniform = drawing.uniforms.map(|uniforms| {
            let uniforms: Vec<f32> = uniforms.iter().map(|&uniform| uniform as f32).collect();
            let shape = [uniforms.len(), 1];
            from_host(uniforms, shape, &c.device)
        });
        let (token, logprob) = draw(logits, drawing.drawable, uniform);
        // Ids are exact in f32 up to 2²⁴, so that one read-back takes both.
        self.drawn.extend([token.clone().float(), logprob]);
        token.squeeze_dim::<1>(1)
    }

    fn read(self) -> Vec<Vec<(u32, f32)>> {
        let width = self.drawn.len();
        let drawn = to_host(Tensor::cat(self.drawn, 1)); // [rows, width]
        let pairs = |row: &[f32]| {
            let pairs = row.as_chunks::<2>().0;
            pairs.iter().map(|pair| (pair[0] as u32, pair[1])).collect()
        };
        drawn.chunks_exact(width).map(pairs).collect()
    }
}

/// Draws a token a row by inversion: the first at which the running sum passes `uniform` times the
/// sum over the first `drawable`. Gives tokens and their log-probabilities, both `[rows, 1]`.
///
/// # Shapes
/// - logits: `[rows, vocabulary]`, divided by the temperature
/// - uniform: `[rows, 1]`, at least 0 and below 1; without it the likeliest token is taken
fn draw(
    logits: Tensor<2>,
    drawable: usize,
    uniform: Option<Tensor<2>>,
) -> (Tensor<2, Int>, Tensor<2>) {
    let [rows, vocabulary] = logits.dims();
    let drawable = drawable.min(vocabulary);
    let probabilities = softmax(logits.clone(), 1);
    let token = match uniform {
        None => logits.narrow(1, 0, drawable).argmax(1),
        Some(uniform) => {
            let runs = drawable.div_ceil(RUN);
            let kept = probabilities.clone().narrow(1, 0, drawable);
            let short = runs * RUN - drawable;
            let kept = match short {
                0 => kept,
                _ => Tensor::cat(
                    vec![kept, Tensor::zeros([rows, short], &logits.device())],
                    1,
                ),
            };
            let kept = kept.reshape([rows, runs, RUN]);
            let sums = kept.clone().sum_dim(2).squeeze_dim::<2>(2); // [rows, runs]
            let upto = sums.clone().cumsum(1);
            let total = upto.clone().narrow(1, runs - 1, 1); // [rows, 1]
            let target = total.mul(uniform);
            let run = passed(upto.clone(), target.clone(), runs); // [rows, 1]
            let before = upto.gather(1, run.clone()) - sums.gather(1, run.clone());
            let within = run.clone().reshape([rows, 1, 1]).repeat_dim(2, RUN);
            let within = kept.gather(1, within).squeeze_dim::<2>(1).cumsum(1); // [rows, RUN]
            let place = passed(within, target - before, RUN);
            (run.mul_scalar(RUN as i32) + place).clamp_max(drawable as i32 - 1)
        }
    };
    let logprob = probabilities.gather(1, token.clone()).log();
    (token, logprob)
}

/// How many of the sums do not pass the target, at most `count - 1`: `[rows, 1]`.
fn passed(sums: Tensor<2>, target: Tensor<2>, count: usize) -> Tensor<2, Int> {
    sums.lower_equal(target)
        .int()
        .sum_dim(1)
        .clamp_max(count as i32 - 1)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn inversion_finds_the_token_that_the_sum_passes() {
        let device = Device::flex();
        let vocabulary = 700;
        let weight = |i: usize| 1.0 + (i * 31 % 17) as f64;
        let total: f64 = (0..650).map(weight).sum();
        let logits: Vec<f32> = (0..vocabulary).map(|i| weight(i).ln() as f32).collect();
        for uniform in [0.0, 0.1, 0.37, 0.5, 0.93, 0.9999] {
            let mut sum = 0.0;
            let expected = (0..650).find(|&i| {
                sum += weight(i);
                sum > uniform * total
            });
            let logits =
                Tensor::from_data(TensorData::new(logits.clone(), [1, vocabulary]), &device);
            let uniform = from_host(vec![uniform as f32], [1, 1], &device);
            let (token, logprob) = draw(logits, 650, Some(uniform));
            let token = token.into_scalar::<i32>() as usize;
            assert_eq!(Some(token), expected);
            let all: f64 = (0..vocabulary).map(weight).sum();
            let difference = f64::from(to_host(logprob)[0]) - (weight(token) / all).ln();
            assert!(difference.abs() < 1e-5);
        }
    }
}
