//! Alarms as a user meets them, and the glossary on the command line.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, fails, json_lines, succeeds, timeless, train};

/// No answer of so small a model is right, and nothing else is rewarded.
const NEVER_RIGHT: &[&str] = &[
    "--set",
    "reward.rubric.components=[{kind=\"exact\", extraction=[\"answer-tag\"]}]",
    "--set",
    "alarms.constant_reward.steps=2",
];

fn alarms(run: &Path) -> Vec<(u64, String)> {
    let lines = json_lines(&run.join("metrics.jsonl"));
    let of_line = |line: &Value| {
        let step = line["step"].as_u64().unwrap();
        let alarms = line["alarms"].as_array().cloned().unwrap_or_default();
        let text = |alarm: &Value| (step, alarm.as_str().unwrap().to_owned());
        alarms.iter().map(text).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of_line).collect()
}

#[test]
fn a_constant_reward_stops_the_run_and_saves_it() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let whole = [NEVER_RIGHT, &["--ignore-alarms"]].concat();
    let output = succeeds(dir.path(), &train(quickstart, "whole", &whole));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("ALARM    step 5: constant_reward"),
        "{message}"
    );
    assert!(message.contains("hint: make the tasks easier"), "{message}");

    // Every fourth step is saved, and the alarm's besides; nothing older is removed for it.
    let seldom = ["--set", "checkpoint.every=3", "--set", "checkpoint.keep=1"];
    let stopped = [NEVER_RIGHT, &seldom].concat();
    fails(
        dir.path(),
        &train(quickstart, "run", &stopped),
        1,
        &[
            "stopped after step 5: constant_reward",
            "no group had two different rewards",
            "--resume",
            "--ignore-alarms",
        ],
    );
    let path = dir.path().join("run");
    for step in ["step-000003", "step-000005"] {
        assert!(path.join("checkpoints").join(step).is_dir(), "{step}");
    }
    assert_eq!(json_lines(&path.join("metrics.jsonl")).len(), 5);

    // Going on counts anew, and after the last step there is nothing to stop.
    succeeds(
        dir.path(),
        &train(quickstart, "run", &[&stopped[..], &["--resume"]].concat()),
    );
    let told = alarms(&path);
    let steps: Vec<u64> = told.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [5, 7], "{told:?}");
    assert_eq!(
        timeless(&path.join("metrics.jsonl")),
        timeless(&dir.path().join("whole/metrics.jsonl"))
    );
}

#[test]
fn a_loss_that_is_no_number_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let blown = [
        "--set",
        "stages.sft.learning_rate=1e35",
        "--set",
        "stages.sft.warmup_steps=0",
        "--set",
        "checkpoint.keep=9",
    ];
    fails(
        dir.path(),
        &train(quickstart, "run", &blown),
        1,
        &["stopped after step 2: not_finite: the", "learning rate"],
    );
    let saved = |step: &str, file: &str| {
        let path = dir.path().join("run/checkpoints").join(step).join(file);
        fs::read(path).unwrap()
    };
    for file in ["model/model.safetensors", "optimizer.safetensors"] {
        assert!(
            saved("step-000001", file) == saved("step-000002", file),
            "{file} was changed"
        );
    }
    let lines = json_lines(&dir.path().join("run/metrics.jsonl"));
    assert_eq!(lines[1]["grad_norm"], Value::Null);

    // Skipped as configured, but not for ever.
    let warned = [
        &blown[..],
        &[
            "--set",
            "alarms.not_finite.action=warn",
            "--set",
            "alarms.not_finite.in_a_row=2",
        ],
    ]
    .concat();
    fails(
        dir.path(),
        &train(quickstart, "warned", &warned),
        1,
        &["stopped after step 3", "2 steps in a row"],
    );
    assert_eq!(alarms(&dir.path().join("warned")).len(), 2);
}

#[test]
fn wrong_thresholds_are_told() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    for (set, parts) in [
        ("alarms.mismatch.action=\"halt\"", ["halt", "`stop`"]),
        ("alarms.mismatch.abov=1.0", ["abov", "above"]),
        ("alarms.window=0", ["alarms.window", "at least 1"]),
    ] {
        fails(dir.path(), &["check", quickstart, "--set", set], 2, &parts);
    }
}

#[test]
fn metrics_are_explained() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let text = |arguments: &[&str]| {
        let output = succeeds(dir.path(), arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    let all = text(&["metrics"]);
    assert!(
        all.contains("[grpo-update]") && all.contains("grad_norm"),
        "{all}"
    );

    succeeds(dir.path(), &train(quickstart.to_str().unwrap(), "run", &[]));
    let last = text(&["metrics", "run"]);
    assert!(
        last.contains("step = 7 (steps)") && last.contains("kind = \"grpo\""),
        "{last}"
    );
    let third = text(&["metrics", "run", "--step", "3"]);
    assert!(
        third.contains("step = 3 (steps)") && third.contains("kind = \"sft\""),
        "{third}"
    );
    // Every key that is written is explained.
    for line in json_lines(&dir.path().join("run/metrics.jsonl")) {
        for key in line.as_object().unwrap().keys() {
            let kind = line["kind"].as_str().unwrap();
            assert!(
                dunwu::run::metrics::page::explain(kind, key).is_some(),
                "{kind}: {key}"
            );
        }
    }
    fails(
        dir.path(),
        &["metrics", "run", "--step", "9"],
        2,
        &["metrics.jsonl", "step 9"],
    );
    fails(
        dir.path(),
        &["metrics", "nowhere"],
        1,
        &["nowhere/metrics.jsonl"],
    );
}
