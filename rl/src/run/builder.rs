//! A run with rewards, tasks and observers of one's own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use dunwu_datasets::{Task, TaskSource};
use dunwu_rewards::{Component, ComponentConfig, ExactConfig, Rubric};
use serde::Serialize;

use super::{
    Controls, Event, Observer, Observers, Origins, RunDirectory, RunError, Summary,
    checkpoint::{self, CheckpointError, Checkpointer, State},
    directory,
    driver::Driver,
    heartbeat::{Phase, Pulse},
    identity::{self, Change, Come},
    notify::Notifier,
    preflight,
    provenance::Provenance,
    restart, seats,
    tensorboard::{self, TensorBoard},
};
use crate::{
    bundle::{Bundle, Codec, checkpoints},
    config::{Given, RunConfig},
    cost::{Meter, Powered},
    device,
    learner::{
        AdamW, Learner,
        saved::{load_head, load_moments},
    },
    model::Engine,
    rollout::{
        Environment, Judge, OneTurn,
        work::{Rates, Spent},
    },
    seeds::evaluation_seed,
    stages::{
        PromptLimit, StageConfig, Weights,
        grpo::loss::{CompletionTokens, SharedObjective, TokenLosses},
    },
    tasks::{SourceOf, Tasks},
};

/// A run that has not begun.
///
/// ```no_run
/// use dunwu::{config::RunConfig, run::{Event, Run}};
///
/// let config = RunConfig::from_file("configs/quickstart.toml".as_ref())?;
/// let summary = Run::builder(config)
///     .observer(|event: &Event| {
///         if let Event::Step { line, .. } = event {
///             println!("step {}: reward {}", line.step, line.metrics["reward_mean"]);
///         }
///     })
///     .train()?;
/// println!("{:?}", summary.heldout_accuracy_after);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct RunBuilder {
    config: RunConfig,
    directory: Option<PathBuf>,
    resume: bool,
    preflight: bool,
    ignore_alarms: bool,
    rewards: Vec<Component>,
    tasks: Option<(SourceOf, Vec<Task>)>,
    environment: Arc<dyn Environment>,
    observers: Observers,
    controls: Controls,
}

/// A training run: [`Run::builder`] makes one ready.
#[derive(Debug)]
pub enum Run {}

impl Run {
    /// A run of `config`, to be completed with what is one's own, and started by [`RunBuilder::train`].
    pub fn builder(config: RunConfig) -> RunBuilder {
        RunBuilder {
            config,
            directory: None,
            resume: false,
            preflight: true,
            ignore_alarms: false,
            rewards: Vec::new(),
            tasks: None,
            environment: Arc::new(OneTurn),
            observers: Observers::default(),
            controls: Controls::default(),
        }
    }
}

impl RunBuilder {
    /// Where the run keeps its files, instead of `runs/<name>`.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Goes on with the run that is there, after its last checkpoint.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Whether to look for what would waste hours before the first step; it is looked for unless this says otherwise.
    pub fn preflight(mut self, preflight: bool) -> Self {
        self.preflight = preflight;
        self
    }

    /// Alarms are told and logged, and do not stop the run.
    pub fn ignore_alarms(mut self, ignore: bool) -> Self {
        self.ignore_alarms = ignore;
        self
    }

    /// Judges completions by a reward of one's own as well, or only by it where the config names no component. A config
    /// says of which component an answer is right: `evaluation.correct`.
    pub fn reward(mut self, reward: Component) -> Self {
        self.rewards.push(reward);
        self
    }

    /// Takes tasks from a source of one's own instead of `[data]`: `source` makes one that is at its beginning, in the order
    /// that its seed gives; `heldout` are problems that training never sees.
    pub fn tasks(
        mut self,
        source: impl Fn(u64) -> Box<dyn TaskSource> + Send + Sync + 'static,
        heldout: Vec<Task>,
    ) -> Self {
        self.tasks = Some((Box::new(source), heldout));
        self
    }

