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
#[path = "program/curve.rs"]
mod curve;
#[path = "program/data.rs"]
mod data;
#[path = "program/eval.rs"]
mod eval;
#[path = "program/exactness.rs"]
mod exactness;

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
        object.retain(|key, _| !dunwu::metrics::is_measurement(key));
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
fn budgets_and_targets_that_cannot_be_are_told() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let refused = |set: &str, code: i32, parts: &[&str]| {
        let arguments = ["train", quickstart, "--run-dir", "none", "--set", set];
        fails(dir.path(), &arguments, code, parts);
        assert!(!dir.path().join("none").exists());
    };
    refused(
        "memory.token_budget=9",
        2,
        &["memory.token_budget = 9", "sampling.max_tokens"],
    );
    refused(
        "lora.targets=[\"w_proj\"]",
        2,
        &["w_proj", "matches nothing", "q_proj"],
    );
    refused("lora.rank=0", 2, &["lora.rank = 0"]);
    refused("memory.frozen=\"f8\"", 2, &["f8", "bf16", "f16"]);
    refused(
        "memory.token_budget=9000000",
        1,
        &["MiB are free", "activations", "lower memory"],
    );
}

#[test]
fn a_broken_checkpoint_is_named() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "run", &[]));
    let last = dir.path().join("run/checkpoints/step-000007");
    fails(
        dir.path(),
        &train(quickstart, "run", &[]),
        2,
        &["run is not empty", "--resume"],
    );
    fails(
        dir.path(),
        &train(quickstart, "run", &["--resume", "--set", "seed=9"]),
        2,
        &["seed = 1", "seed = 9"],
    );
    fails(
        dir.path(),
        &train(quickstart, "nowhere", &["--resume"]),
        2,
        &["no run in nowhere"],
    );
    let state = fs::read_to_string(last.join("state.json")).unwrap();
    fs::write(
        last.join("state.json"),
        state.replace("\"format\": 2", "\"format\": 99"),
    )
    .unwrap();
    fails(
        dir.path(),
        &train(quickstart, "run", &["--resume"]),
        1,
        &["state.json", "format 99"],
    );
    fs::write(last.join("state.json"), state).unwrap();
    let weights = last.join("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    fails(
        dir.path(),
        &train(quickstart, "run", &["--resume"]),
        1,
        &["model.safetensors"],
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

#[test]
fn a_bad_config_is_told_where_and_what() {
    let dir = TempDir::new().unwrap();
    let good = fs::read_to_string(config("quickstart.toml")).unwrap();
    let write = |text: &str| fs::write(dir.path().join("bad.toml"), text).unwrap();
    let check = |parts: &[&str]| fails(dir.path(), &["check", "bad.toml"], 2, parts);
    write(&good.replace("learning_rate", "learning_rat"));
    check(&["bad.toml:", "learning_rat", "did you mean `learning_rate`"]);
    write(&good.replace("max_tokens", "max_token"));
    check(&["bad.toml:", "did you mean `max_tokens`"]);
    write(&good.replace("name = \"quickstart\"", "name = quickstart"));
    check(&["bad.toml:"]);
    write(&good.replace("generator = \"chain-sum\"", "generator = \"chain-sums\""));
    check(&["bad.toml:", "chain-sum"]);
    write(&good.replace("kind = \"exact\"", "kind = \"exactly\""));
    check(&["exactly", "did you mean `exact`"]);
    write(&good.replace("group = 16", "group = 1"));
    check(&["group = 1", "at least 2"]);
    write(&good.replace("heads = 4\n", "heads = 7\n"));
    check(&["model.hidden_size", "model.heads = 7"]);
    fails(dir.path(), &["check", "missing.toml"], 2, &["missing.toml"]);
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    fails(
        dir.path(),
        &["check", quickstart, "--set", "sampling.temprature=1"],
        2,
        &["temprature", "`temperature`"],
    );
    fails(
        dir.path(),
        &["check", quickstart, "--set", "nonsense"],
        2,
        &["nonsense", "key=value"],
    );
    fails(
        dir.path(),
        &["data", "chain-sum", "--set", "terms_min=9"],
        2,
        &["terms_m"],
    );
    fails(dir.path(), &["data", "sudoku"], 2, &["sudoku"]);
    fails(dir.path(), &["train"], 2, &["Usage"]);
}

#[test]
fn bad_input_files_are_named_with_line_and_field() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let text = fs::read_to_string(&quickstart).unwrap();
    let text = text.replace(
        "[data.task]\ngenerator = \"chain-sum\"\nterms_min = 4\nterms_max = 6\n",
        "[data]\nfile = \"tasks.jsonl\"\n",
    );
    let text = text.replace(
        "kind = \"sft\"",
        "kind = \"sft\"\nfile = \"demonstrations.jsonl\"",
    );
    let text = text.replace(
        "[stages.traces]\nthink = 0.4\nslip = 0.01\nguess_sd = 4.0\nmalformed = 0.02\n",
        "",
    );
    assert!(text.contains("tasks.jsonl"));
    fs::write(dir.path().join("files.toml"), text).unwrap();
    let tasks = dir.path().join("tasks.jsonl");
    let attempt = |parts: &[&str]| {
        fails(
            dir.path(),
            &["train", "files.toml", "--run-dir", "run"],
            1,
            parts,
        );
        let _ = fs::remove_dir_all(dir.path().join("run"));
    };
    attempt(&["tasks.jsonl"]);
    fs::write(&tasks, "").unwrap();
    attempt(&["tasks.jsonl"]);
    fs::write(
        &tasks,
        "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n{\"prompt\": \"1+2=\"\n",
    )
    .unwrap();
    attempt(&["tasks.jsonl:2"]);
    fs::write(&tasks, "{\"prompt\": \"1+1=\"}\n").unwrap();
    attempt(&["tasks.jsonl:1", "answer"]);
    fs::write(
        dir.path().join("rows.jsonl"),
        "{\"prompt\": \"1\", \"completion\": \"2\"}\n{\"prompt\": 1}\n",
    )
    .unwrap();
    fails(
        dir.path(),
        &["score", "--model", "none", "rows.jsonl"],
        1,
        &["rows.jsonl:2"],
    );
    fs::write(dir.path().join("rows.jsonl"), "").unwrap();
    fails(
        dir.path(),
        &["score", "--model", "none", "rows.jsonl"],
        1,
        &["rows.jsonl", "no lines"],
    );
}

