//! `dunwu metrics`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::run::metrics::page;
use serde_json::Value;

use super::{Failure, usage};

/// Explain the keys of metrics.jsonl: unit, formula, what healthy looks like, what to do when it does not.
///
/// With the directory of a run its last line is explained, value by value.
#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// A run's directory, such as runs/quickstart
    run: Option<PathBuf>,
    /// Explain the line of this step instead of the last
    #[arg(long, requires = "run")]
    step: Option<u64>,
}

impl Metrics {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = match &self.run {
            Some(run) => page::plain_line(&line(run.join("metrics.jsonl"), self.step)?),
            None => page::plain(),
        };
        std::io::stdout()
            .write_all(text.as_bytes())
            .context("standard output")?;
        Ok(())
    }
}

/// The line of `step`, or the last one.
fn line(file: PathBuf, step: Option<u64>) -> Result<Value, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(&file).with_context(|| shown.to_string())?;
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        let line: Value =
            serde_json::from_str(line).with_context(|| format!("{shown}:{}", number + 1))?;
        if step.is_none_or(|step| line["step"] == step) {
            found = Some(line);
        }
    }
    match (found, step) {
        (Some(line), _) => Ok(line),
        (None, Some(step)) => Err(usage(format!("{shown} has no step {step}"))),
        (None, None) => Err(usage(format!("{shown} has no line yet"))),
    }
}
