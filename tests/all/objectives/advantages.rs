//! Rewards to advantages.

use dunwu::stages::grpo::{
    Baseline, ScaleRewards,
    advantage::{GroupRewards, step_advantages, to_go, whiten},
    kl::KlEstimator,
};
use serde_json::Value;

use super::{Worst, cases, golden, number, numbers, rows, text};

/// The scores of each completion by each judge.
fn scores(case: &Value) -> Vec<Vec<Option<f64>>> {
    let scores = |row: &Value| match row.as_array() {
        Some(row) => row.iter().map(Value::as_f64).collect(),
        None => vec![row.as_f64()],
    };
    case["rewards"]
        .as_array()
        .unwrap()
        .iter()
        .map(scores)
        .collect()
}

/// The weighted sum of what applies; nothing where nothing does.
fn total(scores: &[Option<f64>], weights: &[f64]) -> Option<f64> {
    let known = scores
        .iter()
        .zip(weights)
        .filter_map(|(s, w)| Some((*s)? * w));
    scores.iter().flatten().next().map(|_| known.sum())
}

/// `β log (old / reference)` of each token that takes part.
fn penalties(batch: &Value, beta: f64) -> Vec<Vec<f64>> {
    let (old, reference) = (rows(&batch["old"]), rows(&batch["reference"]));
    let mask = rows(&batch["mask"]);
    (0..old.len())
        .map(|row| {
            (0..old[row].len())
                .filter(|&t| mask[row][t] > 0.0)
                .map(|t| beta * KlEstimator::K1.at(old[row][t], reference[row][t], 1.0).0)
                .collect()
        })
        .collect()
}

fn groups(totals: Vec<Option<f64>>, size: usize) -> Vec<GroupRewards> {
    let group = |totals: &[Option<f64>]| GroupRewards {
        totals: totals.to_vec(),
        components: Vec::new(),
    };
    totals.chunks(size).map(group).collect()
}

fn largest(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().zip(theirs);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn advantages_of_completions_are_trls() {
    let golden = golden();
    let (mut compared, mut worst) = (0, Worst::default());
    for case in cases(&golden, "advantage_cases") {
        if !text(case, "source").starts_with("trl") {
            continue;
        }
        let scores = scores(case);
        let weights = numbers(&case["weights"]);
        let size = number(case, "group_size").unwrap() as usize;
        let mut totals: Vec<Option<f64>> = scores.iter().map(|s| total(s, &weights)).collect();
        if let Some(beta) = number(case, "beta") {
            let penalties = penalties(&golden["batches"][text(case, "batch")], beta);
            for (total, penalties) in totals.iter_mut().flatten().zip(penalties) {
                *total -= penalties.iter().sum::<f64>();
            }
        }
        let mut groups = groups(totals, size);
        let (baseline, scale) = match text(case, "kind") {
            "leave_one_out" => (Baseline::LeaveOneOut, ScaleRewards::None),
            "normalize_then_sum" => {
                for (group, scores) in groups.iter_mut().zip(scores.chunks(size)) {
                    let by_judge = |judge: usize| scores.iter().map(|s| s[judge]).collect();
                    let judges = weights.iter().enumerate();
                    group.components = judges
                        .map(|(judge, weight)| (*weight, by_judge(judge)))
                        .collect();
                }
                (Baseline::Group, ScaleRewards::Group)
            }
            _ => {
                let scale = match text(case, "scale_rewards") {
                    "group" => ScaleRewards::Group,
                    "batch" => ScaleRewards::Batch,
                    _ => ScaleRewards::None,
                };
                (Baseline::Group, scale)
            }
        };
        // TRL gives a completion without a reward the advantage 0; we leave it out.
        let ours: Vec<f64> = step_advantages(&groups, baseline, scale)
            .into_iter()
            .flatten()
            .map(|advantage| advantage.unwrap_or(0.0))
            .collect();
        let difference = largest(&ours, &numbers(&case["advantages"]));
        assert!(difference < 1e-6, "{case}: {ours:?}");
        worst.see(difference, text(case, "kind"));
        compared += 1;
    }
    eprintln!("TRL: advantages of {compared} steps, worst {worst}");
    assert!(compared >= 40, "{compared}");
}

#[test]
fn advantages_of_tokens_are_verls() {
    let golden = golden();
    let (mut compared, mut worst) = (0, Worst::default());
    for case in cases(&golden, "advantage_cases") {
        if !text(case, "source").starts_with("verl") {
            continue;
        }
        let batch = &golden["batches"][text(case, "batch")];
        let size = number(batch, "group_size").unwrap() as usize;
        let penalties = penalties(batch, number(case, "beta").unwrap());
        let mut totals = numbers(&case["rewards"]);
        let kind = text(case, "kind");
        if kind == "rloo" {
            for (total, penalties) in totals.iter_mut().zip(&penalties) {
                *total -= penalties.iter().sum::<f64>();
            }
        }
        let (baseline, scale) = match kind {
            "rloo" => (Baseline::LeaveOneOut, ScaleRewards::None),
            "reinforce_plus_plus" => (Baseline::None, ScaleRewards::Whiten),
            _ => (Baseline::Group, ScaleRewards::Whiten),
        };
        let groups = groups(totals.into_iter().map(Some).collect(), size);
        let advantages = step_advantages(&groups, baseline, scale);
        let advantages = advantages.into_iter().flatten().flatten();
        let mut ours: Vec<Vec<f32>> = advantages
            .zip(&penalties)
            .map(|(advantage, penalties)| match scale {
                ScaleRewards::Whiten => to_go(advantage, penalties),
                _ => vec![advantage; penalties.len()],
            })
            .map(|tokens| tokens.into_iter().map(|a| a as f32).collect())
            .collect();
        if scale == ScaleRewards::Whiten {
            whiten(&mut ours);
        }
        let live = rows(&batch["mask"]).concat();
        let theirs = rows(&case["advantages"]).concat();
        let theirs: Vec<f64> = theirs
            .into_iter()
            .zip(live)
            .filter(|(_, live)| *live > 0.0)
            .map(|(advantage, _)| advantage)
            .collect();
        let ours: Vec<f64> = ours.into_iter().flatten().map(f64::from).collect();
        let difference = largest(&ours, &theirs);
        // f32 of numbers up to about 2.
        assert!(difference < 1e-6, "{kind}: {difference} {case}");
        worst.see(difference, kind);
        compared += 1;
    }
    eprintln!("verl: advantages of {compared} steps, worst {worst}");
    assert!(compared >= 10, "{compared}");
}
