//! Rewards that people bring: components in the sandbox, processes and servers that they trust.
//!
//! All three are shown the same: prompt, completion, reference, columns and group of each sample, in
//! batches. All three fail the same: with an error that is counted and shown, never with a 0.
//!
//! - `wasm`: a WebAssembly component, in the sandbox
//! - `command`: a process that reads and writes JSON lines
//! - `http`: a server that answers POST requests
//! - `process`: what `command` speaks to; `trial`: trying a reward by itself

mod command;
#[cfg(feature = "http")]
mod http;
mod process;
mod trial;
#[cfg(feature = "code")]
mod wasm;

use dunwu_datasets::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::option::OptionError;
use crate::reward::{Reward, Score, Verdict};
use crate::sample::Sample;

pub use command::{CommandConfig, CommandReward};
#[cfg(feature = "http")]
pub use http::{HttpConfig, HttpReward};
pub use trial::{Trial, Tried, try_out};
#[cfg(feature = "code")]
pub use wasm::{PluginLifetime, WasmConfig, WasmReward};

/// A sample as processes and servers read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireSample {
    /// Raw text, or a list of messages.
    pub prompt: Prompt,
    /// What the model answered.
    pub completion: String,
    /// The task's answer; null if it is empty.
    pub reference: Option<String>,
    /// Everything else that is known of the task.
    pub columns: Map<String, Value>,
    /// Samples of one batch that answer the same task have the same number.
    pub group: u32,
}

/// A score as processes and servers write it: `{"value": 1.0}`, or with `parts` and `note`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireScore {
    /// The score.
    pub value: f64,
    /// Numbers that explain it, by name.
    #[serde(default)]
    pub parts: Map<String, Value>,
    /// A word for people.
    #[serde(default)]
    pub note: Option<String>,
}

/// What processes and servers answer: `{"scores": […]}` or `{"error": "…"}`, from processes with the request's `id`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    scores: Option<Vec<WireScore>>,
    #[serde(default)]
    error: Option<String>,
}

impl Answer {
    /// The scores of `count` samples.
    fn into_scores(self, count: usize) -> Result<Vec<Score>, String> {
        match (self.error, self.scores) {
            (Some(error), _) => Err(error),
            (None, None) => Err("the answer has neither \"scores\" nor \"error\"".to_owned()),
            (None, Some(scores)) if scores.len() != count => {
                Err(format!("{} scores for {count} samples", scores.len()))
            }
            (None, Some(scores)) => scores.into_iter().map(WireScore::into_score).collect(),
        }
    }
}

impl WireScore {
    fn into_score(self) -> Result<Score, String> {
        let Self { value, parts, note } = self;
        let number = |(name, value): (String, Value)| match value.as_f64() {
            Some(number) => Ok((name, number)),
            None => Err(format!("part {name:?} is {value}, not a number")),
        };
        Ok(Score {
            value,
            parts: parts.into_iter().map(number).collect::<Result<_, _>>()?,
            note,
        })
    }
}

/// The samples of a batch, in their wire form.
fn wire(samples: &[Sample]) -> Vec<WireSample> {
    let group = |task: &str| samples.iter().position(|other| other.task.id == task);
    samples
        .iter()
        .map(|sample| WireSample {
            prompt: sample.task.prompt.clone(),
            completion: sample.completion.to_owned(),
            reference: Some(sample.task.answer.clone()).filter(|answer| !answer.is_empty()),
            columns: sample.task.columns.clone(),
            group: group(&sample.task.id).unwrap_or(0) as u32,
        })
        .collect()
}

/// Each sample's score, or the one reason why there are none, for all of them.
fn shared(samples: &[Sample], name: &str, result: Result<Vec<Score>, String>) -> Vec<Verdict> {
    match result {
        Ok(scores) => scores.into_iter().map(|score| Ok(Some(score))).collect(),
        Err(reason) => {
            let failed = |sample| Err(RewardError::judge(sample, name, reason.clone()));
            samples.iter().map(failed).collect()
        }
    }
}

/// Seconds that make sense as a limit.
fn check_seconds(component: &str, option: &'static str, seconds: f64) -> Result<(), OptionError> {
    if seconds > 0.0 && seconds <= 86_400.0 {
        return Ok(());
    }
    let expected = "above 0, at most 86400";
    Err(OptionError::invalid(component, option, seconds, expected))
}

/// The verdict over one sample of a judge that takes batches.
fn alone(judge: &dyn Reward, sample: &Sample, attempt: &Attempt) -> Verdict {
    let mut said = judge.score_batch(std::slice::from_ref(sample), attempt);
    said.pop().unwrap_or(Ok(None))
}

/// What a judge says when nobody waits for it any more.
const OVER: &str = "nobody waits for the verdict any more";