    /// Answers the turns of completions; without one, each has one turn, which is judged.
    pub fn environment(mut self, environment: impl Environment + 'static) -> Self {
        self.environment = Arc::new(environment);
        self
    }

    /// Trains every GRPO stage by an objective of one's own, in place of the one that the config names: a function that gets
    /// the tokens of one whole completion and returns their loss with its derivatives. Advantages, normalisers and what
    /// the policy is compared with are the config's.
    pub fn objective(
        mut self,
        losses: impl Fn(&CompletionTokens) -> TokenLosses + Send + Sync + 'static,
    ) -> Self {
        let objective = SharedObjective::new(losses);
        for stage in &mut self.config.stages {
            if let StageConfig::Grpo(grpo) = stage {
                grpo.own_objective = Some(objective.clone());
            }
        }
        self
    }

    /// Tells `observer` what happens.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(Box::new(observer));
        self
    }

    /// Asks `controls`, of which the caller keeps a clone, between the steps.
    pub fn controls(mut self, controls: Controls) -> Self {
        self.controls = controls;
        self
    }

    /// Runs the config from its first stage, or from its last checkpoint, to its end or until it is asked to stop.
    ///
    /// # Errors
    /// See [`RunError`]; what was saved until then stays.
    pub fn train(self) -> Result<Summary, RunError> {
        let Self {
            config,
            directory: chosen_path,
            resume,
            preflight,
            ignore_alarms,
            rewards,
            tasks,
            environment,
            mut observers,
            controls,
        } = self;
        let asked = tasks.is_some() || config.has_problems();
        let rubric = rubric(&config, rewards, asked)?;
        let names = rubric.component_names().into_iter();
        let given = Given {
            components: Some(names.map(str::to_owned).collect()),
            tasks: tasks.is_some(),
        };
        config.validate_beside(&given).map_err(RunError::Config)?;
        let config = config.resolved();
        let chosen = device::choose(config.device)?;
        note(&mut observers, "device", &chosen.reason);
        // The directory is made last: a run that cannot start leaves nothing behind.
        let path = if resume {
            directory::earlier(&config, chosen_path.as_deref())?
        } else {
            directory::free(&config, chosen_path.as_deref())?
        };
        if preflight {
            preflight::memory(&config, Engine::on(&chosen.device))?;
        }
        rubric.prepare(&mut |done| note(&mut observers, "prepare", &done.what))?;
        let deadline = Duration::from_secs_f64(config.reward.deadline_s);
        let judge = Judge::new(rubric, deadline).map_err(RunError::Threads)?;
        let evaluation = &config.evaluation;
        let mut tasks = match tasks {
            Some((source, heldout)) => Tasks::own(source, heldout),
            None if !asked => Tasks::none(),
            None => Tasks::new(
                &config.data,
                evaluation.problems,
                evaluation_seed(config.seed),
            )?,
        };
        let begun = Begun::at(&config, &tasks, resume.then_some(&path), &chosen.device)?;
        let wrong = seats::look(judge.rubric(), Some(&begun.codec), config.lora.is_some());
        if let Some((_, error)) = wrong.into_iter().next() {
            return Err(error.into());
        }
        if preflight {
            begun.look_ahead(&config, &tasks, &mut observers)?;
        }
        begun.leave_out_long(&mut tasks, &config, &mut observers)?;
        let mut directory = RunDirectory::open(path)?;
        note(
            &mut observers,
            "run",
            &directory.path().display().to_string(),
        );
        for line in tasks.recognised() {
            note(&mut observers, "data", line);
        }
        if resume {
            go_on(&config, &begun, &mut directory, &mut observers)?;
        } else {
            directory.write_config(&config)?;
            directory.write_provenance(&Provenance::of(&config)?)?;
        }
        let Begun {
            state,
            learner,
            codec,
            changes: _,
        } = begun;
        let parameters = learner.model.config().parameter_count();
        let origin = &codec.encoder.origin;
        note(
            &mut observers,
            "model",
            &format!("{origin}, {parameters} parameters"),
        );
        if codec.encoder.opens_thought() && expects_thought(&config) {
            note(
                &mut observers,
                "format",
                "the chat template opens <think> in the prompt, so completions begin within the thought, and `format` is 0 for all that answer a conversation; hint: think_opened = true in that component",
            );
        }
        let board = if config.log.tensorboard {
            board(&directory, &mut observers)
        } else {
            None
        };
        let meter = Meter::begin(&config.cost, powered(&chosen));
        if let Some(source) = meter.source() {
            note(&mut observers, "energy", source.words());
        }
        let mut driver = Driver {
            board,
            meter,
            told: (0.0, None),
            spent: Spent::default(),
            rates: Rates::of(learner.model.config(), learner.model.lora()),
            notifier: Notifier::new(&config.alarms.notify),
            checkpointer: Checkpointer::new(directory.path(), config.checkpoint.keep)?,
            config: &config,
            codec: Arc::new(codec),
            judge: Arc::new(judge),
            environment,
            tasks,
            learner,
            pulse: Pulse::begin(directory.path(), state.step),
            paused_s: 0.0,
            earlier_s: state.elapsed_s,
            state,
            directory,
            observers,
            controls,
            preflight,
            ignore_alarms,
            started: Instant::now(),
        };
        let finished = driver.run();
        // Also where an alarm has ended the run.
        for failure in driver.notifier.wait() {
            driver.note("alarm", &failure);
        }
        let finished = finished?;
        let summary = driver.summary(chosen.reason, finished);
        driver.directory.write_summary(&summary)?;
        driver.pulse.ends_as(if finished {
            Phase::Finished
        } else {
            Phase::Stopped
        });
        let directory = driver.directory.path().to_owned();
        driver.observers.tell(&Event::Ended {
            summary: &summary,
            directory: &directory,
        });
        Ok(summary)
    }
}

