//! Directories that appear complete or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::WeightError;

/// Turns an I/O error into one that names the file.
pub(super) fn io(action: &'static str, file: &Path) -> impl FnOnce(std::io::Error) -> WeightError {
    let file = file.to_path_buf();
    move |source| WeightError::Io {
        action,
        file,
        source,
    }
}

fn refuse_existing(dir: &Path) -> Result<(), WeightError> {
    let exists = || WeightError::TargetExists {
        dir: dir.to_path_buf(),
    };
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(exists())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(exists()),
        Err(error) => Err(io("cannot read", dir)(error)),
    }
}

/// A directory beside the target that is removed unless it is published.
pub(super) struct Staging {
    path: PathBuf,
    published: bool,
}

impl Staging {
    /// A new, empty directory beside `dir`.
    ///
    /// # Errors
    /// [`WeightError::TargetExists`] when `dir` is there and not an empty directory, [`WeightError::Io`].
    pub(super) fn create(dir: &Path) -> Result<Self, WeightError> {
        refuse_existing(dir)?;
        let name = dir.file_name().ok_or_else(|| WeightError::TargetExists {
            dir: dir.to_path_buf(),
        })?;
        let parent = parent_of(dir);
        fs::create_dir_all(parent).map_err(io("cannot create", parent))?;
        let path = parent.join(format!(
            ".{}.partial-{}",
            name.to_string_lossy(),
            std::process::id()
        ));
        if path.exists() {
            // Left by a process of the same number that was killed.
            fs::remove_dir_all(&path).map_err(io("cannot remove", &path))?;
        }
        fs::create_dir(&path).map_err(io("cannot create", &path))?;
        Ok(Self {
            path,
            published: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the directory and renames it to `dir`.
    ///
    /// # Errors
    /// [`WeightError::TargetExists`] when something has appeared there, [`WeightError::Io`].
    pub(super) fn publish(mut self, dir: &Path) -> Result<(), WeightError> {
        sync_dir(&self.path)?;
        match fs::remove_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => {
                return Err(WeightError::TargetExists {
                    dir: dir.to_path_buf(),
                });
            }
        }
        fs::rename(&self.path, dir).map_err(io("cannot rename into place", dir))?;
        self.published = true;
        sync_dir(parent_of(dir))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // The error that led here is being reported; a second one would hide it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn parent_of(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes file names of a directory durable, where the system can.
fn sync_dir(dir: &Path) -> Result<(), WeightError> {
    if cfg!(unix) {
        File::open(dir)
            .and_then(|handle| handle.sync_all())
            .map_err(io("cannot flush", dir))?;
    }
    Ok(())
}

/// Writes a whole file and flushes it to disk.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WeightError> {
    let mut file = File::create(path).map_err(io("cannot create", path))?;
    file.write_all(bytes).map_err(io("cannot write", path))?;
    file.sync_all().map_err(io("cannot flush", path))
}