#[test]
fn bad_models_are_named() {
    let dir = TempDir::new().unwrap();
    let golden = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/golden/tiny")
            .join(name)
    };
    fs::write(
        dir.path().join("rows.jsonl"),
        "{\"prompt\": \"1\", \"completion\": \"2\"}\n",
    )
    .unwrap();
    let score = |model: &str, parts: &[&str]| {
        fails(
            dir.path(),
            &["score", "--device", "flex", "--model", model, "rows.jsonl"],
            1,
            parts,
        );
    };
    score("nowhere.gguf", &["nowhere.gguf"]);
    score("no/such/directory", &["no/such/directory"]);
    fs::write(dir.path().join("cut.gguf"), b"GGUF\x03\0\0\0\x05").unwrap();
    score("cut.gguf", &["cut.gguf"]);
    // A model of transformers without a tokenizer, then with one, but with damaged weights.
    score(golden("llama").to_str().unwrap(), &["tokenizer.json"]);
    let model = dir.path().join("model");
    let quickstart = config("quickstart.toml");
    succeeds(dir.path(), &train(quickstart.to_str().unwrap(), "run", &[]));
    succeeds(dir.path(), &["export", "--run", "run", "--to", "model"]);
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    fs::write(
        model.join("model.safetensors"),
        &weights[..weights.len() - 100],
    )
    .unwrap();
    score("model", &["model.safetensors"]);
    fs::remove_file(model.join("model.safetensors")).unwrap();
    score("model", &["model.safetensors"]);
    fs::write(model.join("model.safetensors"), &weights).unwrap();
    let json = fs::read_to_string(model.join("config.json")).unwrap();
    fs::write(
        model.join("config.json"),
        json.replace("\"intermediate_size\": 16", "\"intermediate_size\": 24"),
    )
    .unwrap();
    score("model", &["mlp", "16", "24"]);
    fs::write(model.join("config.json"), &json).unwrap();
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
    ] {
        let text = fs::read_to_string(model.join(name)).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !key.starts_with("eos_token"));
        fs::write(model.join(name), value.to_string()).unwrap();
    }
    score("model", &["model", "end-of-sequence"]);
}

