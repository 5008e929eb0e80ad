//! Files mapped into memory, read-only.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::WeightError;
use crate::tokenizer::LFS_POINTER;

/// A file whose bytes are read from the page cache on demand.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// [`WeightError::Io`] when it cannot be opened or mapped, or is a directory; [`WeightError::LfsPointer`].
    #[allow(unsafe_code)]
    pub(super) fn open(path: &Path) -> Result<Self, WeightError> {
        let wrap = |source| WeightError::Io {
            action: "cannot read",
            file: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(wrap)?;
        if file.metadata().map_err(wrap)?.is_dir() {
            return Err(wrap(std::io::ErrorKind::IsADirectory.into()));
        }
        // SAFETY: the map is read-only and private to this struct. What remains is that another process changes or
        // truncates the file while it is mapped; a model file that is rewritten under a running program is outside of
        // what this toolkit supports, and its own writer never does so (it renames whole directories into place).
        let map = unsafe { Mmap::map(&file) }.map_err(wrap)?;
        if map.starts_with(LFS_POINTER) {
            let text = String::from_utf8_lossy(&map[..map.len().min(1024)]);
            let size = text.lines().find_map(|line| line.strip_prefix("size "));
            return Err(WeightError::LfsPointer {
                file: path.to_path_buf(),
                size: size.and_then(|size| size.trim().parse().ok()),
            });
        }
        Ok(Self {
            path: path.to_path_buf(),
            map,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }
}
