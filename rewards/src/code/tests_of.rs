//! The tests in a task's columns, in the forms that data sets use.

use dunwu_datasets::Task;
use dunwu_sandbox::python::Case;
use serde::Deserialize;
use serde_json::Value;

use super::extract::CodeExtraction;

/// A program is given this input and must write this output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StdioCase {
    /// Standard input.
    pub input: String,
    /// What must stand on standard output; see [`same_output`].
    pub output: String,
}

/// Python statements that test functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// Statements before each test, on the tests' side.
    pub(super) setup: String,
    /// Whether the solution needs them too.
    pub(super) prelude_in_solution: bool,
    /// The function under test, if it is known.
    pub(super) entry_point: Option<String>,
    /// The tests.
    pub(super) cases: Vec<Case>,
}

/// A task's tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tests {
    /// Inputs and outputs of a program.
    Stdio(Vec<StdioCase>),
    /// Tests of functions.
    Python(Suite),
}

/// Why a task's tests cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestsError {
    /// A column has another shape than its name promises.
    #[error("column {column}: {reason}")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong.
        reason: String,
    },
}

fn wrong(column: &'static str, reason: impl std::fmt::Display) -> TestsError {
    TestsError::Column {
        column,
        reason: reason.to_string(),
    }
}

impl Tests {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Stdio(cases) => cases.len(),
            Self::Python(suite) => suite.cases.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole program: with the prompt before it, where it continues the prompt.
    pub(super) fn complete(
        &self,
        task: &Task,
        program: &str,
        extraction: CodeExtraction,
    ) -> String {
        match extraction {
            CodeExtraction::Continuation | CodeExtraction::FunctionBody => {
                format!("{}{program}", task.prompt.problem_text())
            }
            _ => program.to_owned(),
        }
    }
}

/// The tests of `task`, if it has any. The columns decide:
///
/// - `verification_info` (open-r1): `{"language", "test_cases": [{"input", "output", "type", "fn_name"}]}`,
///   an object or its JSON text; `type` is `stdin_stdout` or `function_call`
/// - `test` and `entry_point` (HumanEval): a function `check(candidate)`
/// - `test_list` (MBPP), with `test_setup_code` or `test_imports`: assertions, each a test
///
/// # Errors
/// [`TestsError`] naming the column. A task without tests is none; a task whose tests are broken is
/// an error.
pub fn tests_of(task: &Task) -> Result<Option<Tests>, TestsError> {
    let column = |name: &str| task.columns.get(name).filter(|value| !value.is_null());
    if let Some(info) = column("verification_info") {
        return verification_info(info).map(Some);
    }
    if let (Some(test), Some(entry_point)) = (column("test"), column("entry_point")) {
        let test = text("test", test)?;
        let entry_point = text("entry_point", entry_point)?;
        return Ok(Some(Tests::Python(Suite {
            setup: check_setup(&task.prompt.problem_text(), entry_point),
            prelude_in_solution: false,
            entry_point: Some(entry_point.to_owned()),
            cases: vec![Case {
                code: format!("{test}\ncheck(candidate)\n"),
            }],
        })));
    }
    let Some(list) = column("test_list") else {
        return Ok(None);
    };
    let list = list
        .as_array()
        .ok_or_else(|| wrong("test_list", "expected a list of assertions"))?;
    let mut cases = Vec::with_capacity(list.len());
    for test in list {
        let code = text("test_list", test)?.to_owned();
        cases.push(Case { code });
    }
    if cases.is_empty() {
        return Err(wrong("test_list", "is empty"));
    }
    let mut setup = String::new();
    if let Some(code) = column("test_setup_code") {
        setup.push_str(text("test_setup_code", code)?);
    }
    if let Some(imports) = column("test_imports") {
        let imports = imports
            .as_array()
            .ok_or_else(|| wrong("test_imports", "expected a list of import statements"))?;
        for import in imports {
            setup.push('\n');
            setup.push_str(text("test_imports", import)?);
        }
    }
    // Imports are meant for the solution as well; other statements are a part of every test.
    let only_imports = setup
        .lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with("import ") || line.starts_with("from "));
    if !only_imports {
        for case in &mut cases {
            case.code = format!("{setup}\n{}", case.code);
        }
        setup.clear();
    }
    Ok(Some(Tests::Python(Suite {
        prelude_in_solution: !setup.trim().is_empty(),
        setup,
        entry_point: None,
        cases,
    })))
}

/// What HumanEval's prompt defines beside the function under test: helpers that its checks call.
fn check_setup(prompt: &str, entry_point: &str) -> String {
    let code = match super::extract_code(prompt, CodeExtraction::LastBlockOrWhole, false) {
        Some(code) if code.contains(&format!("def {entry_point}")) => code,
        _ => return String::new(),
    };
    // The prompt ends within the function: its docstring makes it whole, and if it has none this does.
    format!("{}\n    pass\n", code.trim_end())
}

fn text<'a>(column: &'static str, value: &'a Value) -> Result<&'a str, TestsError> {
    value
        .as_str()
        .ok_or_else(|| wrong(column, "expected a string"))
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    language: Option<String>,
    test_cases: Vec<InfoCase>,
}

#[derive(Deserialize)]
struct InfoCase {
    input: Value,
    output: Value,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    fn_name: Option<String>,
}

