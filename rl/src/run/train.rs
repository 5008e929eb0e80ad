//! A run from its first stage, or its last checkpoint, to its end.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use dunwu_datasets::derive_seed;
use dunwu_rewards::Rubric;

use super::{console::Console, directory, interrupt, preflight, seeds::{evaluation_seed, weights_seed, Purpose}, summary::Summary, tasks::Tasks, Bundle, Codec, Learner, RunDirectory, RunError};
use crate::{alarms::Alarm, config::RunConfig, device, eval::{record, EvalReport, Evaluation, EvaluationLine, Moment}, learner::AdamW, machine::peak_memory_bytes, model::{lora::load_adapter, Engine}, rollout::{Judge, RolloutCollector, RolloutGroup}, run::{checkpoint::{self, Checkpointer, State}, metrics::{MetricsLine, StageMetrics}}, stages::{grpo::StepRollouts, StageConfig}, statistics::Interval};

/// What the command line decides about a run.
#[derive(Debug, Default, Clone)]
pub struct TrainOptions {
    /// Where the run keeps its files, instead of `runs/<name>`.
    pub run_dir: Option<PathBuf>,
    /// Go on with the run that is there.
    pub resume: bool,
    /// Skip the checks before the first step of GRPO.
    pub no_preflight: bool,
    /// Alarms are told and logged, and do not stop the run.
    pub ignore_alarms: bool,
}

/// Runs `config` from its first stage, or from its last checkpoint, to its end or to Ctrl-C.
///
/// # Errors
/// See [`RunError`]; what was saved until then stays.
pub fn train(config: &RunConfig, options: &TrainOptions) -> Result<Summary, RunError> {
    let console = Console::new();
    let chosen = device::choose(config.device)?;
    console.line(&format!("device   {}", chosen.reason));
    // The directory is made last: a run that cannot start leaves nothing behind.
    let path = match options.resume {
        true => directory::earlier(config, options.run_dir.as_deref())?,
        false => directory::free(config, options.run_dir.as_deref())?,
    };
    if !options.no_preflight {
        preflight::memory(config, Engine::on(&chosen.device))?;
    }
    let mut run = Run::start(config, &chosen.device, &path, options)?;
    let mut directory = match options.resume {
        true => RunDirectory::open(path)?,
        false => RunDirectory::create(config, path)?,
    };
    console.line(&format!("run      {}", directory.path().display()));
    if options.resume {
        directory.rewind(run.state.step)?;
        let seconds = run.state.elapsed_s;
        console.line(&format!(
            "resumed  after step {} ({seconds:.0} s)",
            run.state.step
        ));
    }
    let parameters = run.learner.model.config().parameter_count();
    console.line(&format!(
        "model    {}, {parameters} parameters",
        run.codec.encoder.origin
    ));

    let mut finished = true;
    while let Some(stage) = config.stages.get(run.state.stage) {
        finished = match stage {
            StageConfig::Sft(sft) => run.sft(sft, &mut directory, &console)?,
            StageConfig::Grpo(grpo) => run.grpo(grpo, &mut directory, &console)?,
            StageConfig::RejectionSampling(stage) => {
                run.rejection(stage, &mut directory, &console)?
            }
        };
        if !finished {
            break;
        }
    }
    finished |= run.state.stage == config.stages.len();
    let summary = run.summary(chosen.reason, finished);
    directory.write_summary(&summary)?;
    console.summary(&summary, directory.path());
    Ok(summary)
}

/// Everything a run holds.
pub(super) struct Run<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) options: &'a TrainOptions,
    pub(super) codec: Arc<Codec>,
    pub(super) learner: Learner,
    pub(super) judge: Arc<Judge>,
    pub(super) tasks: Tasks,
    pub(super) checkpointer: Checkpointer,
    pub(super) state: State,
    /// `evaluation.jsonl` of the run.
    pub(super) evaluations: PathBuf,
    /// The interval of the last measurement, until the line of its step is logged.
    pub(super) heldout_interval: Option<Interval>,
    /// What an earlier sitting has sampled and not trained on.
    pub(super) pending: Vec<StepRollouts>,
    /// Seconds of earlier sittings.
    pub(super) earlier_s: f64,
    pub(super) started: Instant,
}

