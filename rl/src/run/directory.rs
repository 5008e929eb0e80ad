//! `runs/<name>/`: what a run leaves behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use super::RunError;
use crate::{config::RunConfig, run::checkpoint::{self, CheckpointError}};

/// The open files of a run.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    metrics: File,
    completions: File,
}

/// Names of the files.
const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const COMPLETIONS: &str = "completions.jsonl";
const SUMMARY: &str = "summary.json";
const EVALUATIONS: &str = "evaluation.jsonl";

impl RunDirectory {
    /// Makes the directory at `path` and writes the resolved config.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(config: &RunConfig, path: PathBuf) -> Result<Self, RunError> {
        fs::create_dir_all(&path).map_err(RunError::file(&path))?;
        let text = config
            .to_toml()
            .map_err(|e| RunError::Config(e.to_string()))?;
        let (file, partial) = (path.join(CONFIG), path.join(format!(".{CONFIG}")));
        fs::write(&partial, text).map_err(RunError::file(&partial))?;
        fs::rename(&partial, &file).map_err(RunError::file(&file))?;
        Self::open(path)
    }

    /// Opens the files of the run at `path`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn open(path: PathBuf) -> Result<Self, RunError> {
        let append = |name: &str| {
            let file = path.join(name);
            let mut options = OpenOptions::new();
            options
                .create(true)
                .append(true)
                .open(&file)
                .map_err(RunError::file(&file))
        };
        Ok(Self {
            metrics: append(METRICS)?,
            completions: append(COMPLETIONS)?,
            path,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Drops what was logged after `step`: the steps to come will log it again.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn rewind(&mut self, step: u64) -> Result<(), RunError> {
        for name in [METRICS, COMPLETIONS, EVALUATIONS] {
            let file = self.path.join(name);
            if !file.exists() {
                continue; // nothing was measured yet
            }
            let kept = keep_until(&file, step).map_err(RunError::file(&file))?;
            let partial = self.path.join(format!(".{name}"));
            fs::write(&partial, kept).map_err(RunError::file(&partial))?;
            fs::rename(&partial, &file).map_err(RunError::file(&file))?;
        }
        *self = Self::open(self.path.clone())?;
        Ok(())
    }

    /// Adds a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn log_metrics(&mut self, line: &impl Serialize) -> Result<(), RunError> {
        append(
            &mut self.metrics,
            &self.path.join(METRICS),
            std::slice::from_ref(line),
        )
    }

    /// Adds lines to `completions.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn log_completions(&mut self, lines: &[impl Serialize]) -> Result<(), RunError> {
        append(&mut self.completions, &self.path.join(COMPLETIONS), lines)
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_summary(&self, summary: &impl Serialize) -> Result<(), RunError> {
        let file = self.path.join(SUMMARY);
        let partial = self.path.join(format!(".{SUMMARY}"));
        let text =
            serde_json::to_string_pretty(summary).map_err(|e| RunError::Config(e.to_string()))?;
        fs::write(&partial, text + "\n").map_err(RunError::file(&partial))?;
        fs::rename(&partial, &file).map_err(RunError::file(&file))
    }
}

/// Where the run at `path` keeps what its measurements found.
pub fn evaluations(path: &Path) -> PathBuf {
    path.join(EVALUATIONS)
}

/// Where a new run of `config` goes: the path chosen, else `runs/<name>`, or `runs/<name>-2` and so
/// on when that is taken.
///
/// # Errors
/// When the path chosen is taken.
pub fn free(config: &RunConfig, chosen: Option<&Path>) -> Result<PathBuf, RunError> {
    match chosen {
        Some(path) if taken(path) => Err(RunError::Config(format!(
            "{} is not empty; hint: --resume goes on with the run in it, another --run-dir starts a new one",
            path.display()
        ))),
        Some(path) => Ok(path.to_owned()),
        None => Ok(numbered(config)
            .find(|path| !taken(path))
            .expect("numbers do not end")),
    }
}

/// Where an earlier run of `config` is: the path chosen, else the newest `runs/<name>-<n>` that has
/// a checkpoint.
///
/// # Errors
/// When there is none, or its config is another.
pub fn earlier(config: &RunConfig, chosen: Option<&Path>) -> Result<PathBuf, RunError> {
    // One that is damaged counts: it is to be told, not passed over.
    let saved = |path: &PathBuf| !matches!(checkpoint::latest(path), Ok(None));
    let path = match chosen {
        Some(path) => Some(path.to_owned()),
        None => numbered(config)
            .take_while(|path| taken(path))
            .filter(saved)
            .last(),
    };
    let path = path
        .filter(|path| path.join(CONFIG).is_file())
        .ok_or_else(|| {
            let place = chosen.map_or(config.default_run_dir(), Path::to_owned);
            RunError::Config(format!("--resume: there is no run in {}", place.display()))
        })?;
    let file = path.join(CONFIG);
    let before = fs::read_to_string(&file).map_err(RunError::file(&file))?;
    let now = config
        .to_toml()
        .map_err(|e| RunError::Config(e.to_string()))?;
    match first_difference(&before, &now) {
        None => of_this_run(&path, &before).map(|()| path),
        Some((was, is)) => Err(RunError::Config(format!(
            "--resume: the config is not that of {}: there `{was}`, here `{is}`",
            path.display()
        ))),
    }
}

/// Checks that the last checkpoint was saved by a run of this config.
fn of_this_run(path: &Path, config: &str) -> Result<(), RunError> {
    let Some(last) = checkpoint::latest(path)? else {
        return Ok(());
    };
    let file = last.join(checkpoint::CONFIG);
    let saved = fs::read_to_string(&file).map_err(RunError::file(&file))?;
    match first_difference(&saved, config) {
        None => Ok(()),
        Some((saved, run)) => Err(CheckpointError::Foreign {
            path: last,
            saved,
            run,
        }
        .into()),
    }
}

/// `runs/<name>`, `runs/<name>-2`, `runs/<name>-3`, …
fn numbered(config: &RunConfig) -> impl Iterator<Item = PathBuf> {
    let first = config.default_run_dir();
    let base = first.display().to_string();
    std::iter::once(first).chain((2..).map(move |n: u64| PathBuf::from(format!("{base}-{n}"))))
}

fn taken(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

fn append(file: &mut File, path: &Path, lines: &[impl Serialize]) -> Result<(), RunError> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).map_err(|e| RunError::Config(e.to_string()))?;
        text.push(b'\n');
    }
    file.write_all(&text).map_err(RunError::file(path))
}

/// The lines whose `step` is at most `step`; a line cut off by a kill is dropped.
fn keep_until(file: &Path, step: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    for line in BufReader::new(File::open(file)?).split(b'\n') {
        let line = line?;
        let value: Option<Value> = serde_json::from_slice(&line).ok();
        if value
            .and_then(|v| v.get("step")?.as_u64())
            .is_some_and(|at| at <= step)
        {
            kept.extend(line);
            kept.push(b'\n');
        }
    }
    Ok(kept)
}

fn first_difference(before: &str, now: &str) -> Option<(String, String)> {
    let (mut was, mut is) = (before.lines(), now.lines());
    loop {
        match (was.next(), is.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                let text = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                return Some((text(a), text(b)));
            }
        }
    }
}
