//! Router replay: training sends tokens to the experts that they went to while they were sampled (arXiv 2510.11370).

use burn::tensor::{Device, Tensor};
use dunwu::{
    bundle::{Bundle, ModelSection, ScratchExperts, ScratchModel},
    generation::{Event, Generator, Room, Turns},
    learner::{
        GradientConfig, HeadConfig, MicroBatch, Segment, Sequence, Upstream, batch_gradients, pack,
        token_logprobs,
    },
    model::{Activations, Engine, ParameterVisitor, Parameters, Routing, Transformer},
};
use std::sync::Arc;

use crate::fixtures::{sampling, scratch_section};

/// A dense layer and two of twelve experts.
fn model() -> Transformer {
    let section = ScratchModel {
        layers: 3,
        experts: Some(Box::new(ScratchExperts {
            count: 12,
            active: 3,
            intermediate_size: 10,
            shared: 1,
            dense_layers: 1,
            groups: 3,
            kept_groups: 2,
            scale: 1.5,
        })),
        ..scratch_section()
    };
    Bundle::from_section(&ModelSection::Scratch(section), 7, &Device::flex())
        .unwrap()
        .model
}

/// Sampled completions of one turn or two, with the experts that their tokens went to.
fn sampled(model: &Transformer, turns: Turns, record: bool) -> Vec<Sequence> {
    let sampling = sampling(20);
    let generator = Generator {
        model,
        sampling: &sampling,
        eos: &[17],
        drawable: 18,
        batch_rows: 3,
        recorded_tokens: 0,
        record_routes: record,
    };
    let prompts: Vec<Arc<[u32]>> = [&[1u32, 2, 3][..], &[4], &[5, 6, 7, 8, 9, 10, 11]]
        .map(Into::into)
        .into();
    let room = Room {
        prompt: 7,
        completions: 6,
        turns,
    };
    let mut session = generator.session(room, None);
    for (index, prompt) in prompts.iter().enumerate() {
        for seed in 0..2 {
            session.submit(prompt, 10 * index as u64 + seed);
        }
    }
    let mut sequences: Vec<Option<Sequence>> = vec![None; 6];
    loop {
        let events = session.advance();
        if events.is_empty() {
            break;
        }
        for event in events {
            let Event::TurnEnded { id, .. } = event else {
                continue;
            };
            let first = session.output(id).unwrap().given.is_empty();
            if turns == Turns::Several && first && session.extend(id, &[13, 14, 15]).is_ok() {
                continue;
            }
            let output = session.finish(id).unwrap();
            let mut segments = Vec::new();
            let mut start = 0;
            for given in &output.given {
                segments.push(Segment::sampled(&output.tokens[start..given.start]));
                segments.push(Segment::given(&output.tokens[given.clone()]));
                start = given.end;
            }
            segments.push(Segment::sampled(&output.tokens[start..]));
            let sequence = Sequence::of_segments(prompts[id / 2].clone(), segments);
            sequences[id] = Some(sequence.routed(output.routed_experts.map(Arc::new)));
        }
    }
    sequences.into_iter().flatten().collect()
}

fn free(sequences: &[Sequence]) -> Vec<Sequence> {
    let free = sequences
        .iter()
        .map(|sequence| sequence.clone().routed(None));
    free.collect()
}

/// The sum of squared log-probabilities, its gradient, and what routers did.
fn loss(
    model: &Transformer,
    sequences: &[Sequence],
    activations: Activations,
) -> (f64, Parameters, Routing) {
    let loss = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| {
        let value = logprobs.iter().map(|&l| f64::from(l) * f64::from(l)).sum();
        Upstream::of_logprobs(value, logprobs.iter().map(|l| 2.0 * l).collect())
    };
    let config = GradientConfig {
        activations,
        ..GradientConfig::default()
    };
    let batches = pack(sequences, 70).unwrap();
    let (gradients, outputs) =
        batch_gradients(model, &batches, config, 2, Parameters::default(), loss);
    let mut routing = Routing::default();
    outputs.iter().for_each(|o| routing.merge(&o.routing));
    (outputs.iter().map(|o| o.loss).sum(), gradients, routing)
}

/// The norm of the difference of two gradients over that of the first.
fn difference(a: &Parameters, b: &Parameters) -> f64 {
    assert_eq!(a.iter().count(), b.iter().count());
    let mut difference = a.clone();
    for (name, tensor) in b.iter() {
        difference.add(name, tensor.clone().neg());
    }
    difference.norm() / a.norm()
}

/// Every position but the last has a record, prompts too, whoever shares them.
#[test]
fn a_record_has_every_token_that_went_through_the_model() {
    let model = model();
    for turns in [Turns::One, Turns::Several] {
        for engine in [Engine::Host, Engine::Tensors] {
            let model = model.clone().with_engine(engine);
            let sequences = sampled(&model, turns, true);
            assert_eq!(sequences.len(), 6);
            let several = sequences.iter().any(|s| s.segments.len() > 1);
            assert_eq!(several, turns == Turns::Several);
            for sequence in &sequences {
                let routed = sequence.routed_experts.as_ref().unwrap();
                assert_eq!(routed.tokens(), sequence.len() - 1);
                let shape = routed.shape();
                assert_eq!((shape.layers, shape.experts, shape.chosen), (2, 12, 3));
                for token in 0..routed.tokens() {
                    for layer in routed.of_token(token).chunks(3) {
                        assert!(layer[0] < layer[1] && layer[1] < layer[2] && layer[2] < 12);
                    }
                }
                // A byte a number, and those of a prompt once for all of its completions.
                assert_eq!(routed.own_bytes(), 6 * sequence.followed());
            }
        }
    }
    let unrecorded = sampled(&model, Turns::One, false);
    assert!(unrecorded.iter().all(|s| s.routed_experts.is_none()));
}

