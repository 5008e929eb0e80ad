//! The columns in which known data sets keep inputs and outputs.
//!
//! All of them become a list of [`Io`]: what goes in, what comes out, and the function that is called, if it is one.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::suite::{StdioCase, Suite, Tests, TestsError, wrong};
use dunwu_sandbox::python::Case;

/// An input and its output.
pub(super) struct Io {
    input: Given,
    output: Given,
    /// The function or method that is called; a program is run if there is none.
    function: Option<String>,
    /// Whether a text holds one argument a line even if it is a list on one line.
    by_line: bool,
}

/// A value with the text that it was read from, if it was read from one: a text has all digits of whole numbers.
struct Given {
    value: Value,
    text: Option<String>,
}

impl From<Value> for Given {
    fn from(value: Value) -> Self {
        Self { value, text: None }
    }
}

type Column<'a> = (&'static str, &'a Value);

/// JSON text, or the JSON that it stands for.
///
/// Integers beyond 64 bits keep their digits in a text only: `Value` has none for them.
fn parsed<T: for<'de> Deserialize<'de>>((name, value): Column<'_>) -> Result<T, TestsError> {
    match value {
        Value::String(text) => serde_json::from_str(text),
        other => {
            exact(name, &Given::from(other.clone()))?;
            serde_json::from_str(&other.to_string())
        }
    }
    .map_err(|error| wrong(name, error))
}

/// open-r1's `verification_info`: `{"language", "test_cases": [{"input", "output", "type", "fn_name"}]}`.
pub(super) fn verification_info(column: Column<'_>) -> Result<Vec<Io>, TestsError> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        language: Option<String>,
        test_cases: Vec<InfoCase>,
    }
    let info: Info = parsed(column)?;
    if let Some(language) = info.language.as_deref()
        && !["python", "python3", "py"].contains(&language.to_ascii_lowercase().as_str())
    {
        return Err(wrong(
            column.0,
            format!("language is {language:?}: expected \"python\""),
        ));
    }
    cases(column.0, info.test_cases)
}

#[derive(Deserialize)]
struct InfoCase {
    input: Box<RawValue>,
    output: Box<RawValue>,
    #[serde(default, rename = "type", alias = "testtype")]
    kind: Option<String>,
    #[serde(default)]
    fn_name: Option<String>,
}

/// Lists of objects with `input` and `output`, and `type` or `fn_name` for calls.
fn cases(name: &'static str, list: Vec<InfoCase>) -> Result<Vec<Io>, TestsError> {
    if list.is_empty() {
        return Err(wrong(name, "test_cases is empty"));
    }
    list.into_iter()
        .map(|case| {
            let function = match case.kind.as_deref() {
                Some("function_call" | "functional") => Some(
                    case.fn_name
                        .ok_or_else(|| wrong(name, "a function_call without fn_name"))?,
                ),
                Some("stdin_stdout" | "stdin") => None,
                None => case.fn_name,
                Some(other) => {
                    return Err(wrong(
                        name,
                        format!(
                            "type is {other:?}: expected \"stdin_stdout\" or \"function_call\""
                        ),
                    ));
                }
            };
            Ok(Io {
                input: raw(&case.input),
                output: raw(&case.output),
                function,
                by_line: false,
            })
        })
        .collect()
}

fn raw(value: &RawValue) -> Given {
    Given {
        value: serde_json::from_str(value.get()).unwrap_or(Value::Null),
        text: Some(value.get().to_owned()),
    }
}

/// `input_output` of APPS and TACO, `reward_model.ground_truth` of Eurus-2: `{"inputs", "outputs", "fn_name"}`, or their text.
pub(super) fn input_output(column: Column<'_>) -> Result<Vec<Io>, TestsError> {
    #[derive(Deserialize)]
    struct Lists {
        inputs: Vec<Value>,
        outputs: Vec<Value>,
        #[serde(default)]
        fn_name: Option<String>,
    }
    let lists: Lists = parsed(column)?;
    pairs(column.0, lists.inputs, lists.outputs, lists.fn_name)
}

