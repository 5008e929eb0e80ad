//! The hand-written passes against each other and against autodiff.

mod families;
mod plain;
mod streams;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};

use super::*;
use crate::{
    compute::tensor::{Tensors, index},
    learner::{Segment, Sequence, pack, token_logprobs},
    model::{
        Engine, ModelConfig, ParameterVisitor, Precision,
        config::{Family, Variation},
        lora::Lora,
        parameters::to_host,
        weights::HostTensor,
    },
};

fn config(family: Family) -> ModelConfig {
    ModelConfig {
        family,
        vocab_size: 41,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 2,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 512,
        tie_word_embeddings: family != Family::Qwen2,
        attention_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
        experts: None,
        variation: Variation::default(),
    }
}

fn model(family: Family) -> Transformer {
    model_of(config(family))
}

fn model_of(config: ModelConfig) -> Transformer {
    let mut seed = 0.0f32;
    let mut value = |scale: f32, shift: f32| {
        seed += 1.0;
        shift + scale * (seed * 12.9898).sin()
    };
    Transformer::build(config, &Device::flex(), |name, shape| {
        let count = shape.iter().product();
        let (scale, shift) = match (name.contains("norm"), shape.len()) {
            (true, _) => (0.3, 1.0),
            (_, 1) => (0.2, 0.0),
            _ => (0.35, 0.0),
        };
        Ok::<_, std::convert::Infallible>(HostTensor {
            shape: shape.to_vec(),
            values: (0..count).map(|_| value(scale, shift)).collect(),
        })
    })
    .unwrap()
}

/// Prompts shared and not, ragged, a completion of one token, one longer than a block of queries, and one of several turns.
fn sequences() -> Vec<Sequence> {
    let prompt = |seed: u32, length: u32| -> Vec<u32> {
        (0..length).map(|i| (seed * 7 + i * 3) % 41).collect()
    };
    let shapes = [
        (1, 5, 4),
        (1, 5, 1),
        (1, 5, 9),
        (2, 3, 6),
        (3, 1, 150),
        (2, 3, 2),
    ];
    shapes
        .map(|(seed, p, c)| Sequence::new(prompt(seed, p), prompt(seed + p + c, c)))
        .into_iter()
        .chain([Sequence::of_segments(
            prompt(2, 3),
            vec![
                Segment::given(prompt(4, 2)),
                Segment::sampled(prompt(5, 3)),
                Segment::given(prompt(6, 70)),
                Segment::sampled(prompt(7, 2)),
                Segment::given(prompt(8, 1)),
            ],
        )])
        .collect()
}

/// Weights of each token's squared log-probability and of its entropy.
fn weights(token: usize) -> (f32, f32) {
    let token = token as f32;
    (0.5 + (token * 0.7).sin(), 0.3 * (token * 0.4).cos())
}

/// A loss that is not linear in the log-probabilities and depends on entropies.
fn loss(range: Range<usize>, logprobs: &[f32], entropy: &[f32]) -> Upstream {
    let mut upstream = Upstream::default();
    for ((token, &logprob), &entropy) in range.zip(logprobs).zip(entropy) {
        let (squares, entropies) = weights(token);
        upstream.value += f64::from(squares * logprob * logprob + entropies * entropy);
        let derivatives = &mut upstream.derivatives;
        derivatives.by_logprobs.push(2.0 * squares * logprob);
        derivatives.by_entropy.push(entropies);
    }
    upstream
}

/// The same by tensors, of tokens from `start` on.
fn tensor_loss(start: usize, logprobs: Tensor<1>, entropy: Tensor<1>) -> Tensor<1> {
    let count = logprobs.dims()[0];
    let tokens = start..start + count;
    let (squares, entropies): (Vec<f32>, Vec<f32>) = tokens.map(weights).unzip();
    let tensor = |values| Tensor::<1>::from_data(TensorData::new(values, [count]), &Device::flex());
    (logprobs.clone() * logprobs * tensor(squares)).sum() + (entropy * tensor(entropies)).sum()
}

