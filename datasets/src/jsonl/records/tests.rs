use std::io::Write;

use serde_json::json;

use super::*;

fn file(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .unwrap();
    file.write_all(content.as_ref()).unwrap();
    file
}

fn tasks(content: &str, config: &JsonlConfig) -> Vec<Task> {
    read_tasks(file(content).path(), config).unwrap()
}

/// The error's text after the path of the temporary file.
fn failure(content: impl AsRef<[u8]>, config: &JsonlConfig) -> String {
    let file = file(content);
    let text = read_tasks(file.path(), config).unwrap_err().to_string();
    let path = file.path().display().to_string();
    text.strip_prefix(&path)
        .expect("the error begins with the file")
        .to_owned()
}

#[test]
fn gsm8k_has_a_worked_solution_before_its_answer() {
    let config = JsonlConfig {
        prompt_field: "question".to_owned(),
        answer_format: AnswerFormat::AfterHashes,
        system: Some("Think.".to_owned()),
        ..Default::default()
    };
    let read = tasks(
        r#"{"question": "2 times 3?", "answer": "2*3 = <<2*3=6>>6 #### no\n#### 1,006"}"#,
        &config,
    );
    assert_eq!(read[0].answer, "1,006");
    assert_eq!(read[0].prompt, Prompt::user(Some("Think."), "2 times 3?"));
    assert!(read[0].columns.is_empty());
}

#[test]
fn svamp_has_a_body_and_number_answers() {
    let config = JsonlConfig {
        prompt_field: "Question".to_owned(),
        context_field: Some("Body".to_owned()),
        answer_field: "Answer".to_owned(),
        id_field: Some("ID".to_owned()),
        ..Default::default()
    };
    let line = r#"{"ID": "chal-2", "Body": "Dan had 3", "Question": "How many?", "Answer": 1.0, "Type": "Sum", "N": 2}"#;
    let read = tasks(line, &config);
    assert_eq!(read[0].id, "chal-2");
    assert_eq!(read[0].prompt, Prompt::user(None, "Dan had 3\nHow many?"));
    assert_eq!(read[0].answer, "1.0");
    assert_eq!(
        Value::Object(read[0].columns.clone()),
        json!({"Type": "Sum", "N": 2})
    );
}

#[test]
fn prompts_may_be_raw_text_or_messages() {
    let text = JsonlConfig {
        prompt_style: PromptStyle::Text,
        ..Default::default()
    };
    assert_eq!(
        tasks(r#"{"prompt":"1+1=","answer":"2"}"#, &text)[0].prompt,
        Prompt::Text("1+1=".to_owned())
    );

    let chat = r#"{"prompt":[{"role":"user","content":"1+1?"}],"answer":2}"#;
    let system = JsonlConfig {
        system: Some("Think.".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        tasks(chat, &system)[0].prompt,
        Prompt::user(Some("Think."), "1+1?")
    );
    assert_eq!(
        tasks(chat, &JsonlConfig::default())[0].prompt,
        Prompt::user(None, "1+1?")
    );
}

#[test]
fn marks_blank_lines_and_carriage_returns_are_no_records() {
    let content = "\u{feff}{\"prompt\":\"a\",\"answer\":\"1\"}\r\n\r\n  \n{\"prompt\":\"b\",\"answer\":\"2\"}";
    let file = file(content);
    let read = read_tasks(file.path(), &JsonlConfig::default()).unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        read.iter().map(|task| task.id.clone()).collect::<Vec<_>>(),
        [format!("{name}:1"), format!("{name}:4")]
    );
}

#[test]
fn errors_name_the_line_and_the_field() {
    let good = r#"{"prompt":"a","answer":"1"}"#;
    let cases = [
        (
            r#"{"prompt":"a","anser":"1"}"#,
            "2: field `answer`: is missing; this line has: anser",
        ),
        (
            r#"{"prompt":3,"answer":"1"}"#,
            "2: field `prompt`: expected a string, got a number",
        ),
        (
            r#"{"prompt":" ","answer":"1"}"#,
            "2: field `prompt`: is an empty string",
        ),
        (
            r#"{"prompt":"a","answer":null}"#,
            "2: field `answer`: is null",
        ),
        (
            r#"{"prompt":"a","answer":[1]}"#,
            "2: field `answer`: expected a string or a number, got a list",
        ),
        (
            r#"{"prompt":"a","answer":123456789012345678901234567890}"#,
            "2: field `answer`: 1.2345678901234568e+29 is too large to be exact; write it as a string",
        ),
        (
            r#"{"prompt":[],"answer":"1"}"#,
            "2: field `prompt`: is an empty list",
        ),
        (
            r#"{"prompt":[{"role":"assistant","content":"x"}],"answer":"1"}"#,
            "2: field `prompt`: ends with a message of role Assistant, expected one of the user",
        ),
        ("[1]", "2: expected an object, got a list"),
        (r#"{"prompt":"a",}"#, "2: column 15: trailing comma"),
    ];
    for (line, expected) in cases {
        assert_eq!(
            failure(format!("{good}\n{line}\n"), &JsonlConfig::default()),
            format!(":{expected}")
        );
    }
    let role = format!(
        "{good}\n{}\n",
        r#"{"prompt":[{"role":"robot","content":"x"}],"answer":"1"}"#
    );
    assert!(
        failure(role, &JsonlConfig::default()).contains("field `prompt`: unknown variant `robot`")
    );
    assert_eq!(
        failure(b"\n{\"prompt\":\"\xff\"}", &JsonlConfig::default()),
        ":2: invalid UTF-8 after 11 bytes of the line"
    );
}

#[test]
fn answers_after_hashes_must_be_there() {
    let config = JsonlConfig {
        answer_format: AnswerFormat::AfterHashes,
        ..Default::default()
    };
    let cases = [
        ("72", "has no `####` before an answer"),
        ("#### ", "has nothing after `####`"),
    ];
    for (answer, expected) in cases {
        let text = failure(
            json!({"prompt": "a", "answer": answer}).to_string(),
            &config,
        );
        assert_eq!(text, format!(":1: field `answer`: {expected}"));
    }
}

#[test]
fn empty_files_missing_files_and_repeated_ids_are_errors() {
    assert_eq!(
        failure("\n \n", &JsonlConfig::default()),
        ": no records in this file"
    );

    let config = JsonlConfig {
        id_field: Some("id".to_owned()),
        ..Default::default()
    };
    let line = r#"{"id":7,"prompt":"a","answer":"1"}"#;
    assert_eq!(
        failure(format!("{line}\n\n{line}"), &config),
        r#":3: field `id`: "7" is on line 1 already"#
    );

    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("absent.jsonl");
    let text = read_tasks(&missing, &JsonlConfig::default())
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with(&format!("cannot read {}", missing.display())),
        "{text}"
    );
}

#[test]
fn settings_must_agree() {
    let text = JsonlConfig {
        prompt_style: PromptStyle::Text,
        system: Some("s".to_owned()),
        ..Default::default()
    };
    let same = JsonlConfig {
        answer_field: "prompt".to_owned(),
        ..Default::default()
    };
    let cases = [
        (
            text,
            r#"system is "s": expected no system message with prompt_style = "text""#,
        ),
        (
            same,
            r#"answer_field is "prompt": expected another field than prompt_field"#,
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }
}
