//! `dunwu check`, and what a run says before its first step: what would end it later.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{TINY, config, fails, json_lines, run, succeeds, timeless};

/// The quickstart's text with `[data.task]` replaced by `data`.
fn config_with(data: &str) -> String {
    let text = fs::read_to_string(config("quickstart.toml")).unwrap();
    let task = "[data.task]\ngenerator = \"chain-sum\"\nterms_min = 4\nterms_max = 6\n";
    assert!(text.contains(task));
    text.replace(task, data)
        .replace("kind = \"sft\"", "kind = \"sft\"\nfile = \"lessons.jsonl\"")
        .replace(
            "[stages.traces]\nthink = 0.4\nslip = 0.01\nguess_sd = 4.0\nmalformed = 0.02\n",
            "",
        )
}

/// Problems of a file, one of which has a prompt of `long` characters at `place`.
fn problems(count: usize, place: usize, long: usize) -> String {
    let row = |index: usize| {
        let prompt = if index == place {
            "1".repeat(long)
        } else {
            format!("{}+{}=", index % 90, index / 90)
        };
        let answer = (index % 90 + index / 90).to_string();
        json!({ "prompt": prompt, "answer": answer }).to_string() + "\n"
    };
    (0..count).map(row).collect()
}

fn lessons() -> String {
    let row = |index: usize| {
        let (prompt, completion) = (
            format!("{index}+1="),
            format!("<answer>{}</answer>", index + 1),
        );
        json!({ "prompt": prompt, "completion": completion }).to_string() + "\n"
    };
    (0..40).map(row).collect()
}

fn lay_out(dir: &Path, problems: &str) {
    fs::write(
        dir.join("run.toml"),
        config_with("[data]\nfile = \"problems.jsonl\"\n[data.fields]\nprompt_style = \"text\"\n"),
    )
    .unwrap();
    fs::write(dir.join("problems.jsonl"), problems).unwrap();
    fs::write(dir.join("lessons.jsonl"), lessons()).unwrap();
}

fn with_tiny<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = command.to_vec();
    arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more.iter().flat_map(|set| ["--set", set]));
    arguments
}

