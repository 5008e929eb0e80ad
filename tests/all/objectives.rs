//! The objectives against TRL's and verl's own code: every case of `golden/objectives.json`.

mod advantages;
mod completions;
mod critic;
mod distillation;
mod losses;

use serde_json::Value;

use crate::fixtures::golden_json;

/// The golden file.
fn golden() -> Value {
    golden_json("objectives.json")
}

fn cases<'a>(golden: &'a Value, part: &str) -> &'a [Value] {
    golden[part].as_array().unwrap()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    let text = case[key].as_str();
    text.unwrap_or_else(|| panic!("{key} of {}", case["name"]))
}

fn number(case: &Value, key: &str) -> Option<f64> {
    case.get(key).and_then(Value::as_f64)
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A list of lists, one a completion.
fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

/// The entries of one list a completion at which `live` holds.
fn flat(rows: &[Vec<f64>], live: &[Vec<bool>]) -> Vec<f64> {
    let pairs = rows
        .iter()
        .zip(live)
        .flat_map(|(row, live)| row.iter().zip(live));
    pairs.filter(|(_, live)| **live).map(|(x, _)| *x).collect()
}

/// The largest difference, as a share of the largest of `theirs`.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let difference = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    if difference == 0.0 {
        0.0
    } else {
        difference / largest
    }
}

/// The largest of many differences, and whose it is.
#[derive(Default)]
struct Worst(f64, String);

impl Worst {
    fn see(&mut self, difference: f64, name: &str) {
        if difference.is_nan() || difference > self.0 {
            *self = Self(difference, name.to_owned());
        }
    }
}

impl std::fmt::Display for Worst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1e} ({})", self.0, self.1)
    }
}
