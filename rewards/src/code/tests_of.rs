//! The tests in a task's columns, in the forms that data sets use.

use dunwu_datasets::Task;
use dunwu_sandbox::python::Case;
use serde_json::Value;

use super::choose::identifiers;
use super::columns;
use super::extract::CodeExtraction;
use super::suite::{Suite, Tests, TestsError, wrong};

/// The columns that [`tests_of`] reads, for those who look for tests and find none.
pub const TEST_COLUMNS: &str = "verification_info (open-r1), test_list (MBPP), test with entry_point (HumanEval, LeetCodeDataset, BigCodeBench), \
     test (KodCode), input_output (APPS, TACO), test_cases (AceCoder), public_tests, private_tests and generated_tests (CodeContests), \
     public_test_cases and private_test_cases (LiveCodeBench), reward_model (Eurus-2)";

impl Tests {
    /// The whole program: with the prompt before it, where it continues the prompt.
    pub(super) fn complete(
        &self,
        task: &Task,
        program: &str,
        extraction: CodeExtraction,
    ) -> String {
        match extraction {
            CodeExtraction::Continuation | CodeExtraction::FunctionBody => {
                format!("{}{program}", question(task))
            }
            _ => program.to_owned(),
        }
    }
}

/// The task's question as its data set has it, without what a template puts around it.
fn question(task: &Task) -> String {
    match task.columns.get("code_prompt") {
        Some(Value::String(question)) => question.clone(),
        _ => task.prompt.problem_text(),
    }
}

/// The tests of `task`, if it has any. The columns decide, in this order:
///
/// - `verification_info` (open-r1): `{"language", "test_cases": [{"input", "output", "type", "fn_name"}]}`,
///   an object or its JSON text; `type` is `stdin_stdout` or `function_call`
/// - `test` and `entry_point` (HumanEval, LeetCodeDataset, BigCodeBench): a function `check(candidate)`, or tests of any other form
/// - `test_list` (MBPP), with `test_setup_code` or `test_imports`: assertions, each a test
/// - `test` alone (KodCode): functions `test_…` that import from `solution`
/// - `input_output` (APPS, TACO), `reward_model` (Eurus-2): `{"inputs", "outputs", "fn_name"}`
/// - `public_test_cases`, `private_test_cases` (LiveCodeBench), with `metadata`
/// - `public_tests`, `private_tests`, `generated_tests` (CodeContests): `{"input", "output"}`
/// - `test_cases` (AceCoder): assertions
///
/// # Errors
/// [`TestsError`] naming the column. A task without tests is none; a task whose tests are broken is
/// an error.
pub fn tests_of(task: &Task) -> Result<Option<Tests>, TestsError> {
    let column = |name: &'static str| {
        let value = task.columns.get(name).filter(|value| !value.is_null());
        value.map(|value| (name, value))
    };
    let present =
        |names: [&'static str; 3]| names.into_iter().filter_map(column).collect::<Vec<_>>();
    if let Some(found) = column("verification_info") {
        return columns::tests(found.0, columns::verification_info(found)?).map(Some);
    }
    if let (Some(test), Some(entry_point)) = (column("test"), column("entry_point")) {
        return check(task, text(test)?, text(entry_point)?).map(Some);
    }
    if let Some(list) = column("test_list") {
        return assertions(task, strings(list)?, list.0).map(Some);
    }
    if let Some(test) = column("test")
        && let Some(code) = test.1.as_str()
    {
        return Ok(Some(Tests::Python(Suite {
            cases: vec![Case {
                code: code.to_owned(),
            }],
            ..Suite::default()
        })));
    }
    if let Some(found) = column("input_output") {
        return columns::tests(found.0, columns::input_output(found)?).map(Some);
    }
    let live = present(["public_test_cases", "private_test_cases", ""]);
    if !live.is_empty() {
        let found = columns::live_code_bench(&live, task.columns.get("metadata"))?;
        return columns::tests("public_test_cases", found).map(Some);
    }
    let contests = present(["public_tests", "private_tests", "generated_tests"]);
    if !contests.is_empty() {
        return columns::tests("public_tests", columns::code_contests(&contests)?).map(Some);
    }
    if let Some(found) = column("test_cases") {
        return match columns::test_cases(found)? {
            Ok(list) => assertions(task, list, found.0).map(Some),
            Err(found_io) => columns::tests(found.0, found_io).map(Some),
        };
    }
    if let Some(("reward_model", model)) = column("reward_model")
        && let Some(truth) = model.get("ground_truth")
        && let Some(lists) = as_lists(truth)
    {
        return columns::tests(
            "reward_model",
            columns::input_output(("reward_model", &lists))?,
        )
        .map(Some);
    }
    Ok(None)
}

