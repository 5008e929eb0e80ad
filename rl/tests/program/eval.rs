//! `eval`, `compare` and `plot`, and what a run keeps of its measurements.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{config, fails, json_lines, succeeds, train};

/// What is added to the tiny run so that it is measured before, during and after.
const MEASURED: &[&str] = &[
    "--set",
    "evaluation.every=2",
    "--set",
    "evaluation.samples=3",
    "--set",
    "checkpoint.keep=9",
];

const PROBLEMS: &str = "{\"question\": \"1+2+3=\", \"answer\": \"so\\n#### 6\"}\n\n{\"question\": \"4+4+1=\", \"answer\": \"#### 9\"}\n{\"question\": \"7+1+1=\", \"answer\": \"#### 9\"}\n";

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_run_keeps_who_answered_what_right() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir, &train(quickstart, "first", MEASURED));
    let kept = dir.join("first/evaluation.jsonl");
    let lines = json_lines(&kept);
    let moments: Vec<(u64, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["step"].as_u64().unwrap(),
                line["moment"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(moments, [(3, "before"), (5, "during"), (7, "after")]);
    for line in &lines {
        assert_eq!(line["problem_set"], lines[0]["problem_set"]);
        assert_eq!(line["greedy"].as_str().unwrap().len(), 5);
        let sampled = line["sampled"].as_array().map_or(0, Vec::len);
        let expected = if line["moment"] == "during" { 0 } else { 5 };
        assert_eq!(sampled, expected, "{line}");
    }
    let report = &lines[2]["report"];
    for key in ["1", "2", "3"] {
        for figure in ["pass_at", "cons_at"] {
            let (value, interval) = (
                &report[figure][key],
                &report[format!("{figure}_intervals")][key],
            );
            let value = value.as_f64().unwrap();
            assert!(
                interval["low"].as_f64().unwrap() <= value + 1e-12,
                "{report}"
            );
            assert!(
                interval["high"].as_f64().unwrap() >= value - 1e-12,
                "{report}"
            );
        }
    }
    let metrics = json_lines(&dir.join("first/metrics.jsonl"));
    assert!(metrics[4]["heldout_accuracy_interval"]["low"].is_number());
    assert!(metrics[3].get("heldout_accuracy_interval").is_none());

    // Resumed after the measurement at step 5 was lost, and after one that a kill kept from being saved.
    let whole = fs::read_to_string(&kept).unwrap();
    for lost in ["step-000007", "step-000006", "step-000005"] {
        fs::remove_dir_all(dir.join("first/checkpoints").join(lost)).unwrap();
    }
    let mut resume = MEASURED.to_vec();
    resume.push("--resume");
    succeeds(dir, &train(quickstart, "first", &resume));
    assert_eq!(fs::read_to_string(&kept).unwrap(), whole);

    // A second run: other weights, the same problems or others.
    let mut other = MEASURED.to_vec();
    other.extend(["--set", "seed=5", "--set", "stages.grpo.learning_rate=0.01"]);
    succeeds(dir, &train(quickstart, "second", &other));
    let compared = succeeds(dir, &["compare", "first", "second", "first", "--json"]);
    let compared = json(&compared.stdout);
    let rates = &compared["config"]["stages.1.learning_rate"];
    assert_eq!(rates[1], "0.01");
    assert_ne!(rates[0], rates[1]);
    let against = &compared["against_first"];
    assert_eq!(against[0]["differences"][0]["method"], "two-sample");
    let same = &against[1]["differences"];
    assert_eq!(same[0]["method"], "paired");
    assert_eq!(same[0]["p_value"], 1.0);
    assert!(
        same.as_array()
            .unwrap()
            .iter()
            .all(|d| d["beyond_noise"] == false)
    );
    assert!(compared["sources"][0]["reward"]["value"].is_number());
    let text = succeeds(dir, &["compare", "first", "second"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("B against A") && text.contains("stages.1.learning_rate"),
        "{text}"
    );

    succeeds(
        dir,
        &[
            "plot",
            "first",
            "second",
            "--key",
            "heldout_accuracy",
            "--key",
            "components.exact",
            "--to",
            "curves.svg",
            "--title",
            "Two runs",
        ],
    );
    let svg = fs::read_to_string(dir.join("curves.svg")).unwrap();
    for part in ["<svg", "Two runs", "first", "second", "components.exact"] {
        assert!(svg.contains(part), "{part}");
    }
    fails(
        dir,
        &["plot", "first", "--key", "rewards", "--to", "x.svg"],
        2,
        &["--key rewards", "reward_mean"],
    );
    fails(
        dir,
        &["plot", "first", "--to", "none/x.svg"],
        1,
        &["none/x.svg"],
    );

    // The model answers a benchmark's file, told by its fields.
    fs::write(dir.join("problems.jsonl"), PROBLEMS).unwrap();
    let eval = |details: &str, more: &[&str]| {
        let mut arguments = vec![
            "eval",
            "--device",
            "flex",
            "--model",
            "first",
            "--data",
            "problems.jsonl",
            "--prompt-template",
            "{question}",
            "--max-tokens",
            "12",
            "--samples",
            "4",
            "--details",
            details,
        ];
        arguments.extend(more);
        succeeds(dir, &arguments)
    };
    let output = eval("a.jsonl", &[]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "format   gsm8k, by its fields; judged by math",
        "template \"{question}\"",
        "prompt   \"1+2+3=\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let report = json(&output.stdout);
    assert_eq!(
        (&report["problems"], &report["samples"]),
        (&3.into(), &4.into())
    );
    assert_eq!(report["failed_judgements"], 0);
    assert!(report["greedy_accuracy_interval"]["high"].is_number());
    assert!(report["cons_at"]["4"].is_number() && report["pass_at"]["4"].is_number());
    let details = json_lines(&dir.join("a.jsonl"));
    let named: Vec<(&str, &str)> = details
        .iter()
        .map(|line| {
            (
                line["id"].as_str().unwrap(),
                line["answer"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("problems.jsonl:1", "6"),
            ("problems.jsonl:3", "9"),
            ("problems.jsonl:4", "9")
        ]
    );
    for (index, line) in details.iter().enumerate() {
        assert_eq!(line["sampled"].as_array().unwrap().len(), 4);
        let right = line["greedy"]["right"].as_bool().unwrap();
        let bit = &report["greedy"].as_str().unwrap()[index..=index];
        assert_eq!(bit, if right { "1" } else { "0" });
    }
    assert_eq!(eval("b.jsonl", &[]).stdout, output.stdout, "the same twice");
    let named = eval("b.jsonl", &["--format", "gsm8k"]);
    assert_eq!(named.stdout, output.stdout);
    assert_ne!(
        eval("b.jsonl", &["--seed", "1", "--temperature", "2"]).stdout,
        output.stdout
    );

    // Reports and details can be compared too.
    fs::write(dir.join("report.json"), &output.stdout).unwrap();
    for pair in [["report.json", "report.json"], ["a.jsonl", "b.jsonl"]] {
        let compared = succeeds(dir, &["compare", pair[0], pair[1], "--json"]);
        let difference = &json(&compared.stdout)["against_first"][0]["differences"][0];
        assert_eq!(difference["method"], "paired", "{difference}");
        assert_eq!(difference["pairs"], 3);
    }
}

#[test]
fn eval_and_compare_say_what_is_wrong() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("problems.jsonl", PROBLEMS);
    write(
        "mixed.jsonl",
        &format!("{PROBLEMS}{{\"question\": \"q\", \"answer\": 5}}\n"),
    );
    write("lines.jsonl", "{\"id\": \"a\", \"greedy\": 1}\n");
    write("report.json", "{\"problems\": 5, \"accuracy\": 1}");
    write("text.json", "not JSON");
    fs::create_dir(dir.join("empty")).unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let data = ["eval", "--model", "none", "--data"];
    let with = |more: &[&'static str]| [&data[..], more].concat();
    let cases: Vec<(Vec<&str>, i32, &[&str])> = vec![
        (vec!["eval"], 2, &["--data"]),
        (vec!["eval", "--data", "problems.jsonl"], 2, &["--model"]),
        (
            vec!["eval", quickstart, "--data", "problems.jsonl"],
            2,
            &["cannot be used with"],
        ),
        (
            vec!["eval", quickstart, "--problems", "0"],
            2,
            &["--problems 0"],
        ),
        (with(&["none.jsonl"]), 1, &["none.jsonl"]),
        (
            with(&["mixed.jsonl"]),
            1,
            &["mixed.jsonl:5", "question, answer", "gsm8k, math", "hint:"],
        ),
        (
            with(&["problems.jsonl", "--format", "svamp"]),
            1,
            &["problems.jsonl:1", "`Body`"],
        ),
        (
            with(&["problems.jsonl", "--prompt-template", "no"]),
            2,
            &["{question}"],
        ),
        (
            with(&["problems.jsonl", "--prompt-template", "@none.txt"]),
            1,
            &["none.txt"],
        ),
        (
            with(&["problems.jsonl", "--temperature=-1"]),
            2,
            &["temperature"],
        ),
        (
            with(&[
                "problems.jsonl",
                "--prompt-style",
                "text",
                "--system",
                "Be brief.",
            ]),
            2,
            &["system"],
        ),
        (
            with(&["problems.jsonl", "--format", "gsm9k"]),
            2,
            &["gsm8k"],
        ),
        (vec!["compare", "problems.jsonl"], 2, &["2 values"]),
        (
            vec!["compare", "nowhere", "nowhere"],
            2,
            &["nowhere", "hint:"],
        ),
        (
            vec!["compare", "empty", "empty"],
            2,
            &["empty", "config.toml"],
        ),
        (
            vec!["compare", "lines.jsonl", "lines.jsonl"],
            2,
            &["lines.jsonl:1"],
        ),
        (
            vec!["compare", "report.json", "report.json"],
            2,
            &["report.json", "accuracy"],
        ),
        (vec!["compare", "text.json", "text.json"], 2, &["text.json"]),
        (vec!["plot", "empty", "--to", "x.svg"], 2, &["empty"]),
        (vec!["plot", "empty"], 2, &["--to"]),
    ];
    for (arguments, code, parts) in cases {
        fails(dir, &arguments, code, parts);
    }
    let other = ["check", quickstart, "--set", "data.format=gsm8k"];
    fails(dir, &other, 2, &["data.format", "data.file"]);
}
