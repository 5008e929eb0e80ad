//! The stages of a run, in order: the loop around every step.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::tensor::Device;
use dunwu_datasets::{
    Demonstration, Generator, GeneratorSource, JsonlSource, Split, Task, TaskSource, derive_seed,
    partition, read_demonstrations, read_tasks,
};
use dunwu_rewards::Rubric;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Bundle, Codec, Learner, RunDirectory, RunError, console::Console, directory, interrupt,
    preflight,
};
use crate::{
    checkpoint::{self, Checkpointer, State},
    config::{RunConfig, StageConfig},
    device,
    eval::{EvalReport, Evaluation},
    grpo::{GrpoConfig, Trainer, group_advantages},
    metrics::{MetricsLine, StageMetrics, peak_memory_bytes},
    model::{Engine, Transformer, lora::load_adapter},
    policy::{AdamW, GradientConfig, HeadConfig, Sequence},
    rollout::{Judge, RolloutCollector, RolloutGroup},
    sft::{self, SftConfig},
};

/// What a seed of the run is for.
#[derive(Clone, Copy)]
enum Purpose {
    Weights = 0,
    Tasks = 1,
    Rollouts = 2,
    Evaluation = 3,
    Demonstrations = 4,
    Preflight = 5,
}

/// What the command line decides about a run.
#[derive(Debug, Default, Clone)]
pub struct TrainOptions {
    /// Where the run keeps its files, instead of `runs/<name>`.
    pub run_dir: Option<PathBuf>,
    /// Go on with the run that is there.
    pub resume: bool,
    /// Skip the checks before the first step of GRPO.
    pub no_preflight: bool,
}

/// A held-out problem answered before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Showcase {
    /// The prompt as the model saw it.
    pub prompt: String,
    /// The right answer.
    pub answer: String,
    /// The greedy completion before GRPO.
    pub before: String,
    /// The same after it.
    pub after: String,
}

/// `summary.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The run's name.
    pub name: String,
    /// The run's seed.
    pub seed: u64,
    /// The device and why it was taken.
    pub device: String,
    /// Updates made.
    pub steps: u64,
    /// Seconds spent, over all sittings.
    pub seconds: f64,
    /// Whether every stage was finished.
    pub finished: bool,
    /// Greedy accuracy on held-out problems before the first GRPO stage.
    pub heldout_accuracy_before: Option<f64>,
    /// The same after the last.
    pub heldout_accuracy_after: Option<f64>,
    /// The whole measurement before.
    pub before: Option<EvalReport>,
    /// The whole measurement after.
    pub after: Option<EvalReport>,
    /// Problems answered before and after.
    pub showcase: Vec<Showcase>,
    /// Largest resident memory of this sitting, in bytes.
    pub peak_memory_bytes: Option<u64>,
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
struct Run<'a> {
    config: &'a RunConfig,
    options: &'a TrainOptions,
    device: Device,
    codec: Codec,
    learner: Learner,
    judge: Judge,
    tasks: Tasks,
    checkpointer: Checkpointer,
    state: State,
    /// Seconds of earlier sittings.
    earlier_s: f64,
    started: Instant,
}

/// The tasks of a run, by side of the split.
struct Tasks {
    generator: Option<Generator>,
    train: Vec<Task>,
    heldout: Vec<Task>,
}

/// The held-out problems of a config.
///
/// # Errors
/// When the task or its file is not what it should be.
pub fn heldout(config: &RunConfig) -> Result<Vec<Task>, RunError> {
    Ok(Tasks::new(config)?.heldout)
}

/// The seed of a config's new weights.
pub fn weights_seed(config: &RunConfig) -> u64 {
    derive_seed(config.seed, &[Purpose::Weights as u64])
}

/// The seed of a config's held-out problems and of the samples drawn for them.
pub fn evaluation_seed(config: &RunConfig) -> u64 {
    derive_seed(config.seed, &[Purpose::Evaluation as u64])
}

impl Tasks {
    fn new(config: &RunConfig) -> Result<Self, RunError> {
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
        let fields = config.data.fields.clone().unwrap_or_default();
        let (train, mut heldout) =
            partition(read_tasks(file, &fields)?, config.data.heldout_fraction)?;
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

    fn source(&self, seed: u64) -> Result<Box<dyn TaskSource>, RunError> {
        Ok(match &self.generator {
            Some(generator) => {
                Box::new(GeneratorSource::new(generator.clone(), seed, Split::Train))
            }
            None => Box::new(JsonlSource::new(self.train.clone(), seed)?),
        })
    }
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
        let Bundle { model, codec } = open(config, last.as_deref(), device)?;
        let stage = &config.stages[state.stage.min(config.stages.len() - 1)];
        let optimizer = AdamW::new(stage.optimizer());
        let mut learner = Learner::new(model, optimizer, state.policy_version);
        if let Some(last) = last.filter(|_| state.optimizer_steps > 0) {
            checkpoint::load_moments(&last, &mut learner.optimizer, &learner.model, device)?;
            learner.optimizer.steps = state.optimizer_steps;
        }
        Ok(Self {
            config,
            options,
            device: device.clone(),
            codec,
            learner,
            judge,
            tasks: Tasks::new(config)?,
            checkpointer: Checkpointer::new(path, config.checkpoint.keep)?,
            earlier_s: state.elapsed_s,
            state,
            started: Instant::now(),
        })
    }

