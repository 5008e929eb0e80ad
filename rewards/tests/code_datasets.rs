//! Reference solutions of HumanEval and MBPP pass, and broken ones do not.
//!
//! The files are found by `DUNWU_SHARED_DATA`, or beside the checkout in `../shared/data`. Without them, or without a
//! Python runtime that can be made, the tests say so and skip.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Mutex;

use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::{Attempt, Code, CodeConfig, CodeExtraction, Reward, Sample};
use serde_json::Value;

/// Scores `completion` and says what the judge said.
fn judge(code: &Code, task: &Task, completion: &str) -> (f64, String) {
    let sample = Sample::new(task, completion);
    match code.score_in_parts(&sample, &Attempt::unlimited()) {
        Ok(Some(score)) => (score.value, score.note.unwrap_or_default()),
        other => panic!("{}: {other:?}", task.id),
    }
}

fn task(row: &Value, prompt: &str) -> Task {
    Task::new(
        row["task_id"].to_string(),
        Prompt::Text(prompt.to_owned()),
        "",
    )
    .with_columns(row.as_object().unwrap().clone())
}

/// Judges every row on all cores; those that `accept` does not like, with what was said.
fn odd_ones(
    rows: &[Value],
    accept: bool,
    look: impl Fn(&Value) -> (f64, String) + Sync,
) -> Vec<String> {
    let odd = Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) =
                    rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let (score, note) = look(row);
                    if (score == 1.0) != accept {
                        odd.lock()
                            .unwrap()
                            .push(format!("{}: {note}", row["task_id"]));
                    }
                }
            });
        }
    });
    let mut odd = odd.into_inner().unwrap();
    odd.sort();
    odd
}

fn humaneval(extraction: CodeExtraction) -> Code {
    Code::from_config(&CodeConfig {
        extraction,
        ..Default::default()
    })
    .unwrap()
    .with_sandbox(common::sandbox())
}

#[test]
fn humaneval_canonical_solutions_pass_and_broken_ones_do_not() {
    let Some(rows) = common::rows("humaneval.jsonl") else {
        return;
    };
    if !common::python_is_there() {
        return;
    }
    let code = humaneval(CodeExtraction::Continuation);
    let rejected = odd_ones(&rows, true, |row| {
        let prompt = row["prompt"].as_str().unwrap();
        judge(
            &code,
            &task(row, prompt),
            row["canonical_solution"].as_str().unwrap(),
        )
    });
    assert!(
        rejected.is_empty(),
        "rejected {} of {}: {rejected:#?}",
        rejected.len(),
        rows.len()
    );

    let accepted = odd_ones(&rows, false, |row| {
        let prompt = row["prompt"].as_str().unwrap();
        judge(
            &code,
            &task(row, prompt),
            &broken(row["canonical_solution"].as_str().unwrap()),
        )
    });
    assert!(
        accepted.is_empty(),
        "accepted {} broken of {}: {accepted:#?}",
        accepted.len(),
        rows.len()
    );
}

/// The solution with its last `return` giving nothing (or 0, where it gave nothing).
fn broken(solution: &str) -> String {
    let at = solution
        .rfind("return ")
        .expect("a solution returns something");
    let value = solution[at + "return ".len()..].trim();
    let instead = if value == "None" { "0" } else { "None" };
    // The rest of the line becomes a comment's; a value over several lines stays an expression.
    format!(
        "{}return {instead} if True else {}",
        &solution[..at],
        &solution[at + "return ".len()..]
    )
}

#[test]
fn mbpp_reference_solutions_pass() {
    let Some(rows) = common::rows("mbpp.jsonl") else {
        return;
    };
    if !common::python_is_there() {
        return;
    }
    let code = humaneval(CodeExtraction::Whole);
    let rejected = odd_ones(&rows, true, |row| {
        judge(
            &code,
            &task(row, row["text"].as_str().unwrap()),
            row["code"].as_str().unwrap(),
        )
    });
    eprintln!(
        "MBPP: {} of {} accepted; rejected: {rejected:#?}",
        rows.len() - rejected.len(),
        rows.len()
    );
    assert!(
        rejected.len() * 100 <= rows.len(),
        "more than one in a hundred was rejected"
    );

    let with_return: Vec<Value> = rows
        .into_iter()
        .filter(|row| row["code"].as_str().unwrap().contains("return "))
        .collect();
    let accepted = odd_ones(&with_return, false, |row| {
        judge(
            &code,
            &task(row, row["text"].as_str().unwrap()),
            &broken(row["code"].as_str().unwrap()),
        )
    });
    eprintln!(
        "MBPP: {} of {} broken accepted: {accepted:#?}",
        accepted.len(),
        with_return.len()
    );
    let found: Vec<&str> = accepted
        .iter()
        .map(|said| said.split(':').next().unwrap())
        .collect();
    let unexpected: Vec<_> = found.iter().filter(|id| !HARMLESS.contains(id)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Rows of MBPP whose tests never reach the last `return`: CPython itself, running the same broken solution and the same
/// assertions in one process, accepts exactly these.
const HARMLESS: [&str; 19] = [
    "9", "20", "29", "34", "177", "223", "351", "382", "404", "485", "617", "627", "631", "802",
    "823", "838", "842", "916", "928",
];
