//! A training run: its directory, its stages, what it tells the user.
//!
//! | file | subject |
//! |---|---|
//! | [`bundle`] | a model with everything that turns text into its tokens and back |
//! | [`directory`] | `runs/<name>/` |
//! | [`train`](mod@train) | the stages, in order; what is done after every step |
//! | `sft`, `grpo`, `rejection` | the loop around every step of a stage |
//! | [`tasks`], [`seeds`] | the problems of a run, and what its seeds are for |
//! | [`summary`] | what a run tells at its end |
//! | [`preflight`] | what would waste hours is found before the first step |
//! | [`console`] | progress for a person |
//! | [`estimate`] | how much memory a run will take |
//! | [`interrupt`] | Ctrl-C finishes the step |

pub mod checkpoint;
pub mod console;
pub mod directory;
pub mod estimate;
mod grpo;
pub mod interrupt;
pub mod metrics;
mod rejection;
mod restart;
mod sft;
pub mod stages;
pub mod summary;
pub mod train;

use std::path::PathBuf;

use dunwu_datasets::DatasetError;

use crate::{bundle::PromptError, device::DeviceError, learner::{AdamW, BudgetError}, model::{lora::LoraError, pretrained::PretrainedError, weights::WeightError, Parameters, PrecisionError, Transformer}, run::checkpoint::CheckpointError, stages::sft::ExampleError, tokenizer::TokenizerError};

pub use directory::RunDirectory;
pub use stages::StageReport;
pub use summary::{Showcase, Summary};
pub use train::{TrainOptions, train};

/// What stops a run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(transparent)]
    Lora(#[from] LoraError),
    #[error(transparent)]
    Examples(#[from] ExampleError),
    #[error(
        "stage {stage} (rejection-sampling) kept nothing: of {completions} completions {judged} were judged and {verified} were worth at least {threshold} by {by}; {truncated} of these were cut off, and {out_of_range} tasks had a pass rate out of range; hint: lower threshold, raise samples or tasks, widen pass_rate_min and pass_rate_max, or train the policy further before"
    )]
    NothingKept {
        stage: usize,
        completions: usize,
        judged: usize,
        verified: usize,
        by: String,
        threshold: f64,
        out_of_range: usize,
        truncated: usize,
    },
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The config was checked before, so this is about its surroundings.
    #[error("{0}")]
    Config(String),
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
    #[error("the thread that samples has ended before its work was done")]
    SamplerEnded,
    #[error("cannot start the judge's threads: {0}")]
    Threads(std::io::Error),
}

impl RunError {
    /// An error of the file system at `path`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
