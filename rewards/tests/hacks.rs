//! Programs that try to be rewarded without solving their task (`tests/hacks/*.py`): none is, in any form of test. Each is to
//! define `add(a, b)`, or to print a sum, and does neither.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::{
    Attempt, Code, CodeConfig, CodeExtraction, Fault, Reward, RewardError, Sample,
};
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
    // Each would let the solution judge itself, or needs what no solution is to give.
    let helpers = [
        ("helper", "assert same(add(2, 3), 5)"),
        ("helper compared", "assert almost(add(-4, 1), -3) == True"),
        (
            "helper and",
            "assert same(add(2, 3), 5) and same(add(1, 1), 2)",
        ),
        ("helper in a variable", "r = add(2, 3)\nassert same(r, 5)"),
        ("helper of a helper", "ok = same(add(2, 3), 5)\nassert ok"),
        (
            "helper in all",
            "assert all(same(add(v, 1), v + 1) for v in (2, 3))",
        ),
        ("helper by map", "assert all(map(same, [add(2, 3)], [5]))"),
        (
            "helper in if",
            "if not same(add(2, 3), 5):\n    raise AssertionError",
        ),
        ("helper of one", "assert is_right(add(2, 3))"),
        ("helper of a function", "assert run_tests(add)"),
        (
            "helper as a statement",
            "assert_equal(add(2, 3), 5)\nassert True",
        ),
        (
            "helper in a function",
            "def expect(got, want):\n    assert same(got, want)\nexpect(add(2, 3), 5)",
        ),
        ("numpy not imported", "assert np.isclose(add(2, 3), 5)"),
        ("expected from the solution", "assert add(2, 3) == EXPECTED"),
        (
            "expected from the solution, nearly",
            "assert abs(add(2, 3) - EXPECTED) < 1e-6",
        ),
        (
            "expected from the solution, isclose",
            "import math\nassert math.isclose(add(2, 3), EXPECTED)",
        ),
    ];
    let iterated = [
        "for got, want in zip(map(add, [2, 4], [3, 5]), [5, 9]):\n    assert got == want",
        "assert all(map(lambda c: add(*c[0]) == c[1], [((2, 3), 5), ((4, 5), 9)]))",
        "assert not any(filter(lambda c: add(*c[0]) != c[1], [((2, 3), 5)]))",
    ];
    let swallowing = [
        "ok = True\ntry:\n    if add(2, 3) != 5:\n        ok = False\nexcept:\n    pass\nassert ok",
        "ok = True\ntry:\n    if add(-4, 1) != -3:\n        ok = False\nexcept Exception:\n    pass\nassert ok",
    ];
    let unittests = "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n        self.assertTrue(add(-4, 1) == -3)\n";
    let pytests = "import pytest\nfrom solution import add\n@pytest.mark.parametrize('a, b, c', [(2, 3, 5), (-4, 1, -3)])\ndef test_add(a, b, c):\n    assert add(a, b) == pytest.approx(c)\n";
    let caught = [
        "try:\n    value = add(2, 3)\nexcept Exception:\n    value = None\nassert value == 5",
        "assert not add(2, 3) != 5",
        "assert add(2, 3) in [5] and add(1, 1) is not None and add(1, 1) == 2",
    ];
    let check = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-4, 1) == -3\n    assert candidate(10, 20) == 30\n";
    let call = |input: [i32; 2], output: i32| json!({"type": "function_call", "fn_name": "add", "input": input, "output": output});
    let stdio = |input: &str, output: &str| json!({"type": "stdin_stdout", "input": input, "output": output});
    let mut forms = vec![
        ("asserts", json!({"test_list": asserts})),
        ("close", json!({"test_list": close})),
        ("wrapped", json!({"test_list": wrapped})),
        (
            "standard",
            json!({"test_list": ["assert add(2, 3) == 5", "assert math.isclose(add(-4, 1), -3)", "assert Counter([add(1, 1)]) == Counter([2])"]}),
        ),
        ("iterated", json!({"test_list": iterated})),
        ("swallowing", json!({"test_list": swallowing})),
        ("unittest", json!({"test_list": [unittests]})),
        ("pytest", json!({"test": pytests})),
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
    ];
    forms.extend(helpers.map(|(name, test)| (name, json!({"test_list": [test]}))));
    forms
}

/// Forms in which even an honest solution cannot be judged: the task is at fault.
fn is_broken(form: &str) -> bool {
    form.starts_with("helper")
        || form.starts_with("expected from the solution")
        || form == "numpy not imported"
}

