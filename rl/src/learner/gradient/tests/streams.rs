//! Distances to other distributions, and scalar heads, against autodiff and finite differences.

use std::borrow::Cow;

use super::*;
use crate::learner::{
    Distance, Divergence, ScalarHead, TokenDistribution, accumulate_scalar_gradients,
    head::scalar::{SCALAR_BIAS, SCALAR_WEIGHT},
    pack_ends, scalar_values,
};

const VOCABULARY: usize = 41;

/// The log-probabilities of some other model after a target.
fn other(target: usize) -> Vec<f32> {
    let logits: Vec<f64> = (0..VOCABULARY)
        .map(|id| 1.5 * ((target * 7 + id * 3) as f64).sin())
        .collect();
    let sum: f64 = logits.iter().map(|z| z.exp()).sum();
    logits.iter().map(|z| (z - sum.ln()) as f32).collect()
}

/// Three targets of four are drawn towards another distribution: one way or the other, to all of it or to five tokens.
struct Towards(Vec<Option<(TokenDistribution, Divergence, f64)>>);

impl Towards {
    fn new(targets: usize) -> Self {
        let distance = |target: usize| {
            if target.is_multiple_of(4) {
                return None;
            }
            let divergence = [Divergence::Forward, Divergence::Reverse][target % 2];
            let whole = other(target);
            let to = if target.is_multiple_of(3) {
                TokenDistribution::Whole(whole)
            } else {
                let ids: Vec<u32> = (0..5)
                    .map(|k| ((target + 8 * k) % VOCABULARY) as u32)
                    .collect();
                let logprobs = ids.iter().map(|&id| whole[id as usize]).collect();
                TokenDistribution::Top { ids, logprobs }
            };
            Some((to, divergence, 0.2 + (target % 5) as f64))
        };
        Self((0..targets).map(distance).collect())
    }

    /// The same by tensors, of a target whose distribution is given by its logarithms `[1, vocabulary]`.
    fn by_tensors(&self, target: usize, log_p: Tensor<2>) -> Option<Tensor<1>> {
        let (to, divergence, weight) = self.0[target].as_ref()?;
        let device = Device::flex();
        let row = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<2>::from_data(TensorData::new(values, [1, count]), &device)
        };
        let (log_p, log_q) = match to {
            TokenDistribution::Whole(logprobs) => (log_p, row(logprobs.clone())),
            TokenDistribution::Top { ids, logprobs } => {
                let ids = index(ids.iter().map(|&id| id as usize), &device);
                let named = log_p.select(1, ids);
                let rest = named.clone().exp().sum_dim(1).neg().add_scalar(1.0).log();
                let q: f32 = logprobs.iter().map(|log_q| log_q.exp()).sum();
                let log_q = [&logprobs[..], &[(1.0 - q).ln()]].concat();
                (Tensor::cat(vec![named, rest], 1), row(log_q))
            }
        };
        let divergence = match divergence {
            Divergence::Forward => log_q.clone().exp() * (log_q - log_p),
            Divergence::Reverse => log_p.clone().exp() * (log_p - log_q),
            other => unreachable!("{other:?} is not drawn here"),
        };
        Some(divergence.sum().mul_scalar(*weight))
    }
}

impl Streams for Towards {
    type Seen = ();

    fn upstream(
        &self,
        _: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        entropy: &[f32],
        (): &mut (),
    ) -> Upstream {
        loss(range, logprobs, entropy)
    }

    fn distance(&self, _: &MicroBatch, target: usize) -> Option<Distance<'_>> {
        let (to, divergence, weight) = self.0[target].as_ref()?;
        Some(Distance {
            to: Cow::Borrowed(to),
            divergence: *divergence,
            weight: *weight,
        })
    }
}

#[test]
fn distances_beside_a_loss_have_the_gradients_of_autodiff() {
    let temperature = 0.8f32;
    let config = GradientConfig {
        head: HeadConfig {
            temperature: temperature.into(),
            chunk_bytes: 4 * VOCABULARY * 50,
        },
        ..GradientConfig::default()
    };
    let batches = pack(&sequences(), 1000).unwrap();
    let towards = Towards::new(batches[0].targets.len());
    for family in [Family::Llama, Family::Qwen2] {
        let model = model(family);
        let value = std::cell::Cell::new(0.0);
        let expected = by_autodiff_of(&model, temperature, |start, predicted| {
            let (mut logprobs, mut entropies, mut distances) = (vec![], vec![], vec![]);
            for (row, &id) in predicted.targets.iter().enumerate() {
                let own = predicted.logprobs.clone().narrow(0, row, 1);
                distances.extend(towards.by_tensors(start + row, own.clone()));
                entropies.push((own.clone().exp() * own.clone()).sum().neg());
                logprobs.push(own.narrow(1, id as usize, 1).reshape([1]));
            }
            let mut loss = tensor_loss(start, Tensor::cat(logprobs, 0), Tensor::cat(entropies, 0));
            if !distances.is_empty() {
                loss = loss + Tensor::cat(distances, 0).sum();
            }
            value.set(value.get() + f64::from(to_host(loss.clone().inner())[0]));
            loss
        });
        for engine in [Engine::Host, Engine::Tensors] {
            let model = model.clone().with_engine(engine);
            let zeros = Parameters::default();
            let (found, outputs) = stream_gradients(&model, &batches, config, 1, zeros, &towards);
            let off = expected.off(&found);
            eprintln!("{family} {engine:?}: {off:e} from autodiff");
            assert!(off < 2e-5, "{family} {engine:?}: {off:e}");
            let value = value.get();
            assert!((outputs[0].loss - value).abs() < 1e-5 * value.abs());
        }
    }
}

