//! From files to rows: JSON lines, JSON arrays, CSV and Parquet, plain or compressed, one file or a directory of them.
//!
//! | file | subject |
//! |---|---|
//! | `row` | one row: named values, and what is wrong with them |
//! | `files` | which files make a data set |
//! | `open` | what a file holds, told by its first bytes, and its compression |
//! | `json`, `csv`, `parquet` | the containers |
//! | `zstd`, `pages` | what is compressed with zstd, and Parquet files whose pages are |
//! | `digits` | whole numbers beyond 64 bits |
//!
//! Rows are read one after the other, and none is kept: a file may be larger than memory. A limit on the bytes of a row, not of a
//! file, keeps a small file from filling memory by what it expands to.

mod csv;
mod digits;
mod files;
mod json;
mod open;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod parquet;
mod row;
mod zstd;

use std::path::{Path, PathBuf};

use crate::error::DatasetError;

pub use files::{DataFiles, Part};
pub use open::describe_file;
pub(crate) use row::{Row, kind};

use open::Reader;

/// Most bytes of one row, expanded.
const ROW_BYTES: usize = 256 << 20;

/// The rows of all files of a data set, in the files' order.
pub(crate) struct Rows {
    files: std::vec::IntoIter<PathBuf>,
    /// What the data set is called where it has no row at all.
    origin: PathBuf,
    row_bytes: usize,
    current: Option<Reader>,
    seen: bool,
    ended: bool,
}

impl Rows {
    /// The rows of `files`, before any is read.
    pub(crate) fn of(files: &DataFiles) -> Self {
        Self::within(files, ROW_BYTES)
    }

    /// The same with at most so many bytes a row.
    fn within(files: &DataFiles, row_bytes: usize) -> Self {
        Self {
            files: files.paths().to_vec().into_iter(),
            origin: PathBuf::from(files.origin()),
            row_bytes,
            current: None,
            seen: false,
            ended: false,
        }
    }

    /// The next row, of this file or the next one.
    fn advance(&mut self) -> Result<Option<Row>, DatasetError> {
        loop {
            if let Some(reader) = &mut self.current
                && let Some(row) = reader.next().transpose()?
            {
                self.seen = true;
                return Ok(Some(row));
            }
            let Some(path) = self.files.next() else {
                if self.seen {
                    return Ok(None);
                }
                let path = self.origin.clone();
                return Err(DatasetError::Empty { path });
            };
            self.current = Some(open::open(&path, self.row_bytes)?);
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// An error of a file as a whole.
fn file_error(path: &Path, reason: impl Into<String>) -> DatasetError {
    DatasetError::File {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests;