fn gradients(model: &Transformer, config: GradientConfig) -> (Parameters, MicroOutput) {
    let batches = pack(&sequences(), 1000).unwrap();
    assert_eq!(batches.len(), 1);
    let mut sums = Parameters::default();
    let output = accumulate_gradients(model, &batches[0], config, &mut sums, loss);
    (sums, output)
}

/// Largest difference of any entry, relative to the largest value in it.
fn difference(a: &Parameters, b: &Parameters) -> f64 {
    difference_by(&largest(a), a, b)
}

/// The largest value of each entry.
fn largest(all: &Parameters) -> BTreeMap<String, f32> {
    let largest = |(name, values): (&str, &Tensor<1>)| {
        let values = to_host(values.clone());
        let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        (name.to_owned(), largest)
    };
    all.iter().map(largest).collect()
}

/// Largest difference of any entry, relative to its entry in `scale`.
fn difference_by(scale: &BTreeMap<String, f32>, a: &Parameters, b: &Parameters) -> f64 {
    assert_eq!(a.iter().count(), b.iter().count());
    let relative = |(name, a): (&str, &Tensor<1>)| {
        let (a, b) = (to_host(a.clone()), to_host(b.get(name).unwrap().clone()));
        let errors = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        f64::from(errors.fold(0.0, f32::max) / scale[name].max(1e-3))
    };
    a.iter().map(relative).fold(0.0, f64::max)
}

/// What autodiff says, a sequence at a time.
struct Expected {
    /// The gradients, added up.
    gradients: Parameters,
    /// Of each entry, the largest value in the gradient of each sequence, added up: what rounding is relative to. The
    /// gradients of sequences cancel each other in part, more so since one of several turns is among them. For Qwen2 that
    /// leaves 7.3 of 22.4 in the first norm, and torch's f32 autodiff of the same model and loss is 2.8e-5 of what is left
    /// away from its f64, and 1.1e-5 of this sum; without the sequence of several turns 1.4e-5 and 0.9e-5. It is neither
    /// the biases nor the order in which weights are drawn, which for Qwen2 never changed.
    scale: BTreeMap<String, f32>,
}

impl Expected {
    /// How far gradients are from these.
    fn off(&self, found: &Parameters) -> f64 {
        difference_by(&self.scale, &self.gradients, found)
    }
}

/// What autodiff is shown of the sampled tokens of one sequence.
struct Predicted {
    /// Normalised hidden states that predict them, `[tokens, hidden]`.
    hidden: Tensor<2>,
    /// Log-probabilities of all tokens in their places, `[tokens, vocabulary]`.
    logprobs: Tensor<2>,
    targets: Vec<u32>,
}

/// Gradients of the same loss by autodiff through plain tensor operations, one sequence at a time,
/// nothing packed, nothing shared.
fn by_autodiff(model: &Transformer, temperature: f32) -> Expected {
    by_autodiff_of(model, temperature, |start, predicted| {
        let all = predicted.logprobs;
        let ids = predicted.targets.iter().map(|&id| id as usize);
        let targets = index(ids, &Device::flex());
        let entropy = (all.clone().exp() * all.clone()).sum_dim(1).neg();
        let chosen = all.gather(1, targets.unsqueeze_dim(1));
        tensor_loss(start, chosen.squeeze_dim(1), entropy.squeeze_dim(1))
    })
}

struct Track;

impl ParameterVisitor for Track {
    fn visit<const D: usize>(&mut self, _: &str, tensor: &mut Tensor<D>) {
        tensor.inplace(|tensor| tensor.autodiff().require_grad());
    }
}

struct Collect<'a>(&'a burn::tensor::Gradients, Parameters);

impl ParameterVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if let Some(gradient) = tensor.grad(self.0) {
            let count = gradient.dims().iter().product::<usize>();
            self.1.insert(name, gradient.reshape([count]));
        }
    }
}

