//! Commands that are told of alarms: `alarms.notify`.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::alarms::Alarm;

/// How long a command may take; then it is ended.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What a command reads on its standard input, as one line of JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    run: &'a str,
    directory: &'a Path,
    step: u64,
    alarm: &'a str,
    message: &'a str,
    stops: bool,
    hint: &'a str,
}

/// Starts the command for each alarm, on threads of their own, so that none delays the run.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    command: Arc<[String]>,
    under_way: Vec<JoinHandle<Option<String>>>,
}

impl Notifier {
    /// One that runs `command`; none when it is empty.
    pub(super) fn new(command: &[String]) -> Self {
        Self {
            command: command.into(),
            under_way: Vec::new(),
        }
    }

    /// Tells of an alarm.
    pub(super) fn tell(&mut self, run: &str, directory: &Path, step: u64, alarm: &Alarm) {
        if self.command.is_empty() {
            return;
        }
        let told = Told {
            run,
            directory,
            step,
            alarm: alarm.kind.key(),
            message: &alarm.message,
            stops: alarm.stops,
            hint: alarm.kind.hint(),
        };
        let Ok(mut text) = serde_json::to_string(&told) else {
            return;
        };
        text.push('\n');
        let command = self.command.clone();
        let asked = move || ask(&command, &text).err();
        let thread = thread::Builder::new().name("alarm".to_owned()).spawn(asked);
        self.under_way.extend(thread.ok());
    }

    /// What went wrong with commands that have ended since the last call.
    pub(super) fn failures(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        for thread in std::mem::take(&mut self.under_way) {
            if thread.is_finished() {
                failures.extend(thread.join().ok().flatten());
            } else {
                self.under_way.push(thread);
            }
        }
        failures
    }

    /// Waits for the commands under way, and says what went wrong with them.
    pub(super) fn wait(&mut self) -> Vec<String> {
        let threads = std::mem::take(&mut self.under_way).into_iter();
        threads.filter_map(|thread| thread.join().ok()?).collect()
    }
}

/// Runs a command with `text` on its standard input.
fn ask(command: &[String], text: &str) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let failed = |reason: &dyn std::fmt::Display| format!("alarms.notify: {program}: {reason}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut input) = child.stdin.take() {
        // Who does not read it is not asked again; the line fits into a pipe.
        let _ = input.write_all(text.as_bytes());
    }
    match ended(&mut child) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(&status)),
        Ok(None) => Err(failed(&format!(
            "ended, since it took more than {} s",
            PATIENCE.as_secs()
        ))),
        Err(error) => Err(failed(&error)),
    }
}

/// How it ended; `None` where it had to be.
fn ended(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::alarms::AlarmKind;

    fn alarm() -> Alarm {
        Alarm {
            kind: AlarmKind::NotFinite,
            message: "the loss is \"NaN\"".to_owned(),
            stops: true,
        }
    }

    fn told(command: &[&str]) -> Vec<String> {
        let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
        let mut notifier = Notifier::new(&command);
        notifier.tell("mine", Path::new("runs/mine"), 7, &alarm());
        notifier.wait()
    }

    #[test]
    fn a_command_reads_the_alarm() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        let script = format!("cat > {}", file.display());
        assert_eq!(told(&["sh", "-c", &script]), Vec::<String>::new());
        let text = std::fs::read_to_string(file).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["run"], "mine");
        assert_eq!(read["step"], 7);
        assert_eq!(read["alarm"], "not_finite");
        assert_eq!(read["message"], "the loss is \"NaN\"");
        assert_eq!(read["stops"], true);
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let failures = told(&["sh", "-c", "exit 3"]);
        assert!(
            failures[0].contains("alarms.notify: sh: exit status: 3"),
            "{failures:?}"
        );
        let failures = told(&["/no/such/program"]);
        assert!(failures[0].contains("/no/such/program"), "{failures:?}");
        // One that reads nothing is none that fails.
        assert_eq!(told(&["true"]), Vec::<String>::new());
    }
}
