//! A family that nobody has, by data alone: what it computes, and its gradients, against a plain
//! reading of its plan in f64.

mod plain;

use std::collections::BTreeMap;

use burn::tensor::Device;

use self::plain::Plain;
use super::*;
use crate::{
    compute::{
        Compute, Engine,
        buffers::{from_host, to_host},
        host::Host,
        packing::Packing,
        tape::{Recording, Tape},
        tensor::Tensors,
    },
    model::{
        Activations, ModelConfig, Parameters, Transformer,
        config::{Family, RopeScaling},
        gradients::{Gradients, Trained},
        weights::HostTensor,
    },
};

const HIDDEN: usize = 12;

/// A sandwich of norms that are stored as what they differ from 1 by around a window, values narrower
/// than keys, biases; then a layer that rotates nothing and normalises its heads; then one that rotates
/// a part of each head, stretched, with norms behind its parts only.
fn plan() -> ModelPlan {
    let norm = |offset| NormPlan {
        epsilon: 1e-5,
        offset,
    };
    let norms = |before: bool, after: bool| NormsPlan {
        before: before.then_some(norm(1.0)),
        after: after.then_some(norm(1.0)),
    };
    let heads = |value_dim, scale, window| Heads {
        query: 4,
        kv: 2,
        query_dim: 6,
        value_dim,
        scale,
        window,
    };
    let position = |rotated, theta, scaling| PositionPlan {
        rotated,
        theta,
        scaling,
    };
    let layer = |attention, (before, after), inner| LayerPlan {
        hidden: HIDDEN,
        attention: AttentionPlan::Grouped(attention),
        attention_norms: norms(before, after),
        feed_forward: FeedForwardPlan::Gated(GatedPlan { inner }),
        feed_forward_norms: norms(before, after),
    };
    let windowed = GroupedPlan {
        heads: heads(4, 0.3, Some(3)),
        bias: true,
        head_norm: None,
        position: Some(position(6, 10_000.0, None)),
    };
    let unrotated = GroupedPlan {
        heads: heads(6, 0.5, None),
        bias: false,
        head_norm: Some(norm(1.0)),
        position: None,
    };
    let stretched = GroupedPlan {
        heads: heads(2, 0.25, Some(70)),
        bias: false,
        head_norm: None,
        position: Some(position(
            4,
            500.0,
            Some(RopeScaling::Linear { factor: 2.0 }),
        )),
    };
    ModelPlan {
        vocabulary: 17,
        hidden: HIDDEN,
        tied: false,
        layers: vec![
            layer(windowed, (true, true), 10),
            layer(unrotated, (true, false), 14),
            layer(stretched, (false, true), 10),
        ],
        norm: norm(0.0),
    }
}

/// A model of that family, its weights all different.
pub(crate) fn made_up() -> Transformer {
    let config = ModelConfig {
        family: Family::Llama,
        vocab_size: 17,
        hidden_size: HIDDEN,
        intermediate_size: 10,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 512,
        tie_word_embeddings: false,
        attention_bias: false,
        qk_norm: false,
        experts: None,
    };
    let mut seed = 0.0f32;
    let model = Transformer::by_plan(config, &plan(), &Device::flex(), |_, shape| {
        let values = (0..shape.iter().product()).map(|_| {
            seed += 1.0;
            0.4 * (seed * 12.9898).sin()
        });
        Ok::<_, std::convert::Infallible>(HostTensor {
            shape: shape.to_vec(),
            values: values.collect(),
        })
    });
    model.unwrap()
}

/// A prompt and what continues it.
fn sequences(lengths: &[usize]) -> Vec<Vec<u32>> {
    let ids = |(seed, &length): (usize, &usize)| {
        let id = |i: usize| ((seed * 7 + i * i * 3 + i) % 17) as u32;
        (0..length).map(id).collect()
    };
    lengths.iter().enumerate().map(ids).collect()
}

fn packed(sequences: &[Vec<u32>]) -> Packing {
    let mut packing = Packing::default();
    packing.push_prompt(&sequences[0]);
    for continuation in &sequences[1..] {
        packing.push_continuation(continuation);
    }
    packing
}

/// What multiplies the stream in the loss.
fn by_stream(rows: usize) -> Vec<f32> {
    let value = |i: usize| (0.37 * i as f32).cos();
    (0..rows * HIDDEN).map(value).collect()
}

/// Arithmetic whose rows can be had from values and read.
trait Readable: Compute {
    fn rows(&self, values: Vec<f32>) -> Self::Rows;
    fn values(&self, rows: &Self::Rows) -> Vec<f32>;
}

impl Readable for Host {
    fn rows(&self, values: Vec<f32>) -> Self::Rows {
        let count = values.len() / HIDDEN;
        let table = from_host::<2>(values, [count, HIDDEN], &Device::flex());
        self.embed(&table, &(0..count as u32).collect())
    }

    fn values(&self, rows: &Self::Rows) -> Vec<f32> {
        rows.data().to_vec()
    }
}

impl Readable for Tensors {
    fn rows(&self, values: Vec<f32>) -> Self::Rows {
        let count = values.len() / HIDDEN;
        from_host(values, [count, HIDDEN], &self.device)
    }

