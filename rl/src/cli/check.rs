//! `dunwu check`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::run::estimate::{self, Estimate};
use dunwu::{
    bundle::ModelSection,
    config::{self, RunConfig},
};

use super::{Failure, terminal::tell};

/// Validate a config, print it resolved, and estimate memory and tokens.
///
/// The resolved config goes to standard output, the estimate to standard error.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The run's config, a TOML file
    config: PathBuf,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = config::load(&self.config, &self.overrides)?;
        let text = config.to_toml().context("the config cannot be printed")?;
        std::io::stdout()
            .write_all(text.as_bytes())
            .context("standard output")?;
        match estimate::of(&config) {
            Ok(estimate) => report(&config, &estimate),
            Err(error) => tell!("\nno estimate, the model could not be looked at: {error}"),
        }
        Ok(())
    }
}

fn report(config: &RunConfig, estimate: &Estimate) {
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
