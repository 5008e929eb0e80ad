//! Bad input: an error that says where, what and the way out, and an exit code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, dunwu, fails, run, succeeds, train};

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
        state.replace("\"format\": 3", "\"format\": 99"),
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
