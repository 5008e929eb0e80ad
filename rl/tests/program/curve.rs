//! The quickstart learns as it always has.

use serde_json::Value;
use tempfile::TempDir;

use super::{config, json_lines, succeeds};

/// Each ten steps of GRPO within the band of ten seeds, see `tests/golden/make_quickstart_curve.py`:
/// four standard deviations, and at least 0.02 (a token, for lengths), where they hardly differ.
#[test]
fn the_quickstart_learns_within_the_band_of_ten_seeds() {
    let band: Value =
        serde_json::from_str(include_str!("../../../tests/golden/quickstart_curve.json")).unwrap();
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let arguments = ["train", quickstart.to_str().unwrap(), "--run-dir", "run"];
    succeeds(dir.path(), &arguments);
    let lines = json_lines(&dir.path().join("run").join("metrics.jsonl"));
    let steps: Vec<&Value> = lines.iter().filter(|step| step["kind"] == "grpo").collect();
    for (key, least) in [
        ("reward_mean", 0.02),
        ("pass_rate", 0.02),
        ("length_mean", 1.0),
    ] {
        let tens = steps.chunks(10).zip(band[key].as_array().unwrap());
        for (place, (ten, band)) in tens.enumerate() {
            let sum: f64 = ten.iter().map(|step| step[key].as_f64().unwrap()).sum();
            let ours = sum / ten.len() as f64;
            let (mean, std) = (
                band["mean"].as_f64().unwrap(),
                band["std"].as_f64().unwrap(),
            );
            let width = (4.0 * std).max(least);
            assert!(
                (ours - mean).abs() <= width,
                "{key} of ten {place}: {ours}, expected {mean} ± {width}"
            );
        }
    }
    let summary = std::fs::read_to_string(dir.path().join("run").join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let figure = |key: &str| summary[key].as_f64().unwrap();
    let gain = figure("heldout_accuracy_after") - figure("heldout_accuracy_before");
    assert!(gain > 0.3, "held-out accuracy rose by {gain} only");
}
