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
//! What else a line has becomes columns of the task, hidden from the model.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{DatasetError, expect_setting};
use crate::jsonl::PromptStyle;
use crate::jsonl::lines::{Row, kind, read};
use crate::task::{Prompt, Task};

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

    /// How a problem is put to a model unless something else is said: `{problem}`, `{tests}` and `{entry_point}` stand for
    /// what the file says; any other brace is a brace.
    pub fn template(self, style: PromptStyle) -> &'static str {
        match (self, style) {
            (Self::Gsm8k | Self::Math | Self::Svamp, PromptStyle::Chat) => {
                "{problem}\n\nThink step by step and put the final answer in \\boxed{}."
            }
            (Self::Aime, PromptStyle::Chat) => {
                "{problem}\n\nThe answer is an integer from 0 to 999. Think step by step and put it in \\boxed{}."
            }
            (Self::Humaneval, PromptStyle::Chat) => {
                "Complete this Python function. Answer with one code block that holds the whole function and the imports that it needs.\n\n```python\n{problem}\n```"
            }
            (Self::Mbpp, PromptStyle::Chat) => {
                "{problem}\n\nIt has to pass these tests:\n```python\n{tests}\n```\nAnswer with one Python code block."
            }
            (Self::Gsm8k | Self::Math | Self::Svamp | Self::Aime, PromptStyle::Text) => {
                "Problem: {problem}\n\nSolution, step by step, with the final answer in \\boxed{}:\n"
            }
            (Self::Humaneval, PromptStyle::Text) => "{problem}",
            (Self::Mbpp, PromptStyle::Text) => {
                "{problem}\n\nIt has to pass these tests:\n```python\n{tests}\n```\n\n```python\n"
            }
        }
    }

    /// The formats that `fields`, one line of a file, could be of.
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

/// How the problems of a benchmark are put to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FormatPrompt {
    /// A user message for the model's chat template, or raw text.
    pub style: PromptStyle,
    /// Text around `{problem}`; [`DataFormat::template`] unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// A system message before it; only for chat prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

impl FormatPrompt {
    /// Checks that the settings agree with each other.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), DatasetError> {
        if let Some(template) = &self.template {
            let expected = "a text with {problem} in it";
            let shown = format!("{template:?}");
            expect_setting(template.contains("{problem}"), "template", shown, expected)?;
        }
        if let (PromptStyle::Text, Some(system)) = (self.style, &self.system) {
            let expected = "no system message with style = \"text\"";
            expect_setting(false, "system", format_args!("{system:?}"), expected)?;
        }
        Ok(())
    }

    /// The template in use.
    pub fn template_of(&self, format: DataFormat) -> &str {
        match &self.template {
            Some(template) => template,
            None => format.template(self.style),
        }
    }

    fn prompt(&self, format: DataFormat, words: &Words) -> Prompt {
        let text = render(self.template_of(format), words);
        match self.style {
            PromptStyle::Chat => Prompt::user(self.system.as_deref(), text),
            PromptStyle::Text => Prompt::Text(text),
        }
    }
}

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
pub fn read_benchmark(
    path: &Path,
    format: Option<DataFormat>,
    prompt: &FormatPrompt,
) -> Result<Benchmark, DatasetError> {
    prompt.validate()?;
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
        let words = words(&mut row, format)?;
        tasks.push(Task {
            id,
            prompt: prompt.prompt(format, &words),
            answer: words.answer,
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

/// What a line says.
#[derive(Default)]
struct Words {
    problem: String,
    tests: String,
    entry_point: String,
    answer: String,
}

/// Takes the problem and its answer out of `row`. Tests stay in its columns.
fn words(row: &mut Row<'_>, format: DataFormat) -> Result<Words, DatasetError> {
    let mut words = Words::default();
    match format {
        DataFormat::Gsm8k => {
            words.problem = row.take_text("question")?;
            let solution = row.take_text("answer")?;
            let last = solution.rsplit_once("####").map(|(_, last)| last.trim());
            words.answer = match last {
                None => return Err(row.field_error("answer", "has no `####` before an answer")),
                Some("") => return Err(row.field_error("answer", "has nothing after `####`")),
                Some(answer) => answer.to_owned(),
            };
        }
        DataFormat::Math => {
            words.problem = row.take_text("problem")?;
            words.answer = number_or_text(row, "answer")?;
        }
        DataFormat::Svamp => {
            let body = row.take_text("Body")?;
            let question = row.take_text("Question")?;
            words.problem = format!("{} {}", body.trim_end(), question.trim_start());
            words.answer = number_or_text(row, "Answer")?;
        }
        DataFormat::Aime => {
            words.problem = take_text_of(row, &AIME_PROBLEM)?;
            let (field, value) = take_of(row, &AIME_ANSWER)?;
            words.answer = match aime_answer(&value) {
                Some(answer) => answer.to_string(),
                None => {
                    let reason =
                        format!("is {value}: expected an integer from 0 to {AIME_LARGEST}");
                    return Err(row.field_error(field, reason));
                }
            };
        }
        DataFormat::Humaneval => {
            words.problem = row.take_text("prompt")?;
            words.entry_point = column_text(row, "entry_point")?.to_owned();
            column_text(row, "test")?;
            if let Some(Value::String(solution)) = row.fields.get("canonical_solution") {
                words.answer = format!("{}{solution}", words.problem);
            }
        }
        DataFormat::Mbpp => {
            words.problem = take_text_of(row, &MBPP_PROBLEM)?;
            words.tests = assertions(row)?.join("\n");
            if let Some(Value::String(code)) = row.fields.get("code") {
                words.answer.clone_from(code);
            }
        }
    }
    Ok(words)
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

/// `template` with its words filled in, in one pass: a problem that contains `{tests}` is left as it is.
fn render(template: &str, words: &Words) -> String {
    let Words {
        problem,
        tests,
        entry_point,
        answer: _,
    } = words;
    let names = [
        ("{problem}", problem),
        ("{tests}", tests),
        ("{entry_point}", entry_point),
    ];
    let mut text = String::with_capacity(template.len() + problem.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        match names.iter().find(|(name, _)| after.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &after[name.len()..];
            }
            None => {
                text.push('{');
                rest = &after[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
