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
//! | `code` | a problem, and a column of tests: KodCode, APPS, TACO, open-r1, AceCoder, CodeContests, LiveCodeBench, Eurus-2 | tests |
//!
//! The problem becomes the prompt as it stands; [`DataFormat::template`] puts it to a model. What else a line has becomes columns
//! of the task, which judges read and a template may show.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::DatasetError;
use crate::jsonl::Ids;
use crate::rows::{DataFiles, Part, Row, Rows, kind};
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
    /// Programs and functions with tests in one of the columns that the code reward reads.
    Code,
}

impl DataFormat {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Gsm8k,
        Self::Math,
        Self::Svamp,
        Self::Aime,
        Self::Humaneval,
        Self::Mbpp,
        Self::Code,
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
            Self::Code => "code",
        }
    }

    /// Whether programs are asked for, which tests decide, and not answers.
    pub fn is_code(self) -> bool {
        match self {
            Self::Humaneval | Self::Mbpp | Self::Code => true,
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
            (Self::Code, PromptStyle::Chat) => {
                "{question}\n\nAnswer with one Python code block that holds the whole program."
            }
            (Self::Code, PromptStyle::Text) => "{question}\n\n```python\n",
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

    /// Whether `fields`, one row of a file, could be of this format.
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
            Self::Code => has(&CODE_PROBLEM) && has(&CODE_TESTS),
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

/// Fields that hold the problem of a program, and those that hold its tests; see `tests_of` of the rewards.
const CODE_PROBLEM: [&str; 9] = [
    "question",
    "query",
    "problem",
    "question_content",
    "description",
    "instruction",
    "prompt",
    "text",
    "problem_statement",
];
const CODE_TESTS: [&str; 9] = [
    "verification_info",
    "input_output",
    "test_cases",
    "public_tests",
    "public_test_cases",
    "reward_model",
    "test",
    "test_list",
    "private_tests",
];
/// Fields that hold a solution.
const CODE_SOLUTION: [&str; 6] = [
    "canonical_solution",
    "completion",
    "solution",
    "code",
    "gold_standard_solution",
    "solutions",
];

/// The column with the code that a prompt gives: tests need its definitions, whatever a template makes of the prompt.
const CODE_PROMPT: &str = "code_prompt";

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

/// Reads the benchmark in `path`, a file or a directory of shards. Without a `format` it is found by the fields of all rows.
///
/// # Errors
/// [`DatasetError`] with the file, the row and the field; [`DatasetError::UnknownFormat`] if no format, or none for all rows,
/// fits.
pub fn read_benchmark(path: &Path, format: Option<DataFormat>) -> Result<Benchmark, DatasetError> {
    let files = DataFiles::find(path, &Part::default())?;
    let format = match format {
        Some(format) => format,
        None => detect(Rows::of(&files))?,
    };
    let tasks = Problems::of(&files, format).collect::<Result<_, _>>()?;
    Ok(Benchmark { format, tasks })
}

/// The problems of a benchmark, made of one row after the other. It ends with the first error.
pub struct Problems {
    rows: Rows,
    format: DataFormat,
    ids: Ids,
}

impl Problems {
    /// The problems of `files`, which are of `format`, in their order, before any is read.
    pub fn of(files: &DataFiles, format: DataFormat) -> Self {
        Self {
            rows: Rows::of(files),
            format,
            ids: Ids::default(),
        }
    }

    fn task(&mut self, mut row: Row) -> Result<Task, DatasetError> {
        let id = match take_id(&mut row)? {
            Some((field, id)) => {
                self.ids.give(&row, field, &id)?;
                id
            }
            None => row.place.name(),
        };
        let (problem, answer) = problem(&mut row, self.format)?;
        Ok(Task {
            id,
            prompt: Prompt::Text(problem),
            answer,
            columns: row.fields,
        })
    }
}

impl Iterator for Problems {
    type Item = Result<Task, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.and_then(|row| self.task(row)))
    }
}

/// The first format that every row fits.
fn detect(
    rows: impl Iterator<Item = Result<Row, DatasetError>>,
) -> Result<DataFormat, DatasetError> {
    let mut left = DataFormat::ALL.to_vec();
    for row in rows {
        let row = row?;
        left.retain(|format| format.fits(&row.fields));
        if left.is_empty() {
            return Err(DatasetError::UnknownFormat {
                fields: row.names(),
                place: row.place,
                known: DataFormat::ALL.map(DataFormat::name).join(", "),
            });
        }
    }
    Ok(preferred(left))
}

