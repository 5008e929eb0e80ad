//! A stage of distillation, from its first step or a checkpoint to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use dunwu_datasets::{Cursor, Part, TaskResult, TaskSource, derive_seed, rng};
use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{
    DistillConfig, DistillMetrics, Known, Lesson, Taught, TeacherConfig,
    loss::{self, Outcome, StepConfig},
    server::{Server, Spent},
    stored::{self, Asked, Made, Stored},
    teacher::{Before, Teacher, look_at, start},
};
use crate::{
    bundle::{expand, fingerprint},
    learner::{AdamWConfig, GradientConfig, HeadConfig, Sequence},
    model::ModelConfig,
    rollout::{Collected, Completion, RolloutGroup},
    seeds::Purpose,
    stages::{
        Context, Demand, Measuring, Rehearsal, Saved, SecondModel, Settings, Stage, StageError,
        StepReport, Surroundings,
        examples::{Epochs, ExampleError, ExampleSet, Limit},
    },
    statistics::mean,
};

impl Settings for DistillConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        DistillConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn optimizer(&self) -> AdamWConfig {
        self.optimizer
    }

    fn demand(&self, around: &Surroundings, _model: &ModelConfig) -> Demand {
        let rollouts = if self.samples() {
            self.prompts * self.group
        } else {
            0
        };
        let reference = match &self.teacher {
            Some(TeacherConfig::Path(_)) => SecondModel::Whole,
            Some(TeacherConfig::StageStart | TeacherConfig::AfterStage(_)) => match around.lora {
                Some(_) => SecondModel::Adapters,
                None => SecondModel::Whole,
            },
            Some(TeacherConfig::Base | TeacherConfig::Url(_)) | None => SecondModel::None,
        };
        Demand {
            rollouts,
            tokens: rollouts * around.sampling.max_tokens,
            recorded_tokens: around.memory.recorded_tokens(true),
            reference,
            ..Demand::default()
        }
    }

    fn describe(&self, around: &Surroundings) -> String {
        let rollouts = self.prompts * self.group;
        let tokens = (rollouts * around.sampling.max_tokens) as u64;
        match (self.samples(), self.reads()) {
            (true, false) => format!(
                "{} steps of {rollouts} completions on policy, {tokens} completion tokens a step",
                self.steps
            ),
            (false, _) => format!("{} steps of {} examples", self.steps, self.batch),
            (true, true) => format!(
                "{} steps, of which about {:.0} % on {rollouts} completions of the policy and the others on {} examples",
                self.steps,
                100.0 * self.lmbda,
                self.batch
            ),
        }
    }

    fn measuring(&self) -> Measuring {
        Measuring::Throughout
    }

    fn asks(&self) -> bool {
        self.samples()
    }

    fn looks_at_stage(&self) -> Option<usize> {
        match self.teacher {
            Some(TeacherConfig::AfterStage(stage)) => Some(stage),
            _ => None,
        }
    }

    fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    /// Looks at a teacher that is named by a path, so that a run does not end where its stage begins.
    fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Vec<String>, StageError> {
        let (Some(TeacherConfig::Path(path)), Some((codec, _))) = (&self.teacher, rehearsal.codec)
        else {
            return Ok(Vec::new());
        };
        let key = "teacher.path";
        let path = expand(key, path).map_err(|error| StageError::Config(error.to_string()))?;
        look_at(self, key, &path, codec)?;
        Ok(vec![format!("{path}: a teacher with the same tokens")])
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        let before = before(saved.as_ref());
        let state = saved.as_ref().map(|saved| &saved.state);
        let mut source = if self.samples() {
            Some(context.tasks.source(context.seed(Purpose::Tasks))?)
        } else {
            None
        };
        let mut cursor = Cursor::default();
        if let (Some(state), Some(source)) = (state, &mut source) {
            let read = serde_json::from_value(state["cursor"].clone());
            cursor = read.map_err(|error| StageError::State {
                stage: context.stage,
                reason: error.to_string(),
            })?;
            source.restore(&cursor)?;
        }
        let examples = if self.reads() {
            Some(Given::of(self, context)?)
        } else {
            None
        };
        let temperature = self.temperature_of(context);
        let (answers, known) = answers(self, context, &before, examples.as_ref(), temperature)?;
        let off_policy = state.and_then(|state| state["off_policy"].as_u64());
        let stage = DistillStage {
            config: self.clone(),
            gradient: GradientConfig {
                head: HeadConfig {
                    temperature,
                    chunk_bytes: context.memory.head_chunk_mib << 20,
                },
                activations: context.memory.activations(),
                whole: false,
                balance: 0.0,
            },
            answers,
            fingerprint: known,
            source,
            cursor,
            examples,
            off_policy: off_policy.unwrap_or(0),
            kept: (self.teacher == Some(TeacherConfig::StageStart))
                .then(|| start(context.directory, context.stage)),
        };
        Ok(Box::new(stage))
    }
}