/// What the policy that sampled would choose again is what it is given: nothing changes, to the bit.
#[test]
fn replay_of_own_routes_changes_nothing() {
    let model = model();
    for turns in [Turns::One, Turns::Several] {
        let sequences = sampled(&model, turns, true);
        let score = |sequences: &[Sequence]| {
            token_logprobs(&model, sequences, 70, HeadConfig::default()).unwrap()
        };
        assert_eq!(score(&sequences), score(&free(&sequences)));
        for activations in [Activations::All, Activations::Inputs] {
            let (value, own, routing) = loss(&model, &free(&sequences), activations);
            let (again, replayed, replaying) = loss(&model, &sequences, activations);
            assert_eq!((value, difference(&own, &replayed)), (again, 0.0));
            assert!(routing.changed().is_nan());
            assert_eq!(replaying.changed(), 0.0);
        }
    }
}

/// Adds some noise to the routers.
struct Disturb(f32);

impl ParameterVisitor for Disturb {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if name.ends_with("mlp.gate.weight") {
            let (count, shape) = (tensor.shape().num_elements(), tensor.dims());
            let noise = (0..count).map(|i| self.0 * (i as f32 * 12.9898).sin());
            let noise: Vec<f32> = noise.collect();
            let noise = Tensor::<1>::from_floats(noise.as_slice(), &tensor.device());
            *tensor = tensor.clone() + noise.reshape(shape);
        }
    }
}

fn disturbed(model: &Transformer, by: f32) -> Transformer {
    let mut model = model.clone();
    model.visit(&mut Disturb(by));
    model
}

/// Routers that have moved since are held to the choice of the sampler, with weights and gradients of their own, by either
/// arithmetic and with activations computed twice.
#[test]
fn a_policy_that_has_moved_goes_where_the_sampler_went() {
    let sampler = model();
    let sequences = sampled(&sampler, Turns::One, true);
    let moved = disturbed(&sampler, 0.3);
    let (without, _, freely) = loss(&moved, &free(&sequences), Activations::All);
    let (value, gradients, routing) = loss(&moved, &sequences, Activations::All);
    assert_ne!(value, without);
    let changed = routing.changed();
    assert!(changed > 0.02 && changed < 0.9, "{changed}");
    // The busy experts are those of the sampler's own pass.
    let (_, _, of_sampler) = loss(&sampler, &free(&sequences), Activations::All);
    for (name, load) in of_sampler.iter() {
        assert_eq!(routing.get(name).unwrap().counts, load.counts, "{name}");
    }
    let differs = |(name, load): (&str, &dunwu::model::routing::Load)| {
        freely.get(name).unwrap().counts != load.counts
    };
    assert!(of_sampler.iter().any(differs));

    let (again, twice, rerouted) = loss(&moved, &sequences, Activations::Inputs);
    assert_eq!((again, difference(&gradients, &twice)), (value, 0.0));
    assert_eq!(rerouted, routing);
    let tensors = moved.clone().with_engine(Engine::Tensors);
    let (other, theirs, _) = loss(&tensors, &sequences, Activations::All);
    assert!((other - value).abs() < 1e-4 * value, "{other} for {value}");
    let off = difference(&gradients, &theirs);
    assert!(off < 2e-5, "{off:e}");
}

/// With the choice given, the loss is smooth in the routers' weights: their gradient is what differences say.
#[test]
fn routers_have_the_gradient_of_the_weights_of_what_was_given() {
    let sampler = model();
    let sequences = sampled(&sampler, Turns::One, true);
    let moved = disturbed(&sampler, 0.3);
    let (_, gradients, _) = loss(&moved, &sequences, Activations::All);
    let step = 2e-3;
    let up = loss(&disturbed(&moved, step), &sequences, Activations::All).0;
    let down = loss(&disturbed(&moved, -step), &sequences, Activations::All).0;
    let expected = (up - down) / f64::from(2.0 * step);
    let mut along = 0.0;
    for (name, gradient) in gradients.iter() {
        if name.ends_with("mlp.gate.weight") {
            let values = dunwu::model::parameters::to_host(gradient.clone());
            let wave = |i: usize| (i as f32 * 12.9898).sin();
            let sum = values
                .iter()
                .enumerate()
                .map(|(i, g)| f64::from(g * wave(i)));
            along += sum.sum::<f64>();
        }
    }
    assert!(along.abs() > 1e-2, "{along}");
    let off = (along - expected).abs() / expected.abs();
    assert!(off < 5e-3, "{along} for {expected}");
}

/// Sampling on one device and training on another: the record of the one is what the other goes by.
#[test]
fn a_record_of_another_arithmetic_is_replayed() {
    let host = model();
    let tensors = host.clone().with_engine(Engine::Tensors);
    let sequences = sampled(&tensors, Turns::Several, true);
    let (_, _, routing) = loss(&host, &sequences, Activations::All);
    // Rounding may turn a choice among equals, no more.
    assert!(routing.changed() < 0.01, "{}", routing.changed());
    let shuffled: Vec<Sequence> = {
        let foreign = sampled(&disturbed(&tensors, 0.5), Turns::Several, true);
        let pairs = sequences.iter().zip(&foreign);
        let swapped = pairs.filter(|(a, b)| a.prompt.len() + 1 < a.len().min(b.len()));
        swapped
            .map(|(a, b)| a.clone().routed(b.routed_experts.clone()))
            .collect()
    };
    // A record shorter than its sequence leaves the rest to the router.
    let (_, _, routing) = loss(&host, &shuffled, Activations::All);
    assert!(routing.changed() > 0.02);
}
