//! Where the checkpoints of a run lie: `checkpoints/step-NNNNNN/`, each with a whole model in `model/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The model's place in a checkpoint.
pub const MODEL: &str = "model";
/// The adapters' place in a checkpoint of a run that trains adapters.
pub const ADAPTER: &str = "adapter";
/// The file that a whole checkpoint has.
pub const STATE: &str = "state.json";

/// Why the checkpoints of a run cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The directory cannot be read.
    #[error("checkpoint: {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Checkpoints appear whole, so one that is not was damaged later.
    #[error(
        "{}: not a whole checkpoint of this version: {STATE} is missing; hint: copy it again, or remove it to use the one before", path.display()
    )]
    Incomplete {
        /// The checkpoint.
        path: PathBuf,
    },
}

/// The directory of a run's checkpoints.
pub fn directory(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// The name of the checkpoint after `step`.
pub fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step after which the checkpoint at `path` was saved, by its name.
pub fn step(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("step-")?.parse().ok()
}

/// The newest complete checkpoint of a run, if it has any.
///
/// # Errors
/// When the directory cannot be listed, or a checkpoint in it is damaged.
pub fn latest(run: &Path) -> Result<Option<PathBuf>, ListError> {
    let directory = directory(run);
    if !directory.is_dir() {
        return Ok(None);
    }
    Ok(list(&directory)?.pop())
}

/// The checkpoints in `directory`, in the order of their steps.
///
/// # Errors
/// As for [`latest`].
pub fn list(directory: &Path) -> Result<Vec<PathBuf>, ListError> {
    let unreadable = |source| ListError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(step) = step(&path) else {
            continue;
        };
        if !path.join(STATE).is_file() {
            return Err(ListError::Incomplete { path });
        }
        found.push((step, path));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_in_the_order_of_their_steps_not_of_their_names() {
        let run = tempfile::tempdir().unwrap();
        for step in [999_999, 1_000_000, 25] {
            let path = directory(run.path()).join(name(step));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(STATE), "{}").unwrap();
        }
        let found = list(&directory(run.path())).unwrap();
        let steps: Vec<Option<u64>> = found.iter().map(|path| step(path)).collect();
        assert_eq!(steps, [Some(25), Some(999_999), Some(1_000_000)]);
        let newest = latest(run.path()).unwrap().unwrap();
        assert_eq!(step(&newest), Some(1_000_000));
    }

    #[test]
    fn a_checkpoint_without_its_state_is_named() {
        let run = tempfile::tempdir().unwrap();
        assert!(latest(run.path()).unwrap().is_none());
        fs::create_dir_all(directory(run.path()).join(name(3))).unwrap();
        let error = latest(run.path()).unwrap_err().to_string();
        assert!(
            error.contains("step-000003") && error.contains("hint:"),
            "{error}"
        );
    }
}
