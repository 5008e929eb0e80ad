//! What a stage of distillation can be set to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Divergence, Schedule},
    stages::{
        Surroundings,
        examples::{TooLong, Turns},
    },
};

/// Settings of a stage of distillation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    /// Who teaches; it has to be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// Steps of the stage.
    pub steps: u64,
    /// Share of the steps that are on policy, drawn step by step (GKD's λ); the others learn from `file`.
    pub lmbda: f64,
    /// On policy: tasks a step …
    pub prompts: usize,
    /// … and completions of each.
    pub group: usize,
    /// What the loss is made of.
    pub loss: DistillLoss,
    /// β of `jsd`: 0 is `forward-kl`, 1 is `reverse-kl`.
    pub beta: f64,
    /// α of the skewed divergences: the share of the distribution that the divergence is taken under in the other.
    pub alpha: f64,
    /// Only the teacher's so many likeliest tokens are told apart, all others are one more; without it, the whole vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Logits of both are divided by this before they are compared; without it, by `sampling.temperature`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Off policy: examples, in any form of an SFT stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which of several data sets in that place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Which split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Examples a step.
    pub batch: usize,
    /// Which of the assistant's turns in a conversation are learnt.
    pub turns: Turns,
    /// Longest example, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What is done about a longer one.
    pub too_long: TooLong,
    /// Ask the teacher about every example once, before the first step, and keep its `top_k` likeliest tokens in a file beside
    /// the run. The teacher is not needed afterwards.
    pub stored: bool,
    /// Go on with a teacher whose chat template writes conversations otherwise: it reads them in the student's.
    pub other_template: bool,
    /// How a server is asked.
    #[serde(skip_serializing_if = "ServerConfig::is_default")]
    pub server: ServerConfig,
}

/// Who teaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TeacherConfig {
    /// Another model, in any form that `model.path` takes: a directory, a GGUF file, a run's directory, a name on the hub.
    #[serde(rename = "path")]
    Path(String),
    /// The weights that an earlier stage, counted from 0, ended with.
    #[serde(rename = "after_stage")]
    AfterStage(usize),
    /// The policy as it is at the start of the stage.
    #[serde(rename = "stage-start")]
    StageStart,
    /// With `[lora]`, the policy with its adapters off.
    #[serde(rename = "base")]
    Base,
    /// The address of a server with `/v1/completions` in vLLM's form, such as `http://localhost:8000`.
    #[serde(rename = "url")]
    Url(String),
}

/// What the loss is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistillLoss {
    /// `KL(student ‖ teacher)`: seeks what the teacher finds likely.
    #[default]
    ReverseKl,
    /// `KL(teacher ‖ student)`: covers all that the teacher does.
    ForwardKl,
    /// The generalized Jensen–Shannon divergence with `beta`.
    Jsd,
    /// `KL(teacher ‖ α teacher + (1−α) student)` with `alpha`.
    SkewForwardKl,
    /// `KL(student ‖ (1−α) teacher + α student)` with `alpha`.
    SkewReverseKl,
    /// The policy gradient of the reverse divergence: each sampled token has the advantage `log teacher − log student`.
    SampledToken,
}

/// How a server is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The name under which the server knows the teacher.
    pub model: String,
    /// The environment variable that holds a key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Requests at a time.
    pub concurrency: usize,
    /// Time for one try, in seconds.
    pub timeout_s: f64,
    /// Tries after the first, where the server cannot be reached, is too slow, or answers 429 or 5xx.
    pub retries: u32,
    /// Wait before the first retry, in seconds; doubled for each further one, at most a minute.
    pub backoff_s: f64,
    /// Tokens that the whole stage may send; without it, as many as it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<u64>,
    /// What a million tokens cost, in whatever money: `teacher_cost` is counted in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_million: Option<f64>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            api_key_env: None,
            concurrency: 8,
            timeout_s: 120.0,
            retries: 3,
            backoff_s: 0.5,
            token_budget: None,
            price_per_million: None,
        }
    }
}

impl ServerConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// The first number that is out of range.
    fn validate(&self) -> Result<(), String> {
        positive("server.concurrency", self.concurrency)?;
        above_zero("server.timeout_s", self.timeout_s)?;
        above_zero("server.backoff_s", self.backoff_s)?;
        match self.price_per_million {
            Some(price) if !(price >= 0.0 && price.is_finite()) => Err(format!(
                "server.price_per_million = {price} must be at least 0"
            )),
            _ => Ok(()),
        }
    }
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            teacher: None,
            steps: 100,
            lmbda: 1.0,
            prompts: 16,
            group: 4,
            loss: DistillLoss::default(),
            beta: 0.5,
            alpha: 0.1,
            top_k: None,
            temperature: None,
            learning_rate: 1e-5,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            optimizer: AdamWConfig::default(),
            file: None,
            subset: None,
            split: None,
            batch: 64,
            turns: Turns::default(),
            max_length: None,
            too_long: TooLong::default(),
            stored: false,
            other_template: false,
            server: ServerConfig::default(),
        }
    }
}

