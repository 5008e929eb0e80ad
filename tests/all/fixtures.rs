//! Small models and files that several tests use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use burn::tensor::Device;
use dunwu::{
    bundle::{Bundle, ModelSection, ScratchAttention, ScratchModel},
    generation::SamplingConfig,
    learner::{AdamW, HeadConfig, Learner, MemorySection, Scoring},
    model::{
        ModelConfig, Transformer,
        config::{Family, Variation},
        weights::HostTensor,
    },
    rollout::{Judge, OneTurn, RolloutCollector},
    stages::grpo::{Feed, GrpoConfig, GrpoMetrics, Sampler, Trainer, trainer::Reference},
};
use dunwu_datasets::{Generator, GeneratorConfig, GeneratorSource, Split};
use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig};

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name)
}

/// A golden file of JSON.
pub fn golden_json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

pub fn scratch_section() -> ScratchModel {
    ScratchModel {
        alphabet: "0123456789+=,".to_owned(),
        special_tokens: ["<think>", "</think>", "<answer>", "</answer>"]
            .map(str::to_owned)
            .into(),
        hidden_size: 32,
        intermediate_size: 48,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        context: 96,
        experts: None,
        family: None,
        attention: ScratchAttention::Grouped,
        latent: None,
        window: None,
    }
}

/// A model with random weights over the characters of sums.
pub fn scratch(device: &Device) -> Bundle {
    Bundle::from_section(&ModelSection::Scratch(scratch_section()), 7, device).unwrap()
}

/// A model with a vocabulary of many runs of probabilities, which are far from even.
pub fn wide(device: &Device) -> Transformer {
    let config = ModelConfig {
        family: Family::Llama,
        vocab_size: 5000,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: false,
        experts: None,
        variation: Variation::default(),
    };
    let mut seed = 0.0f64;
    let model = Transformer::build(config, device, |_, shape| {
        let value = |_| {
            seed += 1.0;
            (seed * 12.9898).sin() as f32
        };
        Ok::<_, std::convert::Infallible>(HostTensor {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(value).collect(),
        })
    });
    model.unwrap()
}

pub fn sampling(max_tokens: usize) -> SamplingConfig {
    SamplingConfig {
        max_tokens,
        ..SamplingConfig::default()
    }
}

pub fn judge() -> Judge {
    // A random model never answers; the length it happens to stop at is what varies.
    let exact = ComponentConfig::Exact(Default::default());
    let length: ComponentConfig = serde_json::from_value(serde_json::json!(
        {"kind": "length", "max_tokens": 12, "buffer_tokens": 11}
    ))
    .unwrap();
    let rubric = RubricConfig::new(vec![exact, length]);
    Judge::new(
        Rubric::from_config(&rubric).unwrap(),
        Duration::from_secs(10),
    )
    .unwrap()
}

pub fn sums() -> Generator {
    Generator::from_config(&GeneratorConfig::ChainSum(Default::default())).unwrap()
}

/// Samples and judges on one thread.
pub fn collector<'a>(bundle: &'a Bundle, judge: &'a Judge) -> RolloutCollector<'a> {
    RolloutCollector::new(&bundle.codec.encoder, judge, &bundle.codec.eos)
}

/// Two small GRPO steps from the same start, and the policy after them.
pub fn two_grpo_steps(
    device: &Device,
    config: &GrpoConfig,
    token_budget: usize,
) -> (Vec<GrpoMetrics>, Learner) {
    let bundle = scratch(device);
    let judge = Arc::new(judge());
    let mut learner = Learner::new(bundle.model.clone(), AdamW::new(config.optimizer), 0);
    let sampling = sampling(12);
    let source = GeneratorSource::new(sums(), 3, Split::Train);
    let sampler = Sampler {
        config: config.clone(),
        sampling: sampling.clone(),
        memory: MemorySection::default(),
        codec: Arc::new(scratch(device).codec),
        judge: judge.clone(),
        environment: Arc::new(OneTurn),
        correct: "exact".to_owned(),
        prompts: Default::default(),
        seed: 5,
        recorded_tokens: 0,
    };
    let reference = Reference {
        model: &bundle.model,
        since: 0,
    };
    let trainer = Trainer {
        config,
        sampling: &sampling,
        judge: &judge,
        reference: (config.beta > 0.0).then_some(reference),
        objective: None,
        scoring: Scoring {
            token_budget,
            head: HeadConfig {
                temperature: sampling.scoring_temperature(),
                chunk_bytes: 1 << 20,
            },
        },
        workers: 1,
        activations: Default::default(),
    };
    let mut feed = Feed::in_turn(sampler, Box::new(source));
    let metrics = (0..2)
        .map(|step| {
            let outcome = trainer.step(&mut learner, &mut feed, step).unwrap();
            outcome.metrics
        })
        .collect();
    (metrics, learner)
}

pub fn small_grpo() -> GrpoConfig {
    GrpoConfig {
        steps: 2,
        prompts: 2,
        group: 4,
        learning_rate: 1e-3,
        ..GrpoConfig::default()
    }
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}
