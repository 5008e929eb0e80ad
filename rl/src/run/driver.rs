//! The loop around every step of every stage: what is logged, watched, measured and saved, and when a run stops.

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::{Map, Value};

use super::{
    Controls, Event, Observers, Origins, RunDirectory, RunError, StageReport, Summary,
    checkpoint::{self, Checkpointer, State, state::Ended},
    heartbeat::{Phase, Pulse},
    metrics::MetricsLine,
    notify::Notifier,
    restart, seats,
    summary::showcase,
    tensorboard::TensorBoard,
};
use crate::{
    alarms::Alarm,
    analysis::Source,
    bundle::Codec,
    config::{LogSection, RunConfig},
    cost::{Meter, price},
    eval::{EvalReport, Measurement, Moment},
    learner::{AdamW, Learner},
    machine::peak_memory_bytes,
    model::Transformer,
    rollout::{
        Environment, Judge,
        work::{Rates, Spent},
    },
    stages::{Context, Measuring, Saved, Settings, Stage, StageConfig, StepReport, Weights},
    tasks::Tasks,
};

/// A run under way.
pub(super) struct Driver<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) codec: Arc<Codec>,
    pub(super) judge: Arc<Judge>,
    pub(super) environment: Arc<dyn Environment>,
    pub(super) tasks: Tasks,
    pub(super) learner: Learner,
    pub(super) checkpointer: Checkpointer,
    pub(super) state: State,
    pub(super) directory: RunDirectory,
    pub(super) observers: Observers,
    pub(super) controls: Controls,
    /// Whether to look for what would waste hours before the first step of a stage.
    pub(super) preflight: bool,
    /// Alarms are told and logged, and do not stop the run.
    pub(super) ignore_alarms: bool,
    /// The event file, where one is wanted.
    pub(super) board: Option<TensorBoard>,
    /// Runs a command for each alarm.
    pub(super) notifier: Notifier,
    /// Tells how much energy the session has taken.
    pub(super) meter: Meter,
    /// Seconds and watt-hours of the session up to the last line of the log.
    pub(super) told: (f64, Option<f64>),
    /// What went through the policy since the last step.
    pub(super) spent: Spent,
    /// What that is in operations.
    pub(super) rates: Rates,
    /// Says from outside that the run is alive.
    pub(super) pulse: Pulse,
    /// Seconds of this session in which it was paused.
    pub(super) paused_s: f64,
    /// Seconds of earlier sessions.
    pub(super) earlier_s: f64,
    pub(super) started: Instant,
}

/// A step that this session has made.
struct Made<'a> {
    report: &'a StepReport,
    alarms: &'a [Alarm],
}

/// What became of a measurement.
pub(super) enum Outcome {
    /// It was made, if there was one to make.
    Measured(Option<Box<Measurement>>),
    /// The run was asked to stop meanwhile.
    Stopped,
}

/// Whether the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    GoesOn,
    /// It was asked to stop, and is saved.
    Stops,
}

