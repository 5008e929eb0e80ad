//! The losses of preferences against TRL's own code: every case of `golden/preference.json`.

use dunwu::stages::preference::{
    JudgedScores, Kto, Length, LossType, PairScores, PreferenceConfig, PreferenceLoss, Side,
    kto::divergence,
};
use serde_json::Value;

use crate::fixtures::golden_json;

/// A list of lists, one an answer.
fn rows(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn number(case: &Value, key: &str) -> Option<f64> {
    case.get(key).and_then(Value::as_f64)
}

/// The largest difference, as a share of the largest of `theirs`.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max) / largest.max(1e-12)
}

/// The settings that a case has, by TRL's names.
fn config(case: &Value) -> PreferenceConfig {
    let names = [
        "loss_type",
        "beta",
        "label_smoothing",
        "ld_alpha",
        "simpo_gamma",
        "discopop_tau",
        "sft_weight",
        "desirable_weight",
        "undesirable_weight",
    ];
    let given = names.into_iter().filter_map(|name| {
        let value = case.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    });
    serde_json::from_value(Value::Object(given.collect())).unwrap()
}

/// A sum whose tokens beyond `shared` are weighted by `alpha`.
fn weighted(tokens: &[f64], shared: usize, alpha: f64) -> f64 {
    let (first, rest) = tokens.split_at(shared.min(tokens.len()));
    first.iter().sum::<f64>() + alpha * rest.iter().sum::<f64>()
}

#[test]
fn losses_of_pairs_are_those_of_trl() {
    let golden = golden_json("preference.json");
    let cases = golden["pair_cases"].as_array().unwrap();
    assert!(cases.len() > 150, "{}", cases.len());
    let mut seen = std::collections::BTreeSet::new();
    for case in cases {
        let batch = &golden["batches"][case["batch"].as_str().unwrap()];
        let [chosen, rejected] = ["chosen", "rejected"].map(|key| rows(&batch[key]));
        let references = ["ref_chosen", "ref_rejected"].map(|key| rows(&batch[key]));
        let config = config(case);
        let loss: PreferenceLoss = config.loss();
        seen.insert(config.loss_type.name());
        let alpha = config.ld_alpha.unwrap_or(1.0);
        let has_reference = config.loss_type.has_reference();
        let shared = |i: usize| chosen[i].len().min(rejected[i].len());
        let side = |tokens: &[Vec<f64>], reference: &[Vec<f64>], i: usize| {
            let reference = if has_reference {
                weighted(&reference[i], shared(i), alpha)
            } else {
                0.0
            };
            let policy = weighted(&tokens[i], shared(i), alpha);
            Side::new(policy, reference, tokens[i].len())
        };
        let pairs: Vec<PairScores> = (0..chosen.len())
            .map(|i| {
                PairScores::new(
                    side(&chosen, &references[0], i),
                    side(&rejected, &references[1], i),
                )
            })
            .collect();
        let derived = loss.of_pairs(&pairs);
        let total: usize = chosen.iter().map(Vec::len).sum();
        let likelihood = config.likelihood() / total as f64;
        let said: f64 = chosen.iter().flatten().sum();
        let value = derived.iter().map(|d| d.value).sum::<f64>() - likelihood * said;
        let theirs = number(case, "loss").unwrap();
        assert!(
            (value - theirs).abs() <= 1e-5 * theirs.abs().max(1.0),
            "{case}: {value}"
        );
        let spread = |tokens: &[Vec<f64>], by: &dyn Fn(usize) -> f64, likelihood: f64| {
            let mut all = Vec::new();
            for (i, tokens) in tokens.iter().enumerate() {
                for place in 0..tokens.len() {
                    let share = if place < shared(i) { 1.0 } else { alpha };
                    all.push(share * by(i) - likelihood);
                }
            }
            all
        };
        let ours = [
            spread(&chosen, &|i| derived[i].by_chosen, likelihood),
            spread(&rejected, &|i| derived[i].by_rejected, 0.0),
        ];
        let theirs = ["by_chosen", "by_rejected"].map(|key| rows(&case[key]).concat());
        let error = relative(&ours.concat(), &theirs.concat());
        assert!(error < 1e-4, "{error:e}: {case}");
    }
    let pairs = LossType::ALL
        .into_iter()
        .filter(|&loss| loss != LossType::Kto);
    let all: std::collections::BTreeSet<String> = pairs.map(LossType::name).collect();
    assert_eq!(seen, all);
}

#[test]
fn kto_is_that_of_trl() {
    let golden = golden_json("preference.json");
    for case in golden["kto_cases"].as_array().unwrap() {
        let batch = &golden["batches"][case["batch"].as_str().unwrap()];
        let (answers, references) = (rows(&batch["chosen"]), rows(&batch["ref_chosen"]));
        let labels: Vec<bool> = serde_json::from_value(case["label"].clone()).unwrap();
        let config = config(case);
        let kto: Kto = config.kto();
        let judged: Vec<JudgedScores> = labels
            .iter()
            .enumerate()
            .map(|(i, &good)| {
                let sums = [&answers[i], &references[i]].map(|tokens| tokens.iter().sum::<f64>());
                let side = Side::new(sums[0], sums[1], answers[i].len());
                JudgedScores { side, good }
            })
            .collect();
        let kl = divergence([number(case, "kl").unwrap(); 2].into_iter());
        let derived = kto.of(&judged, kl);
        let value: f64 = derived.iter().map(|d| d.0).sum();
        assert!(
            (value - number(case, "loss").unwrap()).abs() < 1e-5,
            "{case}: {value}"
        );
        let ours: Vec<f64> = answers
            .iter()
            .zip(&derived)
            .flat_map(|(tokens, (_, by))| vec![*by; tokens.len()])
            .collect();
        let error = relative(&ours, &rows(&case["by_chosen"]).concat());
        assert!(error < 1e-4, "{error:e}: {case}");
    }
}

#[test]
fn a_mean_of_sigmoid_is_its_normed_form() {
    let mean = PreferenceConfig {
        length: Some(Length::Mean),
        ..PreferenceConfig::default()
    };
    let mean = mean.loss();
    let pair = PairScores::new(Side::new(-3.0, -4.0, 5), Side::new(-9.0, -6.5, 3));
    let normed = PreferenceLoss::named(LossType::SigmoidNorm);
    assert_eq!(mean.of_pairs(&[pair]), normed.of_pairs(&[pair]));
}