impl DistillConfig {
    /// What logits are divided by.
    fn temperature_of(&self, context: &Context) -> f64 {
        match &self.teacher {
            Some(TeacherConfig::Url(_)) => 1.0,
            _ => self
                .temperature
                .unwrap_or_else(|| context.sampling.scoring_temperature()),
        }
    }

    /// The longest sequence that a stage makes or reads, in tokens.
    fn longest(&self, context: &Context) -> usize {
        let sampled = if self.samples() {
            context.prompt_limit().tokens + context.sampling.max_tokens
        } else {
            0
        };
        let read = if self.reads() {
            limit(self, context).tokens
        } else {
            0
        };
        sampled.max(read)
    }
}

/// What the checkpoint knows of the teacher.
fn before(saved: Option<&Saved>) -> Before {
    let Some(saved) = saved else {
        return Before::default();
    };
    Before {
        begun: true,
        fingerprint: saved.state["teacher"].as_str().map(str::to_owned),
        spent: serde_json::from_value(saved.state["spent"].clone()).unwrap_or_default(),
    }
}

/// Who answers for the teacher in a stage under way.
enum Answers {
    Teacher(Teacher),
    /// What was kept of it, and what that took.
    Stored(Stored, Spent),
}

/// Gets the teacher ready, or what was kept of it, and what its weights are known by.
fn answers(
    config: &DistillConfig,
    context: &mut Context,
    before: &Before,
    examples: Option<&Given>,
    temperature: f64,
) -> Result<(Answers, Option<String>), StageError> {
    let most = config.longest(context);
    let (Some(k), true, Some(examples)) = (config.top_k, config.stored, examples) else {
        let teacher = Teacher::open(config, context, before, most)?;
        let known = teacher.fingerprint().map(str::to_owned);
        return Ok((Answers::Teacher(teacher), known));
    };
    let path = stored::place(context.directory, context.stage);
    let sequences = &examples.sequences;
    let made = |teacher: &str| Made {
        teacher: teacher.to_owned(),
        examples: stored::hash(sequences),
        temperature: temperature.to_string(),
    };
    if let Some(known) = &before.fingerprint {
        let Some(stored) = Stored::open(&path, sequences, k, &made(known))? else {
            return Err(StageError::State {
                stage: context.stage,
                reason: format!(
                    "{} is not there; hint: it holds what the teacher said, bring it back, or begin a new run",
                    path.display()
                ),
            });
        };
        return Ok((
            Answers::Stored(stored, before.spent),
            before.fingerprint.clone(),
        ));
    }
    let mut teacher = Teacher::open(config, context, before, most)?;
    let known = match (&teacher, &config.teacher) {
        (Teacher::Model(model, _), _) => fingerprint(model),
        (_, Some(TeacherConfig::Url(url))) => format!("{url} {}", config.server.model),
        _ => String::new(),
    };
    let made = made(&known);
    let mut spent = Spent::default();
    if Stored::open(&path, sequences, k, &made)?.is_none() {
        match &mut teacher {
            Teacher::Model(model, _) => {
                let head = HeadConfig {
                    temperature,
                    chunk_bytes: context.memory.head_chunk_mib << 20,
                };
                let asked = Asked {
                    model,
                    token_budget: context.memory.token_budget,
                    head,
                    vocabulary: context.learner.model.config().vocab_size,
                };
                Stored::ask(&path, sequences, k, &made, &asked)?;
            }
            Teacher::Server(server) => {
                ask_server(server, &path, sequences, k, &made, config.batch)?;
                spent = server.spent();
            }
        }
        let tokens: usize = sequences.iter().map(Sequence::sampled).sum();
        let line = format!("{k} tokens at each of {tokens} places: {}", path.display());
        context.note("teacher", &line);
    }
    let stored = Stored::open(&path, sequences, k, &made)?;
    let stored =
        stored.ok_or_else(|| StageError::Config("the teacher's file is gone".to_owned()))?;
    Ok((Answers::Stored(stored, spent), Some(known)))
}