/// What the run's device is to those who measure energy.
fn powered(chosen: &device::Chosen) -> Powered {
    match Engine::on(&chosen.device) {
        #[cfg(feature = "flex")]
        Engine::Host => Powered::Cpu,
        Engine::Tensors if chosen.reason.contains("NVIDIA") => Powered::Nvidia,
        Engine::Tensors => Powered::OtherGpu,
    }
}

/// The event file of the session; none where it cannot be made, which is told.
fn board(directory: &RunDirectory, observers: &mut Observers) -> Option<TensorBoard> {
    match TensorBoard::begin(directory.path()) {
        Ok(board) => Some(board),
        Err(error) => {
            let folder = directory.path().join(tensorboard::FOLDER);
            note(
                observers,
                "tensorboard",
                &format!("{}: {error}; the run goes on without", folder.display()),
            );
            None
        }
    }
}

/// The judges of a run. One that asks nothing has none to name, and gets one that will never be asked.
fn rubric(config: &RunConfig, own: Vec<Component>, asked: bool) -> Result<Rubric, RunError> {
    let mut named = config.reward.rubric.clone();
    if !asked && own.is_empty() && named.components.is_empty() {
        let exact = ComponentConfig::Exact(ExactConfig::default());
        named.components.push(exact);
    }
    Rubric::with_own(&named, own).map_err(|e| RunError::Config(format!("reward.rubric: {e}")))
}

/// Whether a component of the rubric looks for a whole thought in each completion.
fn expects_thought(config: &RunConfig) -> bool {
    let mut components = config.reward.rubric.components.iter();
    components.any(|component| match component {
        ComponentConfig::Format(format) => format.pattern.is_none() && !format.think_opened,
        _ => false,
    })
}

fn note(observers: &mut Observers, topic: &str, text: &str) {
    observers.tell(&Event::Note { topic, text });
}

/// Where a run begins or goes on.
struct Begun {
    state: State,
    learner: Learner,
    codec: Codec,
    /// Settings that are others than in the session before, and may be.
    changes: Vec<Change>,
}