impl DistillConfig {
    /// The divergence; `None` for the sampled token.
    pub fn divergence(&self) -> Option<Divergence> {
        Some(match self.loss {
            DistillLoss::ReverseKl => Divergence::Reverse,
            DistillLoss::ForwardKl => Divergence::Forward,
            DistillLoss::Jsd => Divergence::generalized(self.beta),
            DistillLoss::SkewForwardKl => Divergence::SkewForward(self.alpha),
            DistillLoss::SkewReverseKl => Divergence::SkewReverse(self.alpha),
            DistillLoss::SampledToken => return None,
        })
    }

    /// Whether any step samples.
    pub fn samples(&self) -> bool {
        self.lmbda > 0.0
    }

    /// Whether any step learns from `file`.
    pub fn reads(&self) -> bool {
        self.lmbda < 1.0
    }

    /// Checks the stage beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        positive("steps", self.steps as usize)?;
        positive("prompts", self.prompts)?;
        positive("group", self.group)?;
        positive("batch", self.batch)?;
        above_zero("learning_rate", self.learning_rate)?;
        if !(0.0..=1.0).contains(&self.lmbda) {
            return Err(format!("lmbda = {} must be between 0 and 1", self.lmbda));
        }
        if !(0.0..=1.0).contains(&self.beta) {
            return Err(format!("beta = {} must be between 0 and 1", self.beta));
        }
        if !(0.0..1.0).contains(&self.alpha) {
            return Err(format!(
                "alpha = {} must be at least 0 and below 1",
                self.alpha
            ));
        }
        if let Some(temperature) = self.temperature {
            above_zero("temperature", temperature)?;
        }
        if let Some(k) = self.top_k {
            positive("top_k", k)?;
        }
        self.server.validate()?;
        self.validate_teacher(around)?;
        self.validate_data(around)
    }

    fn validate_teacher(&self, around: &Surroundings) -> Result<(), String> {
        let sampled = self.loss == DistillLoss::SampledToken;
        match &self.teacher {
            None => Err(
                "nobody teaches: set teacher = { path = \"…\" }, { url = \"…\" }, { after_stage = 0 }, \"stage-start\" or \"base\""
                    .to_owned(),
            ),
            Some(TeacherConfig::AfterStage(stage)) if *stage >= around.index => Err(format!(
                "teacher = {{ after_stage = {stage} }} must name a stage before this one, which is stages.{}",
                around.index
            )),
            Some(TeacherConfig::Base) if around.lora.is_none() => Err(
                "teacher = \"base\" is the policy with its adapters off, and there is no [lora]: use \"stage-start\" or { path = \"…\" }"
                    .to_owned(),
            ),
            Some(TeacherConfig::Url(url)) if !["http://", "https://"].iter().any(|s| url.starts_with(s)) => Err(
                format!("teacher.url = {url:?} must begin with http:// or https://"),
            ),
            Some(TeacherConfig::Url(_)) if self.temperature.is_some_and(|t| t != 1.0) => Err(format!(
                "temperature = {:?} cannot be asked of a server, whose log-probabilities are those at 1: set temperature = 1.0",
                self.temperature.unwrap_or(1.0)
            )),
            Some(TeacherConfig::Url(_)) if self.top_k.is_none() && !sampled => Err(
                "a server tells the likeliest tokens only: set top_k, or loss = \"sampled-token\"".to_owned(),
            ),
            Some(TeacherConfig::Url(_)) if self.server.model.is_empty() => Err(
                "server.model is not set: a server is asked for a model by its name".to_owned(),
            ),
            Some(_) => Ok(()),
        }
    }

    fn validate_data(&self, around: &Surroundings) -> Result<(), String> {
        let sampled = self.loss == DistillLoss::SampledToken;
        if self.reads() && self.file.is_none() {
            return Err(format!(
                "lmbda = {} makes steps off policy, and `file` is not set: nothing says what they learn from",
                self.lmbda
            ));
        }
        if !self.reads() && self.file.is_some() {
            return Err("lmbda = 1 makes every step on policy, and `file` is never read: lower lmbda, or remove `file`".to_owned());
        }
        if self.reads() && sampled {
            return Err(format!(
                "loss = \"sampled-token\" is a policy gradient, for the student's own samples only: lmbda = {} asks for others; use a divergence",
                self.lmbda
            ));
        }
        if sampled && self.top_k.is_some() {
            return Err("top_k is about a divergence, and loss = \"sampled-token\" looks at one token: remove it".to_owned());
        }
        if self.stored && self.samples() {
            return Err(format!(
                "stored = true keeps what the teacher says of examples, and lmbda = {} samples new ones: set lmbda = 0",
                self.lmbda
            ));
        }
        if self.stored && self.top_k.is_none() {
            return Err("stored = true keeps the likeliest tokens: set top_k".to_owned());
        }
        if sampled && around.sampling.temperature == 0.0 {
            return Err(
                "loss = \"sampled-token\" needs samples: set sampling.temperature above 0"
                    .to_owned(),
            );
        }
        if let Some(longest) = self.max_length {
            positive("max_length", longest)?;
            let budget = around.memory.token_budget;
            if longest > budget {
                return Err(format!(
                    "max_length = {longest} is more than memory.token_budget = {budget}, which has to hold an example: lower the one or raise the other"
                ));
            }
        }
        Ok(())
    }
}
