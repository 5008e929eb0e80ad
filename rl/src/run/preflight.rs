//! What would end a run later is found before it has taken any memory, or made its first step.

use super::{
    RunError,
    estimate::{self, Estimate},
    sample::{self, SAMPLE},
};
use crate::{
    bundle::Codec,
    config::RunConfig,
    machine::available_memory_bytes,
    model::{Engine, ModelConfig},
    stages::{PromptLengths, PromptLimit, Rehearsal, StageConfig, prompts},
    tasks::Tasks,
};

/// Rows of a file that are made into tokens before the first step: about a second.
const ROWS: usize = 20_000;

/// Stops a run that will not fit into memory, before it has taken any.
///
/// # Errors
/// [`RunError::Preflight`] with the parts of the estimate.
pub fn memory(config: &RunConfig, engine: Engine) -> Result<(), RunError> {
    if engine == Engine::Tensors {
        return Ok(()); // a GPU does not say how much it has left
    }
    fits(&estimate::of(config)?, engine)
}

/// The same for an estimate that is there.
///
/// # Errors
/// See [`memory`].
pub(super) fn fits(estimate: &Estimate, engine: Engine) -> Result<(), RunError> {
    if engine == Engine::Tensors {
        return Ok(());
    }
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
                hint: "lower memory.token_budget, memory.workers or memory.batch_rows, set memory.recorded_tokens = 0 or memory.checkpoint_activations = true, or train adapters with [lora]".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Looks at the prompts of the run and at the files of the stages from `stage` on. What is worth telling, by topic.
///
/// # Errors
/// What would end the run at a later step.
pub(super) fn data(
    config: &RunConfig,
    tasks: &Tasks,
    model: &ModelConfig,
    codec: &Codec,
    stage: usize,
) -> Result<Vec<(&'static str, String)>, RunError> {
    let mut told = Vec::new();
    let context = model.max_position_embeddings;
    let mut stages = config.stages.iter().skip(stage);
    let asks = stages.any(|stage| stage.settings().asks());
    // What no stage draws is only measured where it is held out.
    let looked_at = if asks {
        sample::looked_at(config, tasks, Some(ROWS))?
    } else {
        tasks.heldout.clone()
    };
    if !looked_at.is_empty() {
        let limit = PromptLimit::new(tasks.prompts, &config.sampling, context);
        let found = prompts::measure(&codec.encoder, &limit, &looked_at);
        if let Some((first, tokens)) = &found.first_too_long {
            if !limit.drops() {
                let task = looked_at.iter().find(|task| task.id == *first);
                let task = task.expect("it was looked at");
                return Err(limit.error(task, *tokens).into());
            }
            told.push((
                "data",
                format!(
                    "{} of {} prompts have more than {} tokens and are skipped, the first is that of task {first} with {tokens}",
                    found.too_long, found.prompts, limit.tokens
                ),
            ));
        }
        budget(config, &found).map_err(|problem| RunError::Preflight {
            problem,
            hint: "raise memory.token_budget, or set data.max_prompt_tokens and data.too_long = \"drop\"".to_owned(),
        })?;
    }
    let rehearsal = Rehearsal::new(Some((codec, context)), &config.memory, Some(SAMPLE));
    // What the stage under way reads is read in a moment.
    for later in config.stages.iter().skip(stage + 1) {
        later.settings().rehearse(&rehearsal)?;
    }
    Ok(told)
}

/// Whether a micro-batch holds the longest prompt that fits, with the longest completion.
///
/// # Errors
/// What does not fit, with all numbers.
pub(super) fn budget(config: &RunConfig, found: &PromptLengths) -> Result<(), String> {
    let trains = |stage: &StageConfig| matches!(stage, StageConfig::Grpo(_));
    let (budget, longest) = (config.memory.token_budget, found.longest_fitting_tokens);
    let completion = config.sampling.max_tokens;
    if longest + completion <= budget + 1 || !config.stages.iter().any(trains) {
        return Ok(());
    }
    Err(format!(
        "the longest prompt of {longest} tokens with a completion of sampling.max_tokens = {completion} does not fit into memory.token_budget = {budget}"
    ))
}
