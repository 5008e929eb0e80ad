//! PPO with a value function against verl's own code: every case of `golden/ppo.json`.

use dunwu::stages::grpo::{
    advantage::whiten_exactly,
    critic::{
        gae::{gae, token_rewards},
        loss::value_loss,
    },
    kl::{AdaptiveKl, KlControl, KlEstimator},
};
use serde_json::Value;

use super::{Worst, cases, number, numbers, rows, text};
use crate::fixtures::golden_json;

/// The bar: the largest difference, as a share of the largest of theirs or of 1. Measured: a few 1e-16.
const BAR: f64 = 1e-6;

fn all_of(case: &Value, key: &str) -> Vec<Vec<f64>> {
    rows(&case[key])
}

fn at(case: &Value, key: &str) -> f64 {
    number(case, key).unwrap_or_else(|| panic!("{key} of {}", case["source"]))
}

fn compare(worst: &mut Worst, ours: &[Vec<f64>], theirs: &[Vec<f64>], name: &str) {
    let lengths = |lists: &[Vec<f64>]| lists.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(ours), lengths(theirs), "{name}");
    let largest = theirs
        .iter()
        .flatten()
        .fold(1.0, |most: f64, x| most.max(x.abs()));
    for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        worst.see((a - b).abs() / largest, name);
    }
}

/// Penalties of a row's tokens, with their weight.
fn penalties(old: &[f64], reference: &[f64], kind: KlEstimator, weight: f64) -> Vec<f64> {
    let pairs = old.iter().zip(reference);
    pairs
        .map(|(&o, &r)| weight * kind.at(o, r, 1.0).0)
        .collect()
}

/// Holes in the mask, one token, a completion that fills its row, one that begins with a given token; with and without a KL
/// penalty in the reward; rewards that are all the same.
#[test]
fn objectives_advantages_of_a_critic_are_verls() {
    let golden = golden_json("ppo.json");
    let mut worst = Worst::default();
    let mut seen = 0;
    for case in cases(&golden, "gae_cases") {
        let name = text(case, "name");
        let (gamma, lam) = (at(case, "gamma"), at(case, "lam"));
        let lam_critic = number(case, "lam_critic").unwrap_or(lam);
        let (old, reference) = (all_of(case, "old"), all_of(case, "reference"));
        let scores = numbers(&case["scores"]);
        let (mut advantages, mut returns) = (Vec::new(), Vec::new());
        for (row, values) in all_of(case, "values").iter().enumerate() {
            let kl = at(case, "kl_coef");
            let penalties = penalties(&old[row], &reference[row], KlEstimator::K1, kl);
            let rewards = token_rewards(scores[row], Some(&penalties), values.len());
            if kl == 0.0 {
                assert_eq!(rewards, token_rewards(scores[row], None, values.len()));
            }
            let estimate = |lam| gae(&rewards, values, 0.0, gamma, lam);
            advantages.push(estimate(lam));
            let targets = estimate(lam_critic).into_iter().zip(values);
            returns.push(targets.map(|(a, v)| a + v).collect());
        }
        whiten_exactly(&mut advantages);
        compare(&mut worst, &advantages, &all_of(case, "advantages"), name);
        compare(&mut worst, &returns, &all_of(case, "returns"), name);
        seen += 1;
    }
    eprintln!("{seen} steps of GAE: {worst}");
    assert!(seen == 12 && worst.0 < BAR, "{worst}");
}

#[test]
fn objectives_whitening_is_verls() {
    let golden = golden_json("ppo.json");
    let mut worst = Worst::default();
    for case in cases(&golden, "whiten_cases") {
        let mut values = all_of(case, "values");
        let first = values[0][0];
        let constant = values.iter().flatten().all(|&value| value == first);
        whiten_exactly(&mut values);
        if constant {
            // verl adds 1e-8 to the number of tokens, so its mean is not quite theirs; divided by the root of 1e-8 that is seen.
            let tokens = values.iter().flatten().count() as f64;
            let left = first * 1e-8 / tokens / 1e-8f64.sqrt();
            for theirs in all_of(case, "whitened").iter().flatten() {
                worst.see((theirs - left).abs(), "what verl leaves");
            }
            assert!(values.iter().flatten().all(|&value| value == 0.0));
            continue;
        }
        compare(&mut worst, &values, &all_of(case, "whitened"), "whitening");
    }
    eprintln!("whitening: {worst}");
    assert!(worst.0 < BAR, "{worst}");
}

