//! Where a row stands.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A row's file and its place in it.
///
/// Shown as `a.jsonl:7`, as `a.csv:9 (row 7)` where rows and lines are not the same, and as `a.parquet: row 7` where there
/// are no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: Arc<Path>,
    /// Counted from 1; 0 where there are no lines.
    line: usize,
    /// Counted from 1, without a header; 0 where there is a row a line.
    row: usize,
}

impl Place {
    /// A line of a file that has a row a line.
    pub(crate) fn line(path: &Arc<Path>, line: usize) -> Self {
        Self::row_at(path, 0, line)
    }

    /// A row that begins at a line.
    pub(crate) fn row_at(path: &Arc<Path>, row: usize, line: usize) -> Self {
        let path = path.clone();
        Self { path, line, row }
    }

    /// A row of a file without lines.
    #[cfg(feature = "parquet")]
    pub(crate) fn row(path: &Arc<Path>, row: usize) -> Self {
        Self::row_at(path, row, 0)
    }

    /// The same row, at another of its lines.
    pub(crate) fn at_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the row within its file, from 1: that of its line where there is a row a line.
    pub fn number(&self) -> usize {
        match self.row {
            0 => self.line,
            row => row,
        }
    }

    /// The line where the row begins, from 1; 0 where there are no lines.
    pub(crate) fn line_number(&self) -> usize {
        self.line
    }

    /// What a row is called: `line` where there is a row a line.
    pub(crate) fn unit(&self) -> &'static str {
        match self.row {
            0 => "line",
            _ => "row",
        }
    }

    /// The name of a row that has no other: `file name:number`.
    pub(crate) fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{file}:{}", self.number())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match (self.line, self.row) {
            (0, row) => write!(f, "{path}: row {row}"),
            (line, 0) => write!(f, "{path}:{line}"),
            (line, row) => write!(f, "{path}:{line} (row {row})"),
        }
    }
}
