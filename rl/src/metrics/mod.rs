//! What is logged of every step. Keys that hold times end in `_s` or `_per_s`; everything else is
//! a function of config and seed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::eval::Interval;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, Serialize)]
pub struct MetricsLine {
    /// Updates made since the start of the run, this one included.
    pub step: u64,
    /// Index of the stage in the config, from 0.
    pub stage: usize,
    /// Greedy accuracy on held-out problems after this step, when it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heldout_accuracy: Option<f64>,
    /// Its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heldout_accuracy_interval: Option<Interval>,
    /// The stage's own figures.
    #[serde(flatten)]
    pub metrics: StageMetrics,
}

/// The figures of one step, by kind of stage.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StageMetrics {
    /// Supervised fine-tuning.
    Sft(SftMetrics),
    /// Group relative policy optimisation.
    Grpo(GrpoMetrics),
}

/// Figures of a supervised step.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SftMetrics {
    /// Mean negative log-likelihood of the completion tokens, in nats.
    pub loss: f64,
    /// Mean entropy of the distributions, in nats.
    pub entropy: f64,
    /// Completion tokens trained on.
    pub trained_tokens: usize,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Seconds of the step.
    pub step_s: f64,
    /// Completion tokens a second.
    pub trained_tokens_per_s: f64,
}

/// Figures of a GRPO step. Means over tokens are over those trained on: with no KL penalty,
/// completions of groups whose rewards are all the same are not.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GrpoMetrics {
    /// Mean total reward of the judged completions.
    pub reward_mean: f64,
    /// Their standard deviation.
    pub reward_std: f64,
    /// Mean of each reward component over the completions it applies to.
    pub components: BTreeMap<String, f64>,
    /// Share of groups whose rewards are all the same: they teach nothing.
    pub zero_variance_groups: f64,
    /// Share of completions cut off at `max_tokens`.
    pub truncated: f64,
    /// Completions without a verdict because a judge failed.
    pub failed_judgements: usize,
    /// Completions of which a judge could tell neither right nor wrong.
    pub undecided_judgements: usize,
    /// Completions sampled.
    pub completions: usize,
    /// Their tokens.
    pub completion_tokens: usize,
    /// Mean length of a completion, in tokens.
    pub length_mean: f64,
    /// Longest completion, in tokens.
    pub length_max: usize,
    /// Value of the loss at the first update with this batch.
    pub loss: f64,
    /// Mean entropy of the policy at the trained tokens, in nats.
    pub entropy: f64,
    /// Mean KL divergence from the reference (estimator k3), in nats; absent without a penalty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// Share of tokens whose gradient the lower clip cut off, at the last update with this batch.
    pub clip_fraction_low: f64,
    /// The same for the upper clip.
    pub clip_fraction_high: f64,
    /// Mean of |trainer's − sampler's log-probability| of a token, in nats. Healthy: below 1e-4.
    pub mismatch_mean: f64,
    /// Its largest value.
    pub mismatch_max: f64,
    /// Completion tokens trained on.
    pub trained_tokens: usize,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Version of the policy after the step.
    pub policy_version: u64,
    /// Seconds of sampling.
    pub generation_s: f64,
    /// Seconds spent waiting for the judge after sampling.
    pub reward_s: f64,
    /// Seconds of training.
    pub training_s: f64,
    /// Seconds of the step.
    pub step_s: f64,
    /// Completion tokens sampled a second of sampling.
    pub generated_tokens_per_s: f64,
}

/// The part of [`GrpoMetrics`] that the rollouts alone decide.
#[derive(Debug, Clone)]
pub struct RewardStatistics {
    pub(crate) reward_mean: f64,
    pub(crate) reward_std: f64,
    pub(crate) components: BTreeMap<String, f64>,
    pub(crate) zero_variance_groups: f64,
    pub(crate) truncated: f64,
    pub(crate) failed_judgements: usize,
    pub(crate) undecided_judgements: usize,
    pub(crate) completions: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) length_mean: f64,
    pub(crate) length_max: usize,
}

impl RewardStatistics {
    /// Metrics with these figures set and all others 0.
    pub(crate) fn into_metrics(self) -> GrpoMetrics {
        GrpoMetrics {
            reward_mean: self.reward_mean,
            reward_std: self.reward_std,
            components: self.components,
            zero_variance_groups: self.zero_variance_groups,
            truncated: self.truncated,
            failed_judgements: self.failed_judgements,
            undecided_judgements: self.undecided_judgements,
            completions: self.completions,
            completion_tokens: self.completion_tokens,
            length_mean: self.length_mean,
            length_max: self.length_max,
            ..GrpoMetrics::default()
        }
    }
}

/// The mean; of nothing it is no number, which JSON shows as null.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Memory that programs can still take without others being moved out, in bytes; `None` where the
/// system does not say.
pub fn available_memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Largest resident memory of this process so far, in bytes; `None` where the system does not say.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
