//! The math checker on labelled answers from bug reports: right and wrong by kind.
//!
//! ```sh
//! cargo run --release -p dunwu-rewards --example reports -- CASES.jsonl [--list]
//! ```
//!
//! Each line: `{"gold", "pred", "kind", "expect"}` with `expect` one of `equal`, `different` and `undecided-ok`; for the last,
//! `truth` says `equal` or `different` where it is known, and any verdict but the opposite of it is right. `"mode": "completion"`
//! makes `pred` a completion. `undecided` where `equal` is expected is wrong, where `different` is expected it is right and
//! counted apart: it pays nothing. `--list` shows every case that is not right.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;

use dunwu_rewards::math::{Form, MathOptions, judge};
use serde_json::Value;

/// What became of the cases of one kind.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: usize,
    false_equal: usize,
    undecided: usize,
}

impl Tally {
    fn add(&mut self, expect: &str, truth: Option<&str>, verdict: &str) -> bool {
        let label = match expect {
            "undecided-ok" => truth.unwrap_or("unknown"),
            label => label,
        };
        let opposite = match label {
            "equal" => "different",
            "different" => "equal",
            _ => "",
        };
        let wrong = verdict == opposite || (expect == "equal" && verdict == "undecided");
        self.right += usize::from(!wrong);
        self.wrong += usize::from(wrong);
        self.false_equal += usize::from(label == "different" && verdict == "equal");
        self.undecided += usize::from(verdict == "undecided");
        !wrong
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .expect("usage: reports CASES.jsonl [--list]");
    let list = arguments.iter().any(|argument| argument == "--list");
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().unwrap();
        let options = MathOptions {
            form: match case["mode"].as_str() {
                Some("completion") => Form::Completion,
                _ => Form::Auto,
            },
            ..MathOptions::default()
        };
        let judgement = judge(text("gold"), text("pred"), &options);
        let (expect, truth) = (text("expect"), case["truth"].as_str());
        let name = judgement.verdict.name();
        let right = all.add(expect, truth, name);
        let kind = text("kind").to_owned();
        kinds.entry(kind).or_default().add(expect, truth, name);
        if list && !right {
            println!(
                "[{}] expect {expect}, verdict {name} ({})",
                text("kind"),
                judgement.why
            );
            println!(
                "    gold {:?} -> {:?}",
                shortened(text("gold")),
                judgement.gold_parsed()
            );
            println!(
                "    pred {:?} -> {:?}",
                shortened(text("pred")),
                judgement.pred_parsed()
            );
        }
    }
    println!(
        "{:>6} {:>6} {:>12} {:>9}  kind",
        "right", "wrong", "false equal", "undecided"
    );
    for (kind, tally) in kinds
        .iter()
        .map(|(kind, tally)| (kind.as_str(), tally))
        .chain([("all", &all)])
    {
        println!(
            "{:>6} {:>6} {:>12} {:>9}  {kind}",
            tally.right, tally.wrong, tally.false_equal, tally.undecided
        );
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().rev().nth(160) {
        Some((at, _)) => format!("…{}", &text[at..]),
        None => text.to_owned(),
    }
}