/// Keeps what a server says of every example, so many at a time.
fn ask_server(
    server: &mut Server,
    path: &Path,
    sequences: &[Sequence],
    k: usize,
    made: &Made,
    batch: usize,
) -> Result<(), StageError> {
    let mut stored = Stored::begin(path, sequences, k, made)?;
    for (index, part) in sequences.chunks(batch).enumerate() {
        for (place, known) in server.ask(part, k)?.iter().enumerate() {
            stored.write(index * batch + place, known)?;
        }
    }
    stored.end(path)
}

/// Examples to learn from, in an order.
struct Given {
    sequences: Vec<Sequence>,
    order: Epochs,
}

/// The longest example.
fn limit(config: &DistillConfig, context: &Context) -> Limit {
    let (model, budget) = (
        context.learner.model.config().context(),
        context.memory.token_budget,
    );
    Limit::of(config.max_length, config.too_long, model, budget)
}

impl Given {
    fn of(config: &DistillConfig, context: &mut Context) -> Result<Self, StageError> {
        let Some(file) = &config.file else {
            return Err(StageError::Config("distill: `file` is not set".to_owned()));
        };
        let limit = limit(config, context);
        let part = Part::new(config.subset.clone(), config.split.clone());
        let mut set = ExampleSet::default();
        set.read(file, &part, context.codec, config.turns, limit)?;
        if set.examples.is_empty() {
            return Err(ExampleError::Nothing {
                place: file.display().to_string(),
                what: "learn from",
                rows: set.dropped,
                dropped: set.dropped,
                most: limit.tokens,
                divided: String::new(),
            }
            .into());
        }
        for line in &set.recognised {
            context.note("distill", line);
        }
        let sequences: Vec<Sequence> = set.examples.into_iter().map(|e| e.sequence).collect();
        let order = Epochs {
            len: sequences.len(),
            batch: config.batch,
            seed: context.seed(Purpose::Demonstrations),
        };
        Ok(Self { sequences, order })
    }
}

/// A stage of distillation under way.
struct DistillStage {
    config: DistillConfig,
    gradient: GradientConfig,
    answers: Answers,
    /// What the teacher's weights are known by.
    fingerprint: Option<String>,
    /// Where tasks come from, on policy.
    source: Option<Box<dyn TaskSource>>,
    /// Where it stood after the last step.
    cursor: Cursor,
    /// Examples, off policy.
    examples: Option<Given>,
    /// Steps made with them.
    off_policy: u64,
    /// Where the student at the start of the stage is kept, if it teaches.
    kept: Option<PathBuf>,
}

impl Stage for DistillStage {
    fn steps(&self) -> u64 {
        self.config.steps
    }

    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError> {
        let began = Instant::now();
        // Drawn by the step's number alone: a resumed run draws the same.
        let draw: f64 = rng(derive_seed(context.seed(Purpose::Distillation), &[step])).random();
        let report = if draw < self.config.lmbda {
            self.on_policy(context, step)?
        } else {
            self.off_policy(context, step)?
        };
        let Report {
            mut metrics,
            completions,
        } = report;
        metrics.step_s = began.elapsed().as_secs_f64();
        Ok(StepReport {
            metrics: Box::new(metrics),
            completions,
        })
    }

    fn save(&mut self, _files: &Path) -> Result<Value, StageError> {
        Ok(json!({
            "cursor": self.cursor,
            "teacher": self.fingerprint,
            "off_policy": self.off_policy,
            "spent": self.spent(),
        }))
    }

