//! A process that answers a line with a line: how it is started, spoken to and ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use crate::attempt::Attempt;

/// A line longer than this is none, in bytes.
const LINE_BYTES: u64 = 64 << 20;

/// Time that a process which has closed its output is given to end by itself, before it is ended.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is asked whether anybody still waits.
const GLANCE: Duration = Duration::from_millis(50);

/// A running process. It is ended, with all that it started, when this is dropped.
pub(super) struct Process {
    child: Child,
    requests: Sender<String>,
    lines: Receiver<Result<String, String>>,
}

/// Why there is no line.
pub(super) enum NoLine {
    /// The process ended, or closed its output; how.
    Ended(String),
    /// It wrote nothing in time.
    Late,
    /// Nobody waits for it any more.
    Unwanted,
    /// It wrote something that is no line of text.
    Unreadable(String),
}

impl Process {
    /// Starts `command`: a program and its arguments.
    ///
    /// # Errors
    /// Why it does not start, in words.
    pub(super) fn start(command: &[String]) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("there is no program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // A group of its own, so that what it starts can be ended with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}"))?;
        let mut stdin = child.stdin.take().expect("piped above");
        let stdout = child.stdout.take().expect("piped above");
        // Written by a thread: a process that does not read would keep the judge waiting for ever.
        let (requests, inbox) = channel::<String>();
        std::thread::spawn(move || {
            for request in inbox {
                if writeln!(stdin, "{request}")
                    .and_then(|()| stdin.flush())
                    .is_err()
                {
                    return;
                }
            }
        });
        let (outbox, lines) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(line) = read_line(&mut stdout) {
                let readable = line.is_ok();
                if outbox.send(line).is_err() || !readable {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            requests,
            lines,
        })
    }

    /// A line that the process wrote before it was asked; there should be none.
    pub(super) fn unasked(&self) -> Option<String> {
        match self.lines.try_recv() {
            Ok(Ok(line)) => Some(line),
            Ok(Err(reason)) => Some(reason),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Sends `request` and waits for a line, `timeout` at most and no longer than `attempt` goes on.
    pub(super) fn ask(
        &mut self,
        request: String,
        timeout: Duration,
        attempt: &Attempt,
    ) -> Result<String, NoLine> {
        // Where the writer is gone, the process has closed its input; what it says, or how it ended, is read below.
        let _ = self.requests.send(request);
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(attempt.at_most(left.min(GLANCE))) {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(reason)) => return Err(NoLine::Unreadable(reason)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(NoLine::Ended(self.how_it_ended()));
                }
                Err(RecvTimeoutError::Timeout) if start.elapsed() >= timeout => {
                    return Err(NoLine::Late);
                }
                Err(RecvTimeoutError::Timeout) if attempt.is_over() => {
                    return Err(NoLine::Unwanted);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// How the process ended that has closed its output.
    fn how_it_ended(&mut self) -> String {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("it ended: {status}"),
                Ok(None) if start.elapsed() < GRACE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(None) => return "it closed its standard output and went on".to_owned(),
                Err(error) => return format!("it ended: {error}"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Ok(id) = i32::try_from(self.child.id()) {
            // The group has the number of the process that began it, which is taken as long as the process was not waited for or the
            // group has members.
            let group = nix::unistd::Pid::from_raw(id);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line without its end, or what is wrong with it; nothing at the end of the stream.
fn read_line(from: &mut impl BufRead) -> Option<Result<String, String>> {
    let mut bytes = Vec::new();
    let read = from.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes);
    match read {
        Ok(0) | Err(_) => return None,
        Ok(_) => {}
    }
    let whole = bytes.last() == Some(&b'\n');
    if !whole && bytes.len() as u64 == LINE_BYTES {
        return Some(Err(format!(
            "it wrote a line of more than {LINE_BYTES} bytes"
        )));
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Some(String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        format!("it wrote a line that is not UTF-8: byte 0x{byte:02x} at {at}")
    }))
}
