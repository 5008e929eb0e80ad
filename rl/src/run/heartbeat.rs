//! Whether a run is alive, for those who look from outside: `heartbeat.json` beside its lock.
//!
//! The file says what the run does and is written anew every [`EVERY`]; the lock `run.lock` is let go by the system
//! when the process ends, however it ends. On the machine of the run the lock decides; on another one, as over a network file
//! system that knows no locks, the age of the heartbeat does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::directory::{SUMMARY, is_held};

/// Name of the file.
pub const FILE: &str = "heartbeat.json";

/// How often it is written.
pub const EVERY: Duration = Duration::from_secs(5);

/// A heartbeat older than so many times [`Heartbeat::every_s`] has stopped.
const MISSED: f64 = 6.0;

/// What a run says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It makes steps.
    Running,
    /// It was asked to wait.
    Paused,
    /// It was asked to stop, and is saved.
    Stopped,
    /// All its stages are over.
    Finished,
    /// It ended with an error.
    Failed,
}

/// `heartbeat.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heartbeat {
    /// What the run does.
    pub phase: Phase,
    /// Steps of the run made.
    pub step: u64,
    /// When this was written, in seconds since 1970.
    pub at: f64,
    /// How often it is written, in seconds.
    pub every_s: f64,
    /// When the session began, in seconds since 1970.
    pub began: f64,
    /// The process.
    pub pid: u32,
    /// The machine's name; empty where the system does not say.
    pub host: String,
}

/// What can be told of a run from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// It makes steps.
    Running,
    /// It waits until it is told to go on.
    Paused,
    /// It was stopped, and is saved.
    Stopped,
    /// All its stages are over.
    Finished,
    /// It ended with an error.
    Failed,
    /// Its process is gone without a word, as after a kill.
    Dead,
}

impl Life {
    /// Whether a process is at work on it.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// That of the run in `directory`, now.
    pub fn of(directory: &Path) -> Self {
        Self::told(directory, now(), &host())
    }

    /// The same at a moment, seen from a machine.
    fn told(directory: &Path, now: f64, here: &str) -> Self {
        let held = is_held(directory);
        let Some(beat) = read(directory) else {
            return Self::without_heartbeat(directory, held);
        };
        let alive = match beat.phase {
            Phase::Stopped => return Self::Stopped,
            Phase::Finished => return Self::Finished,
            Phase::Failed => return Self::Failed,
            Phase::Running => Self::Running,
            Phase::Paused => Self::Paused,
        };
        let same_machine = !here.is_empty() && beat.host == here;
        let lives = match held {
            Some(true) => true,
            Some(false) if same_machine => false,
            // A lock may not be seen from another machine.
            _ => now - beat.at <= MISSED * beat.every_s,
        };
        if lives { alive } else { Self::Dead }
    }

    /// That of a run of an older version of this program, which wrote no heartbeat.
    fn without_heartbeat(directory: &Path, held: Option<bool>) -> Self {
        if held == Some(true) {
            return Self::Running;
        }
        let finished = || -> Option<bool> {
            let text = fs::read_to_string(directory.join(SUMMARY)).ok()?;
            let summary: serde_json::Value = serde_json::from_str(&text).ok()?;
            summary["finished"].as_bool()
        };
        match finished() {
            Some(true) => Self::Finished,
            Some(false) => Self::Stopped,
            None => Self::Dead,
        }
    }
}

/// The heartbeat of the run in `directory`, if there is one that can be read.
pub fn read(directory: &Path) -> Option<Heartbeat> {
    serde_json::from_slice(&fs::read(directory.join(FILE)).ok()?).ok()
}

/// Writes the heartbeat of a run as long as it lives, and at its end how that was. A disk that does not take it ends nothing.
#[derive(Debug)]
pub(super) struct Pulse {
    writer: Arc<Writer>,
    /// Dropped to end the thread.
    ends: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// What to leave behind.
    last: Phase,
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    beat: Mutex<Heartbeat>,
}