    fn end(&mut self, _context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let mut report = Map::new();
        if let Some(TeacherConfig::Url(_)) = self.config.teacher {
            report.insert("teacher".to_owned(), json!(self.spent()));
        }
        Ok(report)
    }

    fn forget(&mut self) -> Result<(), StageError> {
        match &self.kept {
            Some(kept) if kept.exists() => fs::remove_dir_all(kept).map_err(StageError::file(kept)),
            _ => Ok(()),
        }
    }
}

/// What a step leaves, but for its seconds.
struct Report {
    metrics: DistillMetrics,
    completions: Vec<Map<String, Value>>,
}

impl DistillStage {
    /// A step on what the student samples.
    fn on_policy(&mut self, context: &mut Context, step: u64) -> Result<Report, StageError> {
        let collected = self.sample(context, step)?;
        let groups = &collected.groups;
        let completions = || groups.iter().flat_map(|group| &group.completions);
        let lessons: Vec<Lesson> = completions()
            .map(|completion| Lesson {
                sequence: completion.trajectory.sequence(),
                recorded: completion.recorded.clone(),
            })
            .collect();
        let (outcome, metrics) = self.learn(context, &lessons, None, step)?;
        let lengths: Vec<f64> = completions().map(|c| c.sampled_tokens() as f64).collect();
        let rewards: Vec<f64> = completions().filter_map(Completion::reward).collect();
        let correct = &context.evaluation.correct;
        let right: Vec<f64> = completions()
            .filter_map(|c| Some(f64::from(c.component(correct)? > 0.5)))
            .collect();
        let count = lengths.len().max(1) as f64;
        let cut = completions().filter(|c| c.truncated()).count() as f64;
        let tokens: f64 = lengths.iter().sum();
        let metrics = DistillMetrics {
            reverse_kl: Some(outcome.sums.reverse_kl()),
            on_policy: true,
            length_mean: Some(mean(&lengths)),
            truncated: Some(cut / count),
            reward_mean: (!rewards.is_empty()).then(|| mean(&rewards)),
            pass_rate: (!right.is_empty()).then(|| mean(&right)),
            failed_judgements: Some(completions().filter(|c| c.failed()).count()),
            generation_s: collected.generation_s,
            generated_tokens_per_s: tokens / collected.generation_s.max(f64::MIN_POSITIVE),
            ..metrics
        };
        Ok(Report {
            metrics,
            completions: groups.iter().flat_map(lines).collect(),
        })
    }

    /// A step on given examples.
    fn off_policy(&mut self, context: &mut Context, step: u64) -> Result<Report, StageError> {
        let Some(given) = &self.examples else {
            return Err(StageError::Config(
                "distill: there are no examples".to_owned(),
            ));
        };
        let places = given.order.step(self.off_policy, None);
        let lesson = |&place: &usize| Lesson {
            sequence: given.sequences[place].clone(),
            recorded: None,
        };
        let lessons: Vec<Lesson> = places.iter().map(lesson).collect();
        let (_, metrics) = self.learn(context, &lessons, Some(&places), step)?;
        self.off_policy += 1;
        Ok(Report {
            metrics,
            completions: Vec::new(),
        })
    }

    /// Samples and judges the completions of a step.
    fn sample(&mut self, context: &mut Context, step: u64) -> Result<Collected, StageError> {
        let Some(source) = &mut self.source else {
            return Err(StageError::Config("distill: there are no tasks".to_owned()));
        };
        let done = step as f64 / self.config.steps as f64;
        let (limit, encoder) = (context.prompt_limit(), &context.codec.encoder);
        let drawn = limit.draw(encoder, source.as_mut(), self.config.prompts, done)?;
        let seed = derive_seed(context.seed(Purpose::Rollouts), &[step]);
        let mut collector = context.collector();
        collector.recorded_tokens = context.memory.recorded_tokens(true);
        let (model, sampling) = (&context.learner.model, context.sampling);
        let group = self.config.group;
        let collected = collector.collect(model, sampling, drawn.tasks, group, seed, |_| {})?;
        source.observe(&results(&collected.groups, &context.evaluation.correct));
        self.cursor = source.cursor();
        Ok(collected)
    }

