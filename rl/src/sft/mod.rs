//! Supervised fine-tuning: the likelihood of given completions goes up.

use std::time::Instant;

use dunwu_datasets::{GeneratorConfig, TraceMix};
use serde::{Deserialize, Serialize};

use crate::{
    config::{MemorySection, RunConfig, above_zero, positive},
    metrics::SftMetrics,
    policy::{AdamWConfig, GradientConfig, Schedule, Sequence, Upstream, batch_gradients, pack},
    run::{Learner, RunError},
};

/// Settings of a supervised stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SftConfig {
    /// Steps of the stage.
    pub steps: u64,
    /// Demonstrations a step.
    pub batch: usize,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// A JSON-lines file of `{"prompt", "completion"}`; without it, demonstrations are generated
    /// for the run's task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<std::path::PathBuf>,
    /// How good the generated demonstrations are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<TraceMix>,
}

impl Default for SftConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            batch: 64,
            learning_rate: 1e-5,
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            optimizer: AdamWConfig::default(),
            file: None,
            traces: None,
        }
    }
}

impl SftConfig {
    /// Checks the stage, beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, run: &RunConfig) -> Result<(), String> {
        positive("steps", self.steps as usize)?;
        positive("batch", self.batch)?;
        above_zero("learning_rate", self.learning_rate)?;
        if let Some(traces) = &self.traces {
            traces.validate().map_err(|e| format!("traces: {e}"))?;
        }
        match (&self.file, &run.data.task) {
            (Some(_), _)
            | (
                None,
                Some(
                    GeneratorConfig::ChainSum(_)
                    | GeneratorConfig::Countdown(_)
                    | GeneratorConfig::Program(_),
                ),
            ) => Ok(()),
            (None, _) => Err(
                "nothing to learn from: set `file`, or use the generator chain-sum, countdown or program, which make demonstrations"
                    .to_owned(),
            ),
        }
    }
}

/// One update on `sequences`, by the mean negative log-likelihood of all their completion tokens.
///
/// # Errors
/// When a demonstration does not fit into a micro-batch.
pub fn step(
    config: &SftConfig,
    learner: &mut Learner,
    sequences: &[Sequence],
    step: u64,
    memory: &MemorySection,
    gradient: GradientConfig,
) -> Result<SftMetrics, RunError> {
    let start = Instant::now();
    let total: usize = sequences.iter().map(|s| s.completion.len()).sum();
    let scale = -1.0 / total.max(1) as f64;
    let likelihood = |logprobs: &[f32]| {
        let sum: f64 = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        Upstream::of_logprobs(scale * sum, vec![scale as f32; logprobs.len()])
    };
    let batches = pack(sequences, memory.token_budget)?;
    let zeros = learner.zeros();
    let (gradients, outputs) = batch_gradients(
        &learner.model,
        &batches,
        gradient,
        memory.workers,
        zeros,
        |_, _, logprobs, _| likelihood(logprobs),
    );
    let loss: f64 = outputs.iter().map(|output| output.loss).sum();
    let entropy: f64 = outputs
        .iter()
        .flat_map(|output| &output.entropy)
        .map(|&e| f64::from(e))
        .sum();
    let rate = config.learning_rate
        * config
            .schedule
            .factor(step, config.steps, config.warmup_steps);
    // No number moves nothing; the figures say so, and an alarm.
    let grad_norm = match loss.is_finite() {
        true => learner.update(gradients, rate),
        false => f64::NAN,
    };
    let step_s = start.elapsed().as_secs_f64();
    Ok(SftMetrics {
        loss,
        entropy: entropy / total.max(1) as f64,
        trained_tokens: total,
        grad_norm,
        learning_rate: rate,
        step_s,
        trained_tokens_per_s: total as f64 / step_s,
    })
}