fn pairs(
    name: &'static str,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    function: Option<String>,
) -> Result<Vec<Io>, TestsError> {
    if inputs.is_empty() || inputs.len() != outputs.len() {
        return Err(wrong(
            name,
            format!(
                "{} inputs and {} outputs: expected as many of both, and at least one",
                inputs.len(),
                outputs.len()
            ),
        ));
    }
    Ok(inputs
        .into_iter()
        .zip(outputs)
        .map(|(input, output)| Io {
            input: input.into(),
            output: output.into(),
            function: function.clone(),
            by_line: false,
        })
        .collect())
}

/// CodeContests: `{"input": […], "output": […]}` in each of `columns`.
pub(super) fn code_contests(columns: &[Column<'_>]) -> Result<Vec<Io>, TestsError> {
    #[derive(Deserialize)]
    struct Lists {
        input: Vec<Value>,
        output: Vec<Value>,
    }
    let mut found = Vec::new();
    for column in columns {
        let lists: Lists = parsed(*column)?;
        if !lists.input.is_empty() || !lists.output.is_empty() {
            found.extend(pairs(column.0, lists.input, lists.output, None)?);
        }
    }
    if found.is_empty() {
        return Err(wrong(
            "public_tests",
            "has no test, and neither have private_tests and generated_tests",
        ));
    }
    Ok(found)
}

/// LiveCodeBench: `public_test_cases` and `private_test_cases`, lists of `{"input", "output", "testtype"}` or their text; the function's
/// name is `func_name` of the column `metadata`.
pub(super) fn live_code_bench(
    columns: &[Column<'_>],
    metadata: Option<&Value>,
) -> Result<Vec<Io>, TestsError> {
    #[derive(Deserialize)]
    struct LiveCase {
        input: String,
        output: String,
        #[serde(default)]
        testtype: Option<String>,
    }
    let metadata: Value = match metadata {
        Some(value) => parsed(("metadata", value))?,
        None => Value::Null,
    };
    let function = metadata["func_name"].as_str().map(str::to_owned);
    let mut found = Vec::new();
    for column in columns {
        if let Value::String(text) = column.1
            && !text.trim_start().starts_with('[')
        {
            return Err(wrong(
                column.0,
                "is compressed; hint: write it as JSON, as the data set's own loader gives it",
            ));
        }
        let list: Vec<LiveCase> = parsed(*column)?;
        for case in list {
            let calls = case.testtype.as_deref() == Some("functional");
            if calls && function.is_none() {
                return Err(wrong(
                    column.0,
                    "a functional test, and metadata has no func_name",
                ));
            }
            found.push(Io {
                input: Value::String(case.input).into(),
                output: Value::String(case.output).into(),
                function: function.clone().filter(|_| calls),
                by_line: true,
            });
        }
    }
    if found.is_empty() {
        return Err(wrong("public_test_cases", "is empty"));
    }
    Ok(found)
}

/// `test_cases` of AceCoder: assertions; or a list of objects with `input` and `output`.
pub(super) fn test_cases(column: Column<'_>) -> Result<Result<Vec<String>, Vec<Io>>, TestsError> {
    if let Ok(list) = parsed::<Vec<String>>(column) {
        if list.is_empty() {
            return Err(wrong(column.0, "is empty"));
        }
        return Ok(Ok(list));
    }
    if let Ok(list) = parsed::<Vec<InfoCase>>(column) {
        return cases(column.0, list).map(Err);
    }
    input_output(column).map(Err)
}

/// Tests of `found`: of programs if nothing is called, of one function otherwise.
pub(super) fn tests(name: &'static str, found: Vec<Io>) -> Result<Tests, TestsError> {
    if found.iter().all(|io| io.function.is_none()) {
        let cases = found.iter().map(|io| {
            Ok(StdioCase {
                input: lines(name, &io.input.value)?,
                output: lines(name, &io.output.value)?,
            })
        });
        return Ok(Tests::Stdio(cases.collect::<Result<_, TestsError>>()?));
    }
    let function = found[0].function.clone();
    let Some(function) = function.filter(|_| found.iter().all(|io| io.function.is_some())) else {
        return Err(wrong(name, "test cases of both types in one task"));
    };
    if found
        .iter()
        .any(|io| io.function.as_ref() != Some(&function))
    {
        return Err(wrong(name, "two values of fn_name in one task"));
    }
    let cases = found.iter().map(|io| call(name, io));
    Ok(Tests::Python(Suite {
        setup: "import json".to_owned(),
        entry_point: Some(function),
        cases: cases.collect::<Result<_, _>>()?,
        ..Suite::default()
    }))
}

/// Text for a standard stream: lists of lines are joined.
fn lines(name: &'static str, value: &Value) -> Result<String, TestsError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            Ok(items.collect::<Vec<_>>().join("\n"))
        }
        _ => Err(wrong(
            name,
            "input and output must be strings or lists of lines",
        )),
    }
}

