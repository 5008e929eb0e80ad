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
/// Sums are rounded, and a device may add in any order: what is aimed at may lie beyond the sum of the
/// run in which it is looked for. It is held below that sum then, and only tokens that have a
/// probability are drawn.
///
/// # Shapes
/// - logits: `[rows, vocabulary]`, divided by the temperature
/// - uniform: `[rows, 1]`, from 0 to 1; without it the likeliest token is taken
fn draw(
    logits: Tensor<2>,
    drawable: usize,
    uniform: Option<Tensor<2>>,
) -> (Tensor<2, Int>, Tensor<2>) {
    let [_, vocabulary] = logits.dims();
    let drawable = drawable.min(vocabulary);
    let probabilities = softmax(logits.clone(), 1);
    let token = match uniform {
        None => logits.narrow(1, 0, drawable).argmax(1),
        Some(uniform) => invert(probabilities.clone().narrow(1, 0, drawable), uniform),
    };
    let logprob = probabilities.gather(1, token.clone()).log();
    (token, logprob)
}

/// The places at which the running sums of `weights`, `[rows, count]`, pass `uniform` times the whole.
fn invert(weights: Tensor<2>, uniform: Tensor<2>) -> Tensor<2, Int> {
    let [rows, count] = weights.dims();
    let runs = count.div_ceil(RUN);
    let short = runs * RUN - count;
    let weights = if short == 0 {
        weights
    } else {
        let rest = Tensor::zeros([rows, short], &weights.device());
        Tensor::cat(vec![weights, rest], 1)
    };
    let weights = weights.reshape([rows, runs, RUN]);
    let sums = weights.clone().sum_dim(2).squeeze_dim::<2>(2); // [rows, runs]
    let upto = sums.clone().cumsum(1);
    let total = upto.clone().narrow(1, runs - 1, 1); // [rows, 1]
    let target = total.mul(uniform);
    let run = passing(upto.clone(), target.clone(), sums.clone()); // [rows, 1]
    let before = upto.gather(1, run.clone()) - sums.gather(1, run.clone());
    let within = run.clone().reshape([rows, 1, 1]).repeat_dim(2, RUN);
    let within = weights.gather(1, within).squeeze_dim::<2>(1); // [rows, RUN]
    let place = passing(within.clone().cumsum(1), target - before, within);
    run.mul_scalar(RUN as i32) + place
}

/// The first place at which `sums`, which add up `weights`, pass the target, held below the last of
/// them: `[rows, 1]`. If there is no weight there, the next that has one, or else the last.
fn passing(sums: Tensor<2>, target: Tensor<2>, weights: Tensor<2>) -> Tensor<2, Int> {
    let [rows, count] = sums.dims();
    let last = sums.clone().narrow(1, count - 1, 1);
    let target = target.min_pair(last.mul_scalar(1.0 - f32::EPSILON));
    let place = sums.lower_equal(target).int().sum_dim(1); // [rows, 1]
    let places = Tensor::<1, Int>::arange(0..count as i64, &weights.device());
    let places = places.unsqueeze_dim::<2>(0).repeat_dim(0, rows); // [rows, count]
    // Those from `place` on before all others, the nearest of them first; the others by their order.
    let from = places.clone().greater_equal(place).int();
    let onward = places.clone().mul_scalar(-2).add_scalar(2 * count as i32);
    let preference = places.add_scalar(1) + from.mul(onward);
    let weighty = weights.greater_elem(0.0).int();
    preference.mul(weighty).argmax(1)
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

    /// Logits of a row, from flat to so peaked that most tokens have no probability in f32, and a last
    /// token that has none.
    fn logits(row: usize, vocabulary: usize) -> Vec<f32> {
        let spread = [0.0, 1.0, 6.0, 30.0, 150.0][row % 5];
        let noise = |i: usize| ((i * 7919 + row * 104_729) % 65_537) as f32 / 65_537.0;
        let mut logits: Vec<f32> = (0..vocabulary).map(|i| -spread * noise(i)).collect();
        logits[vocabulary - 1] = -400.0;
        logits
    }

    /// What the host says of a row, in f64: the probability up to each token, itself included.
    fn upto(logits: &[f32], drawable: usize) -> Vec<f64> {
        let weights = logits[..drawable].iter().map(|&z| f64::from(z).exp());
        let sums: Vec<f64> = weights
            .scan(0.0, |sum, w| {
                *sum += w;
                Some(*sum)
            })
            .collect();
        let total = sums[drawable - 1];
        sums.into_iter().map(|sum| sum / total).collect()
    }

    #[test]
    fn no_token_without_probability_is_drawn_from_a_large_vocabulary() {
        let device = Device::flex();
        let (vocabulary, drawable, rows) = (49_152, 49_000, 5);
        let all: Vec<Vec<f32>> = (0..rows)
            .map(|row| {
                let mut logits = logits(row, vocabulary);
                logits[drawable - 300..drawable].fill(-400.0);
                logits
            })
            .collect();
        let upto: Vec<Vec<f64>> = all.iter().map(|row| upto(row, drawable)).collect();
        let tensor = from_host::<2>(all.concat(), [rows, vocabulary], &device);
        // Ends of runs, where a rounded sum may be missed, those of the whole, and anything.
        let mut uniforms: Vec<f64> = vec![0.0, 1e-30, 0.5, 0.999_999_99, 1.0 - 1e-16, 1.0];
        uniforms.extend((0..40).map(|i| (f64::from(i) * 0.618_034).fract()));
        let ends = (1..drawable / RUN).step_by(7).map(|run| run * RUN - 1);
        for end in ends {
            let edge = upto[end % rows][end] as f32;
            uniforms.extend([edge.next_down(), edge, edge.next_up()].map(f64::from));
        }
        for uniform in uniforms {
            let mut burst = TensorBurst::default();
            let c = Tensors {
                device: device.clone(),
            };
            let drawing = Drawing {
                inverse_temperature: 1.0,
                drawable,
                uniforms: Some(&vec![uniform; rows]),
            };
            burst.draw(&c, tensor.clone(), drawing);
            for (row, drawn) in burst.read().iter().enumerate() {
                let (token, logprob) = (drawn[0].0 as usize, drawn[0].1);
                assert!(
                    token < drawable && logprob.is_finite(),
                    "{uniform}: {token}, {logprob}"
                );
                // Below e⁻⁴⁰ a token shows in no sum but that of nothing: next to 0 the first one that has any
                // probability is right.
                let shows = logprob > -40.0 || uniform < 1e-25;
                assert!(shows, "row {row}, {uniform}: {token}, {logprob}");
                let first = token.checked_sub(1).map_or(0.0, |before| upto[row][before]);
                let error = (first - uniform).max(uniform - upto[row][token]).max(0.0);
                assert!(
                    error < 3e-6,
                    "row {row}, {uniform}: {token} is {error:e} off"
                );
            }
        }
    }
}