    /// One update; `examples` are the places of the lessons among the examples, off policy.
    fn learn(
        &mut self,
        context: &mut Context,
        lessons: &[Lesson],
        examples: Option<&[usize]>,
        step: u64,
    ) -> Result<(Outcome, DistillMetrics), StageError> {
        let config = &self.config;
        let asking = Instant::now();
        let known: Option<Vec<Vec<Known>>> = match &mut self.answers {
            Answers::Teacher(Teacher::Model(..)) => None,
            Answers::Teacher(Teacher::Server(server)) => {
                let sequences: Vec<Sequence> = lessons.iter().map(|l| l.sequence.clone()).collect();
                Some(server.ask(&sequences, config.top_k.unwrap_or(1))?)
            }
            Answers::Stored(stored, _) => {
                let places = examples.unwrap_or_default().iter();
                Some(
                    places
                        .map(|&place| stored.known(place))
                        .collect::<Result<_, _>>()?,
                )
            }
        };
        let teacher_s = asking.elapsed().as_secs_f64();
        let training = Instant::now();
        let taught = match (&self.answers, &known) {
            (Answers::Teacher(Teacher::Model(model, _)), _) => Taught::By(model),
            (_, known) => Taught::Known(known.as_deref().unwrap_or_default()),
        };
        let factor = config
            .schedule
            .factor(step, config.steps, config.warmup_steps);
        let made = StepConfig {
            divergence: config.divergence(),
            top_k: config.top_k,
            gradient: self.gradient,
            token_budget: context.memory.token_budget,
            workers: context.memory.workers,
            learning_rate: config.learning_rate * factor,
        };
        let outcome = loss::step(&made, context.learner, lessons, taught)?;
        let sums = &outcome.sums;
        let server = match &self.answers {
            Answers::Teacher(Teacher::Server(server)) => Some(server),
            _ => None,
        };
        let metrics = DistillMetrics {
            loss: outcome.loss,
            teacher_logprob: Some(sums.teacher_logprob()).filter(|x| x.is_finite()),
            student_logprob: sums.student_logprob(),
            agreement: sums.agreement(),
            entropy: sums.mean_entropy(),
            trained_tokens: sums.tokens,
            teacher_tokens: server.map(|server| server.spent().tokens),
            teacher_cost: server.and_then(|server| server.cost()),
            grad_norm: outcome.grad_norm,
            learning_rate: made.learning_rate,
            policy_version: context.learner.version,
            teacher_s,
            training_s: training.elapsed().as_secs_f64(),
            ..DistillMetrics::default()
        };
        Ok((outcome, metrics))
    }

    fn spent(&self) -> Spent {
        match &self.answers {
            Answers::Teacher(Teacher::Server(server)) => server.spent(),
            Answers::Teacher(Teacher::Model(..)) => Spent::default(),
            Answers::Stored(_, spent) => *spent,
        }
    }
}

/// How many completions of each task were right, for curricula.
fn results(groups: &[RolloutGroup], correct: &str) -> Vec<TaskResult> {
    let result = |group: &RolloutGroup| {
        let values = group
            .completions
            .iter()
            .filter_map(|c| c.component(correct));
        let values: Vec<f64> = values.collect();
        let right = values.iter().filter(|&&value| value > 0.5).count();
        TaskResult::new(&group.task.id, right, values.len())
    };
    groups.iter().map(result).collect()
}

/// The lines of `completions.jsonl` of a group.
fn lines(group: &RolloutGroup) -> Vec<Map<String, Value>> {
    let line = |completion: &Completion| {
        let error = completion.outcome.as_ref().err().map(ToString::to_string);
        let fields = [
            ("task", json!(group.task.id)),
            ("prompt", json!(group.prompt_text)),
            ("completion", json!(completion.trajectory.transcript())),
            ("answer", json!(group.task.answer)),
            ("tokens", json!(completion.sampled_tokens())),
            ("truncated", json!(completion.truncated())),
            ("reward", json!(completion.reward())),
            ("judge_error", json!(error)),
        ];
        let fields = fields.map(|(key, value)| (key.to_owned(), value));
        fields.into_iter().collect()
    };
    group.completions.iter().map(line).collect()
}
