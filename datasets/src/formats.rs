//! Files of well-known benchmarks: which fields hold what, how the problem is put to a model, and which format a file has.
//!
//! | format | fields | answer |
//! |---|---|---|
//! | `gsm8k` | `question`, `answer` | what follows `####` |
//! | `math` | `problem`, `answer` (MATH-500) | as it is written |
//! | `svamp` | `Body`, `Question`, `Answer` | a number |
//! | `aime` | `problem` or `Problem`, `answer` or `Answer` | an integer from 0 to 999 |
//! | `humaneval` | `prompt`, `entry_point`, `test`, `canonical_solution` | tests |
//! | `mbpp` | `text` or `prompt`, `test_list`, `code` | tests |
//!
//! The problem becomes the prompt as it stands; [`DataFormat::template`] puts it to a model. What else a line has becomes columns
//! of the task, which judges read and a template may show.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::jsonl::lines::{Row, kind, read};
use crate::task::PromptStyle;
use crate::task::{Prompt, Task};
use crate::template::TemplateConfig;

/// Largest answer of an AIME problem.
const AIME_LARGEST: u64 = 999;

/// The format of a benchmark's file, as a config names it: `format = "gsm8k"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// Grade-school mathematics (arXiv 2110.14168).
    Gsm8k,
    /// Competition mathematics with a written answer (MATH, arXiv 2103.03874, and MATH-500).
    Math,
    /// Elementary word problems in two parts (arXiv 2103.07191).
    Svamp,
    /// The American Invitational Mathematics Examination: answers are integers from 0 to 999.
    Aime,
    /// Python functions to be completed (arXiv 2107.03374).
    Humaneval,
    /// Python functions from a sentence and three assertions (arXiv 2108.07732).
    Mbpp,
}

impl DataFormat {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Gsm8k,
        Self::Math,
        Self::Svamp,
        Self::Aime,
        Self::Humaneval,
        Self::Mbpp,
    ];

    /// The name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
            Self::Svamp => "svamp",
            Self::Aime => "aime",
            Self::Humaneval => "humaneval",
            Self::Mbpp => "mbpp",
        }
    }

    /// Whether programs are asked for, which tests decide, and not answers.
    pub fn is_code(self) -> bool {
        match self {
            Self::Humaneval | Self::Mbpp => true,
            Self::Gsm8k | Self::Math | Self::Svamp | Self::Aime => false,
        }
    }

    /// How a problem is put to a model unless something else is said.
    pub fn template(self, style: PromptStyle) -> TemplateConfig {
        let text = match (self, style) {
            (Self::Gsm8k | Self::Math | Self::Svamp, PromptStyle::Chat) => {
                "{question}\n\nThink step by step and put the final answer in \\boxed{}."
            }
            (Self::Aime, PromptStyle::Chat) => {
                "{question}\n\nThe answer is an integer from 0 to 999. Think step by step and put it in \\boxed{}."
            }
            (Self::Humaneval, PromptStyle::Chat) => {
                "Complete this Python function. Answer with one code block that holds the whole function and the imports that it needs.\n\n```python\n{question}```"
            }
            (Self::Mbpp, PromptStyle::Chat) => {
                "{question}\n\nIt has to pass these tests:\n```python\n{tests}\n```\nAnswer with one Python code block."
            }
            (Self::Gsm8k | Self::Math | Self::Svamp | Self::Aime, PromptStyle::Text) => {
                "Problem: {question}\n\nSolution, step by step, with the final answer in \\boxed{}:\n"
            }
            (Self::Humaneval, PromptStyle::Text) => "{question}",
            (Self::Mbpp, PromptStyle::Text) => {
                "{question}\n\nIt has to pass these tests:\n```python\n{tests}\n```\n\n```python\n"
            }
        };
        TemplateConfig {
            text: text.to_owned(),
            style,
            system: None,
        }
    }

    /// Whether `fields`, one line of a file, could be of this format.
    fn fits(self, fields: &Map<String, Value>) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
        match self {
            Self::Gsm8k => {
                let hashes =
                    |value: &Value| value.as_str().is_some_and(|text| text.contains("####"));
                has(&["question"]) && fields.get("answer").is_some_and(hashes)
            }
            Self::Math => has(&["problem"]) && has(&["answer"]),
            Self::Svamp => has(&["Body"]) && has(&["Question"]) && has(&["Answer"]),
            Self::Aime => {
                let answer = AIME_ANSWER.iter().find_map(|name| fields.get(*name));
                // MATH has these two beside its answers, of which some files hold integers only.
                has(&AIME_PROBLEM)
                    && answer.and_then(aime_answer).is_some()
                    && !(has(&["level"]) && has(&["subject", "type"]))
            }
            Self::Humaneval => has(&["prompt"]) && has(&["entry_point"]) && has(&["test"]),
            Self::Mbpp => has(&MBPP_PROBLEM) && has(&["test_list"]),
        }
    }
}