    fn values(&self, rows: &Self::Rows) -> Vec<f32> {
        to_host(rows.clone())
    }
}

fn tensors() -> Tensors {
    Tensors {
        device: Device::flex(),
    }
}

fn stream<C: Readable>(c: &C, model: &Transformer, packing: &Packing) -> Vec<f32> {
    c.values(&model.stream_packed(c, packing, |_, _| {}))
}

fn gradients<C: Readable>(
    c: &C,
    model: &Transformer,
    packing: &Packing,
    forward: crate::model::transformer::Forward<C>,
) -> Parameters {
    let mut sums = Parameters::default();
    let gradients = &mut Gradients::new(&mut sums, Trained::All);
    let by_stream = c.rows(by_stream(packing.len()));
    model.backward(c, packing, forward, by_stream, gradients);
    sums
}

/// Names, and whether there is a head and a window at all, come from the plan alone.
#[test]
fn its_tensors_are_those_that_it_is_built_of() {
    let built: BTreeMap<String, Vec<usize>> = made_up()
        .to_host()
        .into_iter()
        .map(|(name, host)| (name, host.shape))
        .collect();
    let planned: BTreeMap<String, Vec<usize>> = plan().tensors().into_iter().collect();
    assert_eq!(built, planned);
    assert_eq!(planned["model.layers.0.self_attn.v_proj.weight"], [8, 12]);
    assert_eq!(planned["model.layers.0.self_attn.q_proj.bias"], [24]);
    assert!(planned.contains_key("model.layers.0.pre_feedforward_layernorm.weight"));
    assert!(!planned.contains_key("model.layers.2.input_layernorm.weight"));
}

#[test]
fn it_computes_what_its_plan_says() {
    // A window within a block of queries, across blocks, and across a prompt's end.
    for lengths in [&[7, 5, 3][..], &[1, 4][..], &[150, 9][..], &[60, 140][..]] {
        let model = made_up();
        let sequences = sequences(lengths);
        let packing = packed(&sequences);
        let expected = Plain::new(&model).packed(&sequences);
        for (engine, ours) in [
            (Engine::Host, stream(&Host::new(), &model, &packing)),
            (Engine::Tensors, stream(&tensors(), &model, &packing)),
        ] {
            assert_eq!(ours.len(), expected.len());
            let errors = ours.iter().zip(&expected);
            let worst = errors.map(|(a, b)| (f64::from(*a) - b).abs());
            let worst = worst.fold(0.0, f64::max);
            assert!(worst < 1e-4, "{engine:?}, {lengths:?}: {worst:e}");
        }
    }
}

#[test]
fn its_gradients_are_differences_of_what_its_plan_says() {
    let model = made_up();
    let sequences = sequences(&[7, 5, 3]);
    let packing = packed(&sequences);
    let host = Host::new();
    let plain = model.forward(&host, &packing, Activations::All);
    let again = model.forward(&host, &packing, Activations::Inputs);
    let others = model.forward(&tensors(), &packing, Activations::All);
    let all = [
        gradients(&host, &model, &packing, plain),
        gradients(&host, &model, &packing, again),
        gradients(&tensors(), &model, &packing, others),
    ];
    let mut plain = Plain::new(&model);
    let names: Vec<String> = plain.0.keys().cloned().collect();
    let mut compared = 0;
    for name in names {
        if name.starts_with("model.norm") || name.starts_with("lm_head") {
            continue; // above the stream
        }
        let count = plain.0[&name].1.len();
        // Every value of small tensors, some of each large one.
        for place in (0..count).step_by((count / 23).max(1)) {
            let value = plain.0[&name].1[place];
            let mut at = |shift: f64| {
                plain.0.get_mut(&name).unwrap().1[place] = value + shift;
                plain.loss(&sequences)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            for (engine, gradients) in all.iter().enumerate() {
                let ours = to_host(gradients.get(&name).unwrap().clone())[place];
                let error = (f64::from(ours) - slope).abs();
                assert!(
                    error < 2e-4 * (1.0 + slope.abs()),
                    "{engine}: {name}[{place}]: {ours} for {slope}"
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn what_a_tape_gives_back_is_what_was_kept() {
    let model = made_up();
    let packing = packed(&sequences(&[7, 5, 3]));
    let host = Host::new();
    let all: Vec<usize> = (0..packing.len()).collect();
    let mut tape = host.tape(4, 100, false).unwrap();
    let stream = model.stream_packed(&host, &packing, |layer, kept| {
        tape.record(layer, &kept.parts(), &all);
    });
    tape.record(3, &[&stream], &all);
    tape.advance(packing.len());
    assert_eq!(tape.tokens(), packing.len());
    let tokens: Vec<_> = all.iter().map(|&token| (&tape, token)).collect();
    let recalled = model.recall(&host, &packing, &tokens);
    let recalled = gradients(&host, &model, &packing, recalled);
    let forward = model.forward(&host, &packing, Activations::All);
    let computed = gradients(&host, &model, &packing, forward);
    assert_eq!(recalled.iter().count(), computed.iter().count());
    for (name, gradient) in computed.iter() {
        let other = recalled.get(name).unwrap().clone();
        assert_eq!(to_host(gradient.clone()), to_host(other), "{name}");
    }
}
