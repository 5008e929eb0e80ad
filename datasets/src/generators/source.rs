//! The problems of a generator as a source.

use super::Generator;
use crate::error::DatasetError;
use crate::source::{Cursor, TaskSource};
use crate::split::Split;
use crate::task::Task;

/// What cursors of a [`GeneratorSource`] say they are of.
const KIND: &str = "a generator";

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
        Cursor::at(KIND, 0, self.next_index)
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_plain(KIND)?;
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
        assert_eq!(source.cursor(), Cursor::at(KIND, 0, 0));
        assert!(source.restore(&Cursor::at(KIND, 1, 0)).is_err());
        let error = source.restore(&Cursor::at("a file", 0, 3)).unwrap_err();
        let expected =
            "the saved place in the data is one in a file, which is no place in a generator";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
