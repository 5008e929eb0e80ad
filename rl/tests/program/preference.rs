//! Pairs from a verifier, and what is learnt from them.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, dunwu, fails, succeeds, timeless};

/// `configs/dpo.toml`, far smaller. Answers are told apart by their length, since none is right.
const TINY: &[&str] = &[
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.layers=1",
    "sampling.max_tokens=40",
    "evaluation.problems=5",
    "checkpoint.every=1",
    "checkpoint.keep=20",
    "stages.sft.steps=40",
    "stages.sft.batch=16",
    "stages.sft.traces.malformed=0.0",
    "stages.pairs.tasks=16",
    "stages.pairs.chunk=8",
    "stages.pairs.samples=8",
    "reward.rubric.components=[{ kind = \"exact\", extraction = [\"answer-tag\"] }, { kind = \"length\", max_tokens = 21, buffer_tokens = 1 }]",
    "stages.pairs.component=length",
    "stages.pairs.threshold=0.0",
    "stages.pairs.keep_truncated=true",
    "stages.preference.batch=4",
    "stages.preference.heldout_fraction=0.2",
    "stages.preference.heldout_every=2",
];

fn train<'a>(config: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", config, "--run-dir", run, "--no-preflight"];
    arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more);
    arguments
}

/// The last checkpoint's weights.
fn weights(run: &Path) -> Vec<u8> {
    let steps = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut steps: Vec<_> = steps.map(|entry| entry.unwrap().path()).collect();
    steps.retain(|path| path.join("model/model.safetensors").is_file());
    steps.sort();
    fs::read(steps.last().unwrap().join("model/model.safetensors")).unwrap()
}

/// Starts the run, or goes on with it, and kills it once it has saved step `step`.
#[cfg(unix)]
fn killed(dir: &Path, arguments: &[&str], run: &Path, step: usize) {
    let mut child = Command::new(dunwu())
        .args(arguments)
        .current_dir(dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let saved = run.join(format!("checkpoints/step-{step:06}"));
    for _ in 0..60_000 {
        if saved.is_dir() || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    child.wait().unwrap();
    assert!(saved.is_dir(), "{step}");
}

/// Wherever a run is killed, it goes on to the same figures and the same weights.
#[test]
#[cfg(unix)]
fn pairs_and_preferences_are_resumed_exactly() {
    let dir = TempDir::new().unwrap();
    let dpo = config("dpo.toml");
    let dpo = dpo.to_str().unwrap();
    succeeds(dir.path(), &train(dpo, "whole", &[]));
    let whole = dir.path().join("whole");
    let metrics = timeless(&whole.join("metrics.jsonl"));
    let steps = metrics.len();
    let pairs = fs::read(whole.join("pairs-1.jsonl")).unwrap();
    let last = &metrics[steps - 1];
    assert_eq!(last["kind"], "preference");
    assert!(last["heldout_accuracies"].is_number(), "{last}");
    let first = metrics.iter().find(|line| line["kind"] == "preference");
    let loss = first.unwrap()["loss"].as_f64().unwrap();
    assert!(
        (loss - 2f64.ln()).abs() < 1e-3,
        "the policy is its own reference: {loss}"
    );
    let summary: Value =
        serde_json::from_slice(&fs::read(whole.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["stages"][2]["kind"], "preference", "{summary}");
    assert!(summary["heldout_accuracy_before"].is_number(), "{summary}");

    // In SFT, at its end, between chunks of pairs, at their end, and at every step but the last of the preferences.
    let cut = dir.path().join("cut");
    let moments: Vec<usize> = [30, 40, 41, 42].into_iter().chain(43..steps).collect();
    for &moment in &moments {
        let more: &[&str] = if cut.is_dir() { &["--resume"] } else { &[] };
        killed(dir.path(), &train(dpo, "cut", more), &cut, moment);
    }
    succeeds(dir.path(), &train(dpo, "cut", &["--resume"]));
    assert_eq!(timeless(&cut.join("metrics.jsonl")), metrics);
    assert_eq!(fs::read(cut.join("pairs-1.jsonl")).unwrap(), pairs);
    assert!(weights(&cut) == weights(&whole));

    // What the reference thought belongs to the run.
    let kept = cut.join("preference-2.reference.safetensors");
    fs::remove_dir_all(cut.join(format!("checkpoints/step-{steps:06}"))).unwrap();
    fs::remove_file(kept).unwrap();
    fails(
        dir.path(),
        &train(dpo, "cut", &["--resume"]),
        1,
        &[
            "stage 2 cannot go on from its checkpoint",
            "hint: it must stay where it is",
        ],
    );
}

/// What a stage cannot learn from is said before the first step, with what can be done.
#[test]
fn data_that_do_not_fit_a_loss_are_refused() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, rows: &str| fs::write(dir.path().join(name), rows).unwrap();
    write(
        "pairs.jsonl",
        "{\"prompt\": \"1+2=\", \"chosen\": \"3\", \"rejected\": \"4\"}\n",
    );
    write(
        "judged.jsonl",
        "{\"prompt\": \"1+2=\", \"completion\": \"3\", \"label\": true}\n",
    );
    write(
        "equal.jsonl",
        "{\"prompt\": \"1+2=\", \"chosen\": \"3\", \"rejected\": \"3\"}\n",
    );
    let stage = |file: &str, more: &str| {
        let text = format!(
            "name = \"x\"\nseed = 1\ndevice = \"flex\"\n[model]\nsource = \"scratch\"\nalphabet = \"0123456789+=\"\nhidden_size = 16\nintermediate_size = 16\nlayers = 1\nheads = 2\nkv_heads = 1\ncontext = 32\n[[stages]]\nkind = \"preference\"\nfile = \"{file}\"\nepochs = 1\n{more}\n"
        );
        fs::write(dir.path().join("run.toml"), text).unwrap();
    };
    let refused = |file: &str, more: &str, parts: &[&str]| {
        stage(file, more);
        let arguments = [
            "train",
            "run.toml",
            "--run-dir",
            "run",
            "--no-preflight",
            "--overwrite",
        ];
        let output = super::run(dir.path(), &arguments[..5]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        for part in parts {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
        let _ = fs::remove_dir_all(dir.path().join("run"));
    };
    refused(
        "equal.jsonl",
        "",
        &["equal.jsonl:1: field `chosen`: is the same as `rejected`"],
    );
    refused(
        "pairs.jsonl",
        "loss_type = \"kto\"",
        &[
            "loss_type = \"kto\" needs answers with a `label`",
            "hint: unpair = true",
        ],
    );
    refused(
        "judged.jsonl",
        "",
        &["the loss needs pairs", "hint: loss_type = \"kto\""],
    );
    refused(
        "judged.jsonl",
        "loss_type = \"kto\"",
        &["of 1 answers none is to another prompt"],
    );
    refused(
        "pairs.jsonl",
        "loss_type = \"aot\"\nbatch = 1",
        &["batch = 1 says nothing to loss_type = \"aot\""],
    );
    refused("pairs.jsonl", "beta = 0.0", &["beta = 0 must be above 0"]);
    refused(
        "pairs.jsonl",
        "loss_type = \"exo_pair\"\nlabel_smoothing = 0.0",
        &["label_smoothing = 0 makes exo_pair infinite"],
    );
    refused(
        "pairs.jsonl",
        "loss_type = \"ipo\"\nlabel_smoothing = 0.1",
        &["is no part of loss_type = \"ipo\""],
    );
}