fn verification_info(value: &Value) -> Result<Tests, TestsError> {
    const COLUMN: &str = "verification_info";
    let info: Info = match value {
        Value::String(text) => serde_json::from_str(text),
        other => Info::deserialize(other),
    }
    .map_err(|error| wrong(COLUMN, error))?;
    if let Some(language) = info.language.as_deref()
        && !["python", "python3", "py"].contains(&language.to_ascii_lowercase().as_str())
    {
        return Err(wrong(
            COLUMN,
            format!("language is {language:?}: expected \"python\""),
        ));
    }
    if info.test_cases.is_empty() {
        return Err(wrong(COLUMN, "test_cases is empty"));
    }
    let is_call = |case: &InfoCase| match case.kind.as_deref() {
        Some("function_call") => Ok(true),
        Some("stdin_stdout" | "stdin") => Ok(false),
        None => Ok(case.fn_name.is_some()),
        Some(other) => Err(wrong(
            COLUMN,
            format!("type is {other:?}: expected \"stdin_stdout\" or \"function_call\""),
        )),
    };
    let calls = info
        .test_cases
        .iter()
        .map(is_call)
        .collect::<Result<Vec<_>, _>>()?;
    if calls.iter().all(|call| !call) {
        let cases = info.test_cases.iter().map(|case| {
            Ok(StdioCase {
                input: lines(&case.input)?,
                output: lines(&case.output)?,
            })
        });
        return Ok(Tests::Stdio(cases.collect::<Result<_, TestsError>>()?));
    }
    if !calls.iter().all(|call| *call) {
        return Err(wrong(COLUMN, "test cases of both types in one task"));
    }
    let name = info.test_cases[0].fn_name.clone();
    let name = name.ok_or_else(|| wrong(COLUMN, "a function_call without fn_name"))?;
    let cases = info.test_cases.iter().map(|case| call(case, &name));
    Ok(Tests::Python(Suite {
        setup: "import json".to_owned(),
        prelude_in_solution: false,
        entry_point: Some(name.clone()),
        cases: cases.collect::<Result<_, _>>()?,
    }))
}

/// Text for a standard stream: lists of lines are joined.
fn lines(value: &Value) -> Result<String, TestsError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            Ok(items.collect::<Vec<_>>().join("\n"))
        }
        _ => Err(wrong(
            "verification_info",
            "input and output must be strings or lists of lines",
        )),
    }
}

/// A call with JSON arguments: a list of them, or its text, one argument a line. Answers are compared
/// as JSON would have it: a tuple is a list.
fn call(case: &InfoCase, name: &str) -> Result<Case, TestsError> {
    if case.fn_name.as_deref().is_some_and(|other| other != name) {
        return Err(wrong(
            "verification_info",
            "two values of fn_name in one task",
        ));
    }
    let arguments = match &case.input {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Array(_)) if !text.trim().contains('\n') => value,
            _ => Value::Array(
                text.lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(|line| {
                        serde_json::from_str(line).unwrap_or(Value::String(line.to_owned()))
                    })
                    .collect(),
            ),
        },
        value @ Value::Array(_) => value.clone(),
        _ => {
            return Err(wrong(
                "verification_info",
                "input must be a list of arguments",
            ));
        }
    };
    let expected = match &case.output {
        Value::String(text) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
        }
        other => other.clone(),
    };
    // A JSON string is a Python string literal: serde_json escapes nothing that Python reads otherwise.
    let literal = |value: &Value| Value::String(value.to_string()).to_string();
    Ok(Case {
        code: format!(
            "assert __same_answer__(candidate(*json.loads({})), json.loads({}))",
            literal(&arguments),
            literal(&expected)
        ),
    })
}

/// Whether a program wrote what was expected: the same lines, white space at their ends and empty
/// lines at the end of the text aside.
pub fn same_output(found: &str, expected: &str) -> bool {
    fn trimmed(text: &str) -> impl Iterator<Item = &str> {
        text.trim_end().lines().map(str::trim_end)
    }
    trimmed(found).eq(trimmed(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::Prompt;

    fn task(columns: &str) -> Task {
        Task::new("t", Prompt::Text("Write it.".to_owned()), "")
            .with_columns(serde_json::from_str(columns).unwrap())
    }

    #[test]
    fn columns_are_read() {
        let stdio = r#"{"verification_info":{"language":"python","test_cases":[{"input":"1\n","output":"2","type":"stdin_stdout"}]}}"#;
        let Some(Tests::Stdio(cases)) = tests_of(&task(stdio)).unwrap() else {
            panic!("stdio");
        };
        assert_eq!(
            (cases[0].input.as_str(), cases[0].output.as_str()),
            ("1\n", "2")
        );

        let call = r#"{"verification_info":"{\"test_cases\":[{\"fn_name\":\"f\",\"input\":[1,\"a\\n\"],\"output\":[2]}]}"}"#;
        let Some(Tests::Python(suite)) = tests_of(&task(call)).unwrap() else {
            panic!("call");
        };
        assert_eq!(suite.entry_point.as_deref(), Some("f"));
        assert_eq!(
            suite.cases[0].code,
            r#"assert __same_answer__(candidate(*json.loads("[1,\"a\\n\"]")), json.loads("[2]"))"#
        );

        let asserts = r#"{"test_list":["assert f(1) == 2"],"test_setup_code":"import math"}"#;
        let Some(Tests::Python(suite)) = tests_of(&task(asserts)).unwrap() else {
            panic!("asserts");
        };
        assert_eq!(
            (suite.setup.as_str(), suite.cases.len()),
            ("import math", 1)
        );
        assert!(tests_of(&task("{}")).unwrap().is_none());
    }

    #[test]
    fn broken_columns_are_errors() {
        let cases = [
            (
                r#"{"test_list":"assert 1"}"#,
                "column test_list: expected a list of assertions",
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
        ];
        for (columns, expected) in cases {
            assert_eq!(tests_of(&task(columns)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn white_space_at_the_ends_is_forgiven() {
        assert!(same_output("1 \n2\n\n", "1\n2"));
        assert!(same_output("", "\n"));
        assert!(!same_output("1\n\n2", "1\n2"));
        assert!(!same_output(" 1", "1"));
    }
}
