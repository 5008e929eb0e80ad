//! A teacher behind a server: log-probabilities of a prompt as vLLM gives them.
//!
//! `POST /v1/completions` of `{"model", "prompt": [ids], "max_tokens": 1, "prompt_logprobs": k}` is answered by one entry a token
//! of the prompt: `null` for the first, which nothing predicts, then `{"id": {"logprob": x, …}, …}` with the k likeliest tokens and
//! the one that stands there. They are at temperature 1 whatever is sampled at. A server of vLLM has to be started with
//! `--max-logprobs` of at least k.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{Known, ServerConfig};
use crate::{
    learner::{Sequence, TokenDistribution},
    stages::StageError,
};

/// What a stage has asked of a server so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Requests that were answered.
    pub requests: u64,
    /// Tokens sent in them, and the one that each had to sample.
    pub tokens: u64,
    /// Tries that had to be made again.
    pub retries: u64,
}

/// Why a server does not teach.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServerError {
    #[error(
        "teacher.url = {url:?}: {reason}, {tries} times; hint: raise server.timeout_s or server.retries, and --resume goes on from the last checkpoint"
    )]
    Unreachable {
        url: String,
        reason: String,
        tries: u32,
    },
    #[error("teacher.url = {url:?}: {reason}")]
    Refused { url: String, reason: String },
    #[error(
        "teacher.url = {url:?} gave log-probabilities of {given} of {tokens} tokens; hint: it has to support prompt_logprobs, and to read the whole prompt: compare its longest input with the sequences here"
    )]
    Fewer {
        url: String,
        given: usize,
        tokens: usize,
    },
    #[error(
        "teacher.url = {url:?} named {given} tokens at place {place}, and top_k = {asked}; hint: start it with --max-logprobs {asked} or more, or lower top_k"
    )]
    FewerNamed {
        url: String,
        place: usize,
        given: usize,
        asked: usize,
    },
    #[error(
        "teacher.url = {url:?} says nothing of token {token} at place {place} of the prompt; hint: it has to answer with the token that stands there beside the likeliest, as vLLM does; and to have the student's tokenizer"
    )]
    Absent {
        url: String,
        place: usize,
        token: u32,
    },
    #[error(
        "teacher.url = {url:?}: the log-probability of token {token} at place {place} is {value}, which is none; hint: start vLLM with --logprobs-mode raw_logprobs"
    )]
    NoLogprob {
        url: String,
        place: usize,
        token: u32,
        value: f64,
    },
    #[error(
        "server.token_budget = {budget} tokens does not hold the {needed} of the next step, {spent} are spent; hint: raise it, and --resume goes on"
    )]
    Budget {
        budget: u64,
        spent: u64,
        needed: u64,
    },
    #[error("teacher.url = {0:?} cannot be asked: the program was built without the feature http")]
    NotBuilt(String),
}

impl From<ServerError> for StageError {
    fn from(error: ServerError) -> Self {
        Self::Own(Box::new(error))
    }
}

/// Whether to try again.
enum Failure {
    /// Perhaps it works the next time.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    Passing(String),
    Final(ServerError),
}

/// A teacher behind a server.
pub struct Server {
    url: String,
    config: ServerConfig,
    spent: Spent,
    post: Post,
}

/// An answer, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    prompt_logprobs: Option<Vec<Option<BTreeMap<u32, Entry>>>>,
}

#[derive(Deserialize)]
struct Entry {
    logprob: f64,
}

