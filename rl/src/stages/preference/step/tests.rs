use burn::tensor::{Device, Tensor};
use serde_json::json;

use super::*;
use crate::{
    bundle::{Bundle, ModelSection},
    learner::{AdamW, AdamWConfig},
    model::{
        ParameterVisitor,
        parameters::{from_host, to_host},
    },
};

fn learner() -> Learner {
    let section: ModelSection = serde_json::from_value(json!({
        "source": "scratch", "alphabet": "0123456789+=", "hidden_size": 8, "intermediate_size": 12,
        "layers": 1, "heads": 2, "kv_heads": 1, "context": 32,
    }))
    .unwrap();
    let model = Bundle::from_section(&section, 3, &Device::flex())
        .unwrap()
        .model;
    Learner::new(model, AdamW::new(AdamWConfig::default()), 0)
}

/// Pairs of different lengths, one of them a tie, and what a reference thinks of them.
fn lesson(has_reference: bool) -> Lesson {
    let sequence = |tokens: &[u32]| Sequence::new([1, 2, 11], tokens);
    let pair =
        |chosen: &[u32], rejected: &[u32]| EncodedPair::new(sequence(chosen), sequence(rejected));
    let sums = |plain: f64| {
        let plain = if has_reference { plain } else { 0.0 };
        Sums {
            weighted: plain,
            plain,
        }
    };
    let tie = EncodedPair {
        label: 0.5,
        ..pair(&[5, 6], &[8, 3, 4])
    };
    Lesson::Pairs(vec![
        (pair(&[3, 4, 5], &[6, 7]), [sums(-8.1), sums(-4.9)]),
        (tie, [sums(-5.2), sums(-7.7)]),
        (pair(&[9], &[4, 4, 4, 0]), [sums(-2.2), sums(-11.0)]),
    ])
}

struct Nudge<'a> {
    name: &'a str,
    place: usize,
    step: f32,
}

impl ParameterVisitor for Nudge<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if name == self.name {
            let (shape, device) = (tensor.dims(), tensor.device());
            let mut values = to_host(tensor.clone().reshape([shape.iter().product::<usize>()]));
            values[self.place] += self.step;
            *tensor = from_host(values, shape, &device);
        }
    }
}

/// From log-probabilities to the weights of a model, over several micro-batches: sums and means, tokens beyond the shorter
/// side, a likelihood beside the loss, ties.
#[test]
fn the_gradient_of_a_step_is_that_of_finite_differences() {
    let memory = MemorySection {
        token_budget: 9,
        ..MemorySection::default()
    };
    let gradient = GradientConfig::default();
    let config = |loss_type| PreferenceConfig {
        loss_type,
        beta: 0.7,
        ..PreferenceConfig::default()
    };
    let configs = [
        config(LossType::Sigmoid),
        PreferenceConfig {
            ld_alpha: Some(0.3),
            sft_weight: Some(0.5),
            ..config(LossType::Sigmoid)
        },
        config(LossType::Ipo),
        config(LossType::Orpo),
    ];
    let places = [
        ("model.layers.0.self_attn.v_proj.weight", 11),
        ("model.layers.0.mlp.down_proj.weight", 40),
        ("model.norm.weight", 2),
        ("model.embed_tokens.weight", 8 * 4 + 1),
    ];
    for config in &configs {
        let lesson = lesson(config.loss_type.has_reference());
        let mut learner = learner();
        let weighed = weigh(config, &learner.model, &lesson, 9, gradient).unwrap();
        let batches = pack(&weighed.sequences, 9).unwrap();
        assert!(batches.len() > 1);
        let zeros = learner.zeros();
        let weights = Weights(weighed.weights);
        let (gradients, _) =
            stream_gradients(&learner.model, &batches, gradient, 2, zeros, &weights);
        for (name, place) in places {
            let exact = f64::from(to_host(gradients.get(name).unwrap().clone())[place]);
            let step = 1e-3;
            let mut at = |step: f32| {
                learner.model.visit(&mut Nudge { name, place, step });
                let measured = measure(config, &learner.model, &lesson, &memory, gradient);
                let step = -step;
                learner.model.visit(&mut Nudge { name, place, step });
                measured.unwrap().loss
            };
            let difference = (at(step) - at(-step)) / (2.0 * f64::from(step));
            // f32 forward passes: an error of some 1e-6 in a sum of log-probabilities over a step of 2e-3.
            assert!(
                (difference - exact).abs() < 2e-3 + 0.01 * exact.abs(),
                "{:?} {name}: {difference} {exact}",
                config.loss_type
            );
            assert!(exact.abs() > 1e-4, "{name} is part of it");
        }
    }
}
