//! Every gold answer of a data set against itself and against every other one.
//!
//! ```sh
//! cargo run --release -p dunwu-rewards --example judge_pairs -- math500.jsonl [--list]
//! ```
//!
//! Each line needs an `answer`. Counts how many answers equal themselves, and what is said of pairs that differ as text;
//! `--list` shows the pairs that are called equal or undecided.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use dunwu_rewards::math::{MathOptions, Verdict, judge};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .expect("usage: judge_pairs FILE.jsonl [--list]");
    let list = arguments.iter().any(|argument| argument == "--list");
    let answers: Vec<String> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["answer"].as_str().unwrap().to_owned()
        })
        .collect();
    let options = MathOptions::default();
    let (mut itself, mut readable, mut pairs, mut equal, mut undecided) = (0, 0, 0u64, 0u64, 0u64);
    for (index, gold) in answers.iter().enumerate() {
        // With spaces around, so that the texts are not the same; and through the printed form.
        itself += usize::from(
            judge(gold, &format!("\\boxed{{ {gold} }}"), &options).verdict == Verdict::Equal,
        );
        let printed = judge(gold, gold, &options)
            .gold_parsed()
            .unwrap_or_default();
        readable += usize::from(judge(gold, &printed, &options).verdict == Verdict::Equal);
        for other in &answers[..index] {
            if gold == other {
                continue;
            }
            for (gold, pred) in [(gold, other), (other, gold)] {
                pairs += 1;
                let judgement = judge(gold, pred, &options);
                match &judgement.verdict {
                    Verdict::Different => continue,
                    Verdict::Equal => equal += 1,
                    Verdict::Undecided { .. } => undecided += 1,
                }
                if list {
                    println!(
                        "{} | {gold} | {pred} | {}",
                        judgement.verdict.name(),
                        judgement.why
                    );
                }
            }
        }
    }
    let summary = serde_json::json!({
        "answers": answers.len(), "equal_themselves": itself, "equal_their_printed_form": readable,
        "pairs": pairs, "pairs_equal": equal, "pairs_undecided": undecided,
    });
    println!("{summary}");
}
