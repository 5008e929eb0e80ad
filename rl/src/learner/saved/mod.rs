//! What a learner has beside its model, on the disk: the optimiser's moments, and a head that is not the model's.
//!
//! The checkpoints of a run have them, and so does whatever trains a second model within a stage.

mod head;
mod moments;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use head::{HEAD, load_head, save_head};
pub use moments::{load_moments, save_moments};

/// Why it cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The disk does not give or take it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or of another model.
    #[error("{}: not a whole checkpoint of this version: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl SavedError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    fn invalid(path: &Path, message: impl ToString) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}

/// Waits until a file or directory is on the disk.
///
/// # Errors
/// When the disk does not take it.
pub fn sync(path: &Path) -> Result<(), SavedError> {
    if path.is_dir() && !cfg!(unix) {
        return Ok(()); // only Unix opens directories as files
    }
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(SavedError::io(path))
}
