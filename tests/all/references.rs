//! Numbers of transformers and TRL; the scripts that made them stand beside them in golden/.

use burn::tensor::{Device, Tensor, TensorData};
use dunwu::{
    grpo::{
        LossKind, ObjectiveConfig, ScaleRewards, group_advantages,
        loss::{TokenInputs, grpo_loss},
    },
    model::{ModelConfig, Transformer, weights::WeightSource},
    policy::{HeadConfig, Sequence, token_logprobs},
    run::Bundle,
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

/// Every family against transformers' log-softmax at every position, in f32.
fn family(name: &str) {
    let device = Device::flex();
    let dir = golden(&format!("tiny/{name}"));
    let json = golden_json(&format!("tiny/{name}/config.json"));
    let config = ModelConfig::from_hf_json(&json, name).unwrap();
    let source = WeightSource::open_dir(&dir).unwrap();
    let model = Transformer::load(config, &source, &device).unwrap();
    let expected = golden_json(&format!("tiny/{name}/logprobs.json"));
    for (ids_of, rows) in std::iter::zip(
        expected["input_ids"].as_array().unwrap(),
        expected["logprobs"].as_array().unwrap(),
    ) {
        let ours = model.logprobs(&ids(ids_of));
        let ours = ours.try_into_vec_as::<f32>().unwrap();
        let theirs: Vec<f32> = rows.as_array().unwrap().iter().flat_map(floats).collect();
        let difference = largest_difference(&ours, &theirs);
        assert!(difference < 2e-5, "{name}: {difference}");
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
        .map(|row| Sequence {
            prompt: encode(row, "prompt"),
            completion: encode(row, "completion"),
        })
        .collect();
    let scores = token_logprobs(&bundle.model, &sequences, 1024, HeadConfig::default()).unwrap();
    let mut worst = 0.0f32;
    for ((row, sequence), scores) in rows.iter().zip(&sequences).zip(&scores) {
        assert_eq!(sequence.completion, ids(&row["token_ids"]), "{row}");
        worst = worst.max(largest_difference(
            &scores.logprobs,
            &floats(&row["logprobs"]),
        ));
    }
    eprintln!("largest difference of a token's log-probability: {worst:e}");
    assert!(worst <= 1e-3, "{worst}");
}

#[test]
fn losses_and_gradients_are_trls() {
    let golden = golden_json("grpo_loss.json");
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let kind = match case["loss_type"].as_str().unwrap() {
            "grpo" => LossKind::Grpo,
            "dr_grpo" => LossKind::DrGrpo,
            "dapo" => LossKind::Dapo,
            _ => continue, // bnpo normalises by micro-batch, which we do not offer
        };
        if case["kl_times_ratio"].as_bool().unwrap() {
            continue; // an option of TRL that we do not have
        }
        compare(case, kind);
        compared += 1;
    }
    assert!(compared >= 25, "{compared}");
}

fn compare(case: &Value, kind: LossKind) {
    let name = &case["name"];
    let device = Device::flex();
    let number = |key: &str| case[key].as_f64().unwrap();
    let rows = |key: &str| -> Option<Vec<Vec<f32>>> {
        Some(case[key].as_array()?.iter().map(floats).collect())
    };
    let mask = rows("mask").unwrap();
    let live: Vec<Vec<bool>> = mask
        .iter()
        .map(|row| row.iter().map(|&m| m > 0.0).collect())
        .collect();
    let lengths: Vec<usize> = live
        .iter()
        .map(|row| row.iter().filter(|&&m| m).count())
        .collect();
    let total = match case["num_items"].as_u64() {
        Some(items) => items as usize,
        None => lengths.iter().sum(),
    };
    let flat = |rows: &[Vec<f32>]| -> Vec<f32> {
        let kept = rows
            .iter()
            .zip(&live)
            .flat_map(|(row, live)| row.iter().zip(live));
        kept.filter(|(_, live)| **live).map(|(x, _)| *x).collect()
    };
    let spread = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
        (0..live.len())
            .flat_map(|row| std::iter::repeat_n(value(row), lengths[row]))
            .collect()
    };
    let tensor = |values: Vec<f32>| {
        let count = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [count]), &device)
    };
    if lengths.iter().sum::<usize>() == 0 {
        return; // nothing to train on: the trainer never gets here
    }
    let advantages = floats(&case["advantages"]);
    let max_tokens = case["max_completion_length"].as_u64().unwrap() as usize;
    let weight = |row: usize| kind.token_weight(lengths[row], live.len(), total, max_tokens) as f32;
    let inputs = TokenInputs {
        old_logprobs: rows("old_logprobs").map(|old| tensor(flat(&old))),
        ref_logprobs: rows("ref_logprobs").map(|reference| tensor(flat(&reference))),
        advantages: tensor(spread(&|row| advantages[row])),
        weights: tensor(spread(&weight)),
    };
    let config = ObjectiveConfig {
        epsilon: number("epsilon"),
        epsilon_high: number("epsilon_high"),
        beta: number("beta"),
    };
    let leaf = tensor(flat(&rows("logprobs").unwrap()))
        .autodiff()
        .require_grad();
    let loss = grpo_loss(leaf.clone(), inputs, config);
    let gradient = leaf
        .grad(&loss.backward())
        .unwrap()
        .try_into_vec_as::<f32>()
        .unwrap();
    let value = f64::from(loss.into_scalar::<f32>());
    assert!(
        (value - number("loss")).abs() <= 1e-5 * number("loss").abs().max(0.1),
        "{name}: {value}"
    );
    let difference = largest_difference(&gradient, &flat(&rows("grad").unwrap()));
    assert!(
        difference <= 1e-6,
        "{name}: gradient differs by {difference}"
    );
}

#[test]
fn advantages_are_trls() {
    let golden = golden_json("grpo_loss.json");
    for case in golden["advantage_cases"].as_array().unwrap() {
        let scale = match case["scale_std"].as_bool().unwrap() {
            true => ScaleRewards::Group,
            false => ScaleRewards::None,
        };
        let rewards: Vec<Option<f64>> = case["rewards"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::as_f64)
            .collect();
        let group = case["group_size"].as_u64().unwrap() as usize;
        let ours: Vec<f32> = rewards
            .chunks(group)
            .flat_map(|rewards| group_advantages(rewards, scale))
            // TRL gives a completion without a reward the advantage 0; we leave it out.
            .map(|advantage| advantage.unwrap_or(0.0) as f32)
            .collect();
        let difference = largest_difference(&ours, &floats(&case["advantages"]));
        assert!(difference < 1e-5, "{case}: {difference}");
    }
}