/// A call with JSON arguments: a list of them, or its text, one argument a line. Answers are compared as JSON would have it: a tuple is a
/// list; and an answer may be written as a list of one, as APPS does.
fn call(name: &'static str, io: &Io) -> Result<Case, TestsError> {
    let arguments = match &io.input.value {
        Value::String(text) => text_arguments(text, io.by_line),
        Value::Array(_) => exact(name, &io.input)?,
        _ => return Err(wrong(name, "input must be a list of arguments")),
    };
    let expected = match &io.output.value {
        Value::String(text) => match serde_json::from_str::<Box<RawValue>>(text.trim()) {
            Ok(value) => value.get().to_owned(),
            Err(_) => Value::String(text.clone()).to_string(),
        },
        _ => exact(name, &io.output)?,
    };
    // A JSON string is a Python string literal: serde_json escapes nothing that Python reads otherwise.
    let literal = |text: &str| Value::String(text.to_owned()).to_string();
    Ok(Case {
        code: format!(
            "__found__ = candidate(*json.loads({}))\n__expected__ = json.loads({})\nassert __same_answer__(__found__, __expected__) or type(__expected__) is list and len(__expected__) == 1 and __same_answer__(__found__, __expected__[0])",
            literal(&arguments),
            literal(&expected)
        ),
    })
}

/// Arguments in a text: a list on one line, or one argument a line; what is no JSON is a string.
fn text_arguments(text: &str, by_line: bool) -> String {
    let trimmed = text.trim();
    let list = serde_json::from_str::<Vec<&RawValue>>(trimmed);
    if list.is_ok() && !by_line && !trimmed.contains('\n') {
        return trimmed.to_owned();
    }
    let arguments = trimmed
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match serde_json::from_str::<Box<RawValue>>(line) {
            Ok(value) => value.get().to_owned(),
            Err(_) => Value::String(line.to_owned()).to_string(),
        });
    format!("[{}]", arguments.collect::<Vec<_>>().join(","))
}

/// A value's text, unless a whole number in it has lost its digits: JSON readers keep 64 bits.
fn exact(name: &'static str, given: &Given) -> Result<String, TestsError> {
    fn is_lossy(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_f64().is_some_and(|found| {
                number.is_f64() && found.abs() >= 2f64.powi(63) && found.is_finite()
            }),
            Value::Array(items) => items.iter().any(is_lossy),
            Value::Object(fields) => fields.values().any(is_lossy),
            _ => false,
        }
    }
    if let Some(text) = &given.text {
        return Ok(text.clone());
    }
    if is_lossy(&given.value) {
        return Err(wrong(
            name,
            "has a number beyond 64 bits, which has lost digits; hint: give the column as JSON text",
        ));
    }
    Ok(given.value.to_string())
}
