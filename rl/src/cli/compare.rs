//! `dunwu compare` and `dunwu plot`.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::analysis::{PlotError, PlotOptions, Source, compare, plot, table};

use super::{Failure, model::print_json, terminal::tell, usage};

/// Compare runs or measurements with the first of them: what differs, and whether it is more than noise.
///
/// Each is a run's directory, what `dunwu eval` printed, or its --details file. Shows the keys in which the configs differ,
/// held-out accuracy with 95 % intervals, and the reward at the end of training. The same problems are compared one by one
/// (McNemar's exact test, paired bootstrap), others as two samples.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Runs or measurements, the one to compare with first
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Write one JSON object instead of a text
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let comparison = compare(&open(&self.runs)?);
        if self.json {
            return print_json(&comparison);
        }
        let mut out = std::io::stdout().lock();
        out.write_all(table::text(&comparison).as_bytes())
            .and_then(|()| out.flush())
            .context("standard output")?;
        Ok(())
    }
}

/// Draw curves of runs over each other as an SVG file.
///
/// A panel for each key of metrics.jsonl, such as reward_mean or components.exact, against the step; held-out accuracy has its
/// 95 % intervals. Each curve is shown faintly as it is and strongly smoothed.
#[derive(Debug, Args)]
pub(crate) struct Plot {
    /// The runs' directories
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to draw; may be given several times [default: heldout_accuracy, reward_mean and length_mean]
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// The SVG file to write
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Steps that a smoothed point is the mean of; 1: none [default: a twentieth of the steps]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    smooth: Option<u32>,
    /// A line above everything
    #[arg(long)]
    title: Option<String>,
}

impl Plot {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sources = open(&self.runs)?;
        let options = PlotOptions {
            keys: self.keys,
            smooth: self.smooth.map(|steps| steps as usize),
            title: self.title,
        };
        plot(&sources, &options, &self.to).map_err(|error| match error {
            PlotError::NoSuchKey { .. } | PlotError::Nothing { .. } => usage(error),
            PlotError::File { .. } => error.into(),
        })?;
        tell!("{}", self.to.display());
        Ok(())
    }
}

fn open(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let opened = paths.iter().map(|path| Source::open(path));
    opened.collect::<Result<_, _>>().map_err(usage)
}
