//! A run that will not fit into memory is refused before it has taken any.

use super::{RunError, estimate};
use crate::{config::RunConfig, machine::available_memory_bytes, model::Engine};

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
                hint: "lower memory.token_budget, memory.workers or memory.batch_rows, set memory.recorded_tokens = 0 or memory.checkpoint_activations = true, or train adapters with [lora]".to_owned(),
            })
        }
        _ => Ok(()),
    }
}