impl<'a> Run<'a> {
    fn start(
        config: &'a RunConfig,
        device: &Device,
        path: &Path,
        options: &'a TrainOptions,
    ) -> Result<Self, RunError> {
        let rubric = Rubric::from_config(&config.reward.rubric)
            .map_err(|e| RunError::Config(format!("reward.rubric: {e}")))?;
        let judge = Judge::new(rubric, Duration::from_secs_f64(config.reward.deadline_s))
            .map_err(RunError::Threads)?;
        let last = match options.resume {
            true => checkpoint::latest(path)?,
            false => None,
        };
        let state = match &last {
            Some(last) => checkpoint::load_state(last)?,
            None => State::default(),
        };
        let pending = match &last {
            Some(last) => checkpoint::load_pending(last)?,
            None => Vec::new(),
        };
        let Bundle { model, codec } = open(config, last.as_deref(), device)?;
        if let Some(last) = &last {
            checkpoint::check_model(last, &state, &model)?;
        }
        let stage = &config.stages[state.stage.min(config.stages.len() - 1)];
        let optimizer = AdamW::new(stage.optimizer());
        let mut learner = Learner::new(model, optimizer, state.policy_version);
        if let Some(last) = last {
            learner.optimizer.steps = state.optimizer_steps;
            checkpoint::load_moments(&last, &mut learner.optimizer, &learner.model, device)?;
        }
        Ok(Self {
            config,
            options,
            codec: Arc::new(codec),
            learner,
            judge: Arc::new(judge),
            tasks: Tasks::new(config)?,
            checkpointer: Checkpointer::new(path, config.checkpoint.keep)?,
            earlier_s: state.elapsed_s,
            evaluations: directory::evaluations(path),
            heldout_interval: None,
            state,
            pending,
            started: Instant::now(),
        })
    }

    /// A seed for `purpose` in the stage under way.
    pub(super) fn seed(&self, purpose: Purpose) -> u64 {
        derive_seed(self.config.seed, &[purpose as u64, self.state.stage as u64])
    }

