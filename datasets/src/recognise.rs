//! What a data set is, told by its first rows: which benchmark, or which fields hold the question and the answer.

use std::fmt;

use crate::error::DatasetError;
use crate::formats::{DataFormat, Problems, fitting};
use crate::jsonl::{ExampleForm, Examples, JsonlConfig, Tasks};
use crate::rows::{DataFiles, Row, Rows, kind};
use crate::task::Task;

/// Rows that are looked at.
const FIRST: usize = 1000;

/// Fields that hold a question, the likeliest first.
const QUESTIONS: [&str; 7] = [
    "prompt",
    "question",
    "problem",
    "query",
    "messages",
    "input",
    "instruction",
];

/// Fields that hold an answer to check against, the likeliest first. A worked `solution` comes after a bare answer.
const ANSWERS: [&str; 12] = [
    "answer",
    "reward_model.ground_truth",
    "ground_truth",
    "final_answer",
    "expected_answer",
    "gold_answer",
    "gold",
    "target",
    "label",
    "solution",
    "output",
    "response",
];

/// How the tasks of a data set stand in its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskForm {
    /// As those of a well-known benchmark.
    Benchmark(DataFormat),
    /// A question and an answer in these fields.
    Fields(JsonlConfig),
}

impl TaskForm {
    /// The tasks of `files` in this form, in their order, before any is read.
    ///
    /// # Errors
    /// As for [`JsonlConfig::validate`].
    pub fn tasks(
        &self,
        files: &DataFiles,
    ) -> Result<Box<dyn Iterator<Item = Result<Task, DatasetError>>>, DatasetError> {
        Ok(match self {
            Self::Benchmark(format) => Box::new(Problems::of(files, *format)),
            Self::Fields(fields) => Box::new(Tasks::of(files, fields)?),
        })
    }
}

impl fmt::Display for TaskForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Benchmark(format) => write!(f, "problems of the format {format}"),
            Self::Fields(fields) => write!(
                f,
                "a question in `{}` and its answer in `{}`",
                fields.prompt_field, fields.answer_field
            ),
        }
    }
}

/// How tasks stand in the rows of `files`: in `prompt` and `answer` where there are such fields, else as in a benchmark, else in
/// fields with the names that are usual.
///
/// # Errors
/// Those of reading; [`DatasetError::UnknownFields`] if a question or an answer is in no field that is known.
pub fn recognise_tasks(files: &DataFiles) -> Result<TaskForm, DatasetError> {
    let (rows, whole) = first_rows(files)?;
    let all_have = |name: &str| rows.iter().all(|row| row.has(name));
    let named = |question: &str, answer: &str| {
        TaskForm::Fields(JsonlConfig {
            prompt_field: question.to_owned(),
            answer_field: answer.to_owned(),
            ..Default::default()
        })
    };
    if all_have("prompt") && all_have("answer") {
        return Ok(named("prompt", "answer"));
    }
    if all_have("prompt") && rows.iter().all(has_plain_truth) {
        return Ok(named("prompt", "reward_model.ground_truth"));
    }
    if let Some(format) = fitting(&rows, whole) {
        return Ok(TaskForm::Benchmark(format));
    }
    let answer = ANSWERS.iter().find(|name| all_have(name));
    let question = QUESTIONS
        .iter()
        .find(|name| all_have(name) && Some(*name) != answer);
    match (question, answer) {
        (Some(question), Some(answer)) => Ok(named(question, answer)),
        (question, _) => Err(unknown(&rows, question.is_some())),
    }
}

/// The error of rows of which not every one has a question, or an answer.
fn unknown(rows: &[Row], has_question: bool) -> DatasetError {
    let names: &[&str] = if has_question { &ANSWERS } else { &QUESTIONS };
    // The row that breaks the rule, or the first where none keeps it.
    let has = |row: &Row| names.iter().any(|name| row.has(name));
    let row = rows.iter().find(|row| !has(row)).unwrap_or(&rows[0]);
    let hint = if has_question {
        "name it in a config with fields = { prompt_field = \"…\", answer_field = \"…\" }; without an answer the file can be learnt from in SFT only"
    } else {
        "name it in a config with fields = { prompt_field = \"…\", answer_field = \"…\" }; nested ones with dots"
    };
    DatasetError::UnknownFields {
        place: row.place.clone(),
        what: if has_question {
            "which field holds the answer cannot be told of a row"
        } else {
            "which field holds the question cannot be told of a row"
        },
        fields: row.names(),
        hint: hint.to_owned(),
    }
}

/// Whether a row has the answer that verl's rows have, and it is no tests of a program.
fn has_plain_truth(row: &Row) -> bool {
    let mut row = row.clone();
    let Ok(truth) = row.take("reward_model.ground_truth") else {
        return false;
    };
    match truth {
        serde_json::Value::String(text) => !text.trim_start().starts_with('{'),
        other => kind(&other) == "a number",
    }
}