    /// A seed for `purpose` in the stage under way.
    fn seed(&self, purpose: Purpose) -> u64 {
        derive_seed(self.config.seed, &[purpose as u64, self.state.stage as u64])
    }

    fn sft(
        &mut self,
        stage: &SftConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        let demonstrations = match &stage.file {
            Some(file) => Some(read_demonstrations(file)?),
            None => None,
        };
        let bar = console.stage("sft", stage.steps, self.state.stage_step);
        let gradient = GradientConfig {
            head: HeadConfig {
                temperature: 1.0,
                chunk_bytes: self.head_chunk_bytes(),
            },
            activations: self.config.memory.activations(),
        };
        for step in self.state.stage_step..stage.steps {
            let sequences = self.demonstrations(stage, demonstrations.as_deref(), step)?;
            let memory = &self.config.memory;
            let metrics = sft::step(stage, &mut self.learner, &sequences, step, memory, gradient)?;
            bar.sft(step + 1, &metrics);
            self.after_step(
                StageMetrics::Sft(metrics),
                None,
                step + 1 == stage.steps,
                directory,
            )?;
            if interrupt::asked() && step + 1 < stage.steps {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// The demonstrations of one step: those of a file in a seeded order, or generated ones.
    fn demonstrations(
        &self,
        stage: &SftConfig,
        file: Option<&[Demonstration]>,
        step: u64,
    ) -> Result<Vec<Sequence>, RunError> {
        let seed = self.seed(Purpose::Demonstrations);
        let mix = stage.traces.clone().unwrap_or_default();
        let first = step * stage.batch as u64;
        let mut sequences = Vec::with_capacity(stage.batch);
        for index in first..first + stage.batch as u64 {
            let demonstration = match (file, &self.tasks.generator) {
                (Some(all), _) => {
                    let place = derive_seed(seed, &[index]) % all.len() as u64;
                    all[place as usize].clone()
                }
                (None, Some(generator)) => generator.demonstration(seed, index, &mix)?,
                (None, None) => return Err(RunError::Config("no demonstrations".to_owned())),
            };
            let (_, prompt) = self.codec.encoder.encode(&demonstration.prompt)?;
            let tokenizer = &self.codec.encoder.tokenizer;
            let mut completion = tokenizer.encode(&demonstration.completion)?;
            completion.extend(self.codec.end());
            sequences.push(Sequence { prompt, completion });
        }
        Ok(sequences)
    }

    fn grpo(
        &mut self,
        stage: &GrpoConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        if self.state.stage_step == 0 {
            if !self.options.no_preflight {
                let seed = self.seed(Purpose::Preflight);
                let mut source = self.tasks.source(seed)?;
                preflight::check(
                    &self.collector(),
                    &self.learner.model,
                    &self.config.sampling,
                    stage,
                    self.config.memory.token_budget,
                    source.as_mut(),
                    seed,
                )?;
                console.line("preflight passed");
            }
            if self.state.before.is_none() {
                let samples = self.config.evaluation.samples;
                let (report, groups) = self.evaluate(console, "held-out before", samples)?;
                self.state.before = Some(report);
                self.state.showcase = showcase(&groups);
            }
        }
        let reference = self.reference(stage, directory.path())?;
        let mut source = self.tasks.source(self.seed(Purpose::Tasks))?;
        if self.state.stage_step > 0 {
            source.restore(&self.state.cursor)?;
        }
        let bar = console.stage("grpo", stage.steps, self.state.stage_step);
        for step in self.state.stage_step..stage.steps {
            let (metrics, groups) = Trainer {
                config: stage,
                sampling: &self.config.sampling,
                collector: collector(self.config, &self.codec, &self.judge),
                reference: reference.as_ref(),
                token_budget: self.config.memory.token_budget,
                workers: self.config.memory.workers,
                head_chunk_bytes: self.head_chunk_bytes(),
                activations: self.config.memory.activations(),
                seed: self.seed(Purpose::Rollouts),
            }
            .step(&mut self.learner, source.as_mut(), step, |_| {})?;
            self.state.cursor = source.cursor();
            bar.grpo(step + 1, &metrics);
            directory.log_completions(&completion_lines(self.state.step + 1, stage, &groups))?;
            let last = step + 1 == stage.steps;
            let mut heldout = None;
            if last {
                let samples = self.config.evaluation.samples;
                let (report, groups) = self.evaluate(console, "held-out after", samples)?;
                heldout = report.greedy_accuracy;
                self.state.after = Some(report);
                for (shown, after) in self.state.showcase.iter_mut().zip(showcase(&groups)) {
                    shown.after = after.before;
                }
            } else if self.config.evaluation.every > 0
                && (step + 1).is_multiple_of(self.config.evaluation.every)
            {
                let label = format!("held-out at step {}", step + 1);
                heldout = self.evaluate(console, &label, 0)?.0.greedy_accuracy;
            }
            self.after_step(StageMetrics::Grpo(metrics), heldout, last, directory)?;
            if interrupt::asked() && !last {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// Counts and logs a step; saves when it is time or the user wants to stop.
    fn after_step(
        &mut self,
        metrics: StageMetrics,
        heldout_accuracy: Option<f64>,
        last: bool,
        directory: &mut RunDirectory,
    ) -> Result<(), RunError> {
        let line = MetricsLine {
            step: self.state.step + 1,
            stage: self.state.stage,
            heldout_accuracy,
            metrics,
        };
        directory.log_metrics(&line)?;
        self.state.step += 1;
        self.state.stage_step += 1;
        self.state.optimizer_steps = self.learner.optimizer.steps;
        self.state.policy_version = self.learner.version;
        self.state.elapsed_s = self.earlier_s + self.started.elapsed().as_secs_f64();
        if last {
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
        if last || due || interrupt::asked() {
            self.checkpointer
                .save(&self.learner, &self.codec, &self.state)?;
        }
        Ok(())
    }

    /// The frozen policy of the KL penalty: with adapters the base with the adapters off, else the
    /// policy at the start of the stage, kept beside the checkpoints so that a resumed run finds
    /// the same.
    fn reference(&self, stage: &GrpoConfig, path: &Path) -> Result<Option<Transformer>, RunError> {
        if stage.beta == 0.0 {
            return Ok(None);
        }
        if self.learner.model.lora().is_some() {
            return Ok(Some(self.learner.model.base()));
        }
        let kept = path.join(format!("reference-{}", self.state.stage));
        if self.state.stage_step == 0 {
            // One that is there is of a sitting that was killed before it was saved.
            if kept.exists() {
                std::fs::remove_dir_all(&kept).map_err(RunError::file(&kept))?;
            }
            checkpoint::save_model(&kept, &self.learner.model, &self.codec)?;
            return Ok(Some(self.learner.model.clone()));
        }
        let bundle = Bundle::open(&kept.display().to_string(), &self.device)?;
        Ok(Some(bundle.model))
    }

    fn evaluate(
        &self,
        console: &Console,
        label: &str,
        samples: usize,
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
        let result = evaluation.run(&self.learner.model, &self.tasks.heldout, |done| {
            bar.set(done)
        })?;
        bar.finish();
        console.report(label, &result.0);
        Ok(result)
    }

    fn collector(&self) -> RolloutCollector<'_> {
        collector(self.config, &self.codec, &self.judge)
    }

    fn head_chunk_bytes(&self) -> usize {
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
            showcase: self.state.showcase.clone(),
            peak_memory_bytes: peak_memory_bytes(),
        }
    }
}

/// The model at the start of a run, or of a checkpoint. Adapters are put on the config's model
/// again, so that what was trained and what was not stay apart.
fn open(config: &RunConfig, last: Option<&Path>, device: &Device) -> Result<Bundle, RunError> {
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
    Ok(bundle)
}

/// Borrows only what sampling needs, so that the learner stays free to change.
fn collector<'b>(config: &RunConfig, codec: &'b Codec, judge: &'b Judge) -> RolloutCollector<'b> {
    RolloutCollector {
        encoder: &codec.encoder,
        judge,
        eos: &codec.eos,
        batch_rows: config.memory.batch_rows,
        workers: config.memory.workers,
    }
}

/// The first problems of a measurement, with the answers given.
fn showcase(groups: &[RolloutGroup]) -> Vec<Showcase> {
    let shown = groups.iter().take(3);
    shown
        .map(|group| Showcase {
            prompt: group.prompt_text.clone(),
            answer: group.task.answer.clone(),
            before: group
                .completions
                .first()
                .map_or(String::new(), |c| c.text.clone()),
            after: String::new(),
        })
        .collect()
}

/// The lines of `completions.jsonl` for one step.
fn completion_lines(
    step: u64,
    stage: &GrpoConfig,
    groups: &[RolloutGroup],
) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    for group in groups {
        let advantages = group_advantages(&group.rewards(), stage.scale_rewards);
        for (completion, advantage) in group.completions.iter().zip(advantages) {
            let components: serde_json::Map<String, serde_json::Value> = match &completion.outcome {
                Ok(outcome) => outcome
                    .components
                    .iter()
                    .map(|(k, v)| (k.clone(), json!(v)))
                    .collect(),
                Err(_) => Default::default(),
            };
            lines.push(json!({
                "step": step,
                "task": group.task.id,
                "prompt": group.prompt_text,
                "completion": completion.text,
                "answer": group.task.answer,
                "tokens": completion.tokens.len(),
                "truncated": completion.truncated(),
                "reward": completion.reward(),
                "components": components,
                "judge_error": completion.outcome.as_ref().err().map(ToString::to_string),
                "advantage": advantage,
            }));
        }
    }
    lines
}
