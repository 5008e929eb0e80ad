//! The math checker on a file of cases: how often it agrees with the label, and answers per second of one thread.
//!
//! ```sh
//! cargo run --release -p dunwu-rewards --example judge_speed -- CASES.jsonl [--list] [--repeat N]
//! ```
//!
//! Each line: `{"gold", "pred", "expect"}`, and `{"opts": {"precision": n}}` for a tolerance of n decimals. Time is counted
//! over `N` passes (default 20), without reading the file; the slowest single case is the best of its passes, so that what
//! else the machine does counts little. `--list` shows every case whose verdict is not the label.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use dunwu_rewards::math::{MathOptions, Tolerance, Verdict, judge};
use serde_json::Value;

struct Case {
    gold: String,
    pred: String,
    expect: bool,
    options: MathOptions,
}

fn read(line: &str) -> Case {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let tolerance = value["opts"]["precision"]
        .as_u64()
        .map(|decimals| Tolerance::Decimals(decimals as u32));
    Case {
        gold: text("gold"),
        pred: text("pred"),
        expect: value["expect"].as_bool().unwrap(),
        options: MathOptions {
            tolerance,
            ..MathOptions::default()
        },
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .expect("usage: judge_speed CASES.jsonl [--list] [--repeat N]");
    let list = arguments.iter().any(|argument| argument == "--list");
    let repeat = arguments.iter().position(|argument| argument == "--repeat");
    let repeat: usize = repeat.map_or(20, |at| arguments[at + 1].parse().unwrap());
    let cases: Vec<Case> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(read)
        .collect();

    let (mut agree, mut false_equal, mut undecided, mut most_steps) = (0, 0, 0, 0);
    for (index, case) in cases.iter().enumerate() {
        let judgement = judge(&case.gold, &case.pred, &case.options);
        let equal = judgement.verdict == Verdict::Equal;
        agree += usize::from(equal == case.expect);
        false_equal += usize::from(equal && !case.expect);
        undecided += usize::from(matches!(judgement.verdict, Verdict::Undecided { .. }));
        most_steps = most_steps.max(judgement.steps);
        if list && (equal != case.expect || matches!(judgement.verdict, Verdict::Undecided { .. }))
        {
            println!(
                "{index}: label {}, verdict {}: {}",
                case.expect,
                judgement.verdict.name(),
                judgement.why
            );
            println!(
                "    gold {:?} -> {:?}",
                shortened(&case.gold),
                judgement.gold_parsed()
            );
            println!(
                "    pred {:?} -> {:?}",
                shortened(&case.pred),
                judgement.pred_parsed()
            );
        }
    }

    let mut best = vec![Duration::MAX; cases.len()];
    let start = Instant::now();
    for _ in 0..repeat {
        for (case, best) in cases.iter().zip(&mut best) {
            let start = Instant::now();
            black_box(judge(
                black_box(&case.gold),
                black_box(&case.pred),
                &case.options,
            ));
            *best = (*best).min(start.elapsed());
        }
    }
    let spent = start.elapsed();
    let slowest = best
        .iter()
        .enumerate()
        .max_by_key(|(_, time)| **time)
        .unwrap();
    let summary = serde_json::json!({
        "judge": "dunwu",
        "cases": cases.len(),
        "agree": agree,
        "false_equal": false_equal,
        "undecided": undecided,
        "cases_per_s_one_thread": ((cases.len() * repeat) as f64 / spent.as_secs_f64()).round(),
        "slowest_case": slowest.0,
        "slowest_case_us": slowest.1.as_micros() as u64,
        "most_steps": most_steps,
    });
    println!("{summary}");
}

fn shortened(text: &str) -> String {
    match text.char_indices().rev().nth(120) {
        Some((at, _)) => format!("…{}", &text[at..]),
        None => text.to_owned(),
    }
}
