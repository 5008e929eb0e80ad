//! A stage of rejection sampling, from its first step or a checkpoint to its end.

use std::path::{Path, PathBuf};

use dunwu_datasets::Task;
use serde_json::{Map, Value};

use super::{Chunk, Progress, RejectionConfig, RejectionMetrics, select};
use crate::{
    model::ModelConfig,
    stages::{
        Context, Demand, Measuring, Saved, Settings, Stage, StageError, StepReport, Surroundings,
        harvest::{self, Draws, collect, no_json},
        stage::fields,
    },
};

/// Why a stage of rejection sampling came to nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "stage {stage} (rejection-sampling) kept nothing: of {completions} completions {judged} were judged and {verified} were worth at least {threshold} by {by}; {truncated} of these were cut off, and {out_of_range} tasks had a pass rate out of range; hint: lower threshold, raise samples or tasks, widen pass_rate_min and pass_rate_max, or train the policy further before"
)]
pub(super) struct NothingKept {
    stage: usize,
    completions: usize,
    judged: usize,
    verified: usize,
    by: String,
    threshold: f64,
    out_of_range: usize,
    truncated: usize,
}

impl Settings for RejectionConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        RejectionConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        Some(RejectionConfig::steps(self))
    }

    fn demand(&self, around: &Surroundings, _model: &ModelConfig) -> Demand {
        let rollouts = self.chunk.min(self.tasks) * self.samples;
        Demand {
            rollouts,
            tokens: rollouts * around.sampling.max_tokens,
            ..Demand::default()
        }
    }

    fn describe(&self, around: &Surroundings) -> String {
        let completions = (self.tasks * self.samples) as u64;
        format!(
            "{completions} completions, {} completion tokens in all",
            completions * around.sampling.max_tokens as u64
        )
    }

    fn measuring(&self) -> Measuring {
        Measuring::Unchanged
    }

    fn leaves_data_set(&self) -> bool {
        true
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        let first = saved.map_or(0, |saved| saved.step);
        let progress = harvest::open(context, "rejection", first)?;
        let mut stage = RejectionStage {
            config: self.clone(),
            directory: context.directory.to_owned(),
            progress: Some(progress),
            draws: Draws::new(context)?,
        };
        // Tasks are drawn from the beginning after a resume, too: what was asked is known then.
        for step in 0..first {
            stage.draw(context, step)?;
        }
        Ok(Box::new(stage))
    }
}

/// A stage of rejection sampling under way. Its finished chunks lie in the run's directory.
struct RejectionStage {
    config: RejectionConfig,
    directory: PathBuf,
    /// None once the stage is over.
    progress: Option<Progress>,
    draws: Draws,
}

impl Stage for RejectionStage {
    fn steps(&self) -> u64 {
        self.config.steps()
    }

    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError> {
        let (count, tasks) = self.draw(context, step)?;
        let done = self.progress()?.chunks().len() as u64;
        if step >= done {
            let repeated = count - tasks.len();
            let chunk = sample(&self.config, context, step, tasks, repeated)?;
            let directory = self.directory.clone();
            self.progress()?
                .push(chunk)
                .map_err(StageError::file(directory))?;
        }
        let metrics = RejectionMetrics::from(&self.progress()?.chunks()[step as usize]);
        Ok(StepReport::of(metrics))
    }

    fn save(&mut self, _files: &Path) -> Result<Value, StageError> {
        Ok(Value::Null)
    }

    /// Writes the data set.
    fn end(&mut self, context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let counts = self.progress()?.counts();
        if counts.kept == 0 {
            let by = match &self.config.component {
                Some(component) => format!("the component {component}"),
                None => "the total reward".to_owned(),
            };
            return Err(StageError::Own(Box::new(NothingKept {
                stage: context.stage,
                completions: counts.completions,
                judged: counts.judged,
                verified: counts.verified,
                by,
                threshold: self.config.threshold,
                out_of_range: counts.tasks_out_of_range,
                truncated: counts.truncated,
            })));
        }
        let path = self.progress()?.write_data_set();
        let path = path.map_err(StageError::file(&self.directory))?;
        let percent = |share: Option<f64>| 100.0 * share.unwrap_or(f64::NAN);
        let line = format!(
            "kept {} of {} completions, {:.1} % verified, of {} of {} tasks, mean length {:.1} tokens: {}",
            counts.kept,
            counts.completions,
            percent(counts.pass_rate()),
            counts.tasks_kept,
            counts.tasks,
            counts.kept_length_mean().unwrap_or(f64::NAN),
            path.display()
        );
        context.note("rejection", &line);
        let counts = fields(&counts).map_err(no_json)?;
        Ok(Map::from_iter([(
            "rejection".to_owned(),
            Value::Object(counts),
        )]))
    }

    fn forget(&mut self) -> Result<(), StageError> {
        match self.progress.take() {
            Some(progress) => progress.forget().map_err(StageError::file(&self.directory)),
            None => Ok(()),
        }
    }
}

impl RejectionStage {
    fn progress(&mut self) -> Result<&mut Progress, StageError> {
        self.progress.as_mut().ok_or_else(|| {
            StageError::Config("the stage of rejection sampling is over already".to_owned())
        })
    }

    /// Draws the tasks of a step: how many, and those of them whose prompt has not been asked before.
    fn draw(&mut self, context: &Context, step: u64) -> Result<(usize, Vec<Task>), StageError> {
        let share = step as f64 / self.config.steps() as f64;
        let count = self.config.tasks_of(step);
        Ok((count, self.draws.next(context, count, share)?))
    }
}

/// Samples and judges some tasks. The draws depend on the step and the place in it.
fn sample(
    config: &RejectionConfig,
    context: &Context,
    step: u64,
    tasks: Vec<Task>,
    repeated: usize,
) -> Result<Chunk, StageError> {
    let collected = collect(context, step, tasks, config.samples)?;
    let (rows, mut counts) = select(config, &collected.groups);
    counts.repeated_tasks = repeated;
    let chunk = Chunk::new(step, &rows, counts).map_err(no_json)?;
    Ok(Chunk {
        generation_s: collected.generation_s,
        reward_s: collected.reward_s,
        ..chunk
    })
}
