//! What is read as an example, and what is not.

use std::io::Write;

use serde_json::json;

use super::*;
use crate::task::Demonstration;

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn read(row: &Value) -> Result<Example, String> {
    let file = file(&row.to_string());
    let read = read_examples(file.path());
    read.map(|mut examples| examples.remove(0).1)
        .map_err(|error| error.to_string())
}

#[test]
fn both_old_forms_are_read_with_their_lines() {
    let content = [
        r#"{"prompt":"1+1=","completion":"2","reward":1.1}"#,
        "",
        r#"{"prompt":[{"role":"user","content":"1+1?"}],"completion":"2"}"#,
        r#"{"id":7,"prompt":"ignored beside messages","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes?"}]}"#,
    ];
    let read = read_examples(file(&content.join("\n")).path()).unwrap();
    let lines: Vec<usize> = read.iter().map(|(place, _)| place.number()).collect();
    assert_eq!(lines, [1, 3, 4]);
    let completion = |prompt| {
        Example::Completion(Demonstration {
            prompt,
            completion: "2".to_owned(),
        })
    };
    assert_eq!(read[0].1, completion(Prompt::Text("1+1=".to_owned())));
    assert_eq!(read[1].1, completion(Prompt::user(None, "1+1?")));
    let Example::Conversation(messages) = &read[2].1 else {
        panic!("{:?}", read[2]);
    };
    assert_eq!(messages[1], Message::new(Role::Assistant, "Yes?"));
}

#[test]
fn conversations_of_other_tools_are_read() {
    let user = || Message::new(Role::User, "1+1?");
    let said = || Message::new(Role::Assistant, "2");
    let system = || Message::new(Role::System, "Add.");
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let shared = json!([{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]);
    let cases = [
        (json!({"conversations": shared}), vec![user(), said()]),
        (
            json!({"conversations": shared, "system": "Add."}),
            vec![system(), user(), said()],
        ),
        (
            json!({"conversation": [turn("user", "1+1?"), turn("assistant", "2")]}),
            vec![user(), said()],
        ),
        (
            json!({"instruction": "1+1?", "input": "", "output": "2"}),
            vec![user(), said()],
        ),
        (
            json!({"instruction": "Add.", "input": "1+1?", "output": "2", "history": [["a", "b"]], "system": "Add."}),
            vec![
                system(),
                Message::new(Role::User, "a"),
                Message::new(Role::Assistant, "b"),
                Message::new(Role::User, "Add.\n\n1+1?"),
                said(),
            ],
        ),
        (
            json!({"question": "1+1?", "answer": "2"}),
            vec![user(), said()],
        ),
        (
            json!({"prompt": [turn("user", "1+1?")], "completion": [turn("assistant", "2")]}),
            vec![user(), said()],
        ),
    ];
    for (row, expected) in cases {
        assert_eq!(read(&row), Ok(Example::Conversation(expected)), "{row}");
    }
    assert_eq!(
        read(&json!({"text": "Once"})),
        Ok(Example::Text("Once".to_owned()))
    );
}

#[test]
fn of_a_continued_conversation_only_the_completion_is_learnt() {
    let row = json!({
        "prompt": [
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "3"},
        ],
        "completion": [
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "content": "x", "name": "f"},
            {"role": "assistant", "content": "4"},
        ],
    });
    let Ok(Example::Conversation(talk)) = read(&row) else {
        panic!("no conversation");
    };
    let learnt: Vec<bool> = talk.iter().map(Message::is_learnt).collect();
    assert_eq!(learnt, [false, false, false, true, false, true]);
}

#[test]
fn rows_that_teach_nothing_are_told() {
    let talk = |role: &str| json!([{"role": "user", "content": "x"}, {"role": role, "content": "x", "weight": 0}]);
    let cases = [
        (json!({"prompt": "1+1="}), "field `completion`: is missing"),
        (
            json!({"messages": [{"role": "user", "content": "Hi"}]}),
            "field `messages`: has no message of the assistant",
        ),
        (
            json!({"messages": talk("assistant")}),
            "has no message of the assistant that may be learnt",
        ),
        (
            json!({"messages": []}),
            "field `messages`: is an empty list",
        ),
        (
            json!({"messages": "Hi"}),
            "field `messages`: expected a list of messages",
        ),
        (
            json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]}),
            "message 1 (from 0) is the assistant's and is empty",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": "Hi"}]}),
            "begins with a message of the assistant",
        ),
        (
            json!({"messages": [{"role": "robot", "content": "Hi"}]}),
            "unknown variant `robot`, expected one of `system`, `developer`, `user`, `assistant`, `tool` (message 0, from 0)",
        ),
        (
            json!({"messages": [], "completion": "2"}),
            "stands beside `completion`",
        ),
        (
            json!({"prompt": "x", "completion": [{"role": "assistant", "content": "x"}]}),
            "field `completion`: is a list of messages, and `prompt` is a text",
        ),
        (
            json!({"instruction": "x", "output": ""}),
            "field `output`: is an empty string",
        ),
        (
            json!({"conversations": [{"from": "human", "value": 3}]}),
            "field `conversations`: `content` is 3, expected a text (message 0, from 0)",
        ),
    ];
    for (row, expected) in cases {
        let good = r#"{"prompt":"1","completion":"2"}"#;
        let file = file(&format!("{good}\n{row}\n"));
        let error = read_examples(file.path()).unwrap_err().to_string();
        assert!(
            error.contains(":2: ") && error.contains(expected),
            "{row}: {error}"
        );
    }
    let error = read(&json!({"chosen": "a", "rejected": "b"})).unwrap_err();
    assert!(
        error.contains(":1: what is to be learnt cannot be told of a row with the fields chosen, rejected; hint: known are"),
        "{error}"
    );
}

#[test]
fn a_form_that_changes_late_is_told() {
    let mut text = "{\"prompt\": \"1\", \"completion\": \"2\"}\n".repeat(10_000);
    text.push_str("{\"text\": \"1\"}\n");
    let error = read_examples(file(&text).path()).unwrap_err().to_string();
    assert!(
        error.ends_with(":10001: this line is `text` to continue, and those before it are `prompt` with `completion`; it has the fields text"),
        "{error}"
    );
}
