//! Numbers of transformers; the scripts that made them stand beside them in golden/.

use burn::tensor::Device;
use dunwu::{
    bundle::Bundle,
    learner::{HeadConfig, Sequence, token_logprobs},
    model::{Engine, ModelConfig, Transformer, weights::WeightSource},
};
use serde_json::Value;

use crate::fixtures::{golden, golden_json, largest_difference};

fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_u64().unwrap() as u32)
        .collect()
}

/// Every family against transformers' log-softmax at every position, in f32, by both arithmetics: what
/// follows a sequence, and the score of the sequence itself.
fn family(name: &str) {
    family_within(name, 2e-5);
}

fn family_within(name: &str, bound: f32) {
    let device = Device::flex();
    let dir = golden(&format!("tiny/{name}"));
    let json = golden_json(&format!("tiny/{name}/config.json"));
    let config = ModelConfig::from_hf_json(&json, name).unwrap();
    let source = WeightSource::open_dir(&dir).unwrap();
    let model = Transformer::load(config, &source, &device).unwrap();
    assert_eq!(model.engine(), Engine::Host, "what runs on a CPU");
    let expected = golden_json(&format!("tiny/{name}/logprobs.json"));
    for engine in [Engine::Host, Engine::Tensors] {
        let model = model.clone().with_engine(engine);
        for (ids_of, rows) in std::iter::zip(
            expected["input_ids"].as_array().unwrap(),
            expected["logprobs"].as_array().unwrap(),
        ) {
            let ids = ids(ids_of);
            let theirs: Vec<Vec<f32>> = rows.as_array().unwrap().iter().map(floats).collect();
            let ours = model.logprobs(&ids);
            let difference = largest_difference(&ours.concat(), &theirs.concat());
            assert!(difference < bound, "{name}, {engine:?}: {difference}");

            let (prompt, completion) = ids.split_at(1);
            let sequence = Sequence::new(prompt, completion);
            let scores = token_logprobs(&model, &[sequence], 1024, HeadConfig::default()).unwrap();
            let chosen = completion.iter().zip(&theirs);
            let chosen: Vec<f32> = chosen.map(|(&id, row)| row[id as usize]).collect();
            let difference = largest_difference(&scores[0].logprobs, &chosen);
            assert!(
                difference < bound,
                "{name}, {engine:?}: {difference} in scores"
            );
        }
    }
}

#[test]
fn llama_is_that_of_transformers() {
    family("llama");
}

#[test]
fn llama_with_rope_scaling_in_shards_is_that_of_transformers() {
    family("llama3_rope");
}

#[test]
fn qwen2_with_biases_is_that_of_transformers() {
    family("qwen2");
}

#[test]
fn qwen3_with_query_and_key_norms_is_that_of_transformers() {
    family("qwen3");
}

/// Mixtures of experts, whose choices are decided by more than 1e-3. Three layers of several maps each: float32 is up to
/// 2e-5 off float64 in transformers too.
#[test]
fn mixtures_of_experts_are_those_of_transformers() {
    for name in [
        "qwen3_moe",
        "qwen2_moe",
        "mixtral",
        "olmoe",
        "granitemoe",
        "glm4_moe",
    ] {
        family_within(name, 5e-5);
    }
}

/// Latent attention and experts, positions beyond the original context of YaRN among those compared.
#[test]
fn deepseek_is_that_of_transformers() {
    for name in ["deepseek_v2", "deepseek_v2_groups", "deepseek_v3"] {
        family_within(name, 5e-5);
    }
}

/// The real model, quantised file and tokenizer included.
#[test]
fn smollm2_scores_as_transformers_does() {
    let Ok(path) = std::env::var("DUNWU_SMOLLM2_GGUF") else {
        eprintln!("skipped: DUNWU_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf");
        return;
    };
    let bundle = Bundle::open(&path, &Device::flex()).unwrap();
    let text = std::fs::read_to_string(golden("smollm2_score.jsonl")).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rows: Vec<&Value> = rows
        .iter()
        .filter(|row| row["prompt"].is_string())
        .collect();
    assert!(rows.len() >= 20);
    let encode = |row: &Value, key: &str| {
        bundle
            .codec
            .encoder
            .tokenizer
            .encode(row[key].as_str().unwrap())
            .unwrap()
    };
    let sequences: Vec<Sequence> = rows
        .iter()
        .map(|row| Sequence::new(encode(row, "prompt"), encode(row, "completion")))
        .collect();
    let scores = token_logprobs(&bundle.model, &sequences, 1024, HeadConfig::default()).unwrap();
    let mut worst = 0.0f32;
    for ((row, sequence), scores) in rows.iter().zip(&sequences).zip(&scores) {
        let completion: Vec<u32> = sequence.targets().collect();
        assert_eq!(completion, ids(&row["token_ids"]), "{row}");
        worst = worst.max(largest_difference(
            &scores.logprobs,
            &floats(&row["logprobs"]),
        ));
    }
    eprintln!("largest difference of a token's log-probability: {worst:e}");
    assert!(worst <= 1e-3, "{worst}");
}