/// Eurus-2's ground truth if it is that of a program: one of a mathematical answer is no list of inputs.
fn as_lists(truth: &Value) -> Option<Value> {
    let found = match truth {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    found.get("inputs").is_some().then_some(truth.clone())
}

/// Tests of a function whose name is known.
fn check(task: &Task, test: &str, entry_point: &str) -> Result<Tests, TestsError> {
    let checks = identifiers(test).any(|word| word == "check");
    let called = if checks { "\ncheck(candidate)\n" } else { "" };
    Ok(Tests::Python(Suite {
        setup: String::new(),
        prompt: Some(prompt_code(&question(task))),
        entry_point: Some(entry_point.to_owned()),
        cases: vec![Case {
            code: format!("{test}{called}"),
        }],
    }))
}

/// Assertions, each a test.
fn assertions(task: &Task, list: Vec<String>, name: &'static str) -> Result<Tests, TestsError> {
    if list.is_empty() {
        return Err(wrong(name, "is empty"));
    }
    let mut setup = String::new();
    if let Some(code) = task
        .columns
        .get("test_setup_code")
        .filter(|code| !code.is_null())
    {
        setup.push_str(text(("test_setup_code", code))?);
    }
    if let Some(imports) = task
        .columns
        .get("test_imports")
        .filter(|list| !list.is_null())
    {
        for import in strings(("test_imports", imports))? {
            setup.push('\n');
            setup.push_str(&import);
        }
    }
    Ok(Tests::Python(Suite {
        setup,
        cases: list.into_iter().map(|code| Case { code }).collect(),
        ..Suite::default()
    }))
}

/// A prompt, or the code in its last block: what HumanEval's prompt defines beside the function under test, and LeetCodeDataset's
/// classes. The tests' side finds out whether it is Python.
fn prompt_code(prompt: &str) -> String {
    super::extract_code(prompt, CodeExtraction::LastBlockOrWhole, false)
        .unwrap_or_else(|| prompt.to_owned())
}

fn text<'a>((name, value): (&'static str, &'a Value)) -> Result<&'a str, TestsError> {
    value
        .as_str()
        .ok_or_else(|| wrong(name, "expected a string"))
}

/// A list of strings, or the JSON text of one.
fn strings((name, value): (&'static str, &Value)) -> Result<Vec<String>, TestsError> {
    let list = match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let expected = || wrong(name, "expected a list of strings");
    let items = list.as_array().ok_or_else(expected)?;
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(expected))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::Prompt;

    fn task(columns: &str) -> Task {
        Task::new("t", Prompt::Text("Write it.".to_owned()), "")
            .with_columns(serde_json::from_str(columns).unwrap())
    }

    fn read(columns: &str) -> Tests {
        tests_of(&task(columns)).unwrap().unwrap()
    }

    #[test]
    fn programs_are_read_from_the_columns_of_known_data_sets() {
        let columns = [
            r#"{"verification_info":{"language":"python","test_cases":[{"input":"1\n","output":"2","type":"stdin_stdout"}]}}"#,
            r#"{"input_output":"{\"inputs\":[\"1\\n\"],\"outputs\":[\"2\"]}"}"#,
            r#"{"input_output":{"inputs":[["1",""]],"outputs":[["2"]]}}"#,
            r#"{"reward_model":{"style":"rule","ground_truth":"{\"inputs\":[\"1\\n\"],\"outputs\":[\"2\"]}"}}"#,
            r#"{"public_tests":{"input":["1\n"],"output":["2"]},"private_tests":{"input":[],"output":[]},"generated_tests":null}"#,
            r#"{"public_test_cases":"[{\"input\":\"1\\n\",\"output\":\"2\",\"testtype\":\"stdin\"}]","private_test_cases":"[]"}"#,
            r#"{"test_cases":[{"input":"1\n","output":"2"}]}"#,
        ];
        for columns in columns {
            let Tests::Stdio(cases) = read(columns) else {
                panic!("{columns}");
            };
            let found = (cases[0].input.as_str(), cases[0].output.as_str());
            assert_eq!((cases.len(), found), (1, ("1\n", "2")), "{columns}");
        }
    }

    #[test]
    fn calls_are_read_from_the_columns_of_known_data_sets() {
        let columns = [
            r#"{"verification_info":"{\"test_cases\":[{\"fn_name\":\"f\",\"input\":[[7,1],\"a\"],\"output\":[2]}]}"}"#,
            r#"{"verification_info":{"test_cases":[{"fn_name":"f","input":"[7,1]\n\"a\"","output":"[2]","type":"function_call"}]}}"#,
            r#"{"input_output":{"fn_name":"f","inputs":[[[7,1],"a"]],"outputs":[[2]]}}"#,
            r#"{"public_test_cases":[{"input":"[7,1]\n\"a\"","output":"[2]","testtype":"functional"}],"metadata":"{\"func_name\":\"f\"}"}"#,
        ];
        for columns in columns {
            let Tests::Python(suite) = read(columns) else {
                panic!("{columns}");
            };
            assert_eq!(suite.entry_point.as_deref(), Some("f"));
            let begin = r#"__found__ = candidate(*json.loads("[[7,1],\"a\"]"))"#;
            assert!(
                suite.cases[0].code.starts_with(begin),
                "{}",
                suite.cases[0].code
            );
            assert!(suite.cases[0].code.contains(r#"json.loads("[2]")"#));
        }
        let one = r#"{"public_test_cases":[{"input":"[7,1]","output":"2","testtype":"functional"}],"metadata":{"func_name":"f"}}"#;
        let Tests::Python(suite) = read(one) else {
            panic!("one argument");
        };
        assert!(suite.cases[0].code.contains(r#"json.loads("[[7,1]]")"#));
    }

    #[test]
    fn python_tests_are_read() {
        let list = r#"{"test_list":["assert f(1) == 2"],"test_setup_code":"import math"}"#;
        let Tests::Python(suite) = read(list) else {
            panic!("asserts");
        };
        assert_eq!(
            (suite.setup.as_str(), suite.cases.len()),
            ("import math", 1)
        );
        for columns in [
            r#"{"test_cases":["assert f(1) == 2"]}"#,
            r#"{"test_cases":"[\"assert f(1) == 2\"]"}"#,
            r#"{"test":"from solution import f\ndef test_f():\n    assert f(1) == 2","test_info":[]}"#,
            r#"{"test":"def check(candidate):\n    assert candidate(1) == 2","entry_point":"f"}"#,
        ] {
            let Tests::Python(suite) = read(columns) else {
                panic!("{columns}");
            };
            assert_eq!(suite.cases.len(), 1);
            let checks = suite.cases[0].code.ends_with("check(candidate)\n");
            assert_eq!(checks, columns.contains("def check"));
        }
        assert!(tests_of(&task("{}")).unwrap().is_none());
        let answer = r#"{"reward_model":{"ground_truth":"42"}}"#;
        assert!(tests_of(&task(answer)).unwrap().is_none());
    }

    #[test]
    fn whole_numbers_keep_their_digits() {
        let columns = r#"{"verification_info":"{\"test_cases\":[{\"fn_name\":\"f\",\"input\":[1180591620717411303425],\"output\":1180591620717411303426}]}"}"#;
        let Tests::Python(suite) = read(columns) else {
            panic!("a call");
        };
        assert!(suite.cases[0].code.contains("[1180591620717411303425]"));
        assert!(suite.cases[0].code.contains("\"1180591620717411303426\""));
        let lossy = r#"{"verification_info":{"test_cases":[{"fn_name":"f","input":[1],"output":1180591620717411303426}]}}"#;
        let error = tests_of(&task(lossy)).unwrap_err().to_string();
        assert!(
            error.contains("hint: give the column as JSON text"),
            "{error}"
        );
    }

    #[test]
    fn broken_columns_are_errors() {
        let cases = [
            (
                r#"{"test_list":"assert 1"}"#,
                "column test_list: expected a list of strings",
            ),
            (r#"{"test_list":[]}"#, "column test_list: is empty"),
            (
                r#"{"verification_info":{"language":"cpp","test_cases":[]}}"#,
                "column verification_info: language is \"cpp\": expected \"python\"",
            ),
            (
                r#"{"verification_info":{"test_cases":[]}}"#,
                "column verification_info: test_cases is empty",
            ),
            (
                r#"{"input_output":{"inputs":["1"],"outputs":[]}}"#,
                "column input_output: 1 inputs and 0 outputs: expected as many of both, and at least one",
            ),
            (
                r#"{"private_test_cases":"eJxrYJ"}"#,
                "column private_test_cases: is compressed; hint: write it as JSON, as the data set's own loader gives it",
            ),
        ];
        for (columns, expected) in cases {
            assert_eq!(tests_of(&task(columns)).unwrap_err().to_string(), expected);
        }
    }
}
