//! `runs/<name>/`: what a run leaves behind.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    RunError,
    provenance::{self, Provenance},
};
use crate::{bundle::checkpoints, config::RunConfig};

/// Names of the files.
pub(super) const CONFIG: &str = "config.toml";
pub(super) const METRICS: &str = "metrics.jsonl";
const COMPLETIONS: &str = "completions.jsonl";
pub(super) const EVALUATIONS: &str = "evaluation.jsonl";
const HELDOUT: &str = "heldout.jsonl";
const CHANGES: &str = "changes.jsonl";
pub(super) const SUMMARY: &str = "summary.json";
const LOCK: &str = "run.lock";

/// How often a run tries to take the directory, and how long it waits in between: who looks whether it is held holds it for
/// an instant.
const LOOKS: usize = 10;
const LOOK: Duration = Duration::from_millis(20);

/// How long the logs of a run are, in bytes: a resumed run cuts them to what its checkpoint knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logged {
    /// Of `metrics.jsonl`.
    pub metrics: u64,
    /// Of `completions.jsonl`.
    pub completions: u64,
    /// Of `evaluation.jsonl`.
    pub evaluations: u64,
    /// Of `heldout.jsonl`, which older versions did not write.
    #[serde(default)]
    pub heldout: u64,
}

/// The open files of a run. As long as it lives, no other run can write to the directory.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    metrics: Log,
    completions: Log,
    evaluations: Log,
    heldout: Log,
    /// Held, and let go by the system when the process ends, however it ends.
    _lock: File,
}

impl RunDirectory {
    /// Makes the directory at `path`, unless it is there, and opens its files.
    ///
    /// # Errors
    /// [`RunError::Locked`] when another run writes to it; else when it cannot be written.
    pub fn open(path: PathBuf) -> Result<Self, RunError> {
        fs::create_dir_all(&path).map_err(RunError::file(&path))?;
        let lock = lock(&path)?;
        Ok(Self {
            metrics: Log::open(&path, METRICS)?,
            completions: Log::open(&path, COMPLETIONS)?,
            evaluations: Log::open(&path, EVALUATIONS)?,
            heldout: Log::open(&path, HELDOUT)?,
            path,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the resolved config.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_config(&self, config: &RunConfig) -> Result<(), RunError> {
        let text = config
            .to_toml()
            .map_err(|e| RunError::Config(e.to_string()))?;
        self.replace(CONFIG, text.as_bytes())
    }

    /// How long the logs are, once what was written so far is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn logged(&self) -> Result<Logged, RunError> {
        Ok(Logged {
            metrics: self.metrics.flushed()?,
            completions: self.completions.flushed()?,
            evaluations: self.evaluations.flushed()?,
            heldout: self.heldout.flushed()?,
        })
    }

    /// Drops what was logged after a checkpoint: the steps to come will log it again. Returns the names of logs that are
    /// shorter than they were: somebody has cut or removed them.
    ///
    /// # Errors
    /// When the files cannot be cut.
    pub fn rewind(&mut self, logged: Logged) -> Result<Vec<&'static str>, RunError> {
        let mut shorter = Vec::new();
        for (log, length, name) in [
            (&mut self.metrics, logged.metrics, METRICS),
            (&mut self.completions, logged.completions, COMPLETIONS),
            (&mut self.evaluations, logged.evaluations, EVALUATIONS),
            (&mut self.heldout, logged.heldout, HELDOUT),
        ] {
            if !log.cut(length)? {
                shorter.push(name);
            }
        }
        Ok(shorter)
    }

    /// Adds a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn log_metrics(&mut self, line: &impl Serialize) -> Result<(), RunError> {
        self.metrics.append(std::slice::from_ref(line))
    }

    /// Adds lines to `completions.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn log_completions(&mut self, lines: &[impl Serialize]) -> Result<(), RunError> {
        self.completions.append(lines)
    }

    /// Adds a line to `evaluation.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn log_evaluation(&mut self, line: &impl Serialize) -> Result<(), RunError> {
        self.evaluations.append(std::slice::from_ref(line))
    }

    /// Adds lines to `heldout.jsonl`.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn log_heldout(&mut self, lines: &[impl Serialize]) -> Result<(), RunError> {
        self.heldout.append(lines)
    }

    /// Adds lines to `changes.jsonl`: settings that a resumed run has otherwise than before.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn log_changes(&self, lines: &[impl Serialize]) -> Result<(), RunError> {
        Log::open(&self.path, CHANGES)?.append(lines)
    }

    /// Writes `provenance.json`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_provenance(&self, provenance: &Provenance) -> Result<(), RunError> {
        let file = self.path.join(provenance::FILE);
        let text = serde_json::to_string_pretty(provenance)
            .map_err(|error| RunError::file(&file)(error.into()))?;
        self.replace(provenance::FILE, (text + "\n").as_bytes())
    }

    /// Writes `summary.json`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_summary(&self, summary: &impl Serialize) -> Result<(), RunError> {
        let file = self.path.join(SUMMARY);
        let text = serde_json::to_string_pretty(summary)
            .map_err(|error| RunError::file(&file)(error.into()))?;
        self.replace(SUMMARY, (text + "\n").as_bytes())
    }

    /// Writes a file under another name and renames it: it is whole, or as it was.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let (file, partial) = (self.path.join(name), self.path.join(format!(".{name}")));
        fs::write(&partial, bytes).map_err(RunError::file(&partial))?;
        fs::rename(&partial, &file).map_err(RunError::file(&file))
    }
}