#[test]
fn objectives_the_loss_of_values_is_verls() {
    let golden = golden_json("ppo.json");
    let mut worst = Worst::default();
    let mut clipped_somewhere = 0;
    for case in cases(&golden, "value_cases") {
        let (values, old) = (all_of(case, "values"), all_of(case, "old"));
        let returns = all_of(case, "returns");
        let tokens = values.iter().flatten().count() as f64;
        let (mut loss, mut clipped) = (0.0, 0);
        let mut by_values = Vec::new();
        for ((values, old), returns) in values.iter().zip(&old).zip(&returns) {
            let mut by = Vec::new();
            for ((&value, &old), &target) in values.iter().zip(old).zip(returns) {
                let one = value_loss(value, old, target, at(case, "cliprange"));
                loss += one.value / tokens;
                clipped += usize::from(one.clipped);
                by.push(one.by_value / tokens);
            }
            by_values.push(by);
        }
        worst.see((loss - at(case, "loss")).abs(), "loss");
        worst.see(
            (clipped as f64 / tokens - at(case, "clipped")).abs(),
            "share",
        );
        compare(
            &mut worst,
            &by_values,
            &all_of(case, "by_values"),
            "gradient",
        );
        clipped_somewhere += clipped;
    }
    eprintln!("value loss: {worst}, {clipped_somewhere} tokens clipped");
    assert!(worst.0 < BAR && clipped_somewhere > 0, "{worst}");
}

#[test]
fn objectives_the_weight_of_the_kl_follows_as_verls() {
    let golden = golden_json("ppo.json");
    let mut worst = Worst::default();
    let control = |case: &Value| {
        let adaptive = AdaptiveKl {
            target_kl: at(case, "target_kl"),
            horizon: at(case, "horizon"),
        };
        KlControl::new(at(case, "start"), Some(adaptive))
    };
    for case in cases(&golden, "kl_cases") {
        let mut control = control(case);
        let steps = numbers(&case["kl"]).into_iter();
        for (kl, expected) in steps.zip(numbers(&case["coefficients"])) {
            control.update(kl, at(case, "completions") as usize);
            worst.see((control.coefficient() / expected - 1.0).abs(), "controller");
        }
    }
    for case in cases(&golden, "apply_cases") {
        let kind = match text(case, "kl_estimator") {
            "k1" => KlEstimator::K1,
            "k2" => KlEstimator::K2,
            _ => KlEstimator::K3,
        };
        let mut control = control(case);
        let (old, reference) = (all_of(case, "old"), all_of(case, "reference"));
        let pairs = || old.iter().zip(&reference);
        let weight = control.coefficient();
        let rewards: Vec<Vec<f64>> = pairs()
            .map(|(old, reference)| {
                let penalties = penalties(old, reference, kind, weight);
                token_rewards(0.0, Some(&penalties), old.len())
            })
            .collect();
        compare(&mut worst, &rewards, &all_of(case, "rewards"), "penalties");
        let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
        let kls: Vec<f64> = pairs()
            .map(|(old, reference)| mean(&penalties(old, reference, kind, 1.0)))
            .collect();
        worst.see((mean(&kls) - at(case, "kl")).abs(), "mean divergence");
        control.update(mean(&kls), kls.len());
        worst.see(
            (control.coefficient() / at(case, "coefficient") - 1.0).abs(),
            "weight",
        );
    }
    eprintln!("KL controller: {worst}");
    assert!(worst.0 < BAR, "{worst}");
}
