//! The card of an exported model: what it was made from and how, out of a run's own files.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::RunError;
use super::directory::CONFIG;
use super::provenance::{Provenance, UNKNOWN};

/// `README.md` for the model of the run in `run`: base and licence, figures with intervals, data, and the command and config that
/// make it again. What the run has not written down is said to be unknown.
///
/// # Errors
/// When the run's config cannot be read.
pub fn model_card(run: &Path) -> Result<String, RunError> {
    let config_file = run.join(CONFIG);
    let config = fs::read_to_string(&config_file).map_err(RunError::file(&config_file))?;
    let summary = fs::read_to_string(run.join("summary.json")).ok();
    let summary: Value = summary
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let provenance = Provenance::read(run).unwrap_or_default();
    let base = provenance.sources.iter().find(|s| s.key == "model.path");
    let name = summary["name"]
        .as_str()
        .or_else(|| run.file_name()?.to_str());
    let mut card = String::new();
    let _ = write!(
        card,
        "---\nbase_model: {}\ntags:\n- dunwu\n- reinforcement-learning\n---\n\n# {}\n\n",
        base.map_or("none", |base| base.spec.as_str()),
        name.unwrap_or("a model")
    );
    let license = base.map_or(UNKNOWN, |base| base.license.as_str());
    let _ = writeln!(
        card,
        "Trained with dunwu from {}. Licence of the base, as its card names it: {license}. No licence of this model is named here: that is for whoever publishes it.\n",
        base.map_or("random weights", |base| base.spec.as_str()),
    );
    figures(&mut card, &summary);
    sources(&mut card, &provenance);
    let _ = write!(
        card,
        "## How to make it again\n\n```sh\ndunwu train config.toml\n```\n\nwith this `config.toml`:\n\n```toml\n{}\n```\n",
        config.trim_end()
    );
    Ok(card)
}

/// Accuracies before and after, where they were measured.
fn figures(card: &mut String, summary: &Value) {
    let rows = ["before", "after"].map(|when| (when, &summary[when]));
    if rows.iter().all(|(_, report)| report.is_null()) {
        card.push_str("No figures were measured.\n\n");
        return;
    }
    card.push_str(
        "| held-out problems | greedy accuracy | 95 % interval | problems |\n|---|---|---|---|\n",
    );
    for (when, report) in rows {
        let number = |value: &Value| value.as_f64().map(|x| format!("{:.1} %", 100.0 * x));
        let unknown = || UNKNOWN.to_owned();
        let accuracy = number(&report["greedy_accuracy"]).unwrap_or_else(unknown);
        let interval = &report["greedy_accuracy_interval"];
        let bounds = match interval {
            Value::Array(bounds) => [bounds.first(), bounds.get(1)],
            _ => [interval.get("low"), interval.get("high")],
        };
        let bounds = bounds.map(|bound| bound.and_then(number));
        let interval = match bounds {
            [Some(low), Some(high)] => format!("{low} to {high}"),
            _ => unknown(),
        };
        let problems = report["problems"].as_u64();
        let problems = problems.map_or_else(unknown, |count| count.to_string());
        let _ = writeln!(
            card,
            "| {when} training | {accuracy} | {interval} | {problems} |"
        );
    }
    let finished = summary["finished"].as_bool() == Some(true);
    let steps = summary["steps"].as_u64();
    if let Some(steps) = steps {
        let state = if finished {
            ""
        } else {
            "; the run was not finished"
        };
        let _ = writeln!(card, "\n{steps} updates{state}.");
    }
    card.push('\n');
}

/// Models and data with licences, revisions and hashes.
fn sources(card: &mut String, provenance: &Provenance) {
    card.push_str("## What it was made from\n\n");
    if provenance.sources.is_empty() {
        card.push_str("Nothing but what the config below describes is known.\n\n");
        return;
    }
    card.push_str(
        "| setting | source | revision | licence | files (SHA-256) |\n|---|---|---|---|---|\n",
    );
    for source in &provenance.sources {
        let files = source.files.iter();
        let files: Vec<String> = files
            .map(|file| format!("{} `{}`", file.name, file.sha256))
            .collect();
        let files = if files.is_empty() {
            UNKNOWN.to_owned()
        } else {
            files.join("<br>")
        };
        let revision = source.revision.as_deref().unwrap_or("–");
        let _ = writeln!(
            card,
            "| `{}` | {} | {revision} | {} | {files} |",
            source.key, source.spec, source.license
        );
    }
    let _ = writeln!(
        card,
        "\nRecorded by {} when the run began.\n",
        provenance.made_with
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_the_run_wrote_down_and_what_is_unknown() {
        let run = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(run.path().join(name), text).unwrap();
        assert!(model_card(run.path()).is_err(), "a run has a config");
        write(CONFIG, "name = \"sums\"\nseed = 1\n");
        let bare = model_card(run.path()).unwrap();
        assert!(
            bare.contains("No figures were measured.") && bare.contains("seed = 1"),
            "{bare}"
        );
        assert!(bare.contains("as its card names it: unknown"), "{bare}");
        write(
            "summary.json",
            r#"{"name": "sums", "steps": 40, "finished": false, "before": {"problems": 128, "greedy_accuracy": 0.25},
               "after": {"problems": 128, "greedy_accuracy": 0.5, "greedy_accuracy_interval": {"low": 0.41, "high": 0.59}}}"#,
        );
        write(
            super::super::provenance::FILE,
            r#"{"made_with": "dunwu 0", "sources": [{"key": "model.path", "spec": "owner/name", "revision": "abc", "license": "mit",
               "files": [{"name": "model.safetensors", "bytes": 3, "sha256": "ff"}]}]}"#,
        );
        let card = model_card(run.path()).unwrap();
        for part in [
            "base_model: owner/name",
            "# sums",
            "| before training | 25.0 % | unknown | 128 |",
            "| after training | 50.0 % | 41.0 % to 59.0 % | 128 |",
            "40 updates; the run was not finished.",
            "| `model.path` | owner/name | abc | mit | model.safetensors `ff` |",
        ] {
            assert!(card.contains(part), "{part} in {card}");
        }
    }
}