impl fmt::Display for DataFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Fields that hold an AIME problem, an AIME answer, the text of an MBPP problem.
const AIME_PROBLEM: [&str; 3] = ["problem", "Problem", "question"];
const AIME_ANSWER: [&str; 2] = ["answer", "Answer"];
const MBPP_PROBLEM: [&str; 2] = ["text", "prompt"];

/// The column with the assertions of MBPP in lines, for templates.
const MBPP_TESTS: &str = "tests";

/// The problems of a benchmark's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    /// The format that was named, or found.
    pub format: DataFormat,
    /// The problems, in the file's order.
    pub tasks: Vec<Task>,
}

/// Reads the benchmark in the JSON-lines file `path`. Without a `format` it is found by the fields of all lines.
///
/// # Errors
/// [`DatasetError`] with the file, the line and the field; [`DatasetError::UnknownFormat`] if no format, or none for all lines,
/// fits.
pub fn read_benchmark(path: &Path, format: Option<DataFormat>) -> Result<Benchmark, DatasetError> {
    let rows = read(path, Ok)?;
    let format = match format {
        Some(format) => format,
        None => detect(path, &rows)?,
    };
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut tasks = Vec::with_capacity(rows.len());
    for mut row in rows {
        let named = take_id(&mut row)?;
        let (field, id) = match named {
            Some((field, id)) => (field, id),
            None => ("id", format!("{file_name}:{}", row.line)),
        };
        if let Some(first) = lines.insert(id.clone(), row.line) {
            return Err(row.field_error(field, format!("{id:?} is on line {first} already")));
        }
        let (problem, answer) = problem(&mut row, format)?;
        tasks.push(Task {
            id,
            prompt: Prompt::Text(problem),
            answer,
            columns: row.fields,
        });
    }
    Ok(Benchmark { format, tasks })
}

/// The one format that every line fits.
fn detect(path: &Path, rows: &[Row<'_>]) -> Result<DataFormat, DatasetError> {
    let mut left = DataFormat::ALL.to_vec();
    for row in rows {
        left.retain(|format| format.fits(&row.fields));
        if left.is_empty() {
            return Err(DatasetError::UnknownFormat {
                path: path.to_owned(),
                line: row.line,
                fields: row.fields.keys().cloned().collect::<Vec<_>>().join(", "),
                known: DataFormat::ALL.map(DataFormat::name).join(", "),
            });
        }
    }
    // A file of integers from 0 to 999 is of both kinds; AIME's reader knows more of it.
    let aime = left.iter().find(|format| **format == DataFormat::Aime);
    Ok(*aime.unwrap_or(&left[0]))
}

/// Takes the problem and its answer out of `row`. Tests stay in its columns.
fn problem(row: &mut Row<'_>, format: DataFormat) -> Result<(String, String), DatasetError> {
    let column = |row: &Row<'_>, name| match row.fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    match format {
        DataFormat::Gsm8k => {
            let problem = row.take_text("question")?;
            let solution = row.take_text("answer")?;
            match solution.rsplit_once("####").map(|(_, last)| last.trim()) {
                None => Err(row.field_error("answer", "has no `####` before an answer")),
                Some("") => Err(row.field_error("answer", "has nothing after `####`")),
                Some(answer) => Ok((problem, answer.to_owned())),
            }
        }
        DataFormat::Math => Ok((row.take_text("problem")?, number_or_text(row, "answer")?)),
        DataFormat::Svamp => {
            let body = row.take_text("Body")?;
            let question = row.take_text("Question")?;
            // Bodies mostly lack the full stop between them and their question.
            let body = body.trim_end();
            let stop = if body.ends_with(['.', '?', '!', ',']) {
                ""
            } else {
                "."
            };
            let problem = format!("{body}{stop} {}", question.trim_start());
            Ok((problem, number_or_text(row, "Answer")?))
        }
        DataFormat::Aime => {
            let problem = take_text_of(row, &AIME_PROBLEM)?;
            let (field, value) = take_of(row, &AIME_ANSWER)?;
            match aime_answer(&value) {
                Some(answer) => Ok((problem, answer.to_string())),
                None => {
                    let reason =
                        format!("is {value}: expected an integer from 0 to {AIME_LARGEST}");
                    Err(row.field_error(field, reason))
                }
            }
        }
        DataFormat::Humaneval => {
            let problem = row.take_text("prompt")?;
            column_text(row, "entry_point")?;
            column_text(row, "test")?;
            let answer = format!("{problem}{}", column(row, "canonical_solution"));
            Ok((problem, answer))
        }
        DataFormat::Mbpp => {
            let problem = take_text_of(row, &MBPP_PROBLEM)?;
            let tests = assertions(row)?.join("\n");
            row.fields
                .insert(MBPP_TESTS.to_owned(), Value::String(tests));
            Ok((problem, column(row, "code")))
        }
    }
}

