//! A reward in a process that reads and writes JSON lines. It runs with this program's rights: only
//! for code that is trusted.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Answer, OVER, alone, check_seconds, shared, wire};
use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::option::{OptionError, default_weight};
use crate::reward::{Reward, Score, Verdict};
use crate::sample::Sample;

/// Settings of [`CommandReward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The component's name in the rubric.
    pub name: String,
    /// The program and its arguments, such as `["python3", "judge.py"]`.
    pub command: Vec<String>,
    /// Factor in the rubric's weighted sum. Default: 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Time for a batch, in seconds. A process that takes longer is ended and started anew.
    /// Default: 30.
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
}

/// How often it is asked whether anybody still waits.
const GLANCE: Duration = Duration::from_millis(50);

fn timeout_s() -> f64 {
    30.0
}

/// A reward in a process. It is started when it is first needed and kept alive; a batch over which
/// it ends is given to a new one, once.
pub struct CommandReward {
    config: CommandConfig,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether to try a new process.
enum Failure {
    /// The process ended.
    Ended(String),
    /// It said something, or took too long.
    Final(String),
}

impl CommandReward {
    /// The judge that `config` describes. Nothing is started yet.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] naming the option.
    pub fn from_config(config: &CommandConfig) -> Result<Self, OptionError> {
        check_seconds(&config.name, "timeout_s", config.timeout_s)?;
        if config.command.first().is_none_or(String::is_empty) {
            let expected = "a program and its arguments";
            return Err(OptionError::invalid(
                &config.name,
                "command",
                "[]".to_owned(),
                expected,
            ));
        }
        Ok(Self {
            config: config.clone(),
            running: Mutex::new(None),
        })
    }

    fn scores(&self, samples: &[Sample], attempt: &Attempt) -> Result<Vec<Score>, String> {
        let message = serde_json::json!({ "samples": wire(samples) }).to_string();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reason = String::new();
        for _ in 0..2 {
            if attempt.is_over() {
                return Err(OVER.to_owned());
            }
            match self.ask(&mut running, &message, samples.len(), attempt) {
                Ok(scores) => return Ok(scores),
                Err(Failure::Final(reason)) => return Err(reason),
                Err(Failure::Ended(why)) => {
                    *running = None;
                    reason = why;
                }
            }
        }
        Err(format!("{reason}, and so did a new one"))
    }

    fn ask(
        &self,
        running: &mut Option<Running>,
        message: &str,
        count: usize,
        attempt: &Attempt,
    ) -> Result<Vec<Score>, Failure> {
        if running.is_none() {
            *running = Some(self.start().map_err(Failure::Final)?);
        }
        let process = running.as_mut().expect("just started");
        let written = writeln!(process.stdin, "{message}").and_then(|()| process.stdin.flush());
        if written.is_err() {
            return Err(Failure::Ended(self.ended(process)));
        }
        let line = match self.line(process, attempt) {
            Ok(line) => line,
            Err(Failure::Ended(_)) => return Err(Failure::Ended(self.ended(process))),
            Err(late) => {
                *running = None;
                return Err(late);
            }
        };
        let answer: Result<Answer, _> = serde_json::from_str(&line);
        let scores = answer
            .map_err(|error| format!("its answer is not what it should be: {error}"))
            .and_then(|answer| answer.into_scores(count));
        scores.map_err(|reason| {
            // Whatever it writes after this would be taken for the next answer.
            *running = None;
            Failure::Final(reason)
        })
    }

    /// The next line, unless the time is up or nobody waits for it any more.
    fn line(&self, process: &Running, attempt: &Attempt) -> Result<String, Failure> {
        let limit = Duration::from_secs_f64(self.config.timeout_s);
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            match process.lines.recv_timeout(left.min(GLANCE)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Ended(String::new())),
                Err(RecvTimeoutError::Timeout) if left <= GLANCE => {
                    let seconds = self.config.timeout_s;
                    let reason = format!("no answer in {seconds} s; it was ended");
                    return Err(Failure::Final(reason));
                }
                Err(RecvTimeoutError::Timeout) if attempt.is_over() => {
                    return Err(Failure::Final(format!("{OVER}; it was ended")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn ended(&self, process: &mut Running) -> String {
        let program = &self.config.command[0];
        match process.child.wait() {
            Ok(status) => format!("{program} ended: {status}"),
            Err(error) => format!("{program} ended: {error}"),
        }
    }

    fn start(&self) -> Result<Running, String> {
        let (program, arguments) = self.config.command.split_first().expect("checked above");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}"))?;
        let stdin = child.stdin.take().expect("piped above");
        let stdout = child.stdout.take().expect("piped above");
        let (outbox, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if outbox.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Running {
            child,
            stdin,
            lines,
        })
    }
}

impl Reward for CommandReward {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let said = self.score_in_parts(sample, &Attempt::unlimited())?;
        Ok(said.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample, attempt: &Attempt) -> Verdict {
        alone(self, sample, attempt)
    }

    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        shared(samples, &self.config.name, self.scores(samples, attempt))
    }

    fn takes_batches(&self) -> bool {
        true
    }
}
