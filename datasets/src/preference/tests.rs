use super::*;
use crate::message::Role;

fn read_as(text: &str, tie: Tie) -> (Result<Vec<Preference>, String>, PreferenceReport) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.jsonl");
    std::fs::write(&path, text).unwrap();
    let mut all = Preferences::of(&DataFiles::one(&path), tie);
    let read: Result<Vec<Preference>, String> = all
        .by_ref()
        .map(|row| row.map(|(_, preference)| preference))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string());
    (read, all.report().clone())
}

/// The only pair in a text: prompt, better side, other side.
fn pair(text: &str) -> Pair {
    let (read, _) = read_as(text, Tie::Drop);
    let mut read = read.unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(read.len(), 1, "{text}");
    match read.remove(0) {
        Preference::Pair(pair) => pair,
        Preference::Judged(judged) => panic!("{judged:?}"),
    }
}

fn fails(text: &str, expected: &str) {
    let error = read_as(text, Tie::Drop).0.unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn every_form_gives_the_same_pair() {
    let forms = [
        r#"{"prompt": [{"role": "user", "content": "q"}], "chosen": "good", "rejected": "bad"}"#,
        r#"{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "good"}], "rejected": [{"role": "assistant", "content": "bad"}]}"#,
        r#"{"question": "q", "chosen": "good", "rejected": "bad"}"#,
        r#"{"prompt": "q", "chosen": [{"role": "assistant", "content": "good"}], "rejected": [{"role": "assistant", "content": "bad"}]}"#,
        r#"{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}]}"#,
        r#"{"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"}"#,
        r#"{"prompt": "q", "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}], "messages": [], "score_chosen": 8.0, "score_rejected": 6.5}"#,
        r#"{"instruction": "q", "chosen_response": "good", "rejected_response": "bad"}"#,
        r#"{"context": [{"role": "user", "content": "q"}], "response1": "bad", "response2": "good", "overall_preference": 2}"#,
        r#"{"context": [{"role": "user", "content": "q"}], "completions": [{"rank": 1, "completion": [{"role": "assistant", "content": "bad"}]}, {"rank": 0, "completion": [{"role": "assistant", "content": "good"}]}]}"#,
        r#"{"prompt": "[\"q\"]", "response_a": "[\"bad\"]", "response_b": "[\"good\"]", "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}"#,
        r#"{"conversation_a": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": [{"type": "text", "text": "good"}]}], "conversation_b": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": [{"type": "text", "text": "bad"}]}], "winner": "model_a"}"#,
        r#"{"question": {"dataset": "eli5", "full_text": "q"}, "answer_0": "bad", "answer_1": "good", "score_0": -0.25, "score_1": 0.25}"#,
        r#"{"comparison": {"prompt_conversation": [{"role": "user", "content": "q"}], "completion_A": [{"role": "assistant", "content": "good"}], "completion_B": [{"role": "assistant", "content": "bad"}]}, "label": "A"}"#,
    ];
    for text in forms {
        let pair = pair(text);
        assert_eq!(pair.prompt, Prompt::user(None, "q"), "{text}");
        assert_eq!(pair.chosen, Message::new(Role::Assistant, "good"), "{text}");
        assert_eq!(
            pair.rejected,
            Message::new(Role::Assistant, "bad"),
            "{text}"
        );
        assert_eq!(pair.label, 1.0);
    }
    assert_eq!(pair(forms[6]).margin, Some(1.5));
    assert_eq!(pair(forms[8]).margin, Some(2.0));
    let text = pair(r#"{"prompt": "1+1=", "chosen": "2", "rejected": "3", "margin": 0.5}"#);
    assert_eq!(text.prompt, Prompt::Text("1+1=".to_owned()));
    assert_eq!(text.margin, Some(0.5));
}

#[test]
fn a_conversation_is_split_before_its_last_answer_only() {
    let talk = |last: &str| {
        format!(
            r#"[{{"role": "system", "content": "s"}}, {{"role": "user", "content": "a"}}, {{"role": "assistant", "content": "b"}}, {{"role": "user", "content": "c"}}, {{"role": "assistant", "content": "{last}"}}]"#
        )
    };
    // The answers share their beginning: characters are no place to split at.
    let (good, bad) = (talk("the answer is 7"), talk("the answer is 8"));
    let found = pair(&format!(r#"{{"chosen": {good}, "rejected": {bad}}}"#));
    let Prompt::Chat(prompt) = &found.prompt else {
        panic!("{found:?}");
    };
    assert_eq!(prompt.len(), 4);
    assert_eq!(found.chosen.content, "the answer is 7");
    let early = good.replace("\"b\"", "\"B\"");
    fails(
        &format!(r#"{{"prompt": "x", "chosen": {early}, "rejected": {bad}}}"#),
        ":1: field `chosen`: and `rejected` differ from message 2 (from 0) on",
    );
    let (read, report) = read_as(
        &format!(r#"{{"chosen": {early}, "rejected": {bad}}}"#),
        Tie::Drop,
    );
    assert_eq!((read.unwrap().len(), report.apart), (0, 1));
}

#[test]
fn a_ranked_list_is_all_its_pairs() {
    let text = r#"{"context": "q", "completions": [{"rank": 2, "completion": "c"}, {"rank": 0, "completion": "a"}, {"rank": 1, "completion": "b"}, {"rank": 1, "completion": "b2"}]}"#;
    let sides = |read: Vec<Preference>| -> Vec<(String, String, f64)> {
        read.into_iter()
            .map(|found| match found {
                Preference::Pair(p) => (p.chosen.content, p.rejected.content, p.label),
                Preference::Judged(judged) => panic!("{judged:?}"),
            })
            .collect()
    };
    let (read, report) = read_as(text, Tie::Drop);
    let expected = [("a", "c"), ("b", "c"), ("b2", "c"), ("a", "b"), ("a", "b2")];
    let found = sides(read.unwrap());
    let plain: Vec<(&str, &str)> = found.iter().map(|(a, b, _)| (&**a, &**b)).collect();
    assert_eq!(plain, expected);
    assert_eq!((report.pairs, report.ties), (5, 1));
    let found = sides(read_as(text, Tie::Half).0.unwrap());
    assert_eq!(found[5], ("b".to_owned(), "b2".to_owned(), 0.5));
}

#[test]
fn what_cannot_be_learnt_from_is_an_error_or_counted() {
    fails(
        "{\"prompt\": \"q\", \"chosen\": \"x\", \"rejected\": \"y\"}\n{\"prompt\": \"q\", \"chosen\": \"x\", \"rejected\": \"x\"}",
        "pairs.jsonl:2: field `chosen`: is the same as `rejected`",
    );
    fails(
        r#"{"prompt": "q", "chosen": "x", "rejected": "  "}"#,
        "pairs.jsonl:1: field `rejected`: says nothing",
    );
    fails(
        r#"{"prompt": "q", "completion": "", "label": true}"#,
        "field `completion`: says nothing",
    );
    fails(
        r#"{"chosen": "x", "rejected": "y"}"#,
        "is a text without a `prompt` beside it",
    );
    fails(
        r#"{"prompt": "q", "completion_a": "x", "completion_b": "y", "label": "C"}"#,
        "field `label`: is \"C\", expected A, B or Tie",
    );
    fails(
        r#"{"text": "q"}"#,
        "what is preferred cannot be told of a row with the fields text",
    );
    let rows = [
        ("same", "same", 1),
        ("", "x", 1),
        ("x", "y", 0),
        ("x", "yy", 3),
        ("x", "yy", 3),
        ("long", "s", 3),
    ];
    let text: Vec<String> = rows
        .iter()
        .map(|(a, b, by)| {
            format!(r#"{{"context": "q", "response1": "{a}", "response2": "{b}", "overall_preference": {by}}}"#)
        })
        .collect();
    let (read, report) = read_as(&text.join("\n"), Tie::Drop);
    assert_eq!(read.unwrap().len(), 3);
    let expected = PreferenceReport {
        rows: 6,
        pairs: 3,
        ties: 1,
        equal: 1,
        empty: 1,
        duplicates: 1,
        chosen_characters: 5,
        rejected_characters: 6,
        longer_chosen: 2,
        shorter_chosen: 1,
        ..PreferenceReport::default()
    };
    assert_eq!(report, expected);
    let line = report.to_string();
    assert!(
        line.contains("3 pairs") && line.contains("1 left out with equal sides"),
        "{line}"
    );
}

#[test]
fn answers_are_judged_by_themselves_too() {
    let text = "{\"prompt\": \"q\", \"completion\": \"x\", \"label\": true}\n{\"prompt\": \"q\", \"completion\": \"y\", \"label\": false}";
    let (read, report) = read_as(text, Tie::Drop);
    let good: Vec<bool> = read
        .unwrap()
        .into_iter()
        .map(|found| matches!(found, Preference::Judged(judged) if judged.good))
        .collect();
    assert_eq!(good, [true, false]);
    assert_eq!((report.judged, report.good), (2, 1));
}