/// In which forms the examples of `files` are, for fine-tuning.
///
/// # Errors
/// Those of reading, and those of the first rows.
pub fn recognise_examples(files: &DataFiles) -> Result<Vec<ExampleForm>, DatasetError> {
    let mut examples = Examples::of(files);
    for example in examples.by_ref().take(FIRST) {
        example?;
    }
    Ok(examples.forms().to_vec())
}

/// The first rows, and whether they are all.
fn first_rows(files: &DataFiles) -> Result<(Vec<Row>, bool), DatasetError> {
    let mut rows = Rows::of(files);
    let first = rows.by_ref().take(FIRST).collect::<Result<Vec<_>, _>>()?;
    let whole = rows.next().transpose()?.is_none();
    Ok((first, whole))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::task::Prompt;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.jsonl");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn recognised(text: &str) -> Result<(TaskForm, Vec<Task>), DatasetError> {
        let (_dir, path) = written(text);
        let files = DataFiles::one(&path);
        let form = recognise_tasks(&files)?;
        let tasks = form.tasks(&files)?.collect::<Result<_, _>>()?;
        Ok((form, tasks))
    }

    #[test]
    fn fields_are_found_by_their_names() {
        let verl = r#"{"data_source": "math", "prompt": [{"role": "user", "content": "1+1?"}], "ability": "math", "reward_model": {"style": "rule", "ground_truth": "2"}, "extra_info": {"index": 0}}"#;
        let cases = [
            (
                r#"{"prompt": "1+1?", "answer": 2, "solution": "x"}"#,
                "prompt",
                "answer",
            ),
            (verl, "prompt", "reward_model.ground_truth"),
            (
                r#"{"question": "1+1?", "final_answer": "2", "solution": "so"}"#,
                "question",
                "final_answer",
            ),
            (
                r#"{"problem": "1+1?", "solution": "2"}"#,
                "problem",
                "solution",
            ),
            (
                r#"{"messages": [{"role": "user", "content": "1+1?"}], "ground_truth": "2"}"#,
                "messages",
                "ground_truth",
            ),
            (
                r#"{"question": "1+1?", "answer": "two or 2"}"#,
                "question",
                "answer",
            ),
        ];
        for (row, question, answer) in cases {
            let (form, tasks) = recognised(row).unwrap();
            let TaskForm::Fields(fields) = form else {
                panic!("{row}: {form}");
            };
            assert_eq!(
                (&*fields.prompt_field, &*fields.answer_field),
                (question, answer),
                "{row}"
            );
            assert_eq!(tasks[0].prompt, Prompt::user(None, "1+1?"));
            assert!(tasks[0].answer.contains('2'));
        }
        // A nested answer stays in its column, which judges may read.
        assert!(
            recognised(verl).unwrap().1[0]
                .columns
                .contains_key("reward_model")
        );
    }

    #[test]
    fn benchmarks_are_found_before_names() {
        let gsm8k = r#"{"question": "2+3?", "answer": "so\n#### 5"}"#;
        let (form, tasks) = recognised(gsm8k).unwrap();
        assert_eq!(form, TaskForm::Benchmark(DataFormat::Gsm8k));
        assert_eq!(tasks[0].answer, "5");
        let tests = r#"{"prompt": [{"role": "user", "content": "Print 1."}], "reward_model": {"style": "rule", "ground_truth": "{\"inputs\": [\"\"], \"outputs\": [\"1\"]}"}}"#;
        assert_eq!(
            recognised(tests).unwrap().0,
            TaskForm::Benchmark(DataFormat::Code)
        );
        // Thousands of integers are no competition.
        let row = "{\"question\": \"1+1?\", \"answer\": \"2\"}\n";
        let few = recognised(&row.repeat(30)).unwrap().0;
        assert_eq!(few, TaskForm::Benchmark(DataFormat::Aime));
        let many = recognised(&row.repeat(FIRST + 1)).unwrap().0;
        assert!(matches!(many, TaskForm::Fields(_)), "{many}");
    }

    #[test]
    fn what_cannot_be_told_names_the_row_and_its_fields() {
        let cases = [
            (
                r#"{"a": 1, "b": 2}"#,
                ":1: which field holds the question cannot be told of a row with the fields a, b; hint: name it",
            ),
            (
                "{\"question\": \"x\", \"answer\": \"y\"}\n{\"question\": \"x\", \"anser\": \"y\"}",
                ":2: which field holds the answer cannot be told of a row with the fields question, anser; hint: name it",
            ),
        ];
        for (text, expected) in cases {
            let error = recognised(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_form_that_changes_late_is_told() {
        let mut text = "{\"question\": \"1+1?\", \"answer\": \"two\"}\n".repeat(10_000);
        text.push_str("{\"problem\": \"1+1?\", \"solution\": \"two\"}\n");
        let error = recognised(&text).unwrap_err().to_string();
        let expected = ":10001: field `question`: is missing; this line has: problem, solution";
        assert!(error.ends_with(expected), "{error}");
    }
}
