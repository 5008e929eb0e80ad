//! Why the sandbox could not do its work.

use std::path::{Path, PathBuf};

use crate::limits::LimitsError;

/// The host's failures. What a guest does is never one of them: that is an [`crate::execution::Execution`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Limits that make no sense.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The guest is no module or component that this sandbox can run.
    #[error("{name} cannot be run: {reason}")]
    InvalidModule {
        /// What was to be run.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The memory limit is below what the guest starts with.
    #[error("{name} cannot start within memory_bytes = {memory_bytes}: {reason}")]
    MemoryTooSmall {
        /// What was to be run.
        name: String,
        /// The limit, in bytes.
        memory_bytes: u64,
        /// What was refused.
        reason: String,
    },
    /// WebAssembly's engine could not be set up.
    #[error("the WebAssembly engine: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A directory or file that others may write to must not hold what is run.
    #[error("{path}: {reason}; hint: choose a private directory with DUNWU_CACHE_DIR")]
    CacheNotPrivate {
        /// The directory or file.
        path: PathBuf,
        /// Who else may write, or whose it is.
        reason: String,
    },
    /// The Python runtime is not there and cannot be made.
    #[error("the Python runtime cannot be made: {reason}")]
    Install {
        /// What is missing.
        reason: String,
    },
    /// A worker died, and so did the one after it. The program may be run again.
    #[error("a worker process was lost: {reason}")]
    WorkerLost {
        /// What is known.
        reason: String,
    },
    /// The work was given up by who asked for it; see [`crate::cancel::Cancel`].
    #[error("cancelled: nobody waits for it any more")]
    Cancelled,
    /// The program that workers run is not the one that asks them: it was built again in between.
    #[error(
        "{program} is another build than the program that runs, so it cannot be its worker; hint: start the run again"
    )]
    OtherBuild {
        /// The worker's program.
        program: PathBuf,
    },
    /// The two sides of a pipe, or of a component, disagree.
    #[error("unexpected answer: {reason}")]
    Protocol {
        /// What was unexpected.
        reason: String,
    },
    /// A worker's host failed; its own words.
    #[error("{reason}")]
    Worker {
        /// What it said.
        reason: String,
    },
    /// A reward plugin trapped, ran into a limit or said that it failed.
    #[error("plugin {plugin}: {reason}")]
    Plugin {
        /// The plugin's file.
        plugin: String,
        /// What happened.
        reason: String,
    },
}

impl SandboxError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io {
            path: path.to_owned(),
            error,
        }
    }

    pub(crate) fn engine(error: &wasmtime::Error) -> Self {
        Self::Engine {
            reason: format!("{error:#}"),
        }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol {
            reason: reason.into(),
        }
    }
}
