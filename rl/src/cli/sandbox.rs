//! `dunwu sandbox`, and what other commands do before they need a Python.

use clap::{Args, Subcommand};
use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig};
use dunwu_sandbox::python::install::{self, Stage};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, usage};

/// The sandbox's Python runtime.
#[derive(Debug, Args)]
pub(crate) struct SandboxCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the Python runtime and compile it, unless that has been done; print where it is
    ///
    /// It needs python3 with venv and pip, and PyPI. Other commands do this by themselves when they
    /// first need it.
    Install,
}

impl SandboxCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Action::Install => {
                prepare_python()?;
                let path = install::component_path()?;
                super::model::print_json(&serde_json::json!({ "runtime": path }))
            }
        }
    }
}

/// Makes what `rubric` needs, so that no judge has to wait for it.
pub(crate) fn prepare_for(rubric: &RubricConfig) -> Result<(), Failure> {
    fn runs_code(component: &ComponentConfig) -> bool {
        match component {
            ComponentConfig::Code(_) => true,
            ComponentConfig::PerEntry(config) => config.entries.values().any(runs_code),
            _ => false,
        }
    }
    if rubric.components.iter().any(runs_code) {
        prepare_python()?;
    }
    let rubric = Rubric::from_config(rubric).map_err(|error| usage(error.to_string()))?;
    let prepared = rubric.prepare(&mut |words| eprintln!("{words}"));
    prepared.map_err(|error| usage(error.to_string()))
}

/// Makes the Python runtime if it is not there, with a progress bar on standard error.
pub(crate) fn prepare_python() -> Result<(), Failure> {
    let mut bar: Option<ProgressBar> = None;
    let result = dunwu_sandbox::python::prepare(&mut |stage| {
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(Stage::ALL.len() as u64);
            let style = ProgressStyle::with_template("[{bar:20}] {pos}/{len} {msg} {elapsed}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(std::time::Duration::from_millis(200));
            bar
        });
        let position = Stage::ALL.iter().position(|other| *other == stage);
        bar.set_position(position.unwrap_or(0) as u64);
        bar.set_message(stage.to_string());
        if bar.is_hidden() {
            eprintln!("sandbox: {stage}");
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(result?)
}