/// The same of any loss that is a sum over sequences; it is shown these in the order of a micro-batch that holds them
/// all, with the number of sampled tokens before.
fn by_autodiff_of(
    model: &Transformer,
    temperature: f32,
    loss: impl Fn(usize, Predicted) -> Tensor<1>,
) -> Expected {
    let mut expected = Expected {
        gradients: Parameters::default(),
        scale: BTreeMap::new(),
    };
    let c = Tensors {
        device: Device::flex(),
    };
    let batches = pack(&sequences(), 1000).unwrap();
    let mut start = 0;
    for &member in &batches[0].members {
        let mut tracked = model.clone().with_engine(Engine::Tensors);
        match tracked.lora() {
            Some(_) => tracked.visit_adapters(&mut Track),
            None => tracked.visit(&mut Track),
        }
        let sequence = &sequences()[member];
        let marked: Vec<(u32, bool)> = sequence.marked().take(sequence.useful()).collect();
        let read = sequence.prompt.iter().copied();
        let whole: Vec<u32> = read.chain(marked.iter().map(|(token, _)| *token)).collect();
        let packing = crate::compute::packing::Packing::of_prompts([&whole[..whole.len() - 1]]);
        let stream = tracked.stream_packed(&c, &packing, |_, _| {});
        let hidden = tracked.last_norm().forward(&c, &stream);
        let sampled = (0..marked.len()).filter(|&place| marked[place].1);
        let rows = sampled.map(|place| sequence.prompt.len() - 1 + place);
        let hidden = hidden.select(0, index(rows, &c.device));
        let logits = c.project(&hidden, tracked.head_weight());
        let predicted = Predicted {
            hidden,
            logprobs: log_softmax(logits.div_scalar(temperature), 1),
            targets: sequence.targets().collect(),
        };
        let targets = predicted.targets.len();
        let graph = loss(start, predicted).backward();
        start += targets;
        let mut collect = Collect(&graph, Parameters::default());
        match tracked.lora() {
            Some(_) => tracked.visit_adapters(&mut collect),
            None => tracked.visit(&mut collect),
        }
        for (name, most) in largest(&collect.1) {
            *expected.scale.entry(name).or_default() += most;
        }
        expected.gradients.merge(collect.1);
    }
    expected
}

#[test]
fn packed_and_chunked_gradients_are_those_of_autodiff() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let model = model(family);
        let config = GradientConfig {
            head: HeadConfig {
                temperature: 0.8,
                chunk_bytes: 4 * 41 * 50,
            },
            ..GradientConfig::default()
        };
        let expected = by_autodiff(&model, 0.8);
        let (host, output) = gradients(&model, config);
        let (tensors, other) = gradients(&model.clone().with_engine(Engine::Tensors), config);
        let (ours, theirs) = (expected.off(&host), expected.off(&tensors));
        eprintln!("{family}: slices {ours:e}, tensors {theirs:e} from autodiff");
        // Measured: 1.9e-5 for Qwen2, where it is autodiff that is off by as much (see the next test); 1.2e-5 for the others.
        assert!(
            ours < 3e-5 && theirs < 3e-5,
            "{family}: {ours:e} {theirs:e}"
        );
        assert!((output.loss - other.loss).abs() < 1e-5 * output.loss.abs());
        let scores = token_logprobs(&model, &sequences(), 200, config.head).unwrap();
        let order = &pack(&sequences(), 1000).unwrap()[0].members;
        let scored: Vec<f32> = order
            .iter()
            .flat_map(|&m| scores[m].logprobs.clone())
            .collect();
        assert!(
            scored
                .iter()
                .zip(&output.logprobs)
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
        let entropy = other.entropy.iter().zip(&output.entropy);
        assert!(entropy.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-5);
    }
}

