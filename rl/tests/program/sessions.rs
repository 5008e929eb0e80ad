//! What may happen to a run between its sessions, and to the terminal that shows it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, dunwu, fails, json_lines, succeeds, timeless, train};

/// `dunwu train … 2> >(head -2)`: the reader goes away in the middle of the run.
#[test]
fn a_run_outlives_who_reads_its_progress() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "seen", &[]));
    let mut child = Command::new(dunwu())
        .args(train(quickstart, "unseen", &[]))
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().is_some() && lines.next().is_some());
    drop(lines);
    assert!(child.wait().unwrap().success());
    let log = |run: &str| timeless(&dir.path().join(run).join("metrics.jsonl"));
    assert_eq!(log("unseen"), log("seen"));
    assert!(dir.path().join("unseen/summary.json").is_file());
}

/// `dunwu generate … | head -c 1`: nobody reads on, so nothing more is drawn.
#[test]
fn generate_ends_where_nobody_reads_on() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "run", &[]));
    // So many completions would take hours.
    let arguments = [
        "generate",
        "--device",
        "flex",
        "--model",
        "run",
        "--count",
        "100000000",
        "1+2=",
    ];
    let mut child = Command::new(dunwu())
        .args(arguments)
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    drop(out);
    let closed = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if closed.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it still draws a minute after its reader has gone");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_run_may_become_longer_and_its_budgets_others() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "run", &[]));
    let longer = ["--resume", "--set", "memory.batch_rows=32"];
    // All stages are over: nothing is left to do, and what is otherwise is said.
    let output = succeeds(dir.path(), &train(quickstart, "run", &longer));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("memory.batch_rows: 128 before, now 32"),
        "{told}"
    );
    let changes = json_lines(&dir.path().join("run/changes.jsonl"));
    assert_eq!(changes[0]["key"], "memory.batch_rows");

    // Interrupted after its first stage, the second may become longer.
    let path = dir.path().join("cut");
    succeeds(
        dir.path(),
        &train(quickstart, "cut", &["--set", "checkpoint.keep=20"]),
    );
    for step in 6..=7 {
        fs::remove_dir_all(path.join(format!("checkpoints/step-{step:06}"))).unwrap();
    }
    let more = [
        "--set",
        "checkpoint.keep=20",
        "--set",
        "stages.grpo.steps=6",
        "--resume",
    ];
    succeeds(dir.path(), &train(quickstart, "cut", &more));
    let steps = json_lines(&path.join("metrics.jsonl"));
    assert_eq!(steps.len(), 3 + 6);
    assert_eq!(
        steps.last().map(|line| &line["step"]),
        Some(&Value::from(9))
    );

    let fewer = [
        "--set",
        "checkpoint.keep=20",
        "--set",
        "stages.sft.steps=2",
        "--resume",
    ];
    let quoted = ["stages.0.steps = 3", "stages.0.steps = 2", "hint:"];
    fails(dir.path(), &train(quickstart, "cut", &fewer), 2, &quoted);
}

#[test]
fn completions_are_logged_as_often_as_the_config_says() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    for (every, expected) in [("1", vec![4, 5, 6, 7]), ("2", vec![5, 7]), ("0", vec![])] {
        let setting = format!("log.completions_every={every}");
        let run = format!("run-{every}");
        succeeds(dir.path(), &train(quickstart, &run, &["--set", &setting]));
        let lines = json_lines(&dir.path().join(&run).join("completions.jsonl"));
        let mut steps: Vec<u64> = lines.iter().map(|l| l["step"].as_u64().unwrap()).collect();
        steps.dedup();
        assert_eq!(steps, expected, "{every}");
    }
}

/// `max_staleness` counts batches, and each of them brings as many versions of the policy as it is updated by.
#[test]
fn staleness_counts_versions_and_its_bound_batches() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let settings = [
        "stages.grpo.steps=5",
        "stages.grpo.max_staleness=2",
        "stages.grpo.iterations=3",
        "stages.grpo.mini_batches=2",
    ];
    let sets: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    let arguments = train(quickstart.to_str().unwrap(), "run", &sets);
    succeeds(dir.path(), &arguments);
    let lines = json_lines(&dir.path().join("run/metrics.jsonl"));
    let staleness: Vec<[u64; 2]> = lines[3..]
        .iter()
        .map(|line| {
            let mean = line["staleness_mean"].as_f64().unwrap();
            [mean as u64, line["staleness_max"].as_u64().unwrap()]
        })
        .collect();
    assert_eq!(staleness, [0, 6, 12, 12, 12].map(|versions| [versions; 2]));
}
