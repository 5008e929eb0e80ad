//! What would waste hours is found before the first step.

use dunwu_datasets::TaskSource;

use super::RunError;
use crate::{
    generation::{Finish, SamplingConfig},
    grpo::GrpoConfig,
    model::Transformer,
    rollout::{Completion, RolloutCollector},
};

/// Groups that are sampled.
const GROUPS: usize = 8;

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
