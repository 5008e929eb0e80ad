//! What the seeds of a run are for.

use dunwu_datasets::derive_seed;

/// What a seed of the run is for: the first step of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Weights of a new model, and of new adapters.
    Weights = 0,
    /// The order of tasks.
    Tasks = 1,
    /// Draws of completions.
    Rollouts = 2,
    /// Held-out problems, and samples drawn for them.
    Evaluation = 3,
    /// Generated demonstrations, and the order of examples.
    Demonstrations = 4,
    /// Tasks and draws of the preflight.
    Preflight = 5,
    /// Which steps of a distillation are on policy.
    Distillation = 6,
}

/// The seed of a run's new weights.
pub fn weights_seed(run: u64) -> u64 {
    derive_seed(run, &[Purpose::Weights as u64])
}

/// The seed of a run's held-out problems and of the samples drawn for them.
pub fn evaluation_seed(run: u64) -> u64 {
    derive_seed(run, &[Purpose::Evaluation as u64])
}

/// A seed for `purpose` in the stage with this index.
pub fn stage_seed(run: u64, purpose: Purpose, stage: usize) -> u64 {
    derive_seed(run, &[purpose as u64, stage as u64])
}