fn report(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, arguments);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_good_config_has_no_findings() {
    let dir = TempDir::new().unwrap();
    for name in [
        "quickstart.toml",
        "mixture.toml",
        "presets/mini/tinyzero-countdown.toml",
    ] {
        let path = config(name);
        let arguments = ["check", path.to_str().unwrap(), "--json"];
        let report = report(dir.path(), &arguments);
        assert_eq!(report["findings"], json!([]), "{name}");
        assert_eq!(report["ends"], false);
        assert!(
            report["prompts"]["longest_tokens"].as_u64() > Some(0),
            "{name}"
        );
        assert!(report["estimate"]["peak_bytes"].as_u64() > Some(0));
        assert!(report["config"]["stages"].is_array());
        succeeds(dir.path(), &arguments);
    }
    lay_out(dir.path(), &problems(60, 99, 0));
    let output = succeeds(dir.path(), &["check", "run.toml"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["40 examples", "0 errors, 0 warnings", "held out"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("too_long = \"error\""));
}

/// Public reports of one long prompt that ended a run when it was drawn, and again when it was resumed.
#[test]
fn a_long_prompt_is_found_before_the_first_step_or_skipped_exactly() {
    let dir = TempDir::new().unwrap();
    lay_out(dir.path(), &problems(60, 31, 90));
    let parts = [
        "data.too_long",
        "prompts have more than the 84 tokens",
        "problems.jsonl:32",
        "90",
        "hint:",
    ];
    fails(
        dir.path(),
        &with_tiny(&["check", "run.toml"], &[]),
        2,
        &parts,
    );
    let train = ["train", "run.toml", "--run-dir", "told"];
    let parts = [
        "problems.jsonl:32",
        "90 tokens",
        "context of 96",
        "too_long = \"drop\"",
    ];
    fails(dir.path(), &with_tiny(&train, &[]), 1, &parts);
    assert!(!dir.path().join("told").exists());

    let drop = [
        "data.too_long=drop",
        "stages.grpo.steps=28",
        "checkpoint.keep=99",
    ];
    let output = run(dir.path(), &with_tiny(&["check", "run.toml"], &drop));
    assert!(output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("warning: data.too_long") && told.contains("skipped"),
        "{told}"
    );

    let train = |name: &'static str| {
        let arguments = [
            "train",
            "run.toml",
            "--run-dir",
            name,
            "--no-preflight",
            "--ignore-alarms",
        ];
        with_tiny(&arguments, &drop)
    };
    succeeds(dir.path(), &train("whole"));
    let metrics = |name: &str| timeless(&dir.path().join(name).join("metrics.jsonl"));
    let whole = metrics("whole");
    let skipped: Vec<u64> = whole
        .iter()
        .filter_map(|line| line["skipped_prompts"].as_u64())
        .collect();
    // 56 problems are drawn, more than there are to train on: the long one is among them.
    assert_eq!(skipped.len(), 28);
    assert!(
        (1..=2).contains(&skipped.iter().sum::<u64>()),
        "{skipped:?}"
    );
    let drawn = json_lines(&dir.path().join("whole/completions.jsonl"));
    assert!(drawn.iter().all(|line| line["task"] != "problems.jsonl:32"));

    // The same from any checkpoint, before and behind the one that was skipped.
    for (name, lost) in [("late", 27), ("early", 6)] {
        succeeds(dir.path(), &train(name));
        for step in lost..=31 {
            fs::remove_dir_all(
                dir.path()
                    .join(format!("{name}/checkpoints/step-{step:06}")),
            )
            .unwrap();
        }
        let mut again = train(name);
        again.push("--resume");
        succeeds(dir.path(), &again);
        assert_eq!(metrics(name), whole, "{name}");
    }
}

#[test]
fn all_rows_are_looked_at_when_asked() {
    let dir = TempDir::new().unwrap();
    // Where the one long prompt lies: some places are in the sample, most are not.
    let mut missed = 0;
    for place in [700, 701, 702, 703] {
        lay_out(dir.path(), &problems(2000, place, 90));
        let sampled = report(dir.path(), &["check", "run.toml", "--json"]);
        let whole = report(dir.path(), &["check", "run.toml", "--json", "--all"]);
        assert_eq!(whole["prompts"]["too_long"], 1);
        assert_eq!(whole["ends"], true);
        let looked_at = |report: &Value| report["prompts"]["prompts"].as_u64().unwrap();
        assert!(looked_at(&sampled) < 1000 && looked_at(&whole) > 1900);
        missed += usize::from(sampled["ends"] == false);
    }
    assert!(missed > 0);
}

#[test]
fn what_is_missing_is_told_by_check_and_before_the_first_step() {
    let dir = TempDir::new().unwrap();
    lay_out(dir.path(), &problems(60, 99, 0));
    let model = [
        "check",
        "run.toml",
        "--set",
        "model={source=\"pretrained\", path=\"./no-such-model\"}",
    ];
    fails(
        dir.path(),
        &model,
        2,
        &["error: model", "no-such-model", "the run would end"],
    );
    // All that is missing is told at once.
    fs::remove_file(dir.path().join("lessons.jsonl")).unwrap();
    fs::remove_file(dir.path().join("problems.jsonl")).unwrap();
    let both = [
        "stages.0 (sft)",
        "lessons.jsonl",
        "error: data",
        "problems.jsonl",
        "2 errors",
    ];
    fails(dir.path(), &["check", "run.toml"], 2, &both);

    // A file of a later stage.
    let text = fs::read_to_string(config("quickstart.toml")).unwrap();
    let later = "\n[[stages]]\nkind = \"sft\"\nsteps = 2\nfile = \"later.jsonl\"\n";
    fs::write(dir.path().join("later.toml"), text + later).unwrap();
    fails(
        dir.path(),
        &["check", "later.toml"],
        2,
        &["stages.2 (sft)", "later.jsonl"],
    );
    let train = with_tiny(&["train", "later.toml", "--run-dir", "later"], &[]);
    fails(dir.path(), &train, 1, &["later.jsonl"]);
    assert!(!dir.path().join("later").exists());
    // And one whose rows are no examples.
    fs::write(dir.path().join("later.jsonl"), "{\"prompt\": \"1+1=\"}\n").unwrap();
    fails(dir.path(), &["check", "later.toml"], 2, &["later.jsonl:1"]);
}

#[test]
fn what_cannot_be_rendered_or_judged_is_told() {
    let dir = TempDir::new().unwrap();
    lay_out(dir.path(), &problems(60, 99, 0));
    let check = |sets: &[&str]| {
        let mut arguments = vec!["check", "run.toml"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fails = |sets: &[&str], code: i32, parts: &[&str]| {
        let arguments = check(sets);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        fails(dir.path(), &arguments, code, parts);
    };
    let chat = ["data.template={text=\"{question}\", style=\"chat\"}"];
    fails(
        &chat,
        2,
        &["cannot be made into tokens", "no chat template", "hint:"],
    );
    let letters = ["data.template={text=\"What is {question}\"}"];
    fails(
        &letters,
        2,
        &["60 of 60 prompts", "cannot be made into tokens", "W"],
    );
    let column = ["data.template={text=\"{level}: {question}\"}"];
    fails(&column, 2, &["{level}", "no such column"]);
    let code = [
        "reward.rubric.components=[{kind=\"code\"}]",
        "evaluation.correct=code",
    ];
    fails(
        &code,
        2,
        &[
            "reward.rubric (code)",
            "60 of 60 problems have no column of tests",
        ],
    );
    // Solutions in place of answers end nothing, and are told.
    fs::write(
        dir.path().join("problems.jsonl"),
        problems(60, 99, 0).replace("\"answer\":\"", "\"answer\":\"It comes to 3 and then "),
    )
    .unwrap();
    fails(
        &["reward.rubric.components=[{kind=\"exact\", extraction=[\"last-number\"]}]"],
        0,
        &[
            "warning: evaluation.correct",
            "60 of 60 answers",
            "answer_format",
        ],
    );
    let warmup = ["stages.grpo.warmup_steps=500"];
    fails(
        &warmup,
        0,
        &[
            "warning: stages.1 (grpo)",
            "warmup_steps = 500",
            "steps = 100",
        ],
    );
}
