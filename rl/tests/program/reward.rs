//! `dunwu reward`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, dunwu, fails};

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

    // A bad line keeps its place and ends nothing; golds may be numbers and lists.
    let output = with_input(
        dir.path(),
        &["reward", "math"],
        "{\"gold\": 1, \"pred\": \"1\"}\n\n{\"gold\": 1}\n{\"gold\": [\"2\", 3], \"pred\": \"3\"}\n",
    );
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("standard input:3"), "{message}");
    let lines = lines_of(&output);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["verdict"], "equal");
    let error = lines[1]["error"].as_str().unwrap();
    assert!(
        error.contains("standard input:3") && error.contains("pred"),
        "{error}"
    );
    assert_eq!(lines[2]["verdict"], "equal");
    let fault = verdict(&[], r#"{"gold": "\\begin{", "pred": "5"}"#);
    assert_eq!(
        (&fault["verdict"], &fault["fault"]),
        (&"undecided".into(), &"gold".into())
    );
    assert_eq!(undecided["fault"], "pred");
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
        serde_json::json!({"prompt": "?", "completion": r"\boxed{5}", "answer": r"\begin{"}),
        serde_json::json!({"prompt": "?", "completion": r"\boxed{5}", "answer": ["4", 5]}),
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
    assert_eq!(judged[0]["answers"]["math"]["text"], "0.5");
    assert_eq!(judged[0]["answers"]["math"]["read"], r"\frac{1}{2}");
    // What a completion makes undecidable is wrong.
    assert_eq!(judged[1]["components"]["math"], 0.0);
    assert_eq!(judged[2]["components"]["countdown"], 1.0);
    // What only the task's answer is to blame for is no verdict.
    assert_eq!(judged[3]["total"], Value::Null);
    assert_eq!(judged[3]["undecided"], true);
    assert_eq!(judged[3]["fault"], "task");
    let error = judged[3]["components"]["math"]["error"].as_str().unwrap();
    assert!(error.contains("undecided"), "{error}");
    assert_eq!(judged[4]["components"]["math"], 1.0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("countdown applies to none"), "{said}");

    // The rubric is all that is needed of a config, and a component without its column is named.
    let alone = dir.path().join("rubric.toml");
    fs::write(
        &alone,
        rubric.replace("0.2 * overlong", "0.2 * overlong * 0"),
    )
    .unwrap();
    let alone = alone.to_str().unwrap();
    let output = with_input(dir.path(), &["reward", alone], &format!("{}\n", rows[0]));
    assert_eq!(lines_of(&output)[0]["total"], 1.0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("countdown applies to none of 1 lines"),
        "{said}"
    );
    let pair = r#"{"gold": 0.5, "pred": "it is \\boxed{1/2}"}"#;
    let output = with_input(dir.path(), &["reward", "math", "--config", alone], pair);
    assert_eq!(lines_of(&output)[0]["verdict"], "equal");
    fails(dir.path(), &["reward", "none.toml"], 2, &["none.toml"]);
}
