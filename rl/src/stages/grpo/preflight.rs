//! What would waste hours is found before the first step.

use dunwu_datasets::Task;

use super::GrpoConfig;
use crate::{
    generation::{Finish, SamplingConfig},
    learner::{BudgetError, Scoring, token_logprobs},
    model::Transformer,
    rollout::{Completion, RolloutCollector, RolloutGroup},
    stages::StageError,
};

/// Groups that are sampled.
pub(super) const GROUPS: usize = 8;

/// Nats between sampler and trainer that no rounding explains, as for the alarm `mismatch`.
const MOST_MISMATCH: f64 = 0.01;

/// Samples groups of a few tasks as the first step would, and stops when they cannot teach anything.
///
/// # Errors
/// [`StageError::Preflight`] with what was seen and what to do; [`StageError::Prompt`] when a prompt does
/// not fit.
pub fn check(
    collector: &RolloutCollector,
    model: &Transformer,
    sampling: &SamplingConfig,
    config: &GrpoConfig,
    scoring: Scoring,
    tasks: Vec<Task>,
    seed: u64,
) -> Result<(), StageError> {
    let fail = |problem: String, hint: &str| {
        Err(StageError::Preflight {
            problem,
            hint: hint.to_owned(),
        })
    };
    let groups = collector
        .collect(model, sampling, tasks, config.group, seed, |_| {})?
        .groups;
    if let Some(longest) = groups.iter().map(|g| g.prompt.len()).max()
        && longest + sampling.max_tokens - 1 > scoring.token_budget
    {
        return Err(StageError::Budget(BudgetError {
            prompt: longest,
            completion: sampling.max_tokens,
            budget: scoring.token_budget,
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
    if completions.iter().all(|c| c.finish() == Finish::Length) {
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
        let example = completions.first().map_or("", |c| c.text());
        let example: String = example.chars().take(200).collect();
        return fail(
            format!(
                "all {} rewards are {first}, so there is nothing to learn from; the first completion was {example:?}",
                rewards.len()
            ),
            "make the tasks easier or harder, look at the reward, or raise sampling.temperature",
        );
    }
    let mismatch = mismatch(model, &groups, scoring)?;
    if mismatch.is_some_and(|mismatch| mismatch.is_nan() || mismatch > MOST_MISMATCH) {
        return fail(
            format!(
                "log-probabilities of the same tokens by the sampler and by the trainer differ by {:.4} nats on average",
                mismatch.unwrap_or(f64::NAN)
            ),
            "that is a bug, or a device that computes wrongly: compare with --device flex, and report it",
        );
    }
    Ok(())
}

/// The mean difference of a token's log-probability between the two passes, in nats, over the first
/// completion of each group; `None` when these are empty. Training may use what sampling has computed and
/// would not see it.
///
/// # Errors
/// When a completion does not fit into a micro-batch.
pub fn mismatch(
    model: &Transformer,
    groups: &[RolloutGroup],
    scoring: Scoring,
) -> Result<Option<f64>, BudgetError> {
    let first = |group: &RolloutGroup| {
        let completion = group.completions.first()?;
        let trajectory = &completion.trajectory;
        Some((trajectory.sequence(), trajectory.sampling_logprobs()))
    };
    let (sequences, sampled): (Vec<_>, Vec<_>) = groups.iter().filter_map(first).unzip();
    let scores = token_logprobs(model, &sequences, scoring.token_budget, scoring.head)?;
    let pairs = scores.iter().zip(&sampled);
    let differences: Vec<f64> = pairs
        .flat_map(|(scores, sampled)| scores.logprobs.iter().zip(sampled))
        .map(|(a, b)| f64::from((a - b).abs()))
        .collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    Ok((!differences.is_empty()).then_some(mean))
}
