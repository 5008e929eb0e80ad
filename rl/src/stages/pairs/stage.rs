//! A stage that makes pairs, from its first step or a checkpoint to its end.

use std::path::{Path, PathBuf};

use dunwu_datasets::Task;
use serde_json::{Map, Value};

use super::{Counts, PairsConfig, PairsMetrics, select, select::ratio};
use crate::{
    model::ModelConfig,
    stages::{
        Context, Demand, Measuring, Saved, Settings, Stage, StageError, StepReport, Surroundings,
        harvest::{self, Chunk, Draws, Progress, collect, no_json},
        stage::fields,
    },
};

/// Why a stage made no pair.
#[derive(Debug, thiserror::Error)]
#[error(
    "stage {stage} (pairs) made no pair: of {completions} completions {judged} were judged and {right} were worth at least {threshold} by {by}; of {tasks} tasks {all_right} had only right ones and {all_wrong} only wrong ones; hint: change threshold, raise samples or tasks, pose tasks that the policy does sometimes, or train it further before"
)]
struct NoPairs {
    stage: usize,
    tasks: usize,
    completions: usize,
    judged: usize,
    right: usize,
    all_right: usize,
    all_wrong: usize,
    by: String,
    threshold: f64,
}

impl Settings for PairsConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        PairsConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        Some(PairsConfig::steps(self))
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
            "pairs of {completions} completions, {} completion tokens in all",
            completions * around.sampling.max_tokens as u64
        )
    }

    fn measuring(&self) -> Measuring {
        Measuring::Unchanged
    }

    fn leaves_pairs(&self) -> bool {
        true
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        let first = saved.map_or(0, |saved| saved.step);
        let progress = harvest::open(context, "pairs", first)?;
        let mut stage = PairsStage {
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

/// A stage that makes pairs, under way. Its finished chunks lie in the run's directory.
struct PairsStage {
    config: PairsConfig,
    directory: PathBuf,
    /// None once the stage is over.
    progress: Option<Progress<Counts>>,
    draws: Draws,
}

impl Stage for PairsStage {
    fn steps(&self) -> u64 {
        self.config.steps()
    }

    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError> {
        let (count, tasks) = self.draw(context, step)?;
        let done = self.progress()?.chunks().len() as u64;
        if step >= done {
            let repeated = count - tasks.len();
            let collected = collect(context, step, tasks, self.config.samples)?;
            let (rows, mut counts) = select(&self.config, &collected.groups);
            counts.repeated_tasks = repeated;
            let chunk = Chunk {
                generation_s: collected.generation_s,
                reward_s: collected.reward_s,
                ..Chunk::new(step, &rows, counts).map_err(no_json)?
            };
            let directory = self.directory.clone();
            let pushed = self.progress()?.push(chunk);
            pushed.map_err(StageError::file(directory))?;
        }
        let metrics = PairsMetrics::from(&self.progress()?.chunks()[step as usize]);
        Ok(StepReport::of(metrics))
    }

    fn save(&mut self, _files: &Path) -> Result<Value, StageError> {
        Ok(Value::Null)
    }

    /// Writes the data set.
    fn end(&mut self, context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let counts = self.progress()?.counts();
        if counts.pairs == 0 {
            let by = match &self.config.component {
                Some(component) => format!("the component {component}"),
                None => "the total reward".to_owned(),
            };
            return Err(StageError::Own(Box::new(NoPairs {
                stage: context.stage,
                tasks: counts.tasks,
                completions: counts.completions,
                judged: counts.judged,
                right: counts.right,
                all_right: counts.tasks_all_right,
                all_wrong: counts.tasks_all_wrong,
                by,
                threshold: self.config.threshold,
            })));
        }
        let path = self.progress()?.write_data_set();
        let path = path.map_err(StageError::file(&self.directory))?;
        let mean = |tokens: usize| ratio(tokens, counts.pairs).unwrap_or(f64::NAN);
        let line = format!(
            "{} pairs of {} of {} tasks, chosen {:.1} and rejected {:.1} tokens in the mean, {:.1} % of the completions right: {}",
            counts.pairs,
            counts.tasks_paired,
            counts.tasks,
            mean(counts.chosen_tokens),
            mean(counts.rejected_tokens),
            100.0 * counts.pass_rate().unwrap_or(f64::NAN),
            path.display()
        );
        context.note("pairs", &line);
        let counts = fields(&counts).map_err(no_json)?;
        Ok(Map::from_iter([(
            "pairs".to_owned(),
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

impl PairsStage {
    fn progress(&mut self) -> Result<&mut Progress<Counts>, StageError> {
        let over = || StageError::Config("the stage of pairs is over already".to_owned());
        self.progress.as_mut().ok_or_else(over)
    }

    /// Draws the tasks of a step: how many, and those of them whose prompt has not been asked before.
    fn draw(&mut self, context: &Context, step: u64) -> Result<(usize, Vec<Task>), StageError> {
        let share = step as f64 / self.config.steps() as f64;
        let count = self.config.tasks_of(step);
        Ok((count, self.draws.next(context, count, share)?))
    }
}