    /// Counts and logs a step; saves when it is time, the user wants to stop, or an alarm says so,
    /// and returns whether it did. `pending` is what has been sampled for the steps to come.
    ///
    /// # Errors
    /// [`RunError::Alarm`] when the run is not to go on.
    pub(super) fn after_step<'p>(
        &mut self,
        metrics: StageMetrics,
        heldout_accuracy: Option<f64>,
        last: bool,
        pending: impl FnOnce() -> Result<Vec<&'p StepRollouts>, RunError>,
        directory: &mut RunDirectory,
    ) -> Result<bool, RunError> {
        let (config, stage) = (&self.config.alarms, self.state.stage);
        let alarms = self.state.alarms.watch(config, stage, &metrics);
        let line = MetricsLine {
            step: self.state.step + 1,
            stage: self.state.stage,
            heldout_accuracy,
            heldout_accuracy_interval: heldout_accuracy.and(self.heldout_interval.take()),
            peak_memory_bytes: peak_memory_bytes(),
            alarms: alarms.iter().map(ToString::to_string).collect(),
            metrics,
        };
        directory.log_metrics(&line)?;
        self.state.step += 1;
        self.state.stage_step += 1;
        self.state.optimizer_steps = self.learner.optimizer.steps;
        self.state.policy_version = self.learner.version;
        self.state.elapsed_s = self.earlier_s + self.started.elapsed().as_secs_f64();
        if last {
            self.keep_for_restart(directory.path())?;
            self.state.stage += 1;
            self.state.stage_step = 0;
            self.state.optimizer_steps = 0;
            self.state.cursor = Default::default();
            if let Some(next) = self.config.stages.get(self.state.stage) {
                self.learner.optimizer = AdamW::new(next.optimizer());
            }
        }
        let due = self
            .state
            .stage_step
            .is_multiple_of(self.config.checkpoint.every);
        let stopped = self.tell(&alarms);
        if stopped.is_some() {
            self.checkpointer.keep_all();
        }
        let saves = last || due || interrupt::asked() || stopped.is_some();
        if saves {
            let pending = pending()?;
            if let Some(newest) = pending.last() {
                self.state.cursor = newest.cursor.clone();
            }
            let (learner, codec, state) = (&self.learner, &self.codec, &self.state);
            self.checkpointer.save(learner, codec, state, &pending)?;
        }
        match stopped {
            Some(error) => Err(error),
            None => Ok(saves),
        }
    }

    /// Tells alarms as they go off, or returns them together where they stop the run. After the very
    /// last step there is nothing left to stop.
    fn tell(&self, alarms: &[Alarm]) -> Option<RunError> {
        let over = self.state.stage == self.config.stages.len();
        let stops = |alarm: &&Alarm| alarm.stops && !self.options.ignore_alarms && !over;
        let Some(gravest) = alarms.iter().find(stops) else {
            for alarm in alarms {
                Console::new().alarm(self.state.step, alarm);
            }
            return None;
        };
        Some(RunError::Alarm {
            step: self.state.step,
            alarms: alarms.iter().map(ToString::to_string).collect(),
            hint: gravest.kind.hint(),
        })
    }

    /// Measures the policy, tells it and keeps who answered what right.
    pub(super) fn evaluate(
        &mut self,
        console: &Console,
        label: &str,
        samples: usize,
        moment: Moment,
    ) -> Result<(EvalReport, Vec<RolloutGroup>), RunError> {
        let problems = self.tasks.heldout.len();
        let bar = console.counter(label, problems + problems * usize::from(samples > 0));
        let evaluation = Evaluation {
            collector: self.collector(),
            sampling: &self.config.sampling,
            correct: &self.config.evaluation.correct,
            samples,
            seed: evaluation_seed(self.config),
        };
        let measurement = evaluation.run(&self.learner.model, &self.tasks.heldout, |done| {
            bar.set(done)
        })?;
        bar.finish();
        console.report(label, &measurement.report);
        let line = EvaluationLine {
            // A step that a measurement ends is not counted yet.
            step: self.state.step + u64::from(moment != Moment::Before),
            stage: self.state.stage,
            moment,
            problem_set: record::problem_set(&self.tasks.heldout),
            greedy: measurement.greedy,
            sampled: measurement.sampled,
            report: measurement.report,
        };
        record::keep(&self.evaluations, &line).map_err(RunError::file(&self.evaluations))?;
        self.heldout_interval = line.report.greedy_accuracy_interval;
        Ok((line.report, measurement.greedy_groups))
    }

    pub(super) fn collector(&self) -> RolloutCollector<'_> {
        collector(self.config, &self.codec, &self.judge)
    }

    pub(super) fn head_chunk_bytes(&self) -> usize {
        self.config.memory.head_chunk_mib << 20
    }

    fn summary(&self, device: String, finished: bool) -> Summary {
        let accuracy =
            |report: &Option<EvalReport>| report.as_ref().and_then(|r| r.greedy_accuracy);
        Summary {
            name: self.config.name.clone(),
            seed: self.config.seed,
            device,
            steps: self.state.step,
            seconds: self.earlier_s + self.started.elapsed().as_secs_f64(),
            finished,
            heldout_accuracy_before: accuracy(&self.state.before),
            heldout_accuracy_after: accuracy(&self.state.after),
            before: self.state.before.clone(),
            after: self.state.after.clone(),
            stages: self.state.stages.clone(),
            showcase: self.state.showcase.clone(),
            peak_memory_bytes: peak_memory_bytes(),
        }
    }
}

/// The model at the start of a run, or of a checkpoint. Adapters are put on the config's model
/// again, so that what was trained and what was not stay apart.
pub(super) fn open(
    config: &RunConfig,
    last: Option<&Path>,
    device: &Device,
) -> Result<Bundle, RunError> {
    let Some(lora) = &config.lora else {
        return match last {
            Some(last) => Bundle::open(&last.join(checkpoint::MODEL).display().to_string(), device),
            None => Bundle::from_section(&config.model, weights_seed(config), device),
        };
    };
    let mut bundle = Bundle::from_section(&config.model, weights_seed(config), device)?;
    match last {
        Some(last) => load_adapter(&last.join(checkpoint::ADAPTER), &mut bundle.model)?,
        None => lora.apply(&mut bundle.model, derive_seed(weights_seed(config), &[1]))?,
    }
    bundle.model = bundle.model.stored_as(config.memory.frozen)?;
    Ok(bundle)
}

/// Borrows only what sampling needs, so that the learner stays free to change.
pub(super) fn collector<'b>(
    config: &RunConfig,
    codec: &'b Codec,
    judge: &'b Judge,
) -> RolloutCollector<'b> {
    RolloutCollector {
        encoder: &codec.encoder,
        judge,
        eos: &codec.eos,
        batch_rows: config.memory.batch_rows,
        workers: config.memory.workers,
        recorded_tokens: 0,
    }
}
