//! `dunwu watch`.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
};

use clap::Args;
use dunwu::watch::{self, WatchError};

use super::{Failure, usage};

/// Watch a run in the terminal: state, time left, curves, what the model writes, alarms.
///
/// Only reads the run's files, so it never disturbs the run, and may be left at any time. Where standard output is no terminal, a line
/// is written for each step until the run is over. NO_COLOR turns colours off.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The run's directory, such as runs/quickstart
    run: PathBuf,
    /// Write one picture and end
    #[arg(long)]
    once: bool,
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let mut out = stdout();
        let is_terminal = out.is_terminal();
        let watched = watch::Watch::new(self.run, self.once, !plain).run(&mut out, is_terminal);
        watched.map_err(|error| match error {
            WatchError::NoRun { .. } => usage(error),
            WatchError::Terminal(error) => error.into(),
        })
    }
}
