//! `dunwu check`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::{
    bundle::ModelSection,
    config::{self, RunConfig},
    run::{
        check::{self, Level, Report},
        estimate::Estimate,
    },
};
use serde_json::{Value, json};

use super::{Failure, model::print_json, terminal::tell, usage};

/// Say what will end a run, or spoil it, before it costs anything.
///
/// Validates the config, looks at the model, its tokenizer and template, at the data, the judges and the files of every
/// stage, and estimates memory and tokens. The resolved config goes to standard output, what is found to standard error.
/// The exit code is 2 where the run would end, and 0 otherwise.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The run's config, a TOML file
    config: PathBuf,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Look at every row of every file, not at a sample
    #[arg(long)]
    all: bool,
    /// Write what was found, the config among it, as one JSON object
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = match config::load(&self.config, &self.overrides) {
            Ok(config) => config,
            Err(error) if self.json => {
                let finding =
                    json!({ "level": "error", "about": "config", "message": error.to_string() });
                print_json(&json!({ "ends": true, "findings": [finding] }))?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        let report = check::look(&config, self.all);
        if self.json {
            print_json(&as_json(&config, &report)?)?;
        } else {
            let text = config.to_toml().context("the config cannot be printed")?;
            std::io::stdout()
                .write_all(text.as_bytes())
                .context("standard output")?;
            show(&config, &report, self.all);
        }
        if !report.ends() {
            return Ok(());
        }
        let count = report.count(Level::Error);
        let things = if count == 1 { "thing" } else { "things" };
        Err(usage(format!(
            "{}: the run would end: {count} {things} to mend",
            self.config.display()
        )))
    }
}

fn as_json(config: &RunConfig, report: &Report) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(report).context("the report has no JSON form")?;
    if let Value::Object(fields) = &mut value {
        fields.insert("ends".to_owned(), report.ends().into());
        let config = serde_json::to_value(config).context("the config has no JSON form")?;
        fields.insert("config".to_owned(), config);
    }
    Ok(value)
}

fn show(config: &RunConfig, report: &Report, all: bool) {
    if let Some(estimate) = &report.estimate {
        show_estimate(config, estimate);
    }
    show_data(report, all);
    for (index, line) in &report.files {
        tell!("stage {index}: {line}");
    }
    tell!("");
    for finding in &report.findings {
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        tell!("{level}: {}: {}", finding.about, finding.message);
    }
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    tell!("check: {errors} errors, {warnings} warnings");
}

fn show_estimate(config: &RunConfig, estimate: &Estimate) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let source = match &config.model {
        ModelSection::Scratch(_) => "from scratch".to_owned(),
        ModelSection::Pretrained(model) => model.path.clone(),
    };
    tell!("\nmodel: {} parameters, {source}", estimate.parameters);
    tell!("memory, estimated:");
    for (name, bytes) in &estimate.parts {
        tell!("  {name:24} {:9.1} MiB", mib(*bytes));
    }
    tell!("  {:24} {:9.1} MiB", "peak", mib(estimate.peak_bytes));
    tell!("tokens, at most:");
    let (settings, components) = (config.settings(), Vec::new());
    for (index, stage) in config.stages.iter().enumerate() {
        let around = config.surroundings(index, &settings, &components);
        let words = settings[index].describe(&around);
        tell!("  stage {index} ({}): {words}", stage.kind());
    }
}

fn show_data(report: &Report, all: bool) {
    if report.written_problems + report.heldout_problems > 0 {
        let read = match report.written_problems {
            0 => "problems made as they are needed".to_owned(),
            count => format!("{count} problems to train on"),
        };
        tell!("data: {read}, {} held out", report.heldout_problems);
    }
    if let Some(prompts) = &report.prompts {
        let sample = if all { "" } else { " (--all looks at all)" };
        tell!(
            "prompts: {} looked at{sample}, half of them up to {} tokens, the longest {}, at most {} fit, {} are too long",
            prompts.prompts,
            prompts.median_tokens,
            prompts.longest_tokens,
            prompts.limit_tokens,
            prompts.too_long
        );
    }
}
