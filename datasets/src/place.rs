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
    /// Counted from 1.
    line: Option<usize>,
    /// Counted from 1, without a header.
    row: Option<usize>,
}

impl Place {
    /// A line of a file that has a row a line.
    pub(crate) fn line(path: &Arc<Path>, line: usize) -> Self {
        let (path, line, row) = (path.clone(), Some(line), None);
        Self { path, line, row }
    }

    /// A row that begins at a line.
    pub(crate) fn row_at(path: &Arc<Path>, row: usize, line: usize) -> Self {
        let (path, line, row) = (path.clone(), Some(line), Some(row));
        Self { path, line, row }
    }

    /// A row of a file without lines.
    pub(crate) fn row(path: &Arc<Path>, row: usize) -> Self {
        let (path, line, row) = (path.clone(), None, Some(row));
        Self { path, line, row }
    }

    /// The same row, at another of its lines.
    pub(crate) fn at_line(self, line: usize) -> Self {
        let line = Some(line);
        Self { line, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the row within its file, from 1: that of its line where there is a row a line.
    pub fn number(&self) -> usize {
        self.row.or(self.line).unwrap_or_default()
    }

    /// The line where the row begins, from 1, where there are lines.
    pub(crate) fn line_number(&self) -> Option<usize> {
        self.line
    }

    /// What a row is called: `line` where there is a row a line.
    pub(crate) fn unit(&self) -> &'static str {
        match self.row {
            Some(_) => "row",
            None => "line",
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
            (Some(line), None) => write!(f, "{path}:{line}"),
            (Some(line), Some(row)) => write!(f, "{path}:{line} (row {row})"),
            (None, Some(row)) => write!(f, "{path}: row {row}"),
            (None, None) => write!(f, "{path}"),
        }
    }
}
