//! The tasks of a file, shuffled anew in every epoch.

use std::path::Path;

use super::records::{JsonlConfig, read_tasks};
use crate::error::DatasetError;
use crate::list::TaskList;
use crate::seed::shuffled;
use crate::settings::expect_setting;
use crate::source::{Cursor, TaskSource};
use crate::task::Task;

/// What cursors of a [`JsonlSource`] say they are of.
const KIND: &str = "a file";

/// A fixed set of tasks, handed out in full once per epoch. Each epoch has an order of its own,
/// a function of the seed and the epoch's number. A batch may reach over the end of an epoch.
#[derive(Clone, Debug)]
pub struct JsonlSource {
    tasks: TaskList,
    seed: u64,
    cursor: Cursor,
    /// The order of epoch `cursor.epoch`: positions in `tasks`.
    order: Vec<usize>,
}

impl JsonlSource {
    /// A source of the tasks in the file `path`.
    ///
    /// # Errors
    /// As for [`read_tasks`].
    pub fn open(path: &Path, config: &JsonlConfig, seed: u64) -> Result<Self, DatasetError> {
        Self::new(read_tasks(path, config)?, seed)
    }

    /// A source of tasks that have been read already, as by [`crate::partition`].
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] if there is no task.
    pub fn new(tasks: impl Into<TaskList>, seed: u64) -> Result<Self, DatasetError> {
        let tasks = tasks.into();
        expect_setting(!tasks.is_empty(), "the number of tasks", 0, "at least one")?;
        let order = shuffled(tasks.len(), seed, 0);
        Ok(Self {
            tasks,
            seed,
            cursor: Cursor::at(KIND, 0, 0),
            order,
        })
    }

    /// The tasks, in the file's order.
    pub fn tasks(&self) -> &TaskList {
        &self.tasks
    }

    fn advance(&mut self) {
        self.cursor.index += 1;
        if self.cursor.index == self.tasks.len() as u64 {
            self.cursor = Cursor::at(KIND, self.cursor.epoch + 1, 0);
            self.order = shuffled(self.tasks.len(), self.seed, self.cursor.epoch);
        }
    }
}

impl TaskSource for JsonlSource {
    fn next_batch(&mut self, count: usize, _progress: f64) -> Result<Vec<Task>, DatasetError> {
        let before = self.cursor.clone();
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            match self.tasks.get(self.order[self.cursor.index as usize]) {
                Ok(task) => batch.push(task),
                Err(error) => {
                    self.restore(&before)?;
                    return Err(error);
                }
            }
            self.advance();
        }
        Ok(batch)
    }

    fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_plain(KIND)?;
        let (epoch, index, len) = (cursor.epoch, cursor.index, self.tasks.len() as u64);
        if index >= len {
            return Err(DatasetError::InvalidCursor { epoch, index, len });
        }
        self.cursor = cursor.clone();
        self.order = shuffled(self.tasks.len(), self.seed, epoch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Prompt;

    fn source(count: usize, seed: u64) -> JsonlSource {
        let tasks = (0..count).map(|number| Task {
            id: number.to_string(),
            prompt: Prompt::Text(format!("{number}=")),
            answer: number.to_string(),
            columns: Default::default(),
        });
        JsonlSource::new(tasks.collect::<Vec<_>>(), seed).unwrap()
    }

    fn ids(source: &mut JsonlSource, count: usize) -> Vec<String> {
        source
            .next_batch(count, 0.0)
            .unwrap()
            .into_iter()
            .map(|task| task.id)
            .collect()
    }

    #[test]
    fn every_epoch_has_all_tasks_in_an_order_of_its_own() {
        let mut source = source(10, 1);
        let first = ids(&mut source, 10);
        assert_eq!(source.cursor(), Cursor::at(KIND, 1, 0));
        let second = ids(&mut source, 10);
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            epoch.sort();
            assert_eq!(
                epoch,
                (0..10).map(|number| number.to_string()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_resumed_source_goes_on_as_an_uninterrupted_one() {
        for stop in [0, 3, 7, 12, 20] {
            let expected = ids(&mut source(7, 2), 25);
            let mut first = source(7, 2);
            let mut got = ids(&mut first, stop);
            let mut second = source(7, 2);
            second.restore(&first.cursor()).unwrap();
            got.extend(ids(&mut second, 25 - stop));
            assert_eq!(got, expected, "stopped after {stop}");
        }
    }

    #[test]
    fn a_cursor_of_a_larger_file_is_refused() {
        let error = source(7, 2).restore(&Cursor::at(KIND, 1, 7)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cursor (epoch 1, index 7) is outside a source of 7 tasks per epoch"
        );
        assert!(JsonlSource::new(Vec::<Task>::new(), 1).is_err());
    }
}