/// `Σ v²`, and its derivatives.
fn squares(values: &[f32]) -> (f64, Vec<f32>) {
    let sum = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    (sum, values.iter().map(|v| 2.0 * v).collect())
}

fn head(model: &Transformer) -> ScalarHead {
    let mut head = ScalarHead::zeros(model);
    let values: Vec<f32> = (0..24).map(|i| 0.3 * (i as f32 * 1.7).sin()).collect();
    head.weight = Tensor::from_data(TensorData::new(values, [1, 24]), &model.device());
    head.bias = Tensor::from_data(TensorData::new(vec![0.4f32], [1]), &model.device());
    head
}

#[test]
fn a_scalar_head_has_the_gradients_of_autodiff() {
    let model = model(Family::Llama);
    let head = head(&model);
    let expected = by_autodiff_of(&model, 1.0, |_, predicted| {
        let values = predicted.hidden.matmul(head.weight.clone().transpose()) + 0.4;
        (values.clone() * values).sum()
    });
    let batch = &pack(&sequences(), 1000).unwrap()[0];
    for engine in [Engine::Host, Engine::Tensors] {
        let model = model.clone().with_engine(engine);
        let mut found = Parameters::default();
        let activations = Activations::All;
        let (values, loss) =
            accumulate_scalar_gradients(&model, &head, batch, activations, &mut found, squares);
        assert_eq!(values.len(), batch.rows.len());
        let apart = values.iter().zip(scalar_values(&model, &head, batch));
        assert!(apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-5);
        let gradient = |name: &str| to_host(found.get(name).unwrap().clone());
        let (by_weight, by_bias) = (gradient(SCALAR_WEIGHT), gradient(SCALAR_BIAS));
        let mut below = Parameters::default();
        for (name, tensor) in found.iter().filter(|(name, _)| !name.starts_with("score.")) {
            below.insert(name, tensor.clone());
        }
        // The vocabulary head is the embedding here, and has no part in this loss but as that.
        let off = expected.off(&below);
        assert!(off < 2e-5, "{engine:?}: {off:e}");
        // The loss is a square in weight and bias: central differences are exact up to rounding.
        let at = |place: Option<usize>, step: f32| {
            let mut moved = head.clone();
            let mut weight = to_host(moved.weight.clone());
            match place {
                Some(place) => weight[place] += step,
                None => moved.bias = moved.bias.add_scalar(step),
            }
            moved.weight = Tensor::from_data(TensorData::new(weight, [1, 24]), &model.device());
            squares(&scalar_values(&model, &moved, batch)).0
        };
        assert!((at(None, 0.0) - loss).abs() < 1e-4 * loss);
        for (place, by) in [
            (Some(0), by_weight[0]),
            (Some(7), by_weight[7]),
            (None, by_bias[0]),
        ] {
            let numeric = (at(place, 0.1) - at(place, -0.1)) / 0.2;
            let error = (numeric - f64::from(by)).abs();
            assert!(
                error < 1e-3 * numeric.abs().max(1.0),
                "{place:?}: {numeric} for {by}"
            );
        }
    }
}

/// The state after the last token of each sequence, whoever wrote it, is what a model reads that sees nothing else.
#[test]
fn ends_are_read_after_the_last_token() {
    let model = model(Family::Qwen3);
    let head = head(&model);
    for batch in pack_ends(&sequences(), 200).unwrap() {
        assert_eq!(batch.rows.len(), batch.members.len());
        let values = scalar_values(&model, &head, &batch);
        for (&member, value) in batch.members.iter().zip(values) {
            let sequence = &sequences()[member];
            let tokens: Vec<u32> = sequence.marked().map(|(token, _)| token).collect();
            let whole = [&sequence.prompt[..], &tokens].concat();
            let c = Tensors {
                device: Device::flex(),
            };
            let packing = crate::compute::packing::Packing::of_prompts([&whole[..]]);
            let stream = model.stream_packed(&c, &packing, |_, _| {});
            let last = stream.narrow(0, whole.len() - 1, 1);
            let hidden = model.last_norm().forward(&c, &last);
            let alone = to_host(hidden.matmul(head.weight.clone().transpose()))[0] + 0.4;
            assert!(
                (alone - value).abs() < 1e-4,
                "{member}: {value} for {alone}"
            );
        }
    }
}
