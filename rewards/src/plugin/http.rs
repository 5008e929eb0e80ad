//! A reward behind a server: `POST` of `{"samples": […]}`, answered by `{"scores": […]}`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::Agent;

use super::{Answer, OVER, alone, check_seconds, shared, wire};
use crate::attempt::Attempt;
use crate::error::RewardError;
use crate::option::{OptionError, default_weight};
use crate::reward::{Reward, Score, Verdict};
use crate::sample::Sample;

/// An answer longer than this is none, in bytes.
const ANSWER_BYTES: u64 = 64 << 20;

/// The longest wait between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Settings of [`HttpReward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The component's name in the rubric.
    pub name: String,
    /// Where to post, such as `http://localhost:8000/score`.
    pub url: String,
    /// Factor in the rubric's weighted sum. Default: 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Time for one try, in seconds. Default: 30.
    #[serde(default = "timeout_s")]
    pub timeout_s: f64,
    /// Tries after the first, where the server cannot be reached, is too slow, or answers 429 or 5xx.
    /// Default: 3.
    #[serde(default = "retries")]
    pub retries: u32,
    /// Wait before the first retry, in seconds; doubled for each further one, at most a minute.
    /// Default: 0.5.
    #[serde(default = "backoff_s")]
    pub backoff_s: f64,
}

fn timeout_s() -> f64 {
    30.0
}

fn retries() -> u32 {
    3
}

fn backoff_s() -> f64 {
    0.5
}

/// A reward behind a server.
pub struct HttpReward {
    config: HttpConfig,
    agent: Agent,
}

/// Whether to try again.
enum Failure {
    Passing(String),
    Final(String),
}

impl HttpReward {
    /// The judge that `config` describes. Nothing is asked yet.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] naming the option.
    pub fn from_config(config: &HttpConfig) -> Result<Self, OptionError> {
        check_seconds(&config.name, "timeout_s", config.timeout_s)?;
        check_seconds(&config.name, "backoff_s", config.backoff_s)?;
        if !["http://", "https://"]
            .iter()
            .any(|scheme| config.url.starts_with(scheme))
        {
            let expected = "an address that begins with http:// or https://";
            return Err(OptionError::invalid(
                &config.name,
                "url",
                config.url.clone(),
                expected,
            ));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            config: config.clone(),
            agent,
        })
    }

    fn scores(&self, samples: &[Sample], attempt: &Attempt) -> Result<Vec<Score>, String> {
        let message = serde_json::json!({ "samples": wire(samples) }).to_string();
        let mut wait = Duration::from_secs_f64(self.config.backoff_s);
        let tries = self.config.retries + 1;
        for number in 1..=tries {
            if attempt.is_over() {
                return Err(format!("{}: {OVER}", self.config.url));
            }
            match self.ask(&message, samples.len(), attempt) {
                Ok(scores) => return Ok(scores),
                Err(Failure::Passing(_)) if number < tries => {
                    std::thread::sleep(attempt.at_most(wait.min(LONGEST_BACKOFF)));
                    wait = wait.saturating_mul(2);
                }
                Err(Failure::Passing(reason)) => {
                    return Err(format!("{}: {reason}, {tries} times", self.config.url));
                }
                Err(Failure::Final(reason)) => {
                    return Err(format!("{}: {reason}", self.config.url));
                }
            }
        }
        unreachable!("the last try returns")
    }

    fn ask(&self, message: &str, count: usize, attempt: &Attempt) -> Result<Vec<Score>, Failure> {
        let limit = Duration::from_secs_f64(self.config.timeout_s);
        let passing = |error: ureq::Error| Failure::Passing(error.to_string());
        let mut response = self
            .agent
            .post(&self.config.url)
            .header("content-type", "application/json")
            .config()
            .timeout_global(Some(attempt.at_most(limit)))
            .build()
            .send(message)
            .map_err(passing)?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_string()
            .map_err(passing)?;
        if !status.is_success() {
            let start: String = body.chars().take(200).collect();
            let reason = format!("status {status}: {start}");
            return Err(match status.as_u16() {
                429 | 500.. => Failure::Passing(reason),
                _ => Failure::Final(reason),
            });
        }
        let answer: Answer = serde_json::from_str(&body).map_err(|error| {
            Failure::Final(format!("its answer is not what it should be: {error}"))
        })?;
        answer.into_scores(count).map_err(Failure::Final)
    }
}

impl Reward for HttpReward {
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