/// Takes the directory for this process.
fn lock(path: &Path) -> Result<File, RunError> {
    let file = path.join(LOCK);
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).open(&file);
    let lock = lock.map_err(RunError::file(&file))?;
    for _ in 0..LOOKS {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            // Some file systems know no locks: then nobody is kept out.
            Err(TryLockError::Error(_)) => return Ok(lock),
        }
    }
    Err(RunError::Locked {
        path: path.to_owned(),
    })
}

/// Whether a process holds the directory; `None` where that cannot be told. Who asks holds the lock for an instant, together
/// with others who ask.
pub(super) fn is_held(path: &Path) -> Option<bool> {
    let lock = File::open(path.join(LOCK)).ok()?;
    match lock.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// A file of JSON lines that only grows.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn open(directory: &Path, name: &str) -> Result<Self, RunError> {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path);
        let file = file.map_err(RunError::file(&path))?;
        Ok(Self { path, file })
    }

    fn append(&mut self, lines: &[impl Serialize]) -> Result<(), RunError> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|error| RunError::file(&self.path)(error.into()))?;
            text.push(b'\n');
        }
        self.file
            .write_all(&text)
            .map_err(RunError::file(&self.path))
    }

    /// Its length in bytes, all of them on the disk.
    fn flushed(&self) -> Result<u64, RunError> {
        let length = || -> std::io::Result<u64> {
            self.file.sync_data()?;
            Ok(self.file.metadata()?.len())
        };
        length().map_err(RunError::file(&self.path))
    }

    /// Cuts it to `length` bytes; false when it is shorter.
    fn cut(&mut self, length: u64) -> Result<bool, RunError> {
        let mut cut = || -> std::io::Result<bool> {
            if self.file.metadata()?.len() < length {
                return Ok(false);
            }
            self.file.set_len(length)?;
            self.file.seek(SeekFrom::End(0))?;
            Ok(true)
        };
        cut().map_err(RunError::file(&self.path))
    }
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
/// When there is none.
pub fn earlier(config: &RunConfig, chosen: Option<&Path>) -> Result<PathBuf, RunError> {
    // One that is damaged counts: it is to be told, not passed over.
    let saved = |path: &PathBuf| !matches!(checkpoints::latest(path), Ok(None));
    let path = match chosen {
        Some(path) => Some(path.to_owned()),
        None => numbered(config)
            .take_while(|path| taken(path))
            .filter(saved)
            .last(),
    };
    path.filter(|path| path.join(CONFIG).is_file())
        .ok_or_else(|| {
            let place = chosen.map_or(config.default_run_dir(), Path::to_owned);
            RunError::Config(format!("--resume: there is no run in {}", place.display()))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_cut_to_what_a_checkpoint_knows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let mut run = RunDirectory::open(path.clone()).unwrap();
        run.log_metrics(&1).unwrap();
        run.log_completions(&["one", "two"]).unwrap();
        let logged = run.logged().unwrap();
        run.log_metrics(&2).unwrap();
        run.log_completions(&["three"]).unwrap();
        run.log_evaluation(&3).unwrap();
        run.log_heldout(&[5, 6]).unwrap();
        drop(run);
        // A kill may have cut a line off.
        let mut run = RunDirectory::open(path.clone()).unwrap();
        run.metrics.file.write_all(b"{\"step\":").unwrap();
        assert!(run.rewind(logged).unwrap().is_empty());
        run.log_metrics(&4).unwrap();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(read(METRICS), "1\n4\n");
        assert_eq!(read(COMPLETIONS), "\"one\"\n\"two\"\n");
        assert_eq!(read(EVALUATIONS), "");
        assert_eq!(read(HELDOUT), "");
        fs::write(path.join(COMPLETIONS), "").unwrap();
        assert_eq!(run.rewind(logged).unwrap(), [COMPLETIONS]);
    }

    #[test]
    fn two_runs_do_not_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunDirectory::open(dir.path().to_owned()).unwrap();
        let second = RunDirectory::open(dir.path().to_owned());
        let error = second.unwrap_err().to_string();
        assert!(error.contains("hint:"), "{error}");
        drop(first);
        RunDirectory::open(dir.path().to_owned()).unwrap();
    }
}
