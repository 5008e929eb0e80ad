//! The problems of a run, by side of the split.

use dunwu_datasets::{
    Generator, GeneratorSource, JsonlSource, Split, Task, TaskSource, partition, read_benchmark,
    read_tasks,
};

use super::{RunError, seeds::evaluation_seed};
use crate::config::RunConfig;

/// The tasks of a run, by side of the split.
pub(super) struct Tasks {
    pub(super) generator: Option<Generator>,
    train: Vec<Task>,
    pub(super) heldout: Vec<Task>,
}

/// The held-out problems of a config.
///
/// # Errors
/// When the task or its file is not what it should be.
pub fn heldout(config: &RunConfig) -> Result<Vec<Task>, RunError> {
    Ok(Tasks::new(config)?.heldout)
}

impl Tasks {
    pub(super) fn new(config: &RunConfig) -> Result<Self, RunError> {
        let seed = evaluation_seed(config);
        let problems = config.evaluation.problems;
        if let Some(generator) = &config.data.task {
            let generator = Generator::from_config(generator)?;
            return Ok(Self {
                heldout: generator.heldout(seed, problems)?,
                generator: Some(generator),
                train: Vec::new(),
            });
        }
        let file = config.data.file.as_ref().expect("the config was validated");
        let all = match config.data.format {
            Some(format) => {
                let prompt = config.data.prompt.clone().unwrap_or_default();
                read_benchmark(file, Some(format), &prompt)?.tasks
            }
            None => read_tasks(file, &config.data.fields.clone().unwrap_or_default())?,
        };
        let (train, mut heldout) = partition(all, config.data.heldout_fraction)?;
        for (side, tasks) in [("train on", &train), ("hold out", &heldout)] {
            if tasks.is_empty() {
                return Err(RunError::Config(format!(
                    "{}: no tasks to {side} with data.heldout_fraction = {}; hint: change the fraction, or give more tasks",
                    file.display(),
                    config.data.heldout_fraction
                )));
            }
        }
        heldout.truncate(problems);
        Ok(Self {
            generator: None,
            train,
            heldout,
        })
    }

    pub(super) fn source(&self, seed: u64) -> Result<Box<dyn TaskSource>, RunError> {
        Ok(match &self.generator {
            Some(generator) => {
                Box::new(GeneratorSource::new(generator.clone(), seed, Split::Train))
            }
            None => Box::new(JsonlSource::new(self.train.clone(), seed)?),
        })
    }
}
