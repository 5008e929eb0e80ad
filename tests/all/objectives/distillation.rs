//! Divergences of distillation, whole and of a few tokens with all others as one more, against TRL's functions.

use std::borrow::Cow;

use dunwu::learner::{Distance, Divergence, TokenDistribution};
use serde_json::Value;

use super::{Worst, numbers, relative, rows, text};
use crate::fixtures::golden_json;

/// `ln softmax(z / τ)`.
fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = logits.iter().map(|z| z / temperature).collect();
    let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scaled.iter().map(|z| (z - most).exp()).sum();
    scaled.iter().map(|z| z - most - sum.ln()).collect()
}

fn divergence(case: &Value) -> Divergence {
    let parameter = case["parameter"].as_f64().unwrap();
    match text(case, "divergence") {
        "generalized" => Divergence::generalized(parameter),
        "skew-forward" => Divergence::SkewForward(parameter),
        "skew-reverse" => Divergence::SkewReverse(parameter),
        other => panic!("{other}"),
    }
}

#[test]
fn divergences_are_those_of_trl() {
    let golden = golden_json("distillation.json");
    let (student, teacher) = (rows(&golden["student"]), rows(&golden["teacher"]));
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 50, "{}", cases.len());
    let (mut losses, mut gradients) = (Worst::default(), Worst::default());
    for case in cases {
        let name = format!(
            "{} {} {} {}",
            text(case, "by"),
            text(case, "divergence"),
            case["parameter"],
            case["ids"][0]
        );
        let temperature = case["temperature"].as_f64().unwrap();
        let (mut loss, mut by_logits, mut expected) = (0.0, Vec::new(), Vec::new());
        for (row, (z, t)) in student.iter().zip(&teacher).enumerate() {
            let theirs = numbers(&case["by_logits"][row]);
            if golden["labels"][row] == false {
                assert!(theirs.iter().all(|by| *by == 0.0), "{name}");
                continue;
            }
            let q: Vec<f32> = log_softmax(t, temperature)
                .iter()
                .map(|&x| x as f32)
                .collect();
            let to = match case["ids"].as_array() {
                None => TokenDistribution::Whole(q),
                Some(ids) => {
                    let ids = numbers(&ids[row]);
                    let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
                    let logprobs = ids.iter().map(|&id| q[id as usize]).collect();
                    TokenDistribution::Top { ids, logprobs }
                }
            };
            let distance = Distance {
                to: Cow::Owned(to),
                divergence: divergence(case),
                weight: 1.0,
            };
            let p: Vec<f32> = log_softmax(z, temperature)
                .iter()
                .map(|x| x.exp() as f32)
                .collect();
            let (value, by) = distance.of(&p, temperature);
            loss += value;
            by_logits.extend(by.into_iter().map(f64::from));
            expected.extend(theirs);
        }
        losses.see(
            relative(&[loss], &numbers(&Value::Array(vec![case["loss"].clone()]))),
            &name,
        );
        gradients.see(relative(&by_logits, &expected), &name);
    }
    assert!(losses.0 < 1e-5, "{losses}");
    assert!(gradients.0 < 1e-5, "{gradients}");
}
