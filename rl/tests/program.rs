//! The program itself: what it does, and what it says of bad input.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

#[path = "program/alarms.rs"]
mod alarms;
#[path = "program/bases.rs"]
mod bases;
#[path = "program/check.rs"]
mod check;
#[path = "program/curve.rs"]
mod curve;
#[path = "program/data.rs"]
mod data;
#[path = "program/data_show.rs"]
mod data_show;
#[path = "program/distillation.rs"]
mod distillation;
#[path = "program/eval.rs"]
mod eval;
#[path = "program/exactness.rs"]
mod exactness;
#[path = "program/habits.rs"]
mod habits;
#[path = "program/ppo.rs"]
mod ppo;
#[path = "program/preference.rs"]
mod preference;
#[path = "program/refusals.rs"]
mod refusals;
#[path = "program/reward.rs"]
mod reward;
#[path = "program/reward_model.rs"]
mod reward_model;
#[path = "program/sessions.rs"]
mod sessions;

/// The program, built by cargo for this test.
fn dunwu() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dunwu"))
}

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../configs")
        .join(name)
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(dunwu())
        .args(arguments)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// The program fails with this exit code, without a panic, and its message holds all of `parts`.
fn fails(dir: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(dir, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for part in parts {
        assert!(
            message.contains(part),
            "{arguments:?}: no {part:?} in: {message}"
        );
    }
}

fn succeeds(dir: &Path, arguments: &[&str]) -> Output {
    let output = run(dir, arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    output
}

/// The quickstart, far smaller.
const TINY: &[&str] = &[
    "stages.sft.steps=3",
    "stages.sft.batch=8",
    "stages.grpo.steps=4",
    "stages.grpo.prompts=2",
    "stages.grpo.group=4",
    "model.hidden_size=16",
    "model.intermediate_size=16",
    "model.layers=1",
    "sampling.max_tokens=12",
    "evaluation.problems=5",
    "checkpoint.every=1",
];

fn train<'a>(config: &'a str, run_dir: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", config, "--run-dir", run_dir, "--no-preflight"];
    arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more);
    arguments
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Metrics without the keys that measure the machine.
fn timeless(path: &Path) -> Vec<Value> {
    let mut lines = json_lines(path);
    for line in &mut lines {
        let object = line.as_object_mut().unwrap();
        object.retain(|key, _| !dunwu::glossary::is_measurement(key));
    }
    lines
}

#[test]
fn a_run_leaves_what_it_promises_and_is_exact_when_resumed() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "whole", &[]));
    let whole = dir.path().join("whole");
    let metrics = timeless(&whole.join("metrics.jsonl"));
    assert_eq!(metrics.len(), 7);
    assert_eq!(json_lines(&whole.join("completions.jsonl")).len(), 4 * 8);
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(whole.join("summary.json")).unwrap()).unwrap();
    for key in [
        "seed",
        "seconds",
        "steps",
        "heldout_accuracy_before",
        "heldout_accuracy_after",
    ] {
        assert!(summary[key].is_number(), "{key} in {summary}");
    }
    assert!(
        whole.join("config.toml").is_file()
            && whole.join("checkpoints/step-000007/state.json").is_file()
    );

    // The same again gives the same; and so does a run whose last steps were lost.
    succeeds(dir.path(), &train(quickstart, "again", &[]));
    assert_eq!(timeless(&dir.path().join("again/metrics.jsonl")), metrics);
    let weights = |run: &str| {
        fs::read(
            dir.path()
                .join(run)
                .join("checkpoints/step-000007/model/model.safetensors"),
        )
        .unwrap()
    };
    let keep = ["--set", "checkpoint.keep=9"];
    succeeds(dir.path(), &train(quickstart, "lost", &keep));
    for lost in ["step-000007", "step-000006", "step-000005"] {
        fs::remove_dir_all(dir.path().join("lost/checkpoints").join(lost)).unwrap();
    }
    let log = dir.path().join("lost/metrics.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    text.push_str("{\"step\": 8, \"cut of");
    fs::write(&log, text).unwrap();
    succeeds(
        dir.path(),
        &train(
            quickstart,
            "lost",
            &["--set", "checkpoint.keep=9", "--resume"],
        ),
    );
    assert_eq!(timeless(&log), metrics);
    assert!(
        weights("lost") == weights("whole"),
        "resumed weights differ"
    );

    // What was trained can be used and taken along.
    succeeds(
        dir.path(),
        &["export", "--run", "whole", "--to", "exported"],
    );
    fails(
        dir.path(),
        &["export", "--run", "whole", "--to", "exported"],
        1,
        &["exported"],
    );
    let rows = dir.path().join("rows.jsonl");
    fs::write(
        &rows,
        "{\"prompt\": \"1+2=\", \"completion\": \"<think></think>3\"}\n",
    )
    .unwrap();
    let score = |model: &str| {
        succeeds(
            dir.path(),
            &["score", "--device", "flex", "--model", model, "rows.jsonl"],
        )
        .stdout
    };
    assert_eq!(score("whole"), score("exported"));
    let gguf = [
        "export",
        "--run",
        "whole",
        "--to",
        "whole.gguf",
        "--gguf",
        "f32",
    ];
    succeeds(dir.path(), &gguf);
    assert_eq!(score("whole"), score("whole.gguf"));
    fails(dir.path(), &gguf, 1, &["whole.gguf", "already exists"]);
    // The card says what is known and what is not.
    let card = fs::read_to_string(dir.path().join("exported/README.md")).unwrap();
    for part in ["base_model: none", "95 % interval", "alphabet = "] {
        assert!(card.contains(part), "{part} in {card}");
    }
    assert!(whole.join("provenance.json").is_file());
    let scored: Value = serde_json::from_slice(&score("whole")).unwrap();
    assert_eq!(
        scored["token_ids"].as_array().unwrap().len(),
        scored["logprobs"].as_array().unwrap().len()
    );
    succeeds(
        dir.path(),
        &[
            "generate",
            "--device",
            "flex",
            "--model",
            "exported",
            "--max-tokens",
            "5",
            "1+2=",
        ],
    );
    let report = succeeds(
        dir.path(),
        &[
            "eval",
            quickstart,
            "--model",
            "whole",
            "--problems",
            "4",
            "--samples",
            "2",
        ],
    )
    .stdout;
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert!(
        report["greedy_accuracy"].is_number() && report["pass_at"]["2"].is_number(),
        "{report}"
    );
}

