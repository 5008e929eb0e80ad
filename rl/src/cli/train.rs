//! `dunwu train`.

use std::path::PathBuf;

use clap::Args;
use dunwu::{
    config,
    device::DeviceChoice,
    run::{Controls, Run},
};

use super::{Failure, console::Console, terminal::say};

/// Run the stages of a config: supervised fine-tuning, GRPO, …
///
/// Files go to runs/<name>/: config.toml (resolved), metrics.jsonl (a line a step),
/// completions.jsonl, checkpoints/, summary.json. Ctrl-C finishes the step, saves and exits; SIGUSR1 saves after the step
/// and goes on.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// The run's config, a TOML file
    config: PathBuf,
    /// Override a key: --set sampling.temperature=0.7, --set stages.grpo.steps=50
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where tensors live; auto takes a hardware GPU if there is one, else the CPU
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Where the run keeps its files [default: runs/<name>]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Go on after the last checkpoint
    #[arg(long)]
    resume: bool,
    /// Do not sample a few groups first to see whether the run can learn at all
    #[arg(long)]
    no_preflight: bool,
    /// Log alarms and tell them, but never stop because of one
    #[arg(long)]
    ignore_alarms: bool,
    /// Show no progress: only alarms and what stops the run
    #[arg(long, short)]
    quiet: bool,
}

impl Train {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut config = config::load(&self.config, &self.overrides)?;
        super::sandbox::prepare_for(&config.reward.rubric)?;
        if let Some(device) = self.device {
            config.device = device;
        }
        let controls = Controls::default();
        stop_on_signals(controls.clone())?;
        save_on_signal(controls.clone())?;
        let mut run = Run::builder(config)
            .resume(self.resume)
            .preflight(!self.no_preflight)
            .ignore_alarms(self.ignore_alarms)
            .controls(controls)
            .observer(Console::new(self.quiet));
        if let Some(directory) = self.run_dir {
            run = run.directory(directory);
        }
        let summary = run.train()?;
        if summary.finished {
            Ok(())
        } else {
            Err(Failure::Interrupted)
        }
    }
}

/// From now on Ctrl-C, or a polite kill, asks the run to stop; a second one exits at once.
fn stop_on_signals(controls: Controls) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if controls.stop() {
            std::process::exit(130);
        }
        say("\ninterrupted: finishing the step and saving; press Ctrl-C again to exit at once");
    })
}

/// From now on SIGUSR1 asks for a checkpoint after the step under way, as batch systems send it before they end a job.
#[cfg(unix)]
fn save_on_signal(controls: Controls) -> std::io::Result<()> {
    use signal_hook::{consts::SIGUSR1, iterator::Signals};
    let mut signals = Signals::new([SIGUSR1])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            controls.save();
            say("SIGUSR1: saving after this step");
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn save_on_signal(_controls: Controls) -> std::io::Result<()> {
    Ok(())
}
