//! A curriculum over the levels of difficulty of a generator.

use super::{Curriculum, PassRateConfig};
use crate::error::DatasetError;
use crate::generators::Generator;
use crate::seed::rng;
use crate::settings::expect_setting;
use crate::source::{Cursor, TaskResult, TaskSource};
use crate::split::Split;
use crate::task::Task;

/// What cursors of a [`LevelSource`] say they are of.
const KIND: &str = "a generator with a curriculum by pass rate";

/// The endless training problems of a [`Generator`], whose level ([`Generator::levels`]) is drawn by the estimated pass
/// rates of all levels. Every level is posed once before estimates decide.
///
/// A task's id is `<name>-train-<index>@<level>`: whoever reports a result says with it which level it is about.
#[derive(Clone, Debug)]
pub struct LevelSource {
    generator: Generator,
    seed: u64,
    curriculum: Curriculum,
}

impl LevelSource {
    /// A source at its beginning.
    ///
    /// # Errors
    /// [`DatasetError::InvalidSetting`] if there is only one level or a setting is out of range;
    /// [`DatasetError::SplitExhausted`] if a level has no problem to train on.
    pub fn new(
        generator: Generator,
        config: &PassRateConfig,
        seed: u64,
    ) -> Result<Self, DatasetError> {
        let names = generator.levels();
        let setting = format!("the number of levels of {}", generator.name());
        let expected = "at least 2 for a curriculum by pass rate; widen the generator's range";
        expect_setting(names.len() > 1, &setting, names.len(), expected)?;
        for level in 0..names.len() {
            generator.task_of_level(&mut rng(0), level, String::new())?;
        }
        let order = (0..names.len()).collect();
        let curriculum = Curriculum::new(config.clone(), seed, names, order)?;
        Ok(Self {
            generator,
            seed,
            curriculum,
        })
    }
}

impl TaskSource for LevelSource {
    fn next_batch(&mut self, count: usize, _progress: f64) -> Result<Vec<Task>, DatasetError> {
        let before = (self.curriculum.drawn, self.curriculum.introduced);
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            let index = self.curriculum.drawn;
            // It is not taken: a level may come again at once, for its problems are many.
            let level = self.curriculum.draw();
            let id = format!(
                "{}-{}-{index}@{}",
                self.generator.name(),
                Split::Train,
                self.curriculum.names[level]
            );
            let mut rng = self.generator.train_rng(self.seed, index);
            match self.generator.task_of_level(&mut rng, level, id) {
                Ok(task) => batch.push(task),
                Err(error) => {
                    self.curriculum.rewind(before.0, before.1);
                    return Err(error);
                }
            }
        }
        Ok(batch)
    }

    fn observe(&mut self, results: &[TaskResult]) {
        let level = |id: &str| self.curriculum.number(id.rsplit_once('@')?.1);
        let known: Vec<(usize, TaskResult)> = results
            .iter()
            .filter_map(|result| Some((level(&result.id)?, result.clone())))
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