/// Starts a run, sends it `signal` once it has saved a checkpoint, and waits for its end.
#[cfg(unix)]
fn interrupt(dir: &Path, arguments: &[&str], signal: &str) -> std::process::ExitStatus {
    let mut child = Command::new(dunwu())
        .args(arguments)
        .current_dir(dir)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let checkpoints = dir.join("cut/checkpoints");
    let saved = || fs::read_dir(&checkpoints).is_ok_and(|mut entries| entries.next().is_some());
    for _ in 0..2000 {
        if saved() || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = child.id().to_string();
    Command::new("kill").args([signal, &id]).status().unwrap();
    child.wait().unwrap()
}

#[test]
#[cfg(unix)]
fn a_run_that_was_killed_or_interrupted_goes_on_exactly() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let long = ["--set", "stages.sft.steps=40"];
    succeeds(dir.path(), &train(quickstart, "whole", &long));
    let metrics = timeless(&dir.path().join("whole/metrics.jsonl"));
    let weights = |run: &str| {
        let last = "checkpoints/step-000044/model/model.safetensors";
        fs::read(dir.path().join(run).join(last)).unwrap()
    };
    for signal in ["-KILL", "-INT"] {
        let _ = fs::remove_dir_all(dir.path().join("cut"));
        let status = interrupt(dir.path(), &train(quickstart, "cut", &long), signal);
        assert!(
            !status.success(),
            "{signal}: the run was over before the signal came"
        );
        if signal == "-INT" {
            assert_eq!(status.code(), Some(1));
        }
        let resume = ["--set", "stages.sft.steps=40", "--resume"];
        succeeds(dir.path(), &train(quickstart, "cut", &resume));
        assert_eq!(
            timeless(&dir.path().join("cut/metrics.jsonl")),
            metrics,
            "{signal}"
        );
        assert!(weights("cut") == weights("whole"), "{signal}");
    }
}