impl Driver<'_> {
    /// Runs the stages that are left. Returns whether all of them are over.
    ///
    /// # Errors
    /// What ends the run; what was saved until then stays.
    pub(super) fn run(&mut self) -> Result<bool, RunError> {
        while let Some(stage) = self.config.stages.get(self.state.stage) {
            if self.stage(stage)? == Flow::Stops {
                return Ok(self.state.stage == self.config.stages.len());
            }
        }
        Ok(true)
    }

    /// Runs a stage from where it is to its end.
    fn stage(&mut self, config: &StageConfig) -> Result<Flow, RunError> {
        let settings = config.settings();
        let done = self.state.stage_step;
        if done == 0 {
            self.begin_with(settings.begins_with())?;
        }
        self.seat_models()?;
        let mut stage = self.begin(settings)?;
        if self.state.unmeasured.is_some() {
            // The session before ended between the step and its measurement.
            if self.finish_step(settings, stage.as_mut(), None)? == Flow::Stops {
                return Ok(Flow::Stops);
            }
            if self.state.stage_step == 0 {
                return Ok(Flow::GoesOn); // it was the stage's last
            }
        }
        if done == 0 && self.measure_before(settings)? == Flow::Stops {
            return Ok(Flow::Stops);
        }
        let (index, steps) = (self.state.stage, stage.steps());
        self.observers.tell(&Event::StageBegan {
            stage: index,
            kind: config.kind(),
            steps,
            done: self.state.stage_step,
        });
        for step in self.state.stage_step..steps {
            let report = stage.step(&mut self.context(), step)?;
            let flow = self.after_step(config, stage.as_mut(), report)?;
            if flow == Flow::Stops {
                return Ok(Flow::Stops);
            }
        }
        Ok(Flow::GoesOn)
    }

    /// Makes a stage ready, at its beginning or where its checkpoint left it.
    fn begin(&mut self, settings: &dyn Settings) -> Result<Box<dyn Stage>, RunError> {
        let saved = (self.state.stage_step > 0).then(|| Saved {
            step: self.state.stage_step,
            state: self.state.stage_state.clone(),
            files: self
                .checkpointer
                .path(self.state.step)
                .join(checkpoint::STAGE),
        });
        Ok(settings.begin(&mut self.context(), saved)?)
    }

    /// Puts the reward models that are there by now among the judges.
    fn seat_models(&mut self) -> Result<(), RunError> {
        let (rubric, stage) = (self.judge.rubric(), self.state.stage);
        let (policy, directory) = (&self.learner.model, self.directory.path());
        let seated = seats::fill(rubric, policy, &self.codec, directory, stage)?;
        for line in seated {
            self.note("reward", &line);
        }
        Ok(())
    }

    /// Goes back to the weights that a stage asks for, before its first step.
    fn begin_with(&mut self, weights: Weights) -> Result<(), RunError> {
        let whose = match weights {
            Weights::AsTheyAre => return Ok(()),
            Weights::OfTheRun => "the run began with".to_owned(),
            Weights::AfterStage(stage) => format!("stage {stage} ended with"),
        };
        let device = self.learner.model.device();
        let origins = &mut self.state.origins;
        let (config, tasks) = (self.config, &self.tasks);
        let compare = |base: &Transformer| {
            let now = Origins::new(config, tasks, Some(base))?;
            origins.check(&now)
        };
        let (model, head) =
            restart::weights(config, weights, self.directory.path(), &device, compare)?;
        self.note("restart", &format!("with the weights that {whose}"));
        let optimizer = AdamW::new(self.config.stages[self.state.stage].settings().optimizer());
        self.learner = Learner::new(model, optimizer, self.learner.version).with_head(head);
        Ok(())
    }

    /// Measures held-out problems before the first stage that wants it.
    fn measure_before(&mut self, settings: &dyn Settings) -> Result<Flow, RunError> {
        let none = self.tasks.heldout.is_empty();
        if none || settings.measuring() != Measuring::Throughout || self.state.before.is_some() {
            return Ok(Flow::GoesOn);
        }
        let samples = self.config.evaluation.samples;
        let Some(measured) = self.measure("held-out before", samples, Moment::Before)? else {
            return Ok(Flow::Stops);
        };
        // It is also the measurement after the stage before.
        if let Some(last) = self.state.stages.last_mut() {
            last.heldout.get_or_insert_with(|| measured.report.clone());
        }
        self.state.showcase = showcase(&measured.greedy_groups);
        self.state.before = Some(measured.report);
        Ok(Flow::GoesOn)
    }

    /// Counts a step, logs its completions, looks for alarms, and finishes it.
    fn after_step(
        &mut self,
        config: &StageConfig,
        stage: &mut (dyn Stage + 'static),
        report: StepReport,
    ) -> Result<Flow, RunError> {
        self.state.step += 1;
        self.state.stage_step += 1;
        self.state.optimizer_steps = self.learner.optimizer.steps;
        self.state.policy_version = self.learner.version;
        self.pulse.is(Phase::Running, self.state.step);
        self.log_completions(&report)?;
        let (alarms, index) = (&self.config.alarms, self.state.stage);
        let vitals = report.metrics.vitals();
        let alarms = self.state.alarms.watch(alarms, index, &vitals);
        self.notify(&alarms);
        self.state.unmeasured = Some(MetricsLine {
            step: self.state.step,
            stage: index,
            heldout_accuracy: None,
            heldout_accuracy_interval: None,
            peak_memory_bytes: peak_memory_bytes(),
            flops: self.spent.take(&self.rates),
            energy_wh: None,
            energy_source: None,
            cost: None,
            alarms: alarms.iter().map(ToString::to_string).collect(),
            kind: config.kind(),
            metrics: report
                .metrics
                .figures()
                .map_err(|error| RunError::Config(format!("a step has no JSON form: {error}")))?,
        });
        let made = Made {
            report: &report,
            alarms: &alarms,
        };
        self.finish_step(config.settings(), stage, Some(made))
    }

    /// What is left to do of a step: its measurement, its line in the log, the end of its stage, a checkpoint. `made` is
    /// what an earlier session has not told its observers.
    fn finish_step(
        &mut self,
        settings: &dyn Settings,
        stage: &mut (dyn Stage + 'static),
        made: Option<Made>,
    ) -> Result<Flow, RunError> {
        let last = self.state.stage_step == stage.steps();
        let details = if last {
            let details = stage.end(&mut self.context())?;
            if made.is_some() {
                // A measurement may take long, and may fail: the stage is safe before.
                self.save(Some(stage))?;
            }
            Some(details)
        } else {
            None
        };
        let measured = match self.measure_after(settings, last) {
            Ok(Outcome::Measured(measured)) => measured,
            Ok(Outcome::Stopped) => {
                self.save_unless(last, stage)?;
                return Ok(Flow::Stops);
            }
            Err(error) => {
                self.save_unless(last, stage)?;
                return Err(error);
            }
        };
        if let Some(mut line) = self.state.unmeasured.take() {
            line.heldout_accuracy = measured.as_ref().and_then(|m| m.report.greedy_accuracy);
            let interval = measured.as_ref().map(|m| m.report.greedy_accuracy_interval);
            line.heldout_accuracy_interval = line.heldout_accuracy.and(interval.flatten());
            self.meter(&mut line);
            self.directory.log_metrics(&line)?;
            self.on_board(|board| board.step(&line));
            if let Some(made) = &made {
                self.observers.tell(&Event::Step {
                    line: &line,
                    metrics: made.report.metrics.as_ref(),
                    done: self.state.stage_step,
                    steps: stage.steps(),
                });
            }
        }
        if let Some(details) = details {
            self.end_stage(settings, measured, details)?;
        }
        let stopped = made.and_then(|made| self.alarmed(made.alarms));
        self.keep(last, stopped.is_some(), stage)?;
        match stopped {
            Some(error) => Err(error),
            None if self.controls.stops() => Ok(Flow::Stops),
            None => Ok(Flow::GoesOn),
        }
    }

    /// Saves when it is time, when the user wants it, or when the run is about to stop. What was asked is read once.
    fn keep(
        &mut self,
        last: bool,
        stops: bool,
        stage: &mut (dyn Stage + 'static),
    ) -> Result<(), RunError> {
        if stops {
            // The last good checkpoint may be an old one.
            self.checkpointer.keep_all();
        }
        if last {
            self.save_state()?;
            stage.forget()?;
            return Ok(());
        }
        if self.controls.pauses() {
            // Who pauses a run may go on to switch the machine off.
            self.save(Some(&mut *stage))?;
            self.wait();
        }
        let every = self.config.checkpoint.every;
        let due = self.state.stage_step.is_multiple_of(every);
        if due || stops || self.controls.take_save() || self.controls.stops() {
            self.save(Some(stage))?;
        }
        Ok(())
    }

    /// Waits until the run is to go on.
    fn wait(&mut self) {
        let (began, step) = (Instant::now(), self.state.step);
        self.note("paused", &format!("after step {step}, saved"));
        self.pulse.is(Phase::Paused, step);
        self.controls.wait_while_paused(|| {});
        self.pulse.is(Phase::Running, step);
        self.paused_s += began.elapsed().as_secs_f64();
        self.note("paused", "over");
    }

    /// Saves after a step that is not finished, unless its stage has been saved just now.
    fn save_unless(
        &mut self,
        saved: bool,
        stage: &mut (dyn Stage + 'static),
    ) -> Result<(), RunError> {
        if saved {
            return Ok(());
        }
        self.save(Some(stage))
    }

    /// Writes a checkpoint.
    fn save(&mut self, stage: Option<&mut (dyn Stage + 'static)>) -> Result<(), RunError> {
        self.state.elapsed_s = self.elapsed_s();
        self.state.logged = self.directory.logged()?;
        let begun = self.state.step - self.state.stage_step;
        let (learner, codec) = (&self.learner, &self.codec);
        match stage {
            Some(stage) => {
                let state = &mut self.state;
                let path = self
                    .checkpointer
                    .save(learner, codec, state, Some(&mut *stage))?;
                if let Some(oldest) = self.checkpointer.oldest_step()? {
                    stage.saved(oldest.saturating_sub(begun))?;
                }
                self.told_saved(&path);
            }
            None => {
                let path = self
                    .checkpointer
                    .save(learner, codec, &mut self.state, None)?;
                self.told_saved(&path);
            }
        }
        Ok(())
    }

    /// Writes the state anew into the checkpoint of a stage's last step.
    fn save_state(&mut self) -> Result<(), RunError> {
        self.state.elapsed_s = self.elapsed_s();
        self.state.logged = self.directory.logged()?;
        self.checkpointer.save_state(&self.learner, &self.state)?;
        Ok(())
    }

    fn told_saved(&mut self, checkpoint: &Path) {
        let step = self.state.step;
        self.observers.tell(&Event::Saved { step, checkpoint });
    }

    /// Reports the stage under way and goes over to the next.
    fn end_stage(
        &mut self,
        settings: &dyn Settings,
        measured: Option<Box<Measurement>>,
        details: Map<String, Value>,
    ) -> Result<(), RunError> {
        let heldout = match (&measured, settings.measuring()) {
            (Some(measured), _) => Some(measured.report.clone()),
            // The policy is the one that the stage before left.
            (None, Measuring::Unchanged) => {
                self.state.stages.last().and_then(|r| r.heldout.clone())
            }
            (None, _) => None,
        };
        let report = StageReport {
            stage: self.state.stage,
            kind: self.config.stages[self.state.stage].kind(),
            steps: self.state.stage_step,
            heldout,
            details,
        };
        if let Some(measured) = measured
            && settings.measuring() == Measuring::Throughout
        {
            let after = showcase(&measured.greedy_groups);
            for (shown, after) in self.state.showcase.iter_mut().zip(after) {
                shown.after = after.before;
            }
            self.state.after = Some(measured.report);
        }
        self.observers.tell(&Event::StageEnded { report: &report });
        self.state.stages.push(report);
        let index = self.state.stage;
        restart::keep(
            self.config,
            index,
            &self.learner,
            &self.codec,
            self.directory.path(),
        )?;
        if index + 1 == self.config.stages.len() {
            self.state.ended = Some(Ended {
                stage_step: self.state.stage_step,
                stage_state: self.state.stage_state.clone(),
                optimizer_steps: self.state.optimizer_steps,
            });
        }
        self.state.stage += 1;
        self.state.stage_step = 0;
        self.state.stage_state = Value::Null;
        self.state.optimizer_steps = 0;
        if let Some(next) = self.config.stages.get(self.state.stage) {
            self.learner.optimizer = AdamW::new(next.settings().optimizer());
        }
        Ok(())
    }

    /// Tells alarms, or returns them together where they stop the run. After the very last step there is nothing left to
    /// stop.
    fn alarmed(&mut self, alarms: &[Alarm]) -> Option<RunError> {
        let over = self.state.stage == self.config.stages.len();
        let stops = |alarm: &&Alarm| alarm.stops && !self.ignore_alarms && !over;
        let step = self.state.step;
        let Some(gravest) = alarms.iter().find(stops) else {
            for alarm in alarms {
                self.observers.tell(&Event::Alarm { step, alarm });
            }
            return None;
        };
        Some(RunError::Alarm {
            step,
            alarms: alarms.iter().map(ToString::to_string).collect(),
            hint: gravest.kind.hint(),
        })
    }

    /// Completes the line of a step by what it took, its measurement included.
    fn meter(&mut self, line: &mut MetricsLine) {
        let measured = self.spent.take_measured(&self.rates);
        line.flops = line.flops.map(|flops| flops + measured);
        let seconds = self.session_s();
        let watt_hours = self.meter.watt_hours(seconds);
        let (seconds_before, before) = self.told;
        let since = watt_hours.map(|now| now - before.unwrap_or(0.0));
        line.energy_wh = since;
        line.energy_source = since.and_then(|_| self.meter.source());
        line.cost = price(&self.config.cost, seconds - seconds_before, since);
        self.told = (seconds, watt_hours);
    }

    /// Runs the command of the config for each alarm.
    fn notify(&mut self, alarms: &[Alarm]) {
        let (name, directory) = (&self.config.name, self.directory.path());
        for alarm in alarms {
            self.notifier.tell(name, directory, self.state.step, alarm);
        }
        for failure in self.notifier.failures() {
            self.note("alarm", &failure);
        }
    }

    /// Writes to the event file, where there is one. One that cannot be written to is given up: what it holds is in the logs.
    pub(super) fn on_board(&mut self, write: impl FnOnce(&mut TensorBoard) -> std::io::Result<()>) {
        let Some(board) = &mut self.board else { return };
        if let Err(error) = write(board) {
            let path = board.path().display().to_string();
            self.board = None;
            self.note(
                "tensorboard",
                &format!("{path}: {error}; nothing more is written to it"),
            );
        }
    }

    /// Logs the completions of a step, where the config wants them.
    fn log_completions(&mut self, report: &StepReport) -> Result<(), RunError> {
        let step = self.state.step;
        if report.completions.is_empty() {
            return Ok(());
        }
        let LogSection {
            completions_every, ..
        } = self.config.log;
        if completions_every > 0 && (step - 1).is_multiple_of(completions_every) {
            let line = |fields: &Map<String, Value>| {
                let mut line = Map::new();
                line.insert("step".to_owned(), step.into());
                line.extend(fields.clone());
                line
            };
            let lines: Vec<_> = report.completions.iter().map(line).collect();
            self.directory.log_completions(&lines)?;
        }
        self.observers.tell(&Event::Completions {
            step,
            lines: &report.completions,
        });
        Ok(())
    }

    /// What the stage under way is lent.
    fn context(&mut self) -> Context<'_> {
        Context {
            learner: &mut self.learner,
            codec: &self.codec,
            judge: &self.judge,
            environment: &self.environment,
            tasks: &self.tasks,
            sampling: &self.config.sampling,
            evaluation: &self.config.evaluation,
            memory: &self.config.memory,
            seed: self.config.seed,
            stage: self.state.stage,
            directory: self.directory.path(),
            spent: &mut self.spent,
            preflight: self.preflight,
            notes: &mut self.observers,
        }
    }

    pub(super) fn note(&mut self, topic: &str, text: &str) {
        self.observers.tell(&Event::Note { topic, text });
    }

    /// What the run has come to.
    pub(super) fn summary(&self, device: String, finished: bool) -> Summary {
        let accuracy = |report: &Option<EvalReport>| report.as_ref()?.greedy_accuracy;
        let state = &self.state;
        Summary {
            name: self.config.name.clone(),
            seed: self.config.seed,
            device,
            steps: state.step,
            seconds: self.elapsed_s(),
            finished,
            heldout_accuracy_before: accuracy(&state.before),
            heldout_accuracy_after: accuracy(&state.after),
            before: state.before.clone(),
            after: state.after.clone(),
            stages: state.stages.clone(),
            showcase: state.showcase.clone(),
            peak_memory_bytes: peak_memory_bytes(),
            cost: Source::open(self.directory.path())
                .ok()
                .map(|run| run.cost()),
        }
    }

    fn elapsed_s(&self) -> f64 {
        self.earlier_s + self.session_s()
    }

    /// Seconds of this session, pauses left out.
    fn session_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64() - self.paused_s
    }
}