impl Pulse {
    /// Begins to beat in `directory`; unless told otherwise the run has failed when this is dropped.
    pub(super) fn begin(directory: &Path, step: u64) -> Self {
        let began = now();
        let writer = Arc::new(Writer {
            path: directory.to_owned(),
            beat: Mutex::new(Heartbeat {
                phase: Phase::Running,
                step,
                at: began,
                every_s: EVERY.as_secs_f64(),
                began,
                pid: std::process::id(),
                host: host(),
            }),
        });
        writer.write(|_| {});
        let (ends, ended) = channel();
        let beating = writer.clone();
        let thread = thread::Builder::new().name("heartbeat".to_owned());
        let thread = thread.spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                beating.write(|_| {});
            }
        });
        Self {
            writer,
            ends: Some(ends),
            thread: thread.ok(),
            last: Phase::Failed,
        }
    }

    /// Says what the run does, and how far it is.
    pub(super) fn is(&self, phase: Phase, step: u64) {
        self.writer.write(|beat| {
            beat.phase = phase;
            beat.step = step;
        });
    }

    /// Says how the run will have ended.
    pub(super) fn ends_as(&mut self, phase: Phase) {
        self.last = phase;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.ends = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let last = self.last;
        self.writer.write(|beat| beat.phase = last);
    }
}

impl Writer {
    fn write(&self, change: impl FnOnce(&mut Heartbeat)) {
        let mut beat = self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut beat);
        beat.at = now();
        let partial = self.path.join(format!(".{FILE}"));
        if let Ok(text) = serde_json::to_vec(&*beat)
            && fs::write(&partial, text).is_ok()
        {
            let _ = fs::rename(&partial, self.path.join(FILE));
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// The name of this machine; empty where the system does not say.
pub(super) fn host() -> String {
    let named = ["/proc/sys/kernel/hostname", "/etc/hostname"].map(fs::read_to_string);
    let named = named.into_iter().find_map(Result::ok);
    let named = named.or_else(|| std::env::var("COMPUTERNAME").ok());
    named.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunDirectory;

    #[test]
    fn a_run_can_be_told_alive_paused_ended_and_dead() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let directory = RunDirectory::open(path.to_owned()).unwrap();
        let mut pulse = Pulse::begin(path, 3);
        assert_eq!(Life::of(path), Life::Running);
        pulse.is(Phase::Paused, 4);
        assert_eq!(Life::of(path), Life::Paused);
        assert_eq!(read(path).unwrap().step, 4);
        // A kill: the lock is gone, and nothing was said.
        let left = fs::read(path.join(FILE)).unwrap();
        pulse.ends_as(Phase::Finished);
        drop(pulse);
        assert_eq!(Life::of(path), Life::Finished);
        drop(directory);
        fs::write(path.join(FILE), left).unwrap();
        assert_eq!(Life::of(path), Life::Dead);
    }

    #[test]
    fn from_another_machine_the_age_of_the_heartbeat_decides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        drop(RunDirectory::open(path.to_owned()).unwrap());
        let pulse = Pulse::begin(path, 1);
        let at = read(path).unwrap().at;
        assert_eq!(Life::told(path, at + 29.0, "elsewhere"), Life::Running);
        assert_eq!(Life::told(path, at + 31.0, "elsewhere"), Life::Dead);
        drop(pulse);
        // Nobody said that it had come to a good end.
        assert_eq!(Life::told(path, at + 31.0, "elsewhere"), Life::Failed);
    }

    #[test]
    fn runs_of_older_versions_are_told_by_lock_and_summary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert_eq!(Life::of(path), Life::Dead);
        let held = RunDirectory::open(path.to_owned()).unwrap();
        assert_eq!(Life::of(path), Life::Running);
        drop(held);
        for (finished, life) in [("true", Life::Finished), ("false", Life::Stopped)] {
            let text = format!("{{\"finished\": {finished}}}");
            fs::write(path.join(SUMMARY), text).unwrap();
            assert_eq!(Life::of(path), life);
        }
    }
}