/// The one of `fitting` formats, of which there is at least one, that a file is taken to be of.
fn preferred(mut fitting: Vec<DataFormat>) -> DataFormat {
    // A file of another format may be one of programs with tests as well.
    if fitting.len() > 1 {
        fitting.retain(|format| *format != DataFormat::Code);
    }
    // A file of integers from 0 to 999 is of both kinds; AIME's reader knows more of it.
    let aime = fitting.iter().find(|format| **format == DataFormat::Aime);
    *aime.unwrap_or(&fitting[0])
}

/// The format that all of `rows`, the first ones of a file, fit; whether they are the `whole` of it decides between a competition's
/// few integers and many answers that happen to be small.
pub(crate) fn fitting(rows: &[Row], whole: bool) -> Option<DataFormat> {
    let mut left = DataFormat::ALL.to_vec();
    left.retain(|format| rows.iter().all(|row| format.fits(&row.fields)));
    if !whole {
        left.retain(|format| *format != DataFormat::Aime);
    }
    (!left.is_empty()).then(|| preferred(left))
}

/// Takes the problem and its answer out of `row`. Tests stay in its columns.
fn problem(row: &mut Row, format: DataFormat) -> Result<(String, String), DatasetError> {
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
            let answer = match row.fields.get("canonical_solution") {
                Some(Value::String(body)) => format!("{problem}{body}"),
                _ => solution(row),
            };
            row.fields
                .insert(CODE_PROMPT.to_owned(), Value::String(problem.clone()));
            // LeetCodeDataset keeps the problem apart from the code that comes before a solution.
            let asked = match row.fields.get("query") {
                Some(Value::String(query)) => query.clone(),
                _ => problem,
            };
            Ok((asked, answer))
        }
        DataFormat::Code => {
            let problem = match row.fields.get("prompt") {
                // A conversation, of which the last turn asks.
                Some(Value::Array(turns)) => {
                    let last = turns.iter().rev().find_map(|turn| turn["content"].as_str());
                    let text = last.map(str::to_owned);
                    text.ok_or_else(|| row.field_error("prompt", "has no turn with a content"))?
                }
                _ => take_text_of(row, &CODE_PROBLEM)?,
            };
            Ok((problem, solution(row)))
        }
        DataFormat::Mbpp => {
            let problem = take_text_of(row, &MBPP_PROBLEM)?;
            let tests = assertions(row)?.join("\n");
            row.fields
                .insert(MBPP_TESTS.to_owned(), Value::String(tests));
            Ok((problem, solution(row)))
        }
    }
}

/// The first solution that a row has; nothing if it has none.
fn solution(row: &Row) -> String {
    for name in CODE_SOLUTION {
        let found = match row.fields.get(name) {
            Some(Value::String(text)) if name == "solutions" => {
                let list: Vec<String> = serde_json::from_str(text).unwrap_or_default();
                list.into_iter().next()
            }
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(list)) => list.iter().find_map(Value::as_str).map(str::to_owned),
            _ => None,
        };
        if let Some(found) = found.filter(|text| !text.trim().is_empty()) {
            return found;
        }
    }
    String::new()
}

/// The assertions of MBPP.
fn assertions(row: &Row) -> Result<Vec<String>, DatasetError> {
    let written = match row.fields.get("test_list") {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let list = match written.as_ref().or_else(|| row.fields.get("test_list")) {
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
fn column_text<'a>(row: &'a Row, field: &str) -> Result<&'a str, DatasetError> {
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
fn take_of<'n>(row: &mut Row, names: &[&'n str]) -> Result<(&'n str, Value), DatasetError> {
    let present = names.iter().find(|name| row.fields.contains_key(**name));
    let name = *present.unwrap_or(&names[0]);
    Ok((name, row.take(name)?))
}

fn take_text_of(row: &mut Row, names: &[&str]) -> Result<String, DatasetError> {
    let (name, value) = take_of(row, names)?;
    row.text(name, value)
}

/// An answer that is a number or a text. Numbers lose a fraction of zeros: SVAMP writes `51.0`.
fn number_or_text(row: &mut Row, field: &str) -> Result<String, DatasetError> {
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
fn take_id(row: &mut Row) -> Result<Option<(&'static str, String)>, DatasetError> {
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