impl Begun {
    /// The beginning of a run, or its last checkpoint if there is one at `path`.
    fn at(
        config: &RunConfig,
        tasks: &Tasks,
        path: Option<&PathBuf>,
        device: &Device,
    ) -> Result<Self, RunError> {
        let last = match path {
            Some(path) => checkpoints::latest(path)?,
            None => None,
        };
        let mut state = match &last {
            Some(last) => checkpoint::load_state(last)?,
            None => State::default(),
        };
        let changes = match path {
            Some(path) => {
                if let Some(last) = &last
                    && longer(config, last, &state)?
                {
                    state.reopen();
                }
                changes(config, path, last.as_deref(), &state)?
            }
            None => Vec::new(),
        };
        let mut origins = Origins::new(config, tasks, None)?;
        let needed = reads_base_again(config);
        let resumed = last.is_some();
        let was = state.origins.clone();
        let Bundle { model, codec } = restart::open(config, last.as_deref(), device, |base| {
            if needed {
                origins = Origins::new(config, tasks, Some(base))?;
            }
            Ok(())
        })?;
        if resumed {
            // Without adapters the base is not read now; a stage that goes back to it compares then.
            if origins.weights.is_none() {
                origins.weights.clone_from(&was.weights);
            }
            was.check(&origins)?;
        }
        state.origins = origins;
        if let Some(last) = &last {
            checkpoint::check_model(last, &state, &model)?;
        }
        let stage = &config.stages[state.stage.min(config.stages.len() - 1)];
        let optimizer = AdamW::new(stage.settings().optimizer());
        let mut learner = Learner::new(model, optimizer, state.policy_version);
        if let Some(last) = &last {
            learner.head = load_head(last, &learner.model).map_err(CheckpointError::from)?;
        }
        if let Some(last) = last.filter(|_| state.optimizer_steps > 0) {
            learner.optimizer.steps = state.optimizer_steps;
            load_moments(&last, &mut learner).map_err(CheckpointError::from)?;
        }
        Ok(Self {
            state,
            learner,
            codec,
            changes,
        })
    }
}

impl Begun {
    /// Looks for what would end the run at a later step.
    fn look_ahead(
        &self,
        config: &RunConfig,
        tasks: &Tasks,
        observers: &mut Observers,
    ) -> Result<(), RunError> {
        let (model, codec) = (self.learner.model.config(), &self.codec);
        let told = preflight::data(config, tasks, model, codec, self.state.stage)?;
        for (topic, text) in told {
            note(observers, topic, &text);
        }
        Ok(())
    }

    /// Leaves those held-out problems out whose prompts are too long, where the config says so.
    fn leave_out_long(
        &self,
        tasks: &mut Tasks,
        config: &RunConfig,
        observers: &mut Observers,
    ) -> Result<(), RunError> {
        let context = self.learner.model.config().max_position_embeddings;
        let limit = PromptLimit::new(tasks.prompts, &config.sampling, context);
        if !limit.drops() || tasks.heldout.is_empty() {
            return Ok(());
        }
        let all = std::mem::take(&mut tasks.heldout);
        let (count, first) = (all.len(), all[0].clone());
        for task in all {
            if limit.admits(&self.codec.encoder, &task)? {
                tasks.heldout.push(task);
            }
        }
        if tasks.heldout.is_empty() {
            let (_, ids) = self.codec.encoder.encode(&first.prompt)?;
            return Err(limit.error(&first, ids.len()).into());
        }
        let left_out = count - tasks.heldout.len();
        if left_out > 0 {
            let line = format!(
                "{left_out} of {count} problems have prompts that are too long and are not measured"
            );
            note(observers, "held-out", &line);
        }
        Ok(())
    }
}

