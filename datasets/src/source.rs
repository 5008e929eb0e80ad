//! Where tasks come from, in an order that can be resumed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::curriculum::CurriculumState;
use crate::error::DatasetError;
use crate::generators::Generator;
use crate::split::Split;
use crate::task::Task;

/// A place in a source: the next task to be handed out. It is saved with a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Full passes over the data that are behind; always 0 for a source without epochs.
    pub epoch: u64,
    /// Tasks handed out in this epoch.
    pub index: u64,
    /// What a curriculum has learned; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<CurriculumState>,
    /// The places of the sources that a mixture is made of, by name; empty otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mixture: BTreeMap<String, Cursor>,
}

impl Cursor {
    /// A place in a source that has no curriculum and is no mixture.
    pub fn at(epoch: u64, index: u64) -> Self {
        Self {
            epoch,
            index,
            ..Self::default()
        }
    }

    /// Refuses what only a curriculum or a mixture can have left behind.
    pub(crate) fn expect_plain(&self, source: &'static str) -> Result<(), DatasetError> {
        let what = match (&self.curriculum, self.mixture.is_empty()) {
            (Some(_), _) => "the state of a curriculum",
            (None, false) => "the places of a mixture",
            (None, true) => return Ok(()),
        };
        Err(DatasetError::ForeignCursor {
            source_kind: source,
            reason: format!("it holds {what}"),
        })
    }
}

/// How the completions of a task fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// The task's id.
    pub id: String,
    /// Completions that were right.
    pub passed: usize,
    /// Completions that have a verdict; those whose judge failed are in neither number.
    pub judged: usize,
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
    /// When the source cannot produce a task; the cursor is then where it was.
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError>;

    /// Learns how tasks that were handed out fared. Sources whose order does not depend on it ignore it, and all ignore
    /// ids that they never handed out.
    fn observe(&mut self, _results: &[TaskResult]) {}

    /// Where the source stands, with everything it has learned.
    fn cursor(&self) -> Cursor;

    /// Puts the source at `cursor`.
    ///
    /// # Errors
    /// [`DatasetError::InvalidCursor`] or [`DatasetError::ForeignCursor`] if this source can never stand there, as when
    /// the file or the settings have changed; the source is then where it was.
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

/// The endless sequence of problems that a [`Generator`] draws on one side of the split.
#[derive(Clone, Debug)]
pub struct GeneratorSource {
    generator: Generator,
    seed: u64,
    split: Split,
    next_index: u64,
}

impl GeneratorSource {
    /// A source at its beginning.
    pub fn new(generator: Generator, seed: u64, split: Split) -> Self {
        Self {
            generator,
            seed,
            split,
            next_index: 0,
        }
    }

    /// The generator behind this source.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }
}

impl TaskSource for GeneratorSource {
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError> {
        let indices = self.next_index..self.next_index + count as u64;
        let end = indices.end;
        let tasks: Result<Vec<Task>, DatasetError> = indices
            .map(|index| self.generator.task(self.seed, index, progress, self.split))
            .collect();
        if tasks.is_ok() {
            self.next_index = end;
        }
        tasks
    }

    fn cursor(&self) -> Cursor {
        Cursor::at(0, self.next_index)
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_plain("a generator")?;
        let (epoch, index) = (cursor.epoch, cursor.index);
        if epoch != 0 {
            return Err(DatasetError::InvalidCursor {
                epoch,
                index,
                len: u64::MAX,
            });
        }
        self.next_index = index;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{ChainSumConfig, GeneratorConfig};

    fn source(seed: u64) -> GeneratorSource {
        let generator =
            Generator::from_config(&GeneratorConfig::ChainSum(ChainSumConfig::default())).unwrap();
        GeneratorSource::new(generator, seed, Split::Train)
    }

    #[test]
    fn a_resumed_source_goes_on_as_an_uninterrupted_one() {
        let mut whole = source(3);
        let expected = whole.next_batch(50, 0.0).unwrap();

        let mut first = source(3);
        let mut tasks = first.next_batch(17, 0.0).unwrap();
        let saved = serde_json::to_string(&first.cursor()).unwrap();
        let mut second = source(3);
        second
            .restore(&serde_json::from_str(&saved).unwrap())
            .unwrap();
        tasks.extend(second.next_batch(33, 0.0).unwrap());

        assert_eq!(tasks, expected);
        assert_eq!(second.cursor(), whole.cursor());
        assert_ne!(source(4).next_batch(50, 0.0).unwrap(), expected);
    }

    #[test]
    fn bad_progress_and_bad_cursors_are_refused() {
        let mut source = source(1);
        for progress in [f64::NAN, -0.1, 1.1] {
            assert!(matches!(
                source.next_batch(1, progress),
                Err(DatasetError::InvalidProgress { .. })
            ));
        }
        assert_eq!(source.cursor(), Cursor::default());
        assert!(source.restore(&Cursor::at(1, 0)).is_err());
    }
}
