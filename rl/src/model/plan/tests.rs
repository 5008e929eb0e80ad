//! A family that nobody has, by data alone: what it computes, and its gradients, against a plain
//! reading of its plan in f64.

mod plain;

use std::collections::BTreeMap;

use burn::tensor::Device;

use self::plain::Plain;
use super::*;
use crate::{
    compute::{
        Compute, Engine, Qkv, Side,
        buffers::{from_host, to_host},
        cache::{Cache, Extent},
        host::Host,
        packing::Packing,
        tape::{Recording, Tape},
        tensor::Tensors,
    },
    model::{
        Activations, ModelConfig, Parameters, Transformer,
        config::{Family, RopeScaling, Variation, Yarn},
        gradients::{Gradients, Trained},
        weights::HostTensor,
    },
};

const HIDDEN: usize = 12;

/// A sandwich of norms that are stored as what they differ from 1 by around a window, values narrower
/// than keys, biases; then a layer that rotates nothing and normalises its heads; then one that rotates
/// a part of each head, stretched, with norms behind its parts only, which are scaled, and over all its heads at once; then
/// latent attention with a latent for queries and without, stretched by YaRN, and with biases.
fn plan() -> ModelPlan {
    let norm = |offset| NormPlan {
        epsilon: 1e-5,
        offset,
        scale: 1.0,
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
        joined: false,
    };
    let position = |rotated, theta, scaling| PositionPlan {
        rotated,
        side: Side::First,
        theta,
        scaling,
    };
    let layer = |attention, (before, after), inner| LayerPlan {
        hidden: HIDDEN,
        attention,
        attention_norms: norms(before, after),
        feed_forward: FeedForwardPlan::Gated(GatedPlan {
            inner,
            activation: Activation::Silu,
        }),
        feed_forward_norms: norms(before, after),
        residual_scale: 1.0,
    };
    let windowed = GroupedPlan {
        heads: heads(4, 0.3, Some(3)),
        bias: true,
        output_bias: true,
        head_norm: None,
        position: Some(position(6, 10_000.0, None)),
    };
    let unrotated = GroupedPlan {
        heads: heads(6, 0.5, None),
        bias: false,
        output_bias: false,
        head_norm: Some((norm(1.0), NormSpan::Head)),
        position: None,
    };
    let stretched = GroupedPlan {
        heads: heads(2, 0.25, Some(70)),
        bias: false,
        output_bias: false,
        head_norm: Some((norm(0.0), NormSpan::Row)),
        position: Some(position(
            4,
            500.0,
            Some(RopeScaling::Linear { factor: 2.0 }),
        )),
    };
    let grouped = |plan| AttentionPlan::Grouped(plan);
    let mut behind = layer(grouped(stretched), (false, true), 10);
    behind.residual_scale = 0.7;
    behind.feed_forward_norms.after = Some(NormPlan {
        scale: 1.4,
        ..norm(1.0)
    });
    let mut open = layer(grouped(unrotated), (true, false), 14);
    open.residual_scale = 0.6;
    open.feed_forward = FeedForwardPlan::Gated(GatedPlan {
        inner: 14,
        activation: Activation::GeluTanh,
    });
    ModelPlan {
        vocabulary: 17,
        hidden: HIDDEN,
        tied: false,
        embedding_scale: 1.7,
        layers: vec![
            layer(grouped(windowed), (true, true), 10),
            open,
            behind,
            layer(
                AttentionPlan::Latent(latent(Some(5), true)),
                (true, false),
                8,
            ),
            layer(AttentionPlan::Latent(latent(None, false)), (true, true), 8),
        ],
        norm: norm(0.0),
    }
}

/// Latent attention, its positions stretched beyond a context of 8.
fn latent(query_latent: Option<usize>, bias: bool) -> LatentPlan {
    let yarn = Yarn {
        factor: 4.0,
        original_max_position_embeddings: 8,
        beta_fast: 2.0,
        beta_slow: 0.5,
        attention_factor: None,
        mscale: Some(1.0),
        mscale_all_dim: Some(0.5),
        truncate: true,
    };
    LatentPlan {
        heads: LatentHeads {
            count: 4,
            plain: 3,
            rotated: 4,
            value: 5,
            latent: 7,
        },
        scale: 0.4,
        query_latent,
        bias,
        norm: NormPlan {
            epsilon: 1e-6,
            offset: 0.0,
            scale: 1.0,
        },
        position: PositionPlan {
            rotated: 4,
            side: Side::Last,
            theta: 100.0,
            scaling: Some(RopeScaling::Yarn(yarn)),
        },
    }
}