/// Some values of each tensor, against differences of a plain reading in f64.
#[test]
fn gradients_are_differences_of_a_plain_reading_in_f64() {
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3] {
        let model = model(family);
        let config = GradientConfig {
            head: HeadConfig {
                temperature: 0.8,
                ..HeadConfig::default()
            },
            ..GradientConfig::default()
        };
        let (host, output) = gradients(&model, config);
        let (tensors, _) = gradients(&model.clone().with_engine(Engine::Tensors), config);
        let expected = by_autodiff(&model, 0.8);
        let mut plain = plain::Plain::new(&model, 0.8);
        assert!((plain.loss() - output.loss).abs() < 1e-5 * output.loss.abs());
        let ways = [&expected.gradients, &host, &tensors];
        let mut worst = [
            (0.0f64, String::new()),
            Default::default(),
            Default::default(),
        ];
        for (name, most) in &expected.scale {
            let ways = ways.map(|way| to_host(way.get(name).unwrap().clone()));
            let count = ways[0].len();
            for place in (0..count).step_by((count / 6).max(1)) {
                let slope = plain.slope(name, place);
                for (way, worst) in ways.iter().zip(&mut worst) {
                    let off = (f64::from(way[place]) - slope).abs() / f64::from(most.max(1e-3));
                    if off > worst.0 {
                        *worst = (off, format!("{name}[{place}]"));
                    }
                }
            }
        }
        eprintln!("{family}: autodiff, slices, tensors from f64: {worst:?}");
        // Measured: autodiff 1.9e-5, slices 1.3e-5, tensors 1.0e-5.
        for (way, bound) in worst.iter().zip([3e-5, 2e-5, 2e-5]) {
            assert!(way.0 < bound, "{family}: {worst:?}");
        }
    }
}

#[test]
fn a_loss_that_sees_everything_at_once_has_the_same_gradient() {
    let model = model(Family::Llama);
    let config = GradientConfig {
        head: HeadConfig {
            chunk_bytes: 4 * 41 * 50,
            ..HeadConfig::default()
        },
        ..GradientConfig::default()
    };
    let (chunks, a) = gradients(&model, config);
    let whole = GradientConfig {
        whole: true,
        ..config
    };
    let (whole, b) = gradients(&model, whole);
    assert!((a.loss - b.loss).abs() < 1e-9 * a.loss.abs());
    assert_eq!(difference(&chunks, &whole), 0.0);
}

#[test]
fn checkpointed_activations_change_no_bit() {
    let model = model(Family::Qwen3);
    let all = gradients(&model, GradientConfig::default());
    let config = GradientConfig {
        activations: Activations::Inputs,
        ..GradientConfig::default()
    };
    let again = gradients(&model, config);
    assert_eq!(difference(&all.0, &again.0), 0.0);
    assert_eq!(all.1.logprobs, again.1.logprobs);
}

/// Gives every weight it sees some other value.
struct Shake(f32);

impl ParameterVisitor for Shake {
    fn visit<const D: usize>(&mut self, _: &str, tensor: &mut Tensor<D>) {
        let shape = tensor.dims();
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|_| {
            self.0 += 1.0;
            0.2 * (self.0 * 78.233).sin()
        });
        let values: Vec<f32> = values.collect();
        *tensor = Tensor::from_data(TensorData::new(values, shape), &tensor.device());
    }
}

