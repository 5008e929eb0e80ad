//! What stops a run.

use std::path::PathBuf;

use dunwu_rewards::PrepareError;

use super::{checkpoint::CheckpointError, identity::Change};
use crate::{
    bundle::{BundleError, ListError, PromptError},
    device::DeviceError,
    model::{PrecisionError, lora::LoraError, weights::WeightError},
    rollout::RewardModelError,
    stages::StageError,
    tasks::TasksError,
};

/// What stops a run: the errors of the layers below, and what only a run can get wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Tasks(#[from] TasksError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Checkpoints(#[from] ListError),
    #[error(transparent)]
    Lora(#[from] LoraError),
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    #[error(transparent)]
    RewardModel(#[from] RewardModelError),
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The config is not what it should be, or does not fit its surroundings.
    #[error("{0}")]
    Config(String),
    /// A setting that defines the run is another than before.
    #[error(
        "--resume: the config is not that of {}: there {key} = {}, here {key} = {}; hint: set it back, or start a new run", path.display(), change.was, change.is, key = change.key
    )]
    OtherConfig { path: PathBuf, change: Change },
    /// What the run was made from is not what is there now.
    #[error(
        "--resume: {what} are not those that the run was made from: {was} before, {is} now; hint: {hint}"
    )]
    Origin {
        what: &'static str,
        was: String,
        is: String,
        hint: &'static str,
    },
    #[error(
        "{}: another run writes to this directory; hint: wait for it to end, or choose another --run-dir", path.display()
    )]
    Locked { path: PathBuf },
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// What was logged stays, and the last step is saved.
    #[error(
        "stopped after step {step}: {}\nhint: {hint}; --resume goes on from there, with --ignore-alarms no alarm stops it",
        alarms.join("\n")
    )]
    Alarm {
        step: u64,
        alarms: Vec<String>,
        hint: &'static str,
    },
    #[error("preflight: {problem}\nhint: {hint}; --no-preflight goes on regardless")]
    Preflight { problem: String, hint: String },
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("cannot start the judge's threads: {0}")]
    Threads(std::io::Error),
}

impl RunError {
    /// An error of the file system at `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    /// Whether the config, or what it names, is to blame: the exit code is then that of a usage error.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::OtherConfig { .. }
                | Self::Locked { .. }
                | Self::Bundle(BundleError::Path(_))
                | Self::Tasks(TasksError::Nothing { .. } | TasksError::NothingHeldOut)
                | Self::Stage(StageError::Config(_))
        )
    }
}
