//! A reward model: trained in a run, killed and resumed to the bit, and a judge of a later stage.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{fails, json_lines, succeeds, timeless};

/// Right answers against wrong ones, three of them for each sum.
fn pairs(dir: &Path) {
    let mut text = String::new();
    for a in 0..8u32 {
        for b in 0..8u32 {
            let answer = |sum: u32| format!("<think></think><answer>{sum}</answer>");
            let row = json!({
                "prompt": format!("{a}+{b}="),
                "chosen": answer(a + b),
                "rejected": answer(a + b + 1 + (a + b) % 3),
            });
            text += &format!("{row}\n");
        }
    }
    fs::write(dir.join("pairs.jsonl"), text).unwrap();
}

fn config(dir: &Path, lora: &str, later: &str) {
    let text = format!(
        r#"
name = "rm"
seed = 3
device = "flex"
[model]
source = "scratch"
alphabet = "0123456789+=,"
special_tokens = ["<think>", "</think>", "<answer>", "</answer>"]
hidden_size = 16
intermediate_size = 16
layers = 1
heads = 2
kv_heads = 1
context = 64
{lora}
[data.task]
generator = "chain-sum"
terms_min = 2
terms_max = 2
[reward]
deadline_s = 100
[reward.rubric]
components = [
    {{ kind = "exact", extraction = ["answer-tag"] }},
    {{ kind = "model", from_stage = 1, weight = 0.5 }},
]
[sampling]
max_tokens = 12
[evaluation]
problems = 2
[memory]
token_budget = 256
[checkpoint]
every = 1
keep = 20
[[stages]]
kind = "sft"
steps = 2
batch = 8
[[stages]]
kind = "reward-model"
file = "pairs.jsonl"
steps = 4
batch = 6
learning_rate = 1e-2
heldout_fraction = 0.2
heldout_every = 2
center_rewards_coefficient = 0.01
{later}
"#
    );
    fs::write(dir.join("rm.toml"), text).unwrap();
}

const GRPO: &str = "[[stages]]\nkind = \"grpo\"\nsteps = 2\nprompts = 2\ngroup = 4\n";

fn train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "rm.toml", "--run-dir", run, "--no-preflight"];
    arguments.extend(more);
    arguments
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// With `lora` and without: the stage leaves the policy alone and a reward model behind, a lost step is made again to the
/// bit, and a later stage is judged by it.
fn trains_resumes_and_judges(lora: &str, trunk: &str) {
    let dir = TempDir::new().unwrap();
    pairs(dir.path());
    config(dir.path(), lora, GRPO);
    succeeds(dir.path(), &train("whole", &[]));
    let whole = dir.path().join("whole");
    let metrics = timeless(&whole.join("metrics.jsonl"));
    assert_eq!(metrics.len(), 2 + 4 + 2);
    let first = &metrics[2];
    assert_eq!(first["kind"], "reward-model");
    assert_eq!(first["prompts"], 6);
    assert!(
        (first["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-6,
        "{first}"
    );
    for key in [
        "heldout_loss",
        "heldout_accuracy_pairs",
        "heldout_calibration_error",
    ] {
        assert!(
            metrics[3][key].is_number() && metrics[2][key].is_null(),
            "{key}"
        );
    }
    // The policy is the one that SFT left, and the reward model's weights are not.
    let policy = |step: u32| {
        let checkpoint = whole.join(format!("checkpoints/step-{step:06}"));
        bytes(&checkpoint.join("model/model.safetensors"))
    };
    assert!(policy(2) == policy(6) && policy(6) != policy(8));
    let left = whole.join("reward-model-1");
    let card: Value = serde_json::from_slice(&bytes(&left.join("reward_model.json"))).unwrap();
    assert!(card["deviation"].as_f64().unwrap() > 0.0, "{card}");
    assert_eq!(card["base"].is_string(), !lora.is_empty());
    assert!(left.join("head.safetensors").is_file());

    // Killed in the middle of the stage.
    succeeds(dir.path(), &train("lost", &[]));
    let lost = dir.path().join("lost");
    for step in 4..=8 {
        fs::remove_dir_all(lost.join(format!("checkpoints/step-{step:06}"))).unwrap();
    }
    fs::remove_dir_all(lost.join("reward-model-1")).unwrap();
    succeeds(dir.path(), &train("lost", &["--resume"]));
    assert_eq!(timeless(&lost.join("metrics.jsonl")), metrics);
    for file in ["head.safetensors", "reward_model.json", trunk] {
        let path = Path::new("reward-model-1").join(file);
        assert!(
            bytes(&lost.join(&path)) == bytes(&whole.join(&path)),
            "{file}"
        );
    }
    let completions = json_lines(&whole.join("completions.jsonl"));
    let judged = completions
        .iter()
        .filter(|line| line["components"]["model"].is_number());
    assert_eq!(judged.count(), 2 * 8, "{}", completions[0]);
}

#[test]
fn a_reward_model_of_all_weights_trains_resumes_and_judges() {
    trains_resumes_and_judges("", "model/model.safetensors");
}

#[test]
fn a_reward_model_of_adapters_trains_resumes_and_judges() {
    let lora = "[lora]\nrank = 2\nalpha = 4.0\n";
    trains_resumes_and_judges(lora, "adapter/adapter_model.safetensors");
}

#[test]
fn a_component_of_another_base_or_of_no_reward_model_is_refused_with_both_sides() {
    let dir = TempDir::new().unwrap();
    pairs(dir.path());
    let lora = "[lora]\nrank = 2\nalpha = 4.0\n";
    config(dir.path(), lora, "");
    succeeds(dir.path(), &train("made", &[]));
    let with = |path: &str, lora: &str| {
        config(dir.path(), lora, "");
        let text = fs::read_to_string(dir.path().join("rm.toml")).unwrap();
        fs::write(
            dir.path().join("rm.toml"),
            text.replace("from_stage = 1", &format!("path = \"{path}\"")),
        )
        .unwrap();
    };
    with("nowhere", lora);
    let words = ["nowhere", "reward_model.json is missing", "hint:"];
    fails(dir.path(), &train("a", &[]), 1, &words);
    with("made/reward-model-1", "");
    fails(dir.path(), &train("b", &[]), 1, &["no [lora]", "hint:"]);
    with("made/reward-model-1", lora);
    let other = ["--set", "seed=4"];
    let words = ["another base", "there", "in this run", "SHA-256", "hint:"];
    fails(dir.path(), &train("c", &other), 1, &words);
    // On its own base it judges, here and on the command line.
    succeeds(dir.path(), &train("d", &[]));
    fs::write(
        dir.path().join("rows.jsonl"),
        "{\"prompt\": \"1+2=\", \"completion\": \"<think></think><answer>3</answer>\", \"answer\": \"3\"}\n",
    )
    .unwrap();
    let output = succeeds(dir.path(), &["reward", "rm.toml", "rows.jsonl"]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["components"]["model"].is_number(), "{line}");
    assert!(line["parts"]["model/raw"].is_number(), "{line}");
}