#[test]
fn preflight_stops_a_run_that_cannot_learn() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let attempt = |run: &str, more: &[&str], parts: &[&str]| {
        let mut arguments = train(quickstart.to_str().unwrap(), run, more);
        arguments.retain(|argument| *argument != "--no-preflight");
        fails(dir.path(), &arguments, 1, parts);
    };
    attempt(
        "short",
        &["--set", "sampling.max_tokens=1"],
        &["preflight", "none of", "max_tokens"],
    );
    attempt(
        "long",
        &["--set", "sampling.max_tokens=95"],
        &["context of 96", "max_tokens = 95"],
    );
    let only_format = "reward.rubric.components=[{kind=\"exact\"}]";
    attempt(
        "same",
        &["--set", only_format, "--set", "data.task.terms_min=5"],
        &["preflight", "all", "rewards are 0"],
    );
}

#[test]
fn no_adapter_is_an_error_not_a_fallback() {
    if !cfg!(feature = "wgpu") || std::env::var_os("DUNWU_TEST_WGPU").is_some() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let mut arguments = train(quickstart.to_str().unwrap(), "run", &["--device", "wgpu"]);
    arguments.retain(|argument| *argument != "--no-preflight");
    // A directory without drivers: the loader finds none.
    let output = Command::new(dunwu())
        .args(&arguments)
        .current_dir(dir.path())
        .env("VK_DRIVER_FILES", "/dev/null")
        .env("VK_ICD_FILENAMES", "/dev/null")
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("no adapter") && message.contains("--device flex"),
        "{message}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    // A file system of 64 KiB needs root; without it there is nothing to fill.
    let dir = TempDir::new().unwrap();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount")
        .args([
            "-t",
            "tmpfs",
            "-o",
            "size=64k",
            "tmpfs",
            small.to_str().unwrap(),
        ])
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount a small file system");
        return;
    }
    let quickstart = config("quickstart.toml");
    let output = run(
        dir.path(),
        &train(quickstart.to_str().unwrap(), "small/run", &[]),
    );
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let left: Vec<PathBuf> = fs::read_dir(small.join("run/checkpoints"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    let _ = Command::new("umount").arg(&small).status();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("No space left") && message.contains("small/run"),
        "{message}"
    );
    assert!(
        left.iter()
            .all(|path| !path.to_string_lossy().contains("partial")),
        "{left:?}"
    );
}

/// Runs the program with `input` on standard input.
fn with_input(dir: &Path, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(dunwu())
        .args(arguments)
        .current_dir(dir)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // The program may stop reading at a line that it cannot read.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines_of(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn reward_math_judges_pairs_in_order() {
    let dir = TempDir::new().unwrap();
    let mut input = String::new();
    for index in 0..5000 {
        input += &format!(
            "{{\"gold\": \"{index}\", \"pred\": \"so it is \\\\boxed{{{}}}\"}}\n",
            index / 2 * 2
        );
    }
    let output = with_input(dir.path(), &["reward", "math"], &input);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let verdicts = lines_of(&output);
    assert_eq!(verdicts.len(), 5000);
    for (index, verdict) in verdicts.iter().enumerate() {
        let expected = if index % 2 == 0 { "equal" } else { "different" };
        assert_eq!(verdict["verdict"], expected, "{index}: {verdict}");
        assert_eq!(verdict["gold_parsed"], index.to_string());
    }
}

