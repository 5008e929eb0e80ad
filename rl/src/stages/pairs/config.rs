//! What a stage of pairs can be set to.

use serde::{Deserialize, Serialize};

use crate::{checks::positive, stages::Surroundings};

/// Settings of a stage that makes pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairsConfig {
    /// Tasks that are drawn. One that comes twice, as from a file with fewer, is sampled once.
    pub tasks: usize,
    /// Completions sampled for each.
    pub samples: usize,
    /// Tasks that are sampled at a time: one step, after which all is on the disk.
    pub chunk: usize,
    /// The reward component that completions are told apart by; without it, the total reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// A completion is right when it is worth at least this, and wrong otherwise.
    pub threshold: f64,
    /// By how much at least the right one has to be worth more than the wrong one.
    pub min_difference: f64,
    /// Most pairs of a task; no completion is in two of them.
    pub pairs_per_task: usize,
    /// Pair completions of like length, instead of those that were sampled first.
    pub match_length: bool,
    /// Use the same text for the same task only once.
    pub distinct: bool,
    /// Use completions that were cut off at `sampling.max_tokens`, too.
    pub keep_truncated: bool,
}

impl Default for PairsConfig {
    fn default() -> Self {
        Self {
            tasks: 512,
            samples: 8,
            chunk: 64,
            component: None,
            threshold: 1.0,
            min_difference: 0.0,
            pairs_per_task: 1,
            match_length: false,
            distinct: true,
            keep_truncated: false,
        }
    }
}

impl PairsConfig {
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
        positive("chunk", self.chunk)?;
        positive("pairs_per_task", self.pairs_per_task)?;
        positive("samples", self.samples)?;
        if self.samples < 2 {
            return Err("samples = 1 makes no pairs: set it to at least 2".to_owned());
        }
        if around.sampling.temperature == 0.0 {
            return Err(format!(
                "sampling.temperature = 0 gives {} equal completions, which make no pairs: set it above 0",
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
        if self.min_difference >= 0.0 && self.min_difference.is_finite() {
            return Ok(());
        }
        Err(format!(
            "min_difference = {} must be at least 0",
            self.min_difference
        ))
    }
}