/// Whether all stages were over at this checkpoint, and the last is longer in `config`.
fn longer(config: &RunConfig, saved: &Path, state: &State) -> Result<bool, RunError> {
    let last = config.stages.len() - 1;
    if state.ended.is_none() || state.stage != last + 1 {
        return Ok(false);
    }
    let file = saved.join(checkpoint::CONFIG);
    let before = fs::read_to_string(&file).map_err(RunError::file(&file))?;
    let before = table(&before, &file.display().to_string())?;
    let now = config.to_toml();
    let now = table(
        &now.map_err(|e| RunError::Config(e.to_string()))?,
        "the config",
    )?;
    Ok(identity::is_longer(&before, &now, last))
}

/// Whether a resumed run reads the weights again that the run began with.
fn reads_base_again(config: &RunConfig) -> bool {
    let mut stages = config.stages.iter();
    config.lora.is_some() || stages.any(|s| s.settings().begins_with() == Weights::OfTheRun)
}

/// The settings that are others than those of the run at `path` and of its last checkpoint, and may be.
fn changes(
    config: &RunConfig,
    path: &Path,
    last: Option<&Path>,
    state: &State,
) -> Result<Vec<Change>, RunError> {
    let come = Come {
        stage: state.stage,
        stage_step: state.stage_step,
    };
    let text = config
        .to_toml()
        .map_err(|e| RunError::Config(e.to_string()))?;
    let now = table(&text, "the config")?;
    let compared = |file: &Path| -> Result<Result<Vec<Change>, Change>, RunError> {
        let before = fs::read_to_string(file).map_err(RunError::file(file))?;
        let before = table(&before, &file.display().to_string())?;
        Ok(identity::compare(&before, &now, come))
    };
    let of_run = path.join(directory::CONFIG);
    let mut changes = compared(&of_run)?.map_err(|change| RunError::OtherConfig {
        path: of_run.clone(),
        change,
    })?;
    if let Some(last) = last {
        let of_last = compared(&last.join(checkpoint::CONFIG))?;
        let accepted = of_last.map_err(|change| CheckpointError::Foreign {
            path: last.to_owned(),
            saved: format!("{} = {}", change.key, change.was),
            run: format!("{} = {}", change.key, change.is),
        })?;
        changes.extend(accepted);
    }
    changes.sort_by(|a: &Change, b| a.key.cmp(&b.key));
    changes.dedup_by(|a, b| a.key == b.key);
    Ok(changes)
}

/// Brings the directory of an earlier session to where its checkpoint stands, and writes down which settings are others.
fn go_on(
    config: &RunConfig,
    begun: &Begun,
    directory: &mut RunDirectory,
    observers: &mut Observers,
) -> Result<(), RunError> {
    let Begun { state, changes, .. } = begun;
    for change in changes {
        let line = format!("{}: {} before, now {}", change.key, change.was, change.is);
        note(observers, "changed", &line);
    }
    if !changes.is_empty() {
        let step = state.step;
        let lines: Vec<Changed> = changes
            .iter()
            .map(|change| Changed { step, change })
            .collect();
        directory.log_changes(&lines)?;
        directory.write_config(config)?;
    }
    for name in directory.rewind(state.logged)? {
        let line = format!(
            "{name} is shorter than it was at the checkpoint; the run goes on without what is missing"
        );
        note(observers, "log", &line);
    }
    let (step, seconds) = (state.step, state.elapsed_s);
    let line = format!("after step {step} ({seconds:.0} s)");
    note(observers, "resumed", &line);
    Ok(())
}

/// A line of `changes.jsonl`.
#[derive(Serialize)]
struct Changed<'a> {
    step: u64,
    #[serde(flatten)]
    change: &'a Change,
}

fn table(text: &str, place: &str) -> Result<toml::Table, RunError> {
    text.parse()
        .map_err(|error| RunError::Config(format!("{place}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_config_is_none_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path: &Path = &dir.path().join("run");
        let text =
            include_str!("../../../configs/quickstart.toml").replace("group = ", "group = 0 #");
        let config = RunConfig::from_toml(&text).unwrap();
        let error = Run::builder(config).directory(path).train().unwrap_err();
        assert!(matches!(error, RunError::Config(_)), "{error}");
        assert!(!path.exists());
    }
}
