//! What would waste hours is found before the first step.

use dunwu_datasets::TaskSource;

use super::{RunError, estimate};
use crate::{
    config::RunConfig,
    generation::{Finish, SamplingConfig},
    grpo::GrpoConfig,
    metrics::available_memory_bytes,
    model::{Engine, Transformer},
    policy::BudgetError,
    rollout::{Completion, RolloutCollector},
};

/// Groups that are sampled.
const GROUPS: usize = 8;

/// Stops a run that will not fit into memory, before it has taken any.
///
/// # Errors
/// [`RunError::Preflight`] with the parts of the estimate.
pub fn memory(config: &RunConfig, engine: Engine) -> Result<(), RunError> {
    if engine == Engine::Tensors {
        return Ok(()); // a GPU does not say how much it has left
    }
    let estimate = estimate::of(config)?;
    match available_memory_bytes() {
        Some(available) if available < estimate.peak_bytes => {
            let mib = |bytes: u64| bytes >> 20;
            let parts: Vec<String> = estimate
                .parts
                .iter()
                .filter(|(_, bytes)| *bytes > estimate.peak_bytes / 10)
                .map(|(name, bytes)| format!("{name} {} MiB", mib(*bytes)))
                .collect();
            Err(RunError::Preflight {
                problem: format!(
                    "about {} MiB are needed at the worst moment and {} MiB are free; most go to {}",
                    mib(estimate.peak_bytes),
                    mib(available),
                    parts.join(", ")
                ),
                hint: "lower memory.token_budget, memory.workers or memory.batch_rows, set memory.checkpoint_activations = true, or train adapters with [lora]".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Samples a few groups as the first step would, and stops when they cannot teach anything.
///
/// # Errors
/// [`RunError::Preflight`] with what was seen and what to do; [`RunError::Prompt`] when a prompt does
/// not fit.
pub fn check(
    collector: &RolloutCollector,
    model: &Transformer,
    sampling: &SamplingConfig,
    config: &GrpoConfig,
    token_budget: usize,
    source: &mut dyn TaskSource,
    seed: u64,
) -> Result<(), RunError> {
    let fail = |problem: String, hint: &str| {
        Err(RunError::Preflight {
            problem,
            hint: hint.to_owned(),
        })
    };
    let tasks = source.next_batch(GROUPS, 0.0)?;
    let groups = collector
        .collect(model, sampling, tasks, config.group, seed, |_| {})?
        .groups;
    if let Some(longest) = groups.iter().map(|g| g.prompt.len()).max()
        && longest + sampling.max_tokens - 1 > token_budget
    {
        return Err(RunError::Budget(BudgetError {
            prompt: longest,
            completion: sampling.max_tokens,
            budget: token_budget,
        }));
    }
    let completions: Vec<&Completion> = groups.iter().flat_map(|g| &g.completions).collect();
    let count = completions.len();
    if let Some(error) = completions.iter().find_map(|c| c.outcome.as_ref().err()) {
        let failed = completions.iter().filter(|c| c.outcome.is_err()).count();
        if failed * 2 > count {
            return fail(
                format!("the judge failed on {failed} of {count} completions, first with: {error}"),
                "mend the reward; a failed judge is never a reward of 0",
            );
        }
    }
    if completions.iter().all(|c| c.finish == Finish::Length) {
        return fail(
            format!(
                "none of {count} completions ended within sampling.max_tokens = {}",
                sampling.max_tokens
            ),
            "raise sampling.max_tokens, add sampling.stop, or check the model's end-of-sequence token",
        );
    }
    let rewards: Vec<f64> = completions.iter().filter_map(|c| c.reward()).collect();
    if let Some(&first) = rewards.first()
        && rewards.iter().all(|&r| r == first)
    {
        let example = completions.first().map_or("", |c| c.text.as_str());
        let example: String = example.chars().take(200).collect();
        return fail(
            format!(
                "all {} rewards are {first}, so there is nothing to learn from; the first completion was {example:?}",
                rewards.len()
            ),
            "make the tasks easier or harder, look at the reward, or raise sampling.temperature",
        );
    }
    Ok(())
}
