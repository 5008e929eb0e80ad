//! `dunwu sandbox`, and what other commands do before they need a Python.

use clap::{Args, Subcommand};
use dunwu_rewards::{Rubric, RubricConfig};
use dunwu_sandbox::fuel_of_a_second;
use dunwu_sandbox::python::install::{self, Stage};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, terminal::tell};

/// The sandbox's Python runtime.
#[derive(Debug, Args)]
pub(crate) struct SandboxCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the Python runtime and compile it, unless that has been done; print where it is, and what fuel a second of CPython is worth
    ///
    /// `cpython_s` of the code reward counts seconds by `fuel_of_a_second`: what this machine's CPython needs for an ordinary program,
    /// measured once and kept beside the runtime, so that verdicts stay what they are. `fuel` is the same on every machine.
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
                super::model::print_json(&serde_json::json!({
                    "runtime": path,
                    "fuel_of_a_second": fuel_of_a_second(),
                }))
            }
        }
    }
}

/// Makes what `rubric` needs, so that no judge has to wait for it.
pub(crate) fn prepare_for(rubric: &RubricConfig) -> Result<(), Failure> {
    // A run that learns from examples alone has no judges.
    if rubric.components.is_empty() {
        return Ok(());
    }
    let mut bar = Bar::default();
    let rubric = Rubric::from_config(rubric)?;
    let result = rubric.prepare(&mut |done| bar.show(&done.what, done.step, done.steps));
    bar.finish();
    Ok(result?)
}

/// Makes the Python runtime if it is not there, with a progress bar on standard error.
pub(crate) fn prepare_python() -> Result<(), Failure> {
    let mut bar = Bar::default();
    let result = dunwu_sandbox::prepare(&mut |stage| {
        let step = Stage::ALL.iter().position(|other| *other == stage);
        bar.show(&stage.to_string(), step.unwrap_or(0), Stage::ALL.len());
    });
    bar.finish();
    Ok(result?)
}

/// A progress bar on standard error that appears with the first step.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn show(&mut self, what: &str, step: usize, steps: usize) {
        let bar = self.0.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("[{bar:20}] {pos}/{len} {msg} {elapsed}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(std::time::Duration::from_millis(200));
            bar
        });
        bar.set_length(steps as u64);
        bar.set_position(step as u64);
        bar.set_message(what.to_owned());
        if bar.is_hidden() {
            tell!("sandbox: {what}");
        }
    }

    fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
