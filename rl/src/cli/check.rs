//! `dunwu check`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::run::estimate::{self, Estimate};
use dunwu::{
    bundle::ModelSection,
    config::{self, RunConfig},
    stages::StageConfig,
};

use super::Failure;

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
            Err(error) => eprintln!("\nno estimate, the model could not be looked at: {error}"),
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
    eprintln!("\nmodel: {} parameters, {source}", estimate.parameters);
    eprintln!("memory, estimated:");
    for (name, bytes) in &estimate.parts {
        eprintln!("  {name:24} {:9.1} MiB", mib(*bytes));
    }
    eprintln!("  {:24} {:9.1} MiB", "peak", mib(estimate.peak_bytes));
    eprintln!("tokens, at most:");
    for (index, stage) in config.stages.iter().enumerate() {
        match stage {
            StageConfig::Sft(sft) => {
                let duration = match (sft.steps, sft.epochs) {
                    (Some(steps), _) => format!("{steps} steps"),
                    (None, epochs) => format!("{} epochs in steps", epochs.unwrap_or(0)),
                };
                let batch = sft.batch;
                eprintln!("  stage {index} (sft): {duration} of {batch} examples");
            }
            StageConfig::RejectionSampling(stage) => {
                let completions = (stage.tasks * stage.samples) as u64;
                eprintln!(
                    "  stage {index} (rejection-sampling): {completions} completions, {} completion tokens in all",
                    completions * config.sampling.max_tokens as u64
                );
            }
            StageConfig::Grpo(grpo) => {
                let step = grpo.prompts * grpo.group * config.sampling.max_tokens;
                eprintln!(
                    "  stage {index} (grpo): {} steps of {} completions, {step} completion tokens a step, {} in all",
                    grpo.steps,
                    grpo.prompts * grpo.group,
                    step as u64 * grpo.steps
                );
            }
        }
    }
}
