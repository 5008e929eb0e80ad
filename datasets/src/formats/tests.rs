//! What is read from small files, and, where they are, from the real ones.

use std::path::PathBuf;

use super::*;
use crate::template::Template;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn read_text(text: &str, format: Option<DataFormat>) -> Result<Benchmark, DatasetError> {
    let (_dir, path) = written(text);
    read_benchmark(&path, format)
}

const GSM8K: &str = r#"{"question": "2 and 3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}"#;
const MATH: &str =
    r#"{"problem": "Half?", "solution": "…", "answer": "\\frac{1}{2}", "unique_id": "a/1"}"#;
const SVAMP: &str =
    r#"{"ID": "c-1", "Body": "He had 3. ", "Question": "How many?", "Answer": 51.0}"#;
const AIME: &str = r#"{"ID": "2024-I-1", "Problem": "Find x.", "Answer": "025"}"#;
const HUMANEVAL: &str = r#"{"task_id": "H/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n", "test": "def check(c):\n    assert c(1) == 1\n"}"#;
const MBPP: &str = r#"{"task_id": 2, "text": "Write f.", "code": "def f(): pass", "test_list": ["assert f() == 1", "assert f()"]}"#;

#[test]
fn every_format_is_found_by_its_fields() {
    let cases = [
        (GSM8K, DataFormat::Gsm8k, "data.jsonl:1", "5"),
        (MATH, DataFormat::Math, "a/1", r"\frac{1}{2}"),
        (SVAMP, DataFormat::Svamp, "c-1", "51"),
        (AIME, DataFormat::Aime, "2024-I-1", "25"),
        (
            HUMANEVAL,
            DataFormat::Humaneval,
            "H/0",
            "def f(x):\n    return x\n",
        ),
        (MBPP, DataFormat::Mbpp, "2", "def f(): pass"),
    ];
    for (line, format, id, answer) in cases {
        let found = read_text(line, None).unwrap();
        assert_eq!(found.format, format, "{line}");
        assert_eq!(found, read_text(line, Some(format)).unwrap());
        let task = &found.tasks[0];
        assert_eq!((task.id.as_str(), task.answer.as_str()), (id, answer));
    }
    let svamp = |body: &str| {
        let line = format!(r#"{{"Body": "{body}", "Question": "How many?", "Answer": 1}}"#);
        read_text(&line, None).unwrap().tasks[0]
            .prompt
            .problem_text()
    };
    assert_eq!(svamp("He had 3"), "He had 3. How many?");
    assert_eq!(svamp("He had 3. "), "He had 3. How many?");
    // Columns that judges need stay, and the two kinds of integers are told apart.
    let task = &read_text(HUMANEVAL, None).unwrap().tasks[0];
    assert!(task.columns.contains_key("test") && task.columns.contains_key("entry_point"));
    let math = r#"{"problem": "p", "answer": "7", "level": 5, "subject": "Algebra"}"#;
    assert_eq!(read_text(math, None).unwrap().format, DataFormat::Math);
    let integers =
        "{\"problem\": \"p\", \"answer\": 7}\n{\"problem\": \"q\", \"answer\": \"1000\"}";
    assert_eq!(read_text(integers, None).unwrap().format, DataFormat::Math);
}

#[test]
fn every_format_can_be_put_to_a_model() {
    let put = |line: &str, style| {
        let found = read_text(line, None).unwrap();
        let template = Template::from_config(&found.format.template(style)).unwrap();
        template.apply(found.tasks[0].clone()).unwrap().prompt
    };
    for line in [GSM8K, MATH, SVAMP, AIME, HUMANEVAL, MBPP] {
        for style in [PromptStyle::Chat, PromptStyle::Text] {
            let problem = read_text(line, None).unwrap().tasks[0]
                .prompt
                .problem_text();
            let prompt = put(line, style);
            assert!(prompt.problem_text().contains(&problem), "{prompt:?}");
            assert_eq!(
                matches!(prompt, Prompt::Text(_)),
                style == PromptStyle::Text
            );
        }
    }
    let expected = "Write f.\n\nIt has to pass these tests:\n```python\nassert f() == 1\nassert f()\n```\nAnswer with one Python code block.";
    assert_eq!(put(MBPP, PromptStyle::Chat), Prompt::user(None, expected));
    // The model goes on where the prompt ends, so nothing may follow it.
    let prompt = put(HUMANEVAL, PromptStyle::Text);
    assert_eq!(prompt, Prompt::Text("def f(x):\n".to_owned()));
    for format in DataFormat::ALL {
        let json = serde_json::to_string(&format).unwrap();
        assert_eq!(json, format!("{:?}", format.name()));
    }
}

#[test]
fn columns_of_programs_are_known() {
    let lines = [
        r#"{"question": "Q", "solutions": "[\"s\", \"t\"]", "input_output": "{}"}"#,
        r#"{"problem": "Q", "verification_info": {}, "gold_standard_solution": "s"}"#,
        r#"{"description": "Q", "public_tests": {}, "solutions": ["s"]}"#,
        r#"{"question": "Q", "test": "def test_f(): assert f()", "solution": "s"}"#,
        r#"{"prompt": [{"role": "user", "content": "Q"}], "reward_model": {}, "solution": "s"}"#,
    ];
    for line in lines {
        let found = read_text(line, None).unwrap();
        let task = &found.tasks[0];
        assert_eq!(found.format, DataFormat::Code, "{line}");
        let read = (task.prompt.problem_text(), task.answer.as_str());
        assert_eq!(read, ("Q".to_owned(), "s"), "{line}");
    }
    // A template changes the prompt; what tests need of it stays.
    let task = &read_text(HUMANEVAL, None).unwrap().tasks[0];
    assert_eq!(task.columns["code_prompt"], "def f(x):\n");
    let leet = r#"{"prompt": "import math\n", "query": "Q", "entry_point": "Solution().f", "test": "def check(candidate): assert candidate()", "completion": "s"}"#;
    let found = read_text(leet, None).unwrap();
    let task = &found.tasks[0];
    assert_eq!(
        (task.prompt.problem_text().as_str(), task.answer.as_str()),
        ("Q", "s")
    );
    assert_eq!(task.columns["code_prompt"], "import math\n");
}

#[test]
fn what_does_not_fit_is_named_with_its_line() {
    let cases = [
        (
            format!("{GSM8K}\n{{\"question\": \"q\", \"answer\": \"5\"}}"),
            None,
            "data.jsonl:2: the fields question, answer fit none of the formats gsm8k, math, svamp, aime, humaneval, mbpp, code that",
        ),
        (
            "{\"question\": \"q\", \"answer\": \"5\"}".to_owned(),
            Some(DataFormat::Gsm8k),
            "data.jsonl:1: field `answer`: has no `####` before an answer",
        ),
        (
            "{\"problem\": \"q\", \"answer\": \"x\"}".to_owned(),
            Some(DataFormat::Aime),
            "data.jsonl:1: field `answer`: is \"x\": expected an integer from 0 to 999",
        ),
        (
            format!("{MATH}\n{MATH}"),
            None,
            "data.jsonl:2: field `unique_id`: \"a/1\" is on line 1 already",
        ),
        (
            GSM8K.to_owned(),
            Some(DataFormat::Svamp),
            "data.jsonl:1: field `Body`: is missing; this line has: question, answer",
        ),
        (
            "{\"text\": \"t\", \"test_list\": []}".to_owned(),
            Some(DataFormat::Mbpp),
            "data.jsonl:1: field `test_list`: is an empty list",
        ),
    ];
    for (text, format, expected) in cases {
        let message = read_text(&text, format).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_real_files_are_found_and_read() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("DUNWU_SHARED_DATA").map_or(shared, PathBuf::from);
    let files = [
        ("gsm8k_test.jsonl", DataFormat::Gsm8k, 1319),
        ("math500.jsonl", DataFormat::Math, 500),
        ("svamp.jsonl", DataFormat::Svamp, 1000),
        ("humaneval.jsonl", DataFormat::Humaneval, 164),
        ("mbpp.jsonl", DataFormat::Mbpp, 974),
    ];
    for (name, format, count) in files {
        let path = data.join(name);
        if !path.is_file() {
            eprintln!("skipped: there is no {name} where DUNWU_SHARED_DATA points to");
            continue;
        }
        let found = read_benchmark(&path, None).unwrap();
        assert_eq!((found.format, found.tasks.len()), (format, count), "{name}");
        assert!(
            found.tasks.iter().all(|task| !task.answer.is_empty()),
            "{name}"
        );
    }
}
