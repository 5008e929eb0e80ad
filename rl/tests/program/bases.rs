//! What a run stands on beside its policy: the base of its adapters, the reference of its KL penalty.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{config, fails, json_lines, succeeds, timeless, train};

/// Small models in directories of their own: `first` and `second` have the same shape, `other` one character more.
fn models(dir: &Path) {
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let sets = [
        ("first", "seed=1"),
        ("second", "seed=2"),
        ("other", "model.alphabet=0123456789+=,*"),
    ];
    for (name, set) in sets {
        let run = format!("run-{name}");
        succeeds(dir, &train(quickstart, &run, &["--set", set]));
        succeeds(dir, &["export", "--run", &run, "--to", name]);
    }
}

/// The quickstart on a model from a directory, as `file`.
fn on_a_model(dir: &Path, file: &str, path: &str) {
    let text = fs::read_to_string(config("quickstart.toml")).unwrap();
    let (before, rest) = text.split_once("[model]").unwrap();
    let (_, after) = rest.split_once("[data.task]").unwrap();
    let model = format!("[model]\nsource = \"pretrained\"\npath = \"{path}\"\n\n[data.task]");
    fs::write(dir.join(file), format!("{before}{model}{after}")).unwrap();
}

/// [`train`] without the settings of a model from scratch.
fn train_on<'a>(file: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut kept = train(file, run, more);
    let mut at = 0;
    while at + 1 < kept.len() {
        if kept[at] == "--set" && kept[at + 1].starts_with("model.") {
            kept.drain(at..at + 2);
        } else {
            at += 1;
        }
    }
    kept
}

const LORA: &[&str] = &["--set", "lora.rank=2", "--set", "checkpoint.keep=9"];

/// Adapters belong to the model that they were trained on: on another one a resumed run is refused, and both are named;
/// where that one lies is all the same.
#[test]
fn a_run_with_adapters_goes_on_with_its_own_base_only() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    models(dir);
    on_a_model(dir, "on-first.toml", "first");
    on_a_model(dir, "on-second.toml", "second");
    let whole = train_on("on-first.toml", "whole", LORA);
    succeeds(dir, &whole);
    succeeds(dir, &train_on("on-first.toml", "cut", LORA));
    for lost in ["step-000007", "step-000006"] {
        fs::remove_dir_all(dir.join("cut/checkpoints").join(lost)).unwrap();
    }
    let resume = [LORA, &["--resume"]].concat();
    let log = || fs::read(dir.join("cut/metrics.jsonl")).unwrap();
    let before = log();
    let parts = ["weights", "(first)", "(second)", "before", "now", "hint:"];
    fails(dir, &train_on("on-second.toml", "cut", &resume), 1, &parts);
    assert!(log() == before, "nothing that was logged is lost");

    fs::rename(dir.join("first"), dir.join("moved")).unwrap();
    on_a_model(dir, "on-moved.toml", "moved");
    succeeds(dir, &train_on("on-moved.toml", "cut", &resume));
    let metrics = |run: &str| timeless(&dir.join(run).join("metrics.jsonl"));
    assert_eq!(metrics("cut"), metrics("whole"));
}

/// Settings of a KL penalty behind an SFT stage that moves the policy.
const PENALTY: &[&str] = &[
    "--set",
    "stages.grpo.beta=0.1",
    "--set",
    "stages.sft.learning_rate=0.05",
    "--set",
    "reward.rubric.components=[{kind=\"exact\"}, {kind=\"length\", max_tokens=12, buffer_tokens=11}]",
];

/// The reference is the policy at the start of the stage, its adapters included, unless the config says the base or names
/// a model.
#[test]
fn the_reference_is_what_the_config_says() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    models(dir);
    on_a_model(dir, "on-first.toml", "first");
    // The first KL estimate of the GRPO stage, of a policy that is still as the stage found it, and the last.
    let kl = |run: &str, more: &[&str]| {
        let more = [PENALTY, more].concat();
        succeeds(dir, &train_on("on-first.toml", run, &more));
        let lines = json_lines(&dir.join(run).join("metrics.jsonl"));
        let kl = |line: usize| lines[line]["kl"].as_f64().unwrap();
        (kl(3), kl(6))
    };
    let (first, last) = kl("start", LORA);
    assert!(
        first.abs() < 1e-9,
        "with adapters, at the start of the stage: {first}"
    );
    assert!(last > 1e-7, "and then it moves: {last}");
    let (first, _) = kl("whole", &[]);
    assert!(first.abs() < 1e-9, "without adapters: {first}");
    let base = ["--set", "stages.grpo.ref_model=base"];
    let (first, _) = kl("base", &[LORA, &base].concat());
    assert!(first > 1e-6, "the SFT stage has moved it: {first}");
    // The base by its path is the base with the adapters off.
    let path = ["--set", "stages.grpo.ref_model.path=first"];
    let (again, _) = kl("path", &[LORA, &path].concat());
    assert!((again - first).abs() < 1e-6 * first, "{again} {first}");
    let second = ["--set", "stages.grpo.ref_model.path=second"];
    let (apart, _) = kl("apart", &second);
    assert!(apart > 1e-6, "{apart}");

    // A resumed run knows it again, and refuses another in its place.
    let resume = [PENALTY, LORA, &path, &["--resume"]].concat();
    for lost in ["step-000007", "step-000006"] {
        fs::remove_dir_all(dir.join("path/checkpoints").join(lost)).unwrap();
    }
    let expected = timeless(&dir.join("path/metrics.jsonl"));
    // A base of the same weights somewhere else, so that only the reference is another.
    fs::rename(dir.join("first"), dir.join("moved")).unwrap();
    fs::rename(dir.join("second"), dir.join("first")).unwrap();
    on_a_model(dir, "on-moved.toml", "moved");
    let parts = ["ref_model.path", "\"first\"", "SHA-256", "hint:"];
    fails(dir, &train_on("on-moved.toml", "path", &resume), 1, &parts);
    fs::remove_dir_all(dir.join("first")).unwrap();
    fs::rename(dir.join("moved"), dir.join("first")).unwrap();
    succeeds(dir, &train_on("on-first.toml", "path", &resume));
    assert_eq!(timeless(&dir.join("path/metrics.jsonl")), expected);

    let refused = |more: &[&str], code: i32, parts: &[&str]| {
        let more = [PENALTY, more].concat();
        fails(dir, &train_on("on-first.toml", "no", &more), code, parts);
    };
    let other = ["--set", "stages.grpo.ref_model.path=other"];
    refused(
        &other,
        2,
        &["stages.1.ref_model.path", "vocabulary", "hint:"],
    );
    refused(&base, 2, &["ref_model", "no [lora]", "path"]);
    let renewed = [&path[..], &["--set", "stages.grpo.reference_every=2"]].concat();
    refused(&renewed, 2, &["reference_every = 2", "ref_model"]);
    let none = [&path[..], &["--set", "stages.grpo.beta=0"]].concat();
    refused(&none, 2, &["ref_model", "beta = 0"]);
}