/// Adapters are what is trained, saved, resumed and taken along; the base stays.
#[test]
fn adapters_are_trained_alone_and_resumed_exactly() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let lora = [
        "--set",
        "lora.rank=2",
        "--set",
        "lora.targets=[\"q_proj\", \"down_proj\"]",
        "--set",
        "stages.grpo.beta=0.1",
        "--set",
        "checkpoint.keep=9",
    ];
    succeeds(dir.path(), &train(quickstart, "whole", &lora));
    succeeds(dir.path(), &train(quickstart, "lost", &lora));
    for lost in ["step-000007", "step-000006", "step-000005"] {
        fs::remove_dir_all(dir.path().join("lost/checkpoints").join(lost)).unwrap();
    }
    let resumed = [&lora[..], &["--resume"]].concat();
    succeeds(dir.path(), &train(quickstart, "lost", &resumed));
    let file = |run: &str, name: &str| {
        fs::read(
            dir.path()
                .join(run)
                .join("checkpoints/step-000007")
                .join(name),
        )
        .unwrap()
    };
    for name in [
        "adapter/adapter_model.safetensors",
        "model/model.safetensors",
    ] {
        assert!(file("whole", name) == file("lost", name), "{name} differs");
    }
    let metrics = timeless(&dir.path().join("whole/metrics.jsonl"));
    assert_eq!(timeless(&dir.path().join("lost/metrics.jsonl")), metrics);
    assert!(metrics[6]["kl"].as_f64().unwrap() > 0.0, "{}", metrics[6]);

    // The same with the base in half precision: the same tokens or nearly, and resumed to the bit.
    let half = [&lora[..], &["--set", "memory.frozen=\"bf16\""]].concat();
    succeeds(dir.path(), &train(quickstart, "half", &half));
    succeeds(dir.path(), &train(quickstart, "half-lost", &half));
    for lost in ["step-000007", "step-000006"] {
        fs::remove_dir_all(dir.path().join("half-lost/checkpoints").join(lost)).unwrap();
    }
    let resumed = [&half[..], &["--resume"]].concat();
    succeeds(dir.path(), &train(quickstart, "half-lost", &resumed));
    let model = "model/model.safetensors";
    assert!(file("half", model) == file("half-lost", model));
    assert!(
        file("half", model) != file("whole", model),
        "rounding is seen"
    );

    succeeds(
        dir.path(),
        &["export", "--run", "whole", "--to", "peft", "--adapter"],
    );
    let text = fs::read_to_string(dir.path().join("peft/adapter_config.json")).unwrap();
    let peft: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&peft["r"], &peft["peft_type"]),
        (&2.into(), &"LORA".into())
    );
    fs::write(
        dir.path().join("rows.jsonl"),
        "{\"prompt\": \"1+2=\", \"completion\": \"3\"}\n",
    )
    .unwrap();
    succeeds(
        dir.path(),
        &train(quickstart, "other", &["--set", "model.hidden_size=24"]),
    );
    let other = [
        "score",
        "--model",
        "other",
        "--adapter",
        "peft",
        "rows.jsonl",
    ];
    fails(
        dir.path(),
        &other,
        1,
        &["adapter_model.safetensors", "another base model", "[2, 16]"],
    );
    fails(
        dir.path(),
        &["export", "--run", "other", "--to", "none", "--adapter"],
        1,
        &["no adapter", "--adapter"],
    );
}

#[test]
fn bench_prints_what_a_step_costs_and_draws_how_it_grows() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    succeeds(dir.path(), &train(quickstart.to_str().unwrap(), "run", &[]));
    let bench = [
        "bench",
        "--model",
        "run",
        "--device",
        "flex",
        "--prompts",
        "2",
        "--group",
        "2",
        "--max-tokens",
        "6",
        "--steps",
        "1",
    ];
    let report: Value = serde_json::from_slice(&succeeds(dir.path(), &bench).stdout).unwrap();
    for key in [
        "step_s",
        "generation_s",
        "reward_s",
        "training_s",
        "completion_tokens",
        "total_tokens",
        "generated_tokens_per_s",
        "trained_tokens_per_s",
        "matmul_flops_per_s",
        "generation_share",
        "training_share",
        "generation_flops",
        "training_flops",
        "rows",
        "launches_per_token",
        "read_backs_per_token",
        "launches_per_training_step",
        "read_backs_per_training_step",
        "peak_memory_bytes",
    ] {
        assert!(report[key].as_f64().unwrap() >= 0.0, "{key} in {report}");
    }
    assert!(
        report["generation_share"].as_f64().unwrap() < 1.0,
        "{report}"
    );
    // The CPU is no device that is called.
    assert_eq!(report["launches_per_token"], 0.0, "{report}");
    let quick = [&bench[..], &["--lora", "--frozen", "bf16", "--no-matmul"]].concat();
    let report: Value = serde_json::from_slice(&succeeds(dir.path(), &quick).stdout).unwrap();
    assert_eq!(report["frozen"], "bf16", "{report}");
    assert!(report["matmul_flops_per_s"].is_null(), "{report}");
    succeeds(
        dir.path(),
        &[&bench[..], &["--lora", "--growth", "growth"]].concat(),
    );
    let growth = |name: &str| fs::read_to_string(dir.path().join("growth").join(name)).unwrap();
    assert_eq!(growth("growth.md").lines().count(), 2 + 4 * 3);
    assert!(growth("growth.svg").contains("</svg>"));
    fails(
        dir.path(),
        &["bench", "--model", "run", "--group", "1"],
        2,
        &["--group"],
    );
}

#[test]
fn data_and_check_write_to_standard_output() {
    let dir = TempDir::new().unwrap();
    let tasks = succeeds(
        dir.path(),
        &["data", "chain-sum", "--count", "3", "--set", "terms_max=4"],
    )
    .stdout;
    let tasks = String::from_utf8(tasks).unwrap();
    assert_eq!(tasks.lines().count(), 3);
    assert!(
        tasks
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).unwrap()["answer"].is_string())
    );
    let quickstart = config("quickstart.toml");
    let checked = succeeds(dir.path(), &["check", quickstart.to_str().unwrap()]);
    fs::write(dir.path().join("resolved.toml"), &checked.stdout).unwrap();
    let again = succeeds(dir.path(), &["check", "resolved.toml"]);
    assert_eq!(again.stdout, checked.stdout);
    assert!(String::from_utf8_lossy(&checked.stderr).contains("peak"));
}
