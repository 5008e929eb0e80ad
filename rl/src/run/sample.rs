//! Which problems and rows are looked at before a run begins.

use dunwu_datasets::Task;

use super::RunError;
use crate::{
    config::RunConfig,
    seeds::{Purpose, stage_seed},
    tasks::Tasks,
};

/// Rows of a file that are looked at unless all are asked for.
pub const SAMPLE: usize = 512;

/// Problems of generators that are looked at, at the beginning of the training and at its end.
const GENERATED: usize = 64;

/// Problems as they are posed: of files, of generators at both ends of the training, and those held out.
pub(super) fn looked_at(
    config: &RunConfig,
    tasks: &Tasks,
    most: Option<usize>,
) -> Result<Vec<Task>, RunError> {
    let stride = most.map_or(1, |most| tasks.written_count().div_ceil(most));
    let mut looked_at: Vec<Task> = tasks
        .written(stride)
        .collect::<Result<_, _>>()
        .map_err(crate::tasks::TasksError::from)?;
    if tasks.makes() {
        for progress in [0.0, 1.0] {
            let seed = stage_seed(config.seed, Purpose::Preflight, 0);
            let mut source = tasks.source(seed).map_err(crate::tasks::TasksError::from)?;
            let drawn = source.next_batch(GENERATED, progress);
            looked_at.extend(drawn.map_err(crate::tasks::TasksError::from)?);
        }
    }
    looked_at.extend(tasks.heldout.iter().cloned());
    Ok(looked_at)
}