impl Server {
    /// The server at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the key's environment variable is not set, or the program cannot speak HTTP.
    pub fn new(url: &str, config: &ServerConfig, spent: Spent) -> Result<Self, StageError> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let key = match &config.api_key_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                StageError::Config(format!(
                    "server.api_key_env = {name:?}: there is no such environment variable; hint: set it, or remove the key"
                ))
            })?),
        };
        Ok(Self {
            url: format!("{base}/v1/completions"),
            config: config.clone(),
            spent,
            post: Post::new(base, config.timeout_s, key)?,
        })
    }

    /// What was asked so far.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// What that costs, where a price is set.
    pub fn cost(&self) -> Option<f64> {
        let price = self.config.price_per_million?;
        Some(self.spent.tokens as f64 * price / 1e6)
    }

    /// What the teacher knows of each sampled token of `sequences`: its log-probability, and the `top_k` likeliest tokens.
    ///
    /// # Errors
    /// When the budget does not hold it, before anything is asked; when the server cannot be reached, refuses, or says less
    /// than it is asked.
    pub fn ask(
        &mut self,
        sequences: &[Sequence],
        top_k: usize,
    ) -> Result<Vec<Vec<Known>>, StageError> {
        let needed: u64 = sequences.iter().map(|s| 1 + prompt(s).len() as u64).sum();
        if let Some(budget) = self.config.token_budget
            && self.spent.tokens + needed > budget
        {
            return Err(ServerError::Budget {
                budget,
                spent: self.spent.tokens,
                needed,
            }
            .into());
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let retries = AtomicUsize::new(0);
        let answers = Mutex::new(vec![None; sequences.len()]);
        let error = Mutex::new(None);
        let lock = |_| ();
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(sequence) = sequences.get(index) else {
                    break;
                };
                match self.known(sequence, top_k, &retries) {
                    Ok(known) => {
                        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        answers[index] = Some(known);
                    }
                    Err(problem) => {
                        failed.store(true, Ordering::Relaxed);
                        let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                        error.get_or_insert(problem);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.config.concurrency.min(sequences.len()))
                .map(|_| scope.spawn(work))
                .collect();
            threads.into_iter().for_each(|thread| lock(thread.join()));
        });
        if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error.into());
        }
        self.spent.requests += sequences.len() as u64;
        self.spent.tokens += needed;
        self.spent.retries += retries.into_inner() as u64;
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(answers.into_iter().flatten().collect())
    }

    /// Asks about one sequence, and again where that may help.
    fn known(
        &self,
        sequence: &Sequence,
        top_k: usize,
        retries: &AtomicUsize,
    ) -> Result<Vec<Known>, ServerError> {
        let prompt = prompt(sequence);
        let message = serde_json::json!({
            "model": self.config.model,
            "prompt": prompt,
            "max_tokens": 1,
            "temperature": 1.0,
            "prompt_logprobs": top_k,
        })
        .to_string();
        let mut wait = std::time::Duration::from_secs_f64(self.config.backoff_s);
        let longest = std::time::Duration::from_secs(60);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post.send(&self.url, &message) {
                Ok(body) => return self.read(&body, sequence, &prompt, top_k),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(_)) if tries <= self.config.retries => {
                    retries.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(wait.min(longest));
                    wait = wait.saturating_mul(2);
                }
                Err(Failure::Passing(reason)) => {
                    return Err(ServerError::Unreachable {
                        url: self.url.clone(),
                        reason,
                        tries,
                    });
                }
            }
        }
    }

    /// What an answer says of each sampled token.
    fn read(
        &self,
        body: &str,
        sequence: &Sequence,
        prompt: &[u32],
        top_k: usize,
    ) -> Result<Vec<Known>, ServerError> {
        let answer: Answer = serde_json::from_str(body).map_err(|error| ServerError::Refused {
            url: self.url.clone(),
            reason: format!("its answer is not what it should be: {error}"),
        })?;
        let choice = answer.choices.into_iter().next();
        let entries = choice.and_then(|choice| choice.prompt_logprobs);
        let entries = entries.unwrap_or_default();
        if entries.len() != prompt.len() {
            return Err(ServerError::Fewer {
                url: self.url.clone(),
                given: entries.len(),
                tokens: prompt.len(),
            });
        }
        let start = sequence.prompt.len();
        let mut known = Vec::with_capacity(sequence.sampled());
        for (offset, (token, sampled)) in sequence.marked().take(prompt.len() - start).enumerate() {
            let place = start + offset;
            if !sampled {
                continue;
            }
            let Some(entry) = &entries[place] else {
                return Err(ServerError::Fewer {
                    url: self.url.clone(),
                    given: place,
                    tokens: prompt.len(),
                });
            };
            known.push(self.entry(entry, place, token, top_k)?);
        }
        Ok(known)
    }

    fn entry(
        &self,
        entry: &BTreeMap<u32, Entry>,
        place: usize,
        token: u32,
        top_k: usize,
    ) -> Result<Known, ServerError> {
        let url = || self.url.clone();
        if entry.len() < top_k {
            return Err(ServerError::FewerNamed {
                url: url(),
                place,
                given: entry.len(),
                asked: top_k,
            });
        }
        for (&token, &Entry { logprob }) in entry {
            if logprob.is_nan() || logprob > 1e-3 {
                return Err(ServerError::NoLogprob {
                    url: url(),
                    place,
                    token,
                    value: logprob,
                });
            }
        }
        let own = entry.get(&token).ok_or_else(|| ServerError::Absent {
            url: url(),
            place,
            token,
        })?;
        Ok(Known {
            logprob: own.logprob as f32,
            top: TokenDistribution::Top {
                ids: entry.keys().copied().collect(),
                logprobs: entry.values().map(|e| e.logprob as f32).collect(),
            },
        })
    }
}

/// What is sent of a sequence: all up to its last sampled token.
fn prompt(sequence: &Sequence) -> Vec<u32> {
    let useful = sequence.useful();
    let followed = sequence.marked().take(useful).map(|(token, _)| token);
    sequence.prompt.iter().copied().chain(followed).collect()
}

/// How a request is sent.
#[cfg(feature = "http")]
struct Post {
    agent: ureq::Agent,
    timeout: std::time::Duration,
    key: Option<String>,
}

#[cfg(feature = "http")]
impl Post {
    fn new(_base: &str, timeout_s: f64, key: Option<String>) -> Result<Self, ServerError> {
        let config = ureq::Agent::config_builder();
        Ok(Self {
            agent: config.http_status_as_error(false).build().into(),
            timeout: std::time::Duration::from_secs_f64(timeout_s),
            key,
        })
    }

    fn send(&self, url: &str, message: &str) -> Result<String, Failure> {
        /// An answer longer than this is none, in bytes.
        const MOST: u64 = 1 << 30;
        let passing = |error: ureq::Error| Failure::Passing(error.to_string());
        let mut request = self
            .agent
            .post(url)
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request
            .config()
            .timeout_global(Some(self.timeout))
            .build()
            .send(message)
            .map_err(passing)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MOST);
        let body = body.read_to_string().map_err(passing)?;
        if status.is_success() {
            return Ok(body);
        }
        let start: String = body.chars().take(300).collect();
        let reason = format!("status {status}: {start}");
        Err(match status.as_u16() {
            429 | 500.. => Failure::Passing(reason),
            _ => Failure::Final(ServerError::Refused {
                url: url.to_owned(),
                reason,
            }),
        })
    }
}

/// Nothing is sent without the feature `http`.
#[cfg(not(feature = "http"))]
struct Post;

#[cfg(not(feature = "http"))]
impl Post {
    fn new(base: &str, _timeout_s: f64, _key: Option<String>) -> Result<Self, ServerError> {
        Err(ServerError::NotBuilt(base.to_owned()))
    }

    fn send(&self, url: &str, _message: &str) -> Result<String, Failure> {
        Err(Failure::Final(ServerError::NotBuilt(url.to_owned())))
    }
}

#[cfg(all(test, feature = "http"))]
mod tests;
