//! A reward in a process that reads and writes JSON lines. It runs with this program's rights: only
//! for code that is trusted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::{NoLine, Process};
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

fn timeout_s() -> f64 {
    30.0
}

/// A reward in a process. It is started when it is first needed and kept alive; a batch over which
/// it ends is given to a new one, once. Each request has a number, which the answer repeats: one that answers another
/// question is found out, and the process that gave it replaced.
pub struct CommandReward {
    config: CommandConfig,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    process: Option<Process>,
    /// The number of the last request, over all processes.
    asked: u64,
}

/// Whether to try a new process.
enum Failure {
    /// The process ended.
    Ended(String),
    /// It said something, or took too long.
    Final(String),
}

/// How much of a line an error shows, in characters.
const SHOWN: usize = 200;

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
                "[]",
                expected,
            ));
        }
        Ok(Self {
            config: config.clone(),
            running: Mutex::default(),
        })
    }

    fn scores(&self, samples: &[Sample], attempt: &Attempt) -> Result<Vec<Score>, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reason = String::new();
        for _ in 0..2 {
            if attempt.is_over() {
                return Err(OVER.to_owned());
            }
            let result = self.ask(&mut running, samples, attempt);
            if result.is_err() {
                // Whatever it writes after this would be taken for the next answer.
                running.process = None;
            }
            match result {
                Ok(scores) => return Ok(scores),
                Err(Failure::Final(reason)) => return Err(reason),
                Err(Failure::Ended(why)) => reason = why,
            }
        }
        Err(format!("{reason}, and so did a new one"))
    }

    fn ask(
        &self,
        running: &mut Running,
        samples: &[Sample],
        attempt: &Attempt,
    ) -> Result<Vec<Score>, Failure> {
        let program = &self.config.command[0];
        if let Some(line) = running.process.as_ref().and_then(Process::unasked) {
            running.process = None;
            let line = shown(&line);
            return Err(Failure::Final(format!(
                "{program} wrote more than one line for a request, the last: {line}; it was ended"
            )));
        }
        if running.process.is_none() {
            let process = Process::start(&self.config.command).map_err(Failure::Final)?;
            running.process = Some(process);
        }
        running.asked += 1;
        let id = running.asked;
        let request = serde_json::json!({ "id": id, "samples": wire(samples) }).to_string();
        let timeout = Duration::from_secs_f64(self.config.timeout_s);
        let process = running.process.as_mut().expect("just started");
        let line = process.ask(request, timeout, attempt);
        let line = line.map_err(|why| match why {
            NoLine::Ended(how) => Failure::Ended(format!("{program}: {how}")),
            NoLine::Late => {
                let seconds = self.config.timeout_s;
                Failure::Final(format!("no answer in {seconds} s; it was ended"))
            }
            NoLine::Unwanted => Failure::Final(format!("{OVER}; it was ended")),
            NoLine::Unreadable(reason) => Failure::Final(format!("{program}: {reason}")),
        })?;
        answer(&line, id, samples.len()).map_err(Failure::Final)
    }
}

/// The scores in `line`, which must answer request `id` of `count` samples.
fn answer(line: &str, id: u64, count: usize) -> Result<Vec<Score>, String> {
    if line.trim().is_empty() {
        return Err("its answer is an empty line".to_owned());
    }
    let answer: Answer = serde_json::from_str(line).map_err(|error| {
        format!(
            "its answer is not what it should be: {error}: {}",
            shown(line)
        )
    })?;
    match answer.id {
        Some(found) if found == id => answer.into_scores(count),
        Some(found) => Err(format!(
            "it answered request {found} where {id} was asked: it wrote more than one line for a request, or the answer of another"
        )),
        None => Err(format!(
            "its answer has no \"id\"; hint: repeat the request's, here {id}"
        )),
    }
}

/// As much of `line` as an error shows.
fn shown(line: &str) -> String {
    let start: String = line.chars().take(SHOWN).collect();
    let more = if start.len() < line.len() { "…" } else { "" };
    format!("{start:?}{more}")
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
