//! What a config asks: templates, curricula, mixtures; and that a run with all of them is exact.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, fails, json_lines, run, succeeds, timeless, train};

fn tasks(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn data_writes_what_a_config_poses() {
    let dir = TempDir::new().unwrap();
    let mixture = config("mixture.toml");
    let mixture = mixture.to_str().unwrap();
    let posed = tasks(&succeeds(dir.path(), &["data", mixture, "--count", "50"]).stdout);
    let mut counts = BTreeMap::new();
    for task in &posed {
        let entry = task["columns"]["mixture"].as_str().unwrap();
        assert!(
            task["id"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{entry}/"))
        );
        *counts.entry(entry.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts["sums"], 30);
    assert_eq!(counts["countdown"], 20);
    let countdown = posed
        .iter()
        .find(|task| task["columns"]["mixture"] == "countdown");
    let countdown = countdown.unwrap();
    let numbers: Vec<String> = countdown["columns"]["numbers"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    let expected = format!(
        "[{}]={}:",
        numbers.join(", "),
        countdown["columns"]["target"]
    );
    assert_eq!(countdown["prompt"], expected);

    let heldout = ["data", mixture, "--count", "10", "--split", "heldout"];
    let heldout = tasks(&succeeds(dir.path(), &heldout).stdout);
    assert_eq!(heldout.len(), 10);
    for task in &heldout {
        assert!(posed.iter().all(|other| other["prompt"] != task["prompt"]));
    }
    // A longer list begins with the shorter one.
    let fewer = tasks(&succeeds(dir.path(), &["data", mixture, "--count", "7"]).stdout);
    assert_eq!(fewer, posed[..7]);
}

#[test]
fn a_run_with_mixture_and_curriculum_is_exact_when_resumed() {
    let dir = TempDir::new().unwrap();
    let mixture = config("mixture.toml");
    let mixture = mixture.to_str().unwrap();
    // A curriculum changes the order only by what it has seen, so the run has to be long enough for that.
    let more = [
        "--set",
        "checkpoint.keep=20",
        "--set",
        "stages.grpo.steps=8",
    ];
    succeeds(dir.path(), &train(mixture, "whole", &more));
    let whole = dir.path().join("whole");
    let state: Value = serde_json::from_str(
        &fs::read_to_string(whole.join("checkpoints/step-000009/state.json")).unwrap(),
    )
    .unwrap();
    let entries = &state["stage_state"]["cursor"]["state"]["entries"];
    for entry in ["sums", "countdown"] {
        let state = &entries[entry]["state"];
        // One entry has a template around its source.
        let state = state.get("within").map_or(state, |within| &within["state"]);
        let evidence = state["evidence"].as_object();
        assert!(!evidence.unwrap().is_empty(), "{entry}: {entries}");
    }
    succeeds(dir.path(), &train(mixture, "lost", &more));
    for step in 7..=11 {
        let lost = format!("lost/checkpoints/step-{step:06}");
        fs::remove_dir_all(dir.path().join(lost)).unwrap();
    }
    let resumed: Vec<&str> = train(mixture, "lost", &more)
        .into_iter()
        .chain(["--resume"])
        .collect();
    succeeds(dir.path(), &resumed);
    let log = |run: &str| timeless(&dir.path().join(run).join("metrics.jsonl"));
    assert_eq!(log("lost"), log("whole"));
    let completions = |run: &str| json_lines(&dir.path().join(run).join("completions.jsonl"));
    assert_eq!(completions("lost"), completions("whole"));
}

#[test]
fn bad_data_sections_are_told() {
    let dir = TempDir::new().unwrap();
    let mixture = config("mixture.toml");
    let mixture = mixture.to_str().unwrap();
    for (setting, parts) in [
        (
            "data.mixture.0.weight=0",
            &["data.mixture.0.weight is 0", "above 0"] as &[&str],
        ),
        (
            "data.mixture.1.name=\"sums\"",
            &["data.mixture.1.name is \"sums\"", "mixture.0"],
        ),
        (
            "data.mixture.0.name=\"additions\"",
            &[
                "reward.rubric.components.0.entries names \"sums\"",
                "there are: additions, countdown",
            ],
        ),
        (
            "data.mixture.1.file=\"a.jsonl\"",
            &[
                "data.mixture.1.task and data.mixture.1.file",
                "both are there",
            ],
        ),
        (
            "data.file=\"a.jsonl\"",
            &["data.file does not go with data.mixture", "hint:"],
        ),
        (
            "data.mixture.1.curriculum.floor=0",
            &["data.mixture.1.curriculum: floor is 0"],
        ),
        (
            "data.mixture.1.curriculum.flor=0.1",
            &["unknown field `flor`", "did you mean `floor`?"],
        ),
    ] {
        fails(dir.path(), &["check", mixture, "--set", setting], 2, parts);
    }
    // What only the data can show is found before anything is written.
    let question = "data.mixture.1.template.text=\"{nums}={target}:\"";
    let arguments = ["train", mixture, "--run-dir", "r", "--set", question];
    let output = run(dir.path(), &arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("the template has {nums}"), "{message}");
    assert!(message.contains("there are: numbers, target"), "{message}");
    assert!(!dir.path().join("r").exists());
}