#[test]
fn adapters_have_the_gradients_of_autodiff_and_the_base_none() {
    let mut adapted = model(Family::Qwen2);
    let lora = Lora {
        rank: 3,
        alpha: 5.0,
        targets: ["q_proj", "v_proj", "down_proj"].map(str::to_owned).into(),
        ..Lora::default()
    };
    lora.apply(&mut adapted, 1).unwrap();
    let head = HeadConfig::default();
    let plain = token_logprobs(&adapted.base(), &sequences(), 1000, head).unwrap();
    let fresh = token_logprobs(&adapted, &sequences(), 1000, head).unwrap();
    assert_eq!(plain, fresh, "a new adapter changes nothing");

    adapted.visit_adapters(&mut Shake(0.0));
    let expected = by_autodiff(&adapted, 1.0);
    assert_eq!(expected.gradients.iter().count(), 2 * 2 * 3);
    let (host, _) = gradients(&adapted, GradientConfig::default());
    let tensors = adapted.clone().with_engine(Engine::Tensors);
    let (tensors, _) = gradients(&tensors, GradientConfig::default());
    assert!(expected.off(&host) < 2e-5, "{}", expected.off(&host));
    assert!(expected.off(&tensors) < 2e-5);

    // With the adapters in a copy of the weights, until they change.
    let mut together = adapted.clone();
    together.merge_adapters();
    let (host, _) = gradients(&together, GradientConfig::default());
    assert!(expected.off(&host) < 2e-5, "{}", expected.off(&host));
    let mut tensors = adapted.clone().with_engine(Engine::Tensors);
    tensors.merge_adapters();
    let (tensors, _) = gradients(&tensors, GradientConfig::default());
    // Each sum of a weight and its change is rounded once more.
    assert!(expected.off(&tensors) < 5e-5, "{}", expected.off(&tensors));

    let scores = |model: &Transformer| -> Vec<f32> {
        let scores = token_logprobs(model, &sequences(), 1000, head).unwrap();
        scores.into_iter().flat_map(|s| s.logprobs).collect()
    };
    assert_eq!(scores(&together), scores(&adapted.merged()));
    together.visit_adapters(&mut Shake(1.0));
    let changed = scores(&together);
    together.merge_adapters();
    let apart = scores(&together.clone().merged());
    assert_eq!(scores(&together), apart, "in the memory of the last");
    let close = changed
        .iter()
        .zip(&apart)
        .all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close, "an update is never overlooked");

    let (on, merged, off) = (
        scores(&adapted),
        scores(&adapted.merged()),
        scores(&adapted.base()),
    );
    let apart = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    };
    assert!(apart(&on, &merged) < 1e-5, "{}", apart(&on, &merged));
    assert!(apart(&on, &off) > 0.01);
}

/// A base stored in two bytes a weight computes what its values in f32 compute.
#[test]
fn a_base_in_half_precision_is_its_rounded_self() {
    for precision in [Precision::Bf16, Precision::F16] {
        let mut adapted = model(Family::Qwen2);
        Lora::default().apply(&mut adapted, 1).unwrap();
        adapted.visit_adapters(&mut Shake(0.0));
        let mut half = adapted.clone().stored_as(precision).unwrap();
        half.merge_adapters(); // keeps them apart
        let rounded = half.clone().stored_as(Precision::F32).unwrap();
        let (plain, _) = gradients(&adapted, GradientConfig::default());
        let (expected, seen) = gradients(&rounded, GradientConfig::default());
        let scale = by_autodiff(&rounded, 1.0).scale;
        assert!(
            difference(&plain, &expected) > 1e-4,
            "rounding is to be seen"
        );
        for engine in [Engine::Host, Engine::Tensors] {
            let half = half.clone().with_engine(engine);
            let (found, output) = gradients(&half, GradientConfig::default());
            let off = difference_by(&scale, &expected, &found);
            eprintln!("{precision:?}, {engine:?}: {off:e} from the rounded base in f32");
            assert!(off < 2e-5, "{precision:?}, {engine:?}: {off}");
            for (a, b) in output.logprobs.iter().zip(&seen.logprobs) {
                assert!((a - b).abs() < 1e-4, "{precision:?}, {engine:?}: {a} {b}");
            }
        }
        let exported = half.merged().to_host();
        let (_, matrix) = exported
            .iter()
            .find(|(name, _)| name.ends_with("q_proj.weight"))
            .unwrap();
        assert!(matrix.values.iter().all(|x| x.is_finite()));
        let streamed: Vec<_> = half.merged_tensors().collect();
        assert!(streamed == exported, "a block at a time, the same");
    }
}
