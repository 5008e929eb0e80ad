//! A curriculum over the problems of a file.

use super::{Curriculum, PassRateConfig};
use crate::error::DatasetError;
use crate::list::TaskList;
use crate::seed::shuffled;
use crate::source::{Cursor, TaskResult, TaskSource};
use crate::task::Task;

/// What cursors of a [`ProblemSource`] say they are of.
const KIND: &str = "a file with a curriculum";

/// A fixed set of tasks, drawn by their estimated pass rates instead of in epochs. A batch has no task twice unless it is
/// larger than the set. Tasks are introduced in a seeded order.
#[derive(Clone, Debug)]
pub struct ProblemSource {
    tasks: TaskList,
    curriculum: Curriculum,
}

impl ProblemSource {
    /// A source at its beginning.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] if there is no task, two have one id, or a setting is out of range.
    pub fn new(
        tasks: impl Into<TaskList>,
        config: &PassRateConfig,
        seed: u64,
    ) -> Result<Self, DatasetError> {
        let tasks = tasks.into();
        let names = tasks
            .iter()
            .map(|task| Ok(task?.id))
            .collect::<Result<_, DatasetError>>()?;
        let order = shuffled(tasks.len(), seed, 0);
        let curriculum = Curriculum::new(config.clone(), seed, names, order)?;
        Ok(Self { tasks, curriculum })
    }
}

impl TaskSource for ProblemSource {
    fn next_batch(&mut self, count: usize, _progress: f64) -> Result<Vec<Task>, DatasetError> {
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            let item = self.curriculum.draw();
            self.curriculum.take(item);
            // Every task could be put when the list was made.
            batch.push(self.tasks.get(item)?);
        }
        self.curriculum.release();
        Ok(batch)
    }

    fn observe(&mut self, results: &[TaskResult]) {
        let known: Vec<(usize, TaskResult)> = results
            .iter()
            .filter_map(|result| Some((self.curriculum.number(&result.id)?, result.clone())))
            .collect();
        self.curriculum.observe(known.into_iter());
    }

    fn cursor(&self) -> Cursor {
        self.curriculum.cursor(KIND)
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        self.curriculum.restore(cursor, KIND)
    }
}
