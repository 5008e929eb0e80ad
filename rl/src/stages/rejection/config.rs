//! What a stage of rejection sampling can be set to.

use serde::{Deserialize, Serialize};

use crate::{checks::positive, stages::Surroundings};

/// Settings of a rejection-sampling stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectionConfig {
    /// Tasks that are drawn. One that comes twice, as from a file with fewer, is sampled once.
    pub tasks: usize,
    /// Completions sampled for each.
    pub samples: usize,
    /// Tasks that are sampled at a time: one step, after which all is on the disk.
    pub chunk: usize,
    /// The reward component that a completion is kept by; without it, the total reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// A completion is verified when it is worth at least this.
    pub threshold: f64,
    /// Most completions kept of a task.
    pub keep: usize,
    /// Which are kept when more are verified.
    pub pick: Pick,
    /// Keep the same text for the same task only once.
    pub distinct: bool,
    /// Keep completions that were cut off at `sampling.max_tokens`, too.
    pub keep_truncated: bool,
    /// Only tasks of which at least this share of the judged completions is verified …
    pub pass_rate_min: f64,
    /// … and at most this share: what the policy always does right it need not be taught.
    pub pass_rate_max: f64,
}

/// Which verified completions of a task are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// In the order in which they were sampled: at random.
    #[default]
    First,
    /// Those with the fewest tokens.
    Shortest,
    /// Those with the most tokens.
    Longest,
    /// Those with the largest total reward.
    Best,
}

impl Default for RejectionConfig {
    fn default() -> Self {
        Self {
            tasks: 512,
            samples: 8,
            chunk: 64,
            component: None,
            threshold: 1.0,
            keep: 1,
            pick: Pick::default(),
            distinct: true,
            keep_truncated: false,
            pass_rate_min: 0.0,
            pass_rate_max: 1.0,
        }
    }
}

impl RejectionConfig {
    /// Steps of the stage: chunks.
    pub fn steps(&self) -> u64 {
        self.tasks.div_ceil(self.chunk) as u64
    }

    /// Tasks drawn at step `step`.
    pub fn tasks_of(&self, step: u64) -> usize {
        self.chunk.min(self.tasks - step as usize * self.chunk)
    }

    /// Checks the stage, beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        let components = around.components;
        positive("tasks", self.tasks)?;
        positive("samples", self.samples)?;
        positive("chunk", self.chunk)?;
        positive("keep", self.keep)?;
        if around.sampling.temperature == 0.0 && self.samples > 1 {
            return Err(format!(
                "sampling.temperature = 0 gives {} equal completions: set it above 0, or samples = 1",
                self.samples
            ));
        }
        if let Some(component) = &self.component
            && !components.contains(component)
        {
            return Err(format!(
                "component = {component:?} is no reward component; there are: {}",
                components.join(", ")
            ));
        }
        if !self.threshold.is_finite() {
            return Err(format!("threshold = {} must be a number", self.threshold));
        }
        let (low, high) = (self.pass_rate_min, self.pass_rate_max);
        if 0.0 <= low && low <= high && high <= 1.0 {
            return Ok(());
        }
        Err(format!(
            "pass_rate_min = {low} and pass_rate_max = {high} must be a range between 0 and 1"
        ))
    }
}
