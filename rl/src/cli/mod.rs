//! The command line: thin, one file a subcommand. Data goes to standard output, everything else
//! to standard error; exit codes are 0 (done), 1 (failed or interrupted), 2 (usage
//! or config) and 130 (a second Ctrl-C).

pub(crate) mod allocator;
mod bench;
mod check;
mod compare;
mod completions;
mod console;
mod data;
mod data_check;
mod eval;
mod exec;
mod export;
mod generate;
mod init;
mod metrics;
mod model;
mod reward;
mod sandbox;
mod score;
pub(crate) mod terminal;
mod train;
#[cfg(feature = "watch")]
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dunwu::{config::ConfigError, run::RunError};

use terminal::tell;

/// Reinforcement-learning post-training of language models.
///
/// See R1-zero happen on a model made from scratch, in minutes:
///
///     dunwu train configs/quickstart.toml
#[derive(Debug, Parser)]
#[command(name = "dunwu", version, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Train),
    #[cfg(feature = "watch")]
    Watch(watch::Watch),
    Eval(eval::Eval),
    Compare(compare::Compare),
    Plot(compare::Plot),
    Generate(generate::Generate),
    Chat(generate::Chat),
    Score(score::Score),
    Reward(reward::Reward),
    Data(data::Data),
    Check(check::Check),
    Init(init::Init),
    Metrics(metrics::Metrics),
    Export(export::Export),
    Bench(bench::BenchCommand),
    Exec(exec::Exec),
    Sandbox(sandbox::SandboxCommand),
    Completions(completions::Completions),
}

/// What went wrong, by exit code.
#[derive(Debug)]
enum Failure {
    /// Exit code 2.
    Usage(anyhow::Error),
    /// Exit code 1.
    Failed(anyhow::Error),
    /// Exit code 1, with nothing to say.
    Interrupted,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let of_run = error.downcast_ref().is_some_and(RunError::is_usage);
        if of_run || error.is::<ConfigError>() {
            Self::Usage(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// A usage error with this text.
fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::Usage(anyhow::anyhow!("{message}"))
}

/// Parses the command line, runs the command, and says what went wrong.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Train(command) => command.run(),
        #[cfg(feature = "watch")]
        Command::Watch(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Plot(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Chat(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Reward(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::Metrics(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Exec(command) => command.run(),
        Command::Sandbox(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            tell!("error: {}", describe(&error));
            ExitCode::from(1)
        }
        Err(Failure::Usage(error)) => {
            tell!("error: {}", describe(&error));
            ExitCode::from(2)
        }
        Err(Failure::Interrupted) => ExitCode::from(1),
    }
}

/// The error and its causes; a cause that the text before names already is left out.
fn describe(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match (text.is_empty(), text.contains(&cause)) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}

/// Whoever reads our output has seen enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind)
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}
