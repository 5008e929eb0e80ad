//! Programs out of public bug reports, honest ones and others, and three data sets with known solutions: what the judge says of them.
//!
//! The files are found by `DUNWU_SHARED_DATA`, or beside the checkout in `../shared/data`. Without them, or without a Python runtime that can
//! be made, the tests say so and skip. `--nocapture` shows every disagreement.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::{Attempt, Code, CodeConfig, Reward, Sample, Unverified};
use serde_json::Value;

/// What became of a completion.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Paid,
    Zero(String),
    /// No verdict, and why.
    Nothing(String),
}

fn judge(code: &Code, row: &Value) -> Said {
    let columns = row.as_object().unwrap().clone();
    let prompt = row["prompt"].as_str().unwrap_or("Solve it.");
    let task =
        Task::new(row["id"].to_string(), Prompt::Text(prompt.to_owned()), "").with_columns(columns);
    let sample = Sample::new(&task, row["completion"].as_str().unwrap());
    match code.score_in_parts(&sample, &Attempt::unlimited()) {
        Ok(Some(score)) if score.value == 1.0 => Said::Paid,
        Ok(Some(score)) => Said::Zero(score.note.unwrap_or_default()),
        Ok(None) => Said::Nothing("no tests".to_owned()),
        Err(error) => Said::Nothing(error.to_string()),
    }
}

/// What is said of each row, on two threads.
fn judge_all(rows: &[Value]) -> Vec<Said> {
    let code = Code::from_config(&CodeConfig {
        unverified: Unverified::Error,
        ..CodeConfig::default()
    })
    .unwrap()
    .with_sandbox(common::sandbox());
    let next = AtomicUsize::new(0);
    let said = Mutex::new(vec![None; rows.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(index) else {
                        break;
                    };
                    let found = judge(&code, row);
                    said.lock().unwrap()[index] = Some(found);
                }
            });
        }
    });
    said.into_inner()
        .unwrap()
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

#[test]
fn programs_of_public_reports_get_what_they_deserve() {
    let Some(cases) = common::rows("reports_code.jsonl") else {
        return;
    };
    if !common::python_is_there() {
        return;
    }
    let rows: Vec<Value> = cases
        .iter()
        .map(|case| {
            let mut row = case["row"].clone();
            row["id"] = case["id"].clone();
            row
        })
        .collect();
    let said = judge_all(&rows);
    let mut counts = std::collections::BTreeMap::new();
    let count_of = |kind: &str| cases.iter().filter(|case| case["kind"] == kind).count();
    for (case, said) in cases.iter().zip(&said) {
        let kind = case["kind"].as_str().unwrap();
        let word = match said {
            Said::Paid => "paid",
            Said::Zero(_) => "zero",
            Said::Nothing(_) => "no verdict",
        };
        *counts.entry((kind, word)).or_insert(0) += 1;
        let expected = case["expect"].as_str().unwrap();
        if (*said == Said::Paid) != (expected == "pass") {
            eprintln!("{} ({expected}): {said:?}; {}", case["id"], case["why"]);
        }
    }
    eprintln!("{counts:?}");
    let got = |kind, word| counts.get(&(kind, word)).copied().unwrap_or(0);
    // Nine honest programs in ten, two dishonest ones of 37 where the tests are too weak to tell, and 33 of 35 blocks.
    assert!(got("honest", "paid") * 184 >= 165 * count_of("honest"));
    assert!(got("dishonest", "paid") * 92 <= 5 * count_of("dishonest"));
    assert!(got("extraction", "paid") * 35 >= 33 * (count_of("extraction") - 1));
    let silent: Vec<_> = cases
        .iter()
        .zip(&said)
        .filter(|(case, said)| case["expect"] == "pass" && matches!(said, Said::Zero(_)))
        .map(|(case, said)| format!("{} {said:?}", case["id"]))
        .collect();
    assert!(silent.is_empty(), "honest programs that get 0: {silent:#?}");
}

/// Rows of `file` that are not paid; the test fails if more than `most` are.
fn solved(file: &str, most: usize) {
    let Some(rows) = common::rows(file) else {
        return;
    };
    if !common::python_is_there() {
        return;
    }
    let said = judge_all(&rows);
    let odd: Vec<_> = rows
        .iter()
        .zip(&said)
        .filter(|(_, said)| **said != Said::Paid)
        .map(|(row, said)| format!("{}: {said:?}", row["id"]))
        .collect();
    eprintln!(
        "{file}: {} of {} paid; {odd:#?}",
        rows.len() - odd.len(),
        rows.len()
    );
    assert!(odd.len() <= most, "{} of {}", odd.len(), rows.len());
}

#[test]
fn leetcode_solutions_are_paid() {
    solved("solved_leetcode.jsonl", 5);
}

#[test]
fn kodcode_solutions_are_paid() {
    solved("solved_kodcode.jsonl", 7);
}

#[test]
fn classeval_solutions_are_paid() {
    solved("solved_classeval.jsonl", 6);
}
