//! What a run's seeds are for.

use dunwu_datasets::derive_seed;

use crate::config::RunConfig;

/// What a seed of the run is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Weights = 0,
    Tasks = 1,
    Rollouts = 2,
    Evaluation = 3,
    Demonstrations = 4,
    Preflight = 5,
}

/// The seed of a config's new weights.
pub fn weights_seed(config: &RunConfig) -> u64 {
    derive_seed(config.seed, &[Purpose::Weights as u64])
}

/// The seed of a config's held-out problems and of the samples drawn for them.
pub fn evaluation_seed(config: &RunConfig) -> u64 {
    derive_seed(config.seed, &[Purpose::Evaluation as u64])
}

/// The seed of the order of tasks in the stage with this index.
pub fn tasks_seed(config: &RunConfig, stage: usize) -> u64 {
    derive_seed(config.seed, &[Purpose::Tasks as u64, stage as u64])
}