#[test]
fn reward_math_has_options_and_names_bad_lines() {
    let dir = TempDir::new().unwrap();
    let verdict = |arguments: &[&str], line: &str| {
        let arguments = [&["reward", "math"], arguments].concat();
        lines_of(&with_input(dir.path(), &arguments, line))[0].clone()
    };
    let line = r#"{"gold": "5", "pred": "5^{5^{5^5}}", "kind": "ignored"}"#;
    let undecided = verdict(&[], line);
    assert_eq!(undecided["verdict"], "undecided");
    assert!(
        undecided["why"].as_str().unwrap().contains("bits"),
        "{undecided}"
    );
    let third = r#"{"gold": "1/3", "pred": "0.33"}"#;
    assert_eq!(verdict(&[], third)["verdict"], "different");
    assert_eq!(verdict(&["--decimals", "2"], third)["verdict"], "equal");
    let third = r#"{"gold": "1/3", "pred": "0.33", "opts": {"precision": 2}}"#;
    assert_eq!(verdict(&[], third)["verdict"], "equal");
    let percent = r#"{"gold": "28", "pred": "28\\%"}"#;
    assert_eq!(verdict(&[], percent)["verdict"], "equal");
    assert_eq!(
        verdict(&["--percent", "hundredths"], percent)["verdict"],
        "different"
    );
    let thought = r#"{"gold": "7", "pred": "<think>\\boxed{7}</think>"}"#;
    assert_eq!(verdict(&["--completion"], thought)["verdict"], "different");
    assert_eq!(
        verdict(&["--completion", "--thoughts"], thought)["verdict"],
        "equal"
    );
    assert_eq!(
        verdict(&["--strict"], r#"{"gold": "5 cm", "pred": "5"}"#)["verdict"],
        "different"
    );

    let output = with_input(
        dir.path(),
        &["reward", "math"],
        "{\"gold\": \"1\", \"pred\": \"1\"}\n\n{\"gold\": 1}\n",
    );
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("standard input:3"), "{message}");
    assert_eq!(lines_of(&output).len(), 1);
    fails(
        dir.path(),
        &["reward", "math", "none.jsonl"],
        1,
        &["none.jsonl"],
    );
}

#[test]
fn reward_shows_what_each_component_of_a_config_says() {
    let dir = TempDir::new().unwrap();
    let text = fs::read_to_string(config("quickstart.toml")).unwrap();
    let start = text.find("[reward.rubric]").unwrap();
    let end = start + text[start..].find("\n[").unwrap();
    let rubric = r#"[reward.rubric]
total = "math * (0.9 + 0.1 * format) + 0.2 * overlong"
components = [
    { kind = "math" },
    { kind = "format" },
    { kind = "length", name = "overlong", max_tokens = 100, buffer_tokens = 50 },
    { kind = "repetition" },
    { kind = "language", name = "english" },
    { kind = "countdown" },
]
"#;
    let mut edited = text.clone();
    edited.replace_range(start..end, rubric);
    let path = dir.path().join("run.toml");
    fs::write(&path, edited).unwrap();
    let rows = [
        serde_json::json!({"prompt": "1/2 = ?", "completion": "<think>half</think><answer>0.5</answer>", "answer": "1/2", "tokens": 75}),
        serde_json::json!({"prompt": "?", "completion": r"\boxed{5^{5^{5^5}}}", "answer": "5"}),
        serde_json::json!({"prompt": "?", "completion": "<answer>6*4</answer>", "answer": "24", "numbers": [4, 6], "target": 24}),
    ];
    let input: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let path = path.to_str().unwrap();
    let arguments = ["reward", path, "--set", "evaluation.correct=math"];
    let output = with_input(dir.path(), &arguments, &input);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let judged = lines_of(&output);
    assert_eq!(judged[0]["components"]["math"], 1.0);
    assert_eq!(judged[0]["components"]["format"], 1.0);
    assert_eq!(judged[0]["components"]["overlong"], -0.5);
    assert_eq!(judged[0]["components"]["english"], 1.0);
    assert_eq!(judged[0]["components"]["countdown"], Value::Null);
    assert_eq!(judged[0]["total"], 0.9);
    assert_eq!(judged[1]["total"], Value::Null);
    assert_eq!(judged[1]["undecided"], true);
    assert!(
        judged[1]["components"]["math"]["error"]
            .as_str()
            .unwrap()
            .contains("undecided")
    );
    assert_eq!(judged[2]["components"]["countdown"], 1.0);
    fails(dir.path(), &["reward", "none.toml"], 2, &["none.toml"]);
}
