//! The loop around every supervised step.

use std::path::Path;

use dunwu_datasets::Example;

use super::{console::Console, interrupt, seeds::Purpose, train::Run, RunDirectory, RunError};
use crate::{learner::{GradientConfig, HeadConfig}, run::metrics::StageMetrics, stages::{rejection::progress::data_set, sft::{self, Encoded, Epochs, ExampleError, ExampleSet, Limit, SftConfig}}};

/// What a stage learns from, and what it is measured on.
struct Lessons {
    train: Train,
    heldout: Vec<Encoded>,
    /// Examples left out because they were too long.
    dropped: usize,
}

/// What a stage learns from.
enum Train {
    /// Examples that are gone through in epochs.
    Set(Vec<Encoded>, Epochs),
    /// Demonstrations that are made as they are needed.
    Endless,
}

impl Run<'_> {
    pub(super) fn sft(
        &mut self,
        stage: &SftConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        self.restart(stage, directory.path(), console)?;
        let lessons = self.lessons(stage, directory.path())?;
        let steps = match (&lessons.train, stage.steps, stage.epochs) {
            (_, Some(steps), _) => steps,
            (Train::Set(_, order), None, Some(epochs)) => order.steps(epochs),
            _ => return Err(RunError::Config("sft: neither steps nor epochs".to_owned())),
        };
        if let Train::Set(examples, _) = &lessons.train {
            console.line(&format!(
                "sft      {} examples, {} held out, {} left out because they are too long; {steps} steps",
                examples.len(),
                lessons.heldout.len(),
                lessons.dropped
            ));
        }
        let head = HeadConfig {
            temperature: 1.0,
            chunk_bytes: self.head_chunk_bytes(),
        };
        let gradient = GradientConfig {
            head,
            activations: self.config.memory.activations(),
            whole: false,
        };
        let bar = console.stage("sft", steps, self.state.stage_step);
        for step in self.state.stage_step..steps {
            let examples = self.examples(stage, &lessons.train, step)?;
            let memory = &self.config.memory;
            let place = (step, steps);
            let mut metrics =
                sft::step(stage, &mut self.learner, &examples, place, memory, gradient)?;
            let last = step + 1 == steps;
            let every = stage.heldout_every;
            let due = last || (every > 0 && (step + 1).is_multiple_of(every));
            if due && !lessons.heldout.is_empty() {
                let (model, budget) = (&self.learner.model, memory.token_budget);
                metrics.heldout_loss =
                    Some(sft::heldout_loss(model, &lessons.heldout, budget, head)?);
            }
            bar.sft(step + 1, &metrics);
            let mut heldout = None;
            if last {
                let report = self.measure_stage(console)?;
                heldout = report.as_ref().and_then(|report| report.greedy_accuracy);
                let mut report = self.stage_report(report);
                report.heldout_loss = metrics.heldout_loss;
                if let Train::Set(examples, _) = &lessons.train {
                    report.examples = Some(examples.len());
                    report.too_long = Some(lessons.dropped);
                }
                self.state.stages.push(report);
            }
            let metrics = StageMetrics::Sft(metrics);
            self.after_step(metrics, heldout, last, || Ok(Vec::new()), directory)?;
            if interrupt::asked() && !last {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// The longest example of a stage.
    fn limit(&self, stage: &SftConfig) -> Limit {
        let context = self.learner.model.config().max_position_embeddings;
        Limit::of(stage, context, self.config.memory.token_budget)
    }

    /// Reads or makes the examples of a stage, and divides them.
    fn lessons(&self, stage: &SftConfig, directory: &Path) -> Result<Lessons, RunError> {
        let limit = self.limit(stage);
        let read = |path: &Path| ExampleSet::read(path, &self.codec, stage.turns, limit);
        let heldout_file = stage.heldout_file.as_deref();
        let apart = heldout_file.map(read).transpose()?;
        let mut set = ExampleSet::default();
        let mut places = Vec::new();
        let kept = stage.from_stage.map(|index| data_set(directory, index));
        for path in stage.file.iter().chain(&kept) {
            set.extend(read(path)?);
            places.push(path.display().to_string());
        }
        if stage.generates() {
            let Some(count) = stage.demonstrations else {
                return Ok(Lessons {
                    train: Train::Endless,
                    heldout: apart.map(|set| set.examples).unwrap_or_default(),
                    dropped: 0,
                });
            };
            for index in 0..count as u64 {
                self.push_demonstration(stage, index, &mut set)?;
            }
            places.push("data.task".to_owned());
        }
        let (rows, dropped) = (set.examples.len() + set.dropped, set.dropped);
        let (train, mut heldout) = set.divided(stage.heldout_fraction);
        let nothing = |what, place: String, rows, dropped, left: usize| ExampleError::Nothing {
            place,
            what,
            rows,
            dropped,
            most: limit.tokens,
            divided: match left {
                0 => String::new(),
                left => format!(
                    ", and heldout_fraction = {} puts all other {left} on the other side",
                    stage.heldout_fraction
                ),
            },
        };
        let place = places.join(" and ");
        if train.is_empty() {
            return Err(nothing("learn from", place, rows, dropped, heldout.len()).into());
        }
        if stage.heldout_fraction > 0.0 && heldout.is_empty() {
            return Err(nothing("hold out", place, rows, dropped, train.len()).into());
        }
        if let (Some(apart), Some(file)) = (apart, heldout_file) {
            if apart.examples.is_empty() {
                let place = file.display().to_string();
                return Err(nothing("measure", place, apart.dropped, apart.dropped, 0).into());
            }
            heldout = apart.examples;
        }
        let order = Epochs {
            len: train.len(),
            batch: stage.batch,
            seed: self.seed(Purpose::Demonstrations),
        };
        Ok(Lessons {
            train: Train::Set(train, order),
            heldout,
            dropped,
        })
    }

    /// The examples of one step.
    fn examples(
        &self,
        stage: &SftConfig,
        train: &Train,
        step: u64,
    ) -> Result<Vec<Encoded>, RunError> {
        match train {
            Train::Set(examples, order) => {
                let places = order.step(step, stage.epochs);
                Ok(places.into_iter().map(|i| examples[i].clone()).collect())
            }
            Train::Endless => {
                let first = step * stage.batch as u64;
                let mut set = ExampleSet::default();
                for index in first..first + stage.batch as u64 {
                    self.push_demonstration(stage, index, &mut set)?;
                }
                Ok(set.examples)
            }
        }
    }

    /// Makes the `index`-th demonstration of the stage.
    fn push_demonstration(
        &self,
        stage: &SftConfig,
        index: u64,
        set: &mut ExampleSet,
    ) -> Result<(), RunError> {
        let Some(generator) = &self.tasks.generator else {
            return Err(RunError::Config(
                "sft: the data make no demonstrations; hint: set `file` or `from_stage`".to_owned(),
            ));
        };
        let mix = stage.traces.clone().unwrap_or_default();
        let seed = self.seed(Purpose::Demonstrations);
        let example = Example::Completion(generator.demonstration(seed, index, &mix)?);
        let place = || format!("demonstration {index} of data.task");
        set.push(place, &self.codec, &example, stage.turns, self.limit(stage))?;
        Ok(())
    }
}