/// A model of that family, its weights all different.
pub(crate) fn made_up() -> Transformer {
    let config = ModelConfig {
        family: Family::Llama,
        vocab_size: 17,
        hidden_size: HIDDEN,
        intermediate_size: 10,
        num_hidden_layers: 5,
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
        variation: Variation::default(),
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
    assert_eq!(planned["model.layers.2.self_attn.q_norm.weight"], [24]);
    assert_eq!(planned["model.layers.2.self_attn.k_norm.weight"], [12]);
    let latent =
        |layer: usize, part: &str| planned.get(&format!("model.layers.{layer}.self_attn.{part}"));
    assert_eq!(latent(3, "kv_b_proj.weight"), Some(&vec![32, 7]));
    assert_eq!(latent(3, "kv_a_proj_with_mqa.bias"), Some(&vec![11]));
    assert_eq!(latent(3, "q_b_proj.weight"), Some(&vec![28, 5]));
    assert_eq!(latent(4, "q_proj.weight"), Some(&vec![28, 12]));
    assert!(latent(3, "q_proj.weight").is_none() && latent(4, "q_a_proj.weight").is_none());
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
    let mut tape = host.tape(6, 100, false).unwrap();
    let stream = model.stream_packed(&host, &packing, |layer, kept| {
        tape.record(layer, &kept.parts(), &all);
    });
    tape.record(5, &[&stream], &all);
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

/// Largest difference of two gradients, relative to the largest value of each tensor.
fn difference(a: &Parameters, b: &Parameters) -> f32 {
    assert_eq!(a.iter().count(), b.iter().count());
    let one = |(name, a): (&str, &burn::tensor::Tensor<1>)| {
        let (a, b) = (to_host(a.clone()), to_host(b.get(name).unwrap().clone()));
        let largest = a.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        let errors = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        errors.fold(0.0, f32::max) / largest
    };
    a.iter().map(one).fold(0.0, f32::max)
}

/// Sampling attends by latents, training by the keys and values of every head.
#[test]
fn what_a_cache_computed_is_trained_on_as_if_computed_at_once() {
    type HostCache = <Host as Compute>::Cache;
    let model = made_up();
    let ids = &sequences(&[90])[0];
    let packing = Packing::of_prompts([&ids[..]]);
    let host = Host::new();
    let extent = Extent {
        slots: 1,
        prompt: 0,
        completion: ids.len(),
        heads: model.cached_heads(),
    };
    let mut cache = HostCache::new(&host, extent);
    cache.admit(0, &std::sync::Arc::new(HostCache::prefix(0)));
    let mut tape = host.tape(6, 100, false).unwrap();
    for (position, &id) in ids.iter().enumerate() {
        let stream = model.stream(
            &host,
            &vec![id],
            &[position],
            |layer, qkv| cache.attend(layer, &[0], qkv),
            |layer, kept| tape.record(layer, &kept.parts(), &[0]),
        );
        tape.record(5, &[&stream], &[0]);
        tape.advance(1);
        cache.advance(&[0]);
    }
    let tokens: Vec<_> = (0..ids.len()).map(|token| (&tape, token)).collect();
    let recalled = model.recall(&host, &packing, &tokens);
    let forward = model.forward(&host, &packing, Activations::All);
    let stream = |rows: &<Host as Compute>::Rows| rows.data().to_vec();
    let streams = stream(&recalled.stream);
    let largest = streams.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let errors = streams.iter().zip(stream(&forward.stream));
    let worst = errors.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
    eprintln!("streams: {worst:e}");
    assert!(worst < 1e-5, "{worst:e}");
    let recalled = gradients(&host, &model, &packing, recalled);
    let computed = gradients(&host, &model, &packing, forward);
    let worst = difference(&computed, &recalled);
    eprintln!("gradients: {worst:e}");
    assert!(worst < 2e-5, "{worst:e}");
}

/// A token's cache in bytes, of 64 tokens of one slot: latents against the keys and values of as many heads.
#[test]
fn a_latent_takes_a_fraction_of_the_cache() {
    type HostCache = <Host as Compute>::Cache;
    let host = Host::new();
    // 16 heads of DeepSeek-V2-Lite, and as many of grouped attention as wide as its values.
    let latent = LatentHeads {
        count: 16,
        plain: 128,
        rotated: 64,
        value: 128,
        latent: 512,
    };
    let bytes = |heads: Heads, value: bool| {
        let extent = Extent {
            slots: 1,
            prompt: 0,
            completion: 64,
            heads: vec![heads],
        };
        let mut cache = HostCache::new(&host, extent);
        cache.admit(0, &std::sync::Arc::new(HostCache::prefix(0)));
        let rows = |width: usize| host.rows_of(vec![0.1; width], width);
        for _ in 0..64 {
            let qkv = Qkv {
                query: rows(heads.query * heads.query_dim),
                key: rows(heads.kv * heads.query_dim),
                value: value.then(|| rows(heads.kv * heads.value_dim)),
            };
            cache.attend(0, &[0], &qkv);
            cache.advance(&[0]);
        }
        cache.bytes() / 64
    };
    let cached = Heads {
        query: 16,
        kv: 1,
        query_dim: latent.cached(),
        value_dim: latent.latent,
        scale: 0.1,
        window: None,
        joined: true,
    };
    let grouped = Heads {
        kv: 16,
        query_dim: 128,
        value_dim: 128,
        joined: false,
        ..cached
    };
    let (latent, grouped) = (bytes(cached, false), bytes(grouped, true));
    assert_eq!((latent, grouped), (4 * 576, 4 * 4096));
    assert!(4 * latent <= grouped);
}

#[test]
fn blocks_before_a_window_are_given_back() {
    type HostCache = <Host as Compute>::Cache;
    let host = Host::new();
    let heads = Heads {
        query: 2,
        kv: 1,
        query_dim: 4,
        value_dim: 4,
        scale: 0.5,
        window: Some(100),
        joined: false,
    };
    let extent = Extent {
        slots: 1,
        prompt: 0,
        completion: 1000,
        heads: vec![heads],
    };
    let mut cache = HostCache::new(&host, extent);
    cache.admit(0, &std::sync::Arc::new(HostCache::prefix(0)));
    let row = |width: usize| host.rows_of(vec![0.1; width], width);
    let mut most = 0;
    for _ in 0..1000 {
        cache.attend(0, &[0], &Qkv::apart(row(8), row(4), row(4)));
        cache.advance(&[0]);
        most = most.max(cache.bytes());
    }
    // A window of 100 tokens lies in three blocks of 64 at most.
    assert_eq!(most, 3 * 64 * 8 * 4);
}
