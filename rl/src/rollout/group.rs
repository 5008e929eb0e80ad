//! A prompt and the completions that compete for its reward.

use dunwu_datasets::Task;
use dunwu_rewards::RewardOutcome;

use super::judge::JudgeError;
use crate::generation::{Finish, Recorded};

/// One sampled answer and what became of it.
#[derive(Debug)]
pub struct Completion {
    /// Token ids, an end-of-sequence token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each token when it was drawn, in nats.
    pub sampling_logprobs: Vec<f32>,
    /// The text, without the end-of-sequence token.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Where the activations are that sampling computed, if they were kept.
    pub recorded: Option<Recorded>,
    /// The rubric's verdict, or why there is none.
    pub outcome: Result<RewardOutcome, JudgeError>,
}

impl Completion {
    /// The total reward; `None` when the judge failed.
    pub fn reward(&self) -> Option<f64> {
        self.outcome.as_ref().ok().map(|outcome| outcome.total)
    }

    /// Whether a judge could tell neither right nor wrong.
    pub fn undecided(&self) -> bool {
        self.outcome.as_ref().is_err_and(JudgeError::is_undecided)
    }

    /// Whether a judge failed; undecided is no failure.
    pub fn failed(&self) -> bool {
        self.outcome.is_err() && !self.undecided()
    }

    /// The value of the reward component `name`, if it was judged and applies.
    pub fn component(&self, name: &str) -> Option<f64> {
        let outcome = self.outcome.as_ref().ok()?;
        let found = outcome.components.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| *value)
    }

    /// Whether it was cut off at `max_tokens`.
    pub fn truncated(&self) -> bool {
        self.finish == Finish::Length
    }
}

/// All completions of one task.
#[derive(Debug)]
pub struct RolloutGroup {
    /// What was asked.
    pub task: Task,
    /// The prompt as the model saw it.
    pub prompt_text: String,
    /// The same in tokens.
    pub prompt: Vec<u32>,
    /// The group, in the order of its seeds.
    pub completions: Vec<Completion>,
}

impl RolloutGroup {
    /// The total reward of each completion.
    pub fn rewards(&self) -> Vec<Option<f64>> {
        self.completions.iter().map(Completion::reward).collect()
    }
}
