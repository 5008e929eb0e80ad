//! Families that differ from Llama in attention, norms, positions or scales: gradients by hand against autodiff.

use super::*;
use crate::model::config::{
    Activation, Latent, LocalRope, LongRope, NormPlacement, NormSpan, RopeScaling, Scales, Window,
    Yarn,
};

fn yarn() -> RopeScaling {
    RopeScaling::Yarn(Yarn {
        factor: 8.0,
        original_max_position_embeddings: 16,
        beta_fast: 32.0,
        beta_slow: 1.0,
        attention_factor: None,
        mscale: None,
        mscale_all_dim: Some(0.7),
        truncate: true,
    })
}

fn latent(query: Option<usize>) -> Latent {
    Latent {
        q_lora_rank: query,
        kv_lora_rank: 10,
        qk_nope_head_dim: 5,
        qk_rope_head_dim: 4,
        v_head_dim: 3,
        rope_interleave: true,
    }
}

/// One of each kind of attention, norm and scale, by name.
fn configs() -> Vec<(&'static str, ModelConfig)> {
    let base = || config(Family::Llama);
    let varied = |family, variation| ModelConfig {
        family,
        variation,
        ..base()
    };
    let window = |width, layers: [bool; 2]| {
        Some(Window {
            width,
            layers: layers.into(),
        })
    };
    let gemma = Variation {
        norms: NormPlacement::Around,
        norm_offset: true,
        activation: Activation::GeluTanh,
        window: window(7, [true, false]),
        local_rope: Some(LocalRope {
            theta: 100.0,
            scaling: None,
        }),
        scales: Scales {
            embedding: 24f64.sqrt(),
            attention: Some(0.3),
            ..Scales::default()
        },
        ..Variation::default()
    };
    let olmo = Variation {
        norms: NormPlacement::After,
        qk_norm_span: NormSpan::Row,
        window: window(70, [false, true]),
        ..Variation::default()
    };
    let granite = Variation {
        scales: Scales {
            embedding: 3.0,
            residual: 0.4,
            logits: 2.5,
            attention: Some(0.2),
        },
        ..Variation::default()
    };
    let partial = Variation {
        rotated: Some(6),
        rotates: Some(vec![true, false]),
        ..Variation::default()
    };
    let dense = |query| Variation {
        latent: Some(latent(query)),
        ..Variation::default()
    };
    vec![
        (
            "gemma3",
            ModelConfig {
                qk_norm: true,
                rope_scaling: Some(RopeScaling::Linear { factor: 8.0 }),
                ..varied(Family::Gemma3, gemma)
            },
        ),
        (
            "olmo3",
            ModelConfig {
                qk_norm: true,
                rope_scaling: Some(yarn()),
                ..varied(Family::Olmo3, olmo)
            },
        ),
        (
            "granite",
            ModelConfig {
                attention_bias: true,
                ..varied(Family::Granite, granite)
            },
        ),
        (
            "phi3",
            ModelConfig {
                rope_scaling: Some(RopeScaling::LongRope(LongRope {
                    short_factor: vec![1.0, 1.5, 2.0],
                    long_factor: vec![1.0, 3.0, 9.0],
                    original_max_position_embeddings: 200,
                    attention_factor: 1.1,
                })),
                ..varied(Family::Phi3, partial)
            },
        ),
        (
            "deepseek_v3",
            ModelConfig {
                head_dim: 9,
                rope_scaling: Some(yarn()),
                ..varied(Family::DeepseekV3, dense(Some(7)))
            },
        ),
        (
            "deepseek_v2",
            ModelConfig {
                head_dim: 9,
                attention_bias: true,
                ..varied(Family::DeepseekV2, dense(None))
            },
        ),
    ]
}

#[test]
fn their_gradients_are_those_of_autodiff() {
    for (name, config) in configs() {
        config.validate().unwrap();
        let model = model_of(config);
        let settings = GradientConfig {
            head: HeadConfig {
                temperature: 0.8,
                chunk_bytes: 4 * 41 * 50,
            },
            ..GradientConfig::default()
        };
        let expected = by_autodiff(&model, 0.8);
        let (host, output) = gradients(&model, settings);
        let (tensors, _) = gradients(&model.clone().with_engine(Engine::Tensors), settings);
        let (ours, theirs) = (expected.off(&host), expected.off(&tensors));
        eprintln!("{name}: slices {ours:e}, tensors {theirs:e} from autodiff");
        assert!(
            ours < BOUND && theirs < BOUND,
            "{name}: {ours:e} {theirs:e}"
        );
        let again = GradientConfig {
            activations: Activations::Inputs,
            ..settings
        };
        let (again, _) = gradients(&model, again);
        assert_eq!(difference(&host, &again), 0.0, "{name}");
        let scores = token_logprobs(&model, &sequences(), 200, settings.head).unwrap();
        let order = &pack(&sequences(), 1000).unwrap()[0].members;
        let scored = order.iter().flat_map(|&m| scores[m].logprobs.clone());
        let worst = scored.zip(&output.logprobs).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-5, "{name}");
    }
}

/// On every map of latent attention.
#[test]
fn their_adapters_have_the_gradients_of_autodiff() {
    for (name, config) in configs() {
        let mut adapted = model_of(config);
        let lora = Lora {
            rank: 3,
            alpha: 5.0,
            ..Lora::default()
        };
        lora.apply(&mut adapted, 1).unwrap();
        adapted.visit_adapters(&mut Shake(0.0));
        let expected = by_autodiff(&adapted, 1.0);
        let (apart, _) = gradients(&adapted, GradientConfig::default());
        let mut merged = adapted.clone();
        merged.merge_adapters();
        let (merged, _) = gradients(&merged, GradientConfig::default());
        let (apart, merged) = (expected.off(&apart), expected.off(&merged));
        eprintln!("{name}: adapters {apart:e}, merged {merged:e} from autodiff");
        assert!(
            apart < BOUND && merged < BOUND,
            "{name}: {apart:e} {merged:e}"
        );
    }
}

const BOUND: f64 = 8e-5;