/// The assertions of MBPP.
fn assertions(row: &Row<'_>) -> Result<Vec<String>, DatasetError> {
    let list = match row.fields.get("test_list") {
        Some(Value::Array(list)) if list.is_empty() => {
            return Err(row.field_error("test_list", "is an empty list"));
        }
        Some(Value::Array(list)) => list,
        Some(other) => {
            let reason = format!("expected a list of assertions, got {}", kind(other));
            return Err(row.field_error("test_list", reason));
        }
        None => return Err(row.field_error("test_list", "is missing")),
    };
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        other => {
            let reason = format!("expected strings, got {}", kind(other));
            Err(row.field_error("test_list", reason))
        }
    };
    list.iter().map(text).collect()
}

/// The text of a field that stays a column.
fn column_text<'a>(row: &'a Row<'_>, field: &str) -> Result<&'a str, DatasetError> {
    match row.fields.get(field) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(other) => {
            let reason = format!("expected a string, got {}", kind(other));
            Err(row.field_error(field, reason))
        }
        None => Err(row.field_error(field, "is missing")),
    }
}

/// The first of `names` that the row has; an error about the first if it has none.
fn take_of<'n>(row: &mut Row<'_>, names: &[&'n str]) -> Result<(&'n str, Value), DatasetError> {
    let present = names.iter().find(|name| row.fields.contains_key(**name));
    let name = *present.unwrap_or(&names[0]);
    Ok((name, row.take(name)?))
}

fn take_text_of(row: &mut Row<'_>, names: &[&str]) -> Result<String, DatasetError> {
    let (name, value) = take_of(row, names)?;
    row.text(name, value)
}

/// An answer that is a number or a text. Numbers lose a fraction of zeros: SVAMP writes `51.0`.
fn number_or_text(row: &mut Row<'_>, field: &str) -> Result<String, DatasetError> {
    match row.take(field)? {
        Value::Number(number) => {
            let text = number.to_string();
            Ok(text.strip_suffix(".0").unwrap_or(&text).to_owned())
        }
        other => row.text(field, other),
    }
}

/// The integer that an AIME answer is, if it is one.
fn aime_answer(value: &Value) -> Option<u64> {
    let answer = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => {
            let digits = text.trim();
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok())??
        }
        _ => return None,
    };
    (answer <= AIME_LARGEST).then_some(answer)
}

/// The name of a problem, where the file has one.
fn take_id(row: &mut Row<'_>) -> Result<Option<(&'static str, String)>, DatasetError> {
    const NAMES: [&str; 5] = ["task_id", "unique_id", "ID", "id", "Problem ID"];
    let Some(name) = NAMES
        .into_iter()
        .find(|name| row.fields.contains_key(*name))
    else {
        return Ok(None);
    };
    match row.take(name)? {
        Value::Number(number) if !number.is_f64() => Ok(Some((name, number.to_string()))),
        other => Ok(Some((name, row.text(name, other)?))),
    }
}

#[cfg(test)]
mod tests;
