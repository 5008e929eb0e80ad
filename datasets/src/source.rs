//! What hands out tasks, in an order that can be resumed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DatasetError;
use crate::task::Task;

/// A place in a source: the next task to be handed out. It is saved with a checkpoint.
///
/// What a source has to keep beside two numbers is its own affair: [`Cursor::state`] holds it, and only that source reads
/// it. The default cursor is a place in no source.
///
/// ```
/// use dunwu_datasets::{Cursor, DatasetError};
///
/// # fn main() -> Result<(), DatasetError> {
/// let cursor = Cursor::at("a queue", 0, 17).with_state(&["a1", "b2"]);
/// cursor.expect_source("a queue")?;
/// assert_eq!(cursor.read_state::<Vec<String>>()?, ["a1", "b2"]);
/// let error = cursor.expect_source("a file").unwrap_err().to_string();
/// assert!(error.starts_with("the saved place in the data is one in a queue, which is no place in a file"), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Cursor {
    /// What kind of source left it, such as `a file`.
    pub source: String,
    /// Full passes over the data that are behind; always 0 for a source without epochs.
    pub epoch: u64,
    /// Tasks handed out in this epoch.
    pub index: u64,
    /// Whatever else the source keeps; null if it keeps nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub state: Value,
}

impl Cursor {
    /// A place in a source of the kind `source`, which keeps nothing else.
    pub fn at(source: &str, epoch: u64, index: u64) -> Self {
        Self {
            source: source.to_owned(),
            epoch,
            index,
            state: Value::Null,
        }
    }

    /// The same place, with what else the source keeps.
    ///
    /// # Panics
    /// If `state` has no form in JSON, as a map has whose keys are no texts.
    #[must_use]
    pub fn with_state(mut self, state: &impl Serialize) -> Self {
        self.state = serde_json::to_value(state).expect("the state has a form in JSON");
        self
    }

    /// Refuses a place in another kind of source than `source`.
    ///
    /// # Errors
    /// [`DatasetError::ForeignCursor`] naming both.
    pub fn expect_source(&self, source: &str) -> Result<(), DatasetError> {
        if self.source == source {
            return Ok(());
        }
        let (saved_by, wanted) = (self.named_source(), source.to_owned());
        Err(DatasetError::ForeignCursor { saved_by, wanted })
    }

    /// Refuses a place in another kind of source, and one in an epoch or with a state, which this kind does not have.
    pub(crate) fn expect_plain(&self, source: &str) -> Result<(), DatasetError> {
        self.expect_source(source)?;
        if self.state.is_null() {
            return Ok(());
        }
        Err(self.misfit("it has a state, and such a source keeps none"))
    }

    /// What the source keeps beside the numbers.
    ///
    /// # Errors
    /// [`DatasetError::CursorState`] if it is of another form.
    pub fn read_state<T: DeserializeOwned>(&self) -> Result<T, DatasetError> {
        T::deserialize(&self.state).map_err(|error| self.misfit(error))
    }

    /// The error of a cursor whose source is right and whose state is not.
    pub fn misfit(&self, reason: impl std::fmt::Display) -> DatasetError {
        DatasetError::CursorState {
            saved_by: self.named_source(),
            reason: reason.to_string(),
        }
    }

    fn named_source(&self) -> String {
        if self.source.is_empty() {
            "no source".to_owned()
        } else {
            self.source.clone()
        }
    }
}

/// How the completions of a task fared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskResult {
    /// The task's id.
    pub id: String,
    /// Completions that were right.
    pub passed: usize,
    /// Completions that have a verdict; those whose judge failed are in neither number.
    pub judged: usize,
}

impl TaskResult {
    /// `passed` of `judged` completions of the task `id` were right.
    pub fn new(id: impl Into<String>, passed: usize, judged: usize) -> Self {
        Self {
            id: id.into(),
            passed,
            judged,
        }
    }
}

/// A sequence of tasks without end.
///
/// The `i`-th task depends only on the source's seed, on `i` and, where there is a curriculum, on the progress of
/// training or on the results observed so far. Two sources built alike and put at the same cursor go on alike.
pub trait TaskSource: Send {
    /// The next `count` tasks. `progress` is the share of training done, from 0 to 1; sources without a curriculum
    /// ignore it.
    ///
    /// # Errors
    /// When the source cannot produce a task; it then goes on as if it had not been asked.
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError>;

    /// Learns how tasks that were handed out fared. Sources whose order does not depend on it ignore it, and all ignore
    /// ids that they never handed out.
    fn observe(&mut self, _results: &[TaskResult]) {}

    /// Where the source stands, with everything it has learned.
    fn cursor(&self) -> Cursor;

    /// Puts the source at `cursor`.
    ///
    /// # Errors
    /// [`DatasetError::ForeignCursor`], [`DatasetError::InvalidCursor`] or [`DatasetError::CursorState`] if this source can
    /// never stand there, as when the file or the settings have changed; the source is then where it was.
    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError>;
}

impl TaskSource for Box<dyn TaskSource> {
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError> {
        self.as_mut().next_batch(count, progress)
    }

    fn observe(&mut self, results: &[TaskResult]) {
        self.as_mut().observe(results);
    }

    fn cursor(&self) -> Cursor {
        self.as_ref().cursor()
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        self.as_mut().restore(cursor)
    }
}