/// The score, with its parts; nothing where there is no verdict.
fn score(code: &Code, columns: &Value, program: &str) -> Option<(f64, Vec<(String, f64)>)> {
    let task = Task::new("add", Prompt::Text("Write add(a, b).".to_owned()), "")
        .with_columns(columns.as_object().unwrap().clone());
    let sample = Sample::new(&task, program);
    match code.score_in_parts(&sample, &Attempt::unlimited()) {
        Ok(score) => score.map(|score| (score.value, score.parts)),
        Err(RewardError::Judge { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fn code(partial_credit: bool) -> Code {
    let config = CodeConfig {
        extraction: CodeExtraction::Whole,
        partial_credit,
        fuel: Some(1_000_000_000),
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
        let honest = score(&code, &columns, HONEST);
        let value = honest.as_ref().map(|(value, _)| *value);
        let expected = (!is_broken(form)).then_some(1.0);
        assert_eq!(value, expected, "{form}: the honest solution: {honest:?}");
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
            let found = score(&code, &columns, &program);
            if found.as_ref().is_some_and(|(value, _)| *value != 0.0) {
                passed.push(format!("{} as {form}: {found:?}", file.display()));
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
    assert_eq!(score(&code(true), &columns, counting).unwrap().0, 1.0);
    let constant = "def add(a, b):\n    return 5\n";
    assert_eq!(score(&code(true), &columns, constant).unwrap().0, 1.0 / 3.0);
}

#[test]
fn what_cannot_be_verified_is_counted() {
    if !common::python_is_there() {
        return;
    }
    let columns = json!({"test_list": ["assert add(1, 1) == 2", "assert add(2, 3) == 5"]});
    let solution = "class Sum:\n    pass\ndef add(a, b):\n    return 2 if a == b else Sum()\n";
    let (value, parts) = score(&code(true), &columns, solution).unwrap();
    assert_eq!(value, 0.5);
    assert!(parts.contains(&("unverified".to_owned(), 1.0)), "{parts:?}");
}

#[test]
fn a_broken_test_is_no_verdict() {
    if !common::python_is_there() {
        return;
    }
    let broken = [
        json!({"test_list": ["assert add(1, ) =="]}),
        json!({"test_list": ["import numpy\nassert numpy.allclose(add(1, 1), 2)"]}),
        json!({"test_list": ["from helpers import near\nassert near(add(1, 1), 2)"]}),
        json!({"test_list": ["assert 1 + 1 == 2"]}),
        json!({"test_list": ["add(1, 1)"]}),
        json!({"test_list": ["add(1, 1)\nwhile True:\n    assert True"]}),
        json!({"test": "def check(candidate):\n    assert candidate(1, 1) == 2", "entry_point": "add the numbers"}),
        json!({"test_list": []}),
    ];
    for columns in broken {
        assert_eq!(score(&code(false), &columns, HONEST), None, "{columns}");
    }
}

#[test]
fn a_judgement_that_nobody_waits_for_is_killed() {
    if !common::python_is_there() {
        return;
    }
    // One worker, and fuel and time for hours: only the attempt ends it.
    let sandbox = std::sync::Arc::new(dunwu_sandbox::Sandbox::new(1).unwrap());
    let config = CodeConfig {
        extraction: CodeExtraction::Whole,
        fuel: Some(u64::MAX / 4),
        wall_time_s: 3600.0,
        ..Default::default()
    };
    let code = Code::from_config(&config).unwrap().with_sandbox(sandbox);
    let forms = forms();
    for form in ["asserts", "check", "stdio"] {
        let columns = &forms.iter().find(|(name, _)| *name == form).unwrap().1;
        let task = Task::new("add", Prompt::Text("Write add(a, b).".to_owned()), "")
            .with_columns(columns.as_object().unwrap().clone());
        let hang = "def add(a, b):\n    while True:\n        pass\nif __name__ == '__main__':\n    add(1, 2)\n";
        let judged = |program: &str, attempt: &Attempt| {
            code.score_in_parts(&Sample::new(&task, program), attempt)
        };
        let start = Instant::now();
        let late = judged(hang, &Attempt::within(Duration::from_secs(2))).unwrap_err();
        assert_eq!(late.fault(), Fault::Host, "{form}: {late}");
        assert!(late.to_string().contains("cancelled"), "{form}: {late}");

        let attempt = Attempt::unlimited();
        let canceller = attempt.clone();
        let helper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            canceller.cancel();
        });
        let given_up = judged(hang, &attempt).unwrap_err();
        helper.join().unwrap();
        assert!(
            given_up.to_string().contains("cancelled"),
            "{form}: {given_up}"
        );
        assert!(start.elapsed() < Duration::from_secs(60), "{form}");

        // The worker is free for the next one.
        let honest = judged(HONEST, &Attempt::unlimited()).unwrap().unwrap();
        assert_eq!(honest.value, 1.0, "{form}: {honest:?}");
    }
}
