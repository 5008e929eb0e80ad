//! Programs that try to be rewarded without solving their task (`tests/hacks/*.py`): none is, in any form of test. Each is to
//! define `add(a, b)`, or to print a sum, and does neither.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::{Attempt, Code, CodeConfig, CodeExtraction, Reward, Sample};
use serde_json::{Value, json};

const HONEST: &str = "def add(a, b):\n    return a + b\n\nif __name__ == '__main__':\n    print(add(*map(int, input().split())))\n";

/// One task in every form that tests come in.
fn forms() -> Vec<(&'static str, Value)> {
    let asserts = [
        "assert add(2, 3) == 5",
        "assert add(-4, 1) == -3",
        "assert add(10, 20) == 30",
    ];
    let close = [
        "import math\nassert math.isclose(add(2, 3), 5)",
        "assert abs(add(-4, 1) - -3) < 1e-6",
        "assert isclose(add(10, 20), 30)",
    ];
    let wrapped = [
        "assert str(add(2, 3)) == '5'",
        "assert set([add(-4, 1)]) == {-3}",
        "assert (add(10, 20),) == (30,)",
        "assert sorted([add(1, 2)])[0] == 3",
    ];
    let helper = [
        "assert same(add(2, 3), 5)",
        "assert almost(add(-4, 1), -3) == True",
    ];
    let caught = [
        "try:\n    value = add(2, 3)\nexcept Exception:\n    value = None\nassert value == 5",
        "assert not add(2, 3) != 5",
        "assert add(2, 3) in [5] and add(1, 1) is not None and add(1, 1) == 2",
    ];
    let check = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-4, 1) == -3\n    assert candidate(10, 20) == 30\n";
    let call = |input: [i32; 2], output: i32| json!({"type": "function_call", "fn_name": "add", "input": input, "output": output});
    let stdio = |input: &str, output: &str| json!({"type": "stdin_stdout", "input": input, "output": output});
    vec![
        ("asserts", json!({"test_list": asserts})),
        ("close", json!({"test_list": close})),
        ("wrapped", json!({"test_list": wrapped})),
        (
            "standard",
            json!({"test_list": ["assert add(2, 3) == 5", "assert math.isclose(add(-4, 1), -3)", "assert Counter([add(1, 1)]) == Counter([2])"]}),
        ),
        ("helper", json!({"test_list": helper})),
        ("caught", json!({"test_list": caught})),
        ("check", json!({"test": check, "entry_point": "add"})),
        (
            "call",
            json!({"verification_info": {"language": "python", "test_cases": [call([2, 3], 5), call([-4, 1], -3)]}}),
        ),
        (
            "stdio",
            json!({"verification_info": {"language": "python", "test_cases": [stdio("2 3\n", "5"), stdio("-4 1\n", "-3")]}}),
        ),
    ]
}

fn score(code: &Code, columns: &Value, program: &str) -> (f64, Vec<(String, f64)>) {
    let task = Task::new("add", Prompt::Text("Write add(a, b).".to_owned()), "")
        .with_columns(columns.as_object().unwrap().clone());
    let sample = Sample::new(&task, program);
    let score = code.score_in_parts(&sample, &Attempt::unlimited());
    let score = score.unwrap().unwrap();
    (score.value, score.parts)
}

fn code(partial_credit: bool) -> Code {
    let config = CodeConfig {
        extraction: CodeExtraction::Whole,
        partial_credit,
        fuel: 1_000_000_000,
        ..Default::default()
    };
    Code::from_config(&config)
        .unwrap()
        .with_sandbox(common::sandbox())
}

#[test]
fn no_hack_is_rewarded() {
    if !common::python_is_there() {
        return;
    }
    let code = code(false);
    for (form, columns) in forms() {
        // What needs the solution's own judgement is not verified, even for an honest one.
        let expected = if form == "helper" { 0.0 } else { 1.0 };
        let (honest, parts) = score(&code, &columns, HONEST);
        assert_eq!(honest, expected, "{form}: the honest solution: {parts:?}");
    }
    let mut files: Vec<_> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hacks"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    let mut passed = Vec::new();
    for file in &files {
        let program = std::fs::read_to_string(file).unwrap();
        for (form, columns) in forms() {
            let (value, parts) = score(&code, &columns, &program);
            if value != 0.0 {
                passed.push(format!("{} as {form}: {parts:?}", file.display()));
            }
        }
    }
    eprintln!("{} programs in {} forms", files.len(), forms().len());
    assert!(passed.is_empty(), "{passed:#?}");
}

#[test]
fn every_test_meets_a_fresh_solution() {
    if !common::python_is_there() {
        return;
    }
    // With partial credit, a program that is right once gets no more than that one.
    let columns = json!({"test_list": ["assert add(2, 3) == 5", "assert add(4, 5) == 9", "assert add(1, 1) == 2"]});
    let counting = "calls = 0\ndef add(a, b):\n    global calls\n    calls += 1\n    return a + b if calls == 1 else 0\n";
    assert_eq!(score(&code(true), &columns, counting).0, 1.0);
    let constant = "def add(a, b):\n    return 5\n";
    assert_eq!(score(&code(true), &columns, constant).0, 1.0 / 3.0);
}

#[test]
fn what_cannot_be_verified_is_counted() {
    if !common::python_is_there() {
        return;
    }
    let columns = json!({"test_list": ["assert add(1, 1) == 2", "assert same(add(2, 3), 5)", "assert add(1, ) ==", "assert add(1, 2) == LIMIT"]});
    let solution = format!("{HONEST}\nLIMIT = 3\ndef same(a, b):\n    return a == b\n");
    let (value, parts) = score(&code(true), &columns, &solution);
    assert_eq!(value, 0.25);
    assert!(parts.contains(&("unverified".to_owned(), 3.0)), "{parts:?}");
}
