//! The loop around every chunk of rejection sampling.

use std::collections::HashSet;

use dunwu_datasets::{Task, derive_seed};

use super::{console::Console, interrupt, seeds::Purpose, train::Run, RunDirectory, RunError};
use crate::{rollout::Collected, run::metrics::StageMetrics, stages::rejection::{select, Chunk, Progress, RejectionConfig, RejectionMetrics}};

impl Run<'_> {
    pub(super) fn rejection(
        &mut self,
        stage: &RejectionConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        let (index, first, steps) = (self.state.stage, self.state.stage_step, stage.steps());
        let path = directory.path().to_owned();
        let mut progress = Progress::open(&path, index).map_err(RunError::file(&path))?;
        let there = progress.chunks().len() as u64;
        if there < first {
            return Err(RunError::Config(format!(
                "{}: of stage {index} {there} chunks are there, and the checkpoint knows of {first}; hint: they are in rejection-{index}.partial.jsonl, which must stay where it is while the run is under way",
                path.display()
            )));
        }
        let mut source = self.tasks.source(self.seed(Purpose::Tasks))?;
        let mut asked = HashSet::new();
        let bar = console.stage("rejection", steps, first);
        for step in 0..steps {
            let share = step as f64 / steps as f64;
            let drawn = source.next_batch(stage.tasks_of(step), share)?;
            let count = drawn.len();
            // Tasks are drawn from the beginning after a resume, too: what was asked is known then.
            let tasks = unasked(drawn, &mut asked)?;
            if step < first {
                continue;
            }
            if step >= progress.chunks().len() as u64 {
                let repeated = count - tasks.len();
                let chunk = self.rejection_chunk(stage, step, tasks, repeated)?;
                progress.push(chunk).map_err(RunError::file(&path))?;
            }
            let metrics = RejectionMetrics::from(&progress.chunks()[step as usize]);
            bar.rejection(step + 1, &metrics);
            let last = step + 1 == steps;
            let mut heldout = None;
            if last {
                self.end_rejection(stage, &progress, console)?;
                heldout = self
                    .state
                    .stages
                    .last()
                    .and_then(|report| report.heldout.as_ref()?.greedy_accuracy);
            }
            let metrics = StageMetrics::RejectionSampling(metrics);
            self.after_step(metrics, heldout, last, || Ok(Vec::new()), directory)?;
            if interrupt::asked() && !last {
                return Ok(false);
            }
        }
        progress.forget().map_err(RunError::file(&path))?;
        Ok(!interrupt::asked())
    }

    /// Samples and judges some tasks. The draws depend on the step and the place in it.
    fn rejection_chunk(
        &self,
        stage: &RejectionConfig,
        step: u64,
        tasks: Vec<Task>,
        repeated: usize,
    ) -> Result<Chunk, RunError> {
        let Collected {
            groups,
            generation_s,
            reward_s,
        } = match tasks.is_empty() {
            true => Collected::default(),
            false => self.collector().collect(
                &self.learner.model,
                &self.config.sampling,
                tasks,
                stage.samples,
                derive_seed(self.seed(Purpose::Rollouts), &[step]),
                |_| {},
            )?,
        };
        let (rows, mut counts) = select(stage, &groups);
        counts.repeated_tasks = repeated;
        let chunk = Chunk::new(step, &rows, counts).map_err(no_json)?;
        Ok(Chunk {
            generation_s,
            reward_s,
            ..chunk
        })
    }

    /// Writes the data set, and reports the stage.
    fn end_rejection(
        &mut self,
        stage: &RejectionConfig,
        progress: &Progress,
        console: &Console,
    ) -> Result<(), RunError> {
        let counts = progress.counts();
        if counts.kept == 0 {
            return Err(RunError::NothingKept {
                stage: self.state.stage,
                completions: counts.completions,
                judged: counts.judged,
                verified: counts.verified,
                by: match &stage.component {
                    Some(component) => format!("the component {component}"),
                    None => "the total reward".to_owned(),
                },
                threshold: stage.threshold,
                out_of_range: counts.tasks_out_of_range,
                truncated: counts.truncated,
            });
        }
        let path = progress.write_data_set();
        let path = path.map_err(|source| RunError::File {
            path: format!("rejection-{}.jsonl", self.state.stage).into(),
            source,
        })?;
        let percent = |share: Option<f64>| 100.0 * share.unwrap_or(f64::NAN);
        console.line(&format!(
            "rejection kept {} of {} completions, {:.1} % verified, of {} of {} tasks, mean length {:.1} tokens: {}",
            counts.kept,
            counts.completions,
            percent(counts.pass_rate()),
            counts.tasks_kept,
            counts.tasks,
            counts.kept_length_mean().unwrap_or(f64::NAN),
            path.display()
        ));
        // The policy is the one that the stage before left.
        let known = self
            .state
            .stages
            .last()
            .and_then(|report| report.heldout.clone());
        let heldout = match known {
            Some(report) => Some(report),
            None => self.measure_stage(console)?,
        };
        let mut report = self.stage_report(heldout);
        report.rejection = Some(counts);
        self.state.stages.push(report);
        Ok(())
    }
}

/// Those of `tasks` whose prompt has not been asked before.
fn unasked(tasks: Vec<Task>, asked: &mut HashSet<String>) -> Result<Vec<Task>, RunError> {
    let mut fresh = Vec::with_capacity(tasks.len());
    for task in tasks {
        if asked.insert(serde_json::to_string(&task.prompt).map_err(no_json)?) {
            fresh.push(task);
        }
    }
    Ok(fresh)
}

fn no_json(error: serde_json::Error) -> RunError {
    RunError::Config(format!("a task has no JSON form: {error}"))
}
