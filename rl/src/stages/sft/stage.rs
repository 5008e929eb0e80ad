//! A supervised stage, from its first step or a checkpoint to its end.

use std::path::Path;

use dunwu_datasets::{Example, Examples, Part};
use serde_json::{Map, Value, json};

use super::{Restart, SftConfig, heldout_loss, loss};
use crate::{
    learner::{AdamWConfig, GradientConfig, HeadConfig},
    model::ModelConfig,
    rollout::work::Amount,
    seeds::Purpose,
    stages::{
        Context, Demand, Measuring, Rehearsal, Saved, Settings, Stage, StageError, StepReport,
        Surroundings, Weights, data_set,
        examples::{Encoded, Epochs, ExampleError, ExampleSet, Limit},
    },
    tasks::files,
};

impl Settings for SftConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        SftConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        self.steps
    }

    fn optimizer(&self) -> AdamWConfig {
        self.optimizer
    }

    fn demand(&self, _around: &Surroundings, _model: &ModelConfig) -> Demand {
        Demand::default()
    }

    fn describe(&self, _around: &Surroundings) -> String {
        let duration = match (self.steps, self.epochs) {
            (Some(steps), _) => format!("{steps} steps"),
            (None, epochs) => format!("{} epochs in steps", epochs.unwrap_or(0)),
        };
        format!("{duration} of {} examples", self.batch)
    }

    fn measuring(&self) -> Measuring {
        Measuring::After
    }

    fn begins_with(&self) -> Weights {
        match self.restart {
            None => Weights::AsTheyAre,
            Some(Restart::RunStart) => Weights::OfTheRun,
            Some(Restart::AfterStage(stage)) => Weights::AfterStage(stage),
        }
    }

    fn asks(&self) -> bool {
        self.generates()
    }

    fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Vec<String>, StageError> {
        let part = Part::new(self.subset.clone(), self.split.clone());
        let trained = self.file.iter().map(|file| (file, part.clone()));
        let heldout = self.heldout_file.iter();
        let heldout = heldout.map(|file| (file, Part::default()));
        let files = trained.chain(heldout);
        files
            .map(|(file, part)| rehearse(self, rehearsal, file, &part))
            .collect()
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        check_experts(self, context)?;
        let lessons = Lessons::of(self, context)?;
        let steps = match (&lessons.train, self.steps, self.epochs) {
            (_, Some(steps), _) => steps,
            (Train::Set(_, order), None, Some(epochs)) => order.steps(epochs),
            _ => {
                return Err(StageError::Config(
                    "sft: neither steps nor epochs".to_owned(),
                ));
            }
        };
        for line in &lessons.recognised {
            context.note("sft", line);
        }
        if let Train::Set(examples, _) = &lessons.train {
            let line = format!(
                "{} examples, {} held out, {} left out because they are too long; {steps} steps",
                examples.len(),
                lessons.heldout.len(),
                lessons.dropped
            );
            context.note("sft", &line);
        }
        let gradient = GradientConfig {
            head: HeadConfig {
                temperature: 1.0,
                chunk_bytes: context.memory.head_chunk_mib << 20,
            },
            activations: context.memory.activations(),
            whole: false,
            balance: 0.0,
        };
        Ok(Box::new(SftStage {
            config: self.clone(),
            lessons,
            steps,
            gradient,
            heldout_loss: saved.and_then(|saved| saved.state["heldout_loss"].as_f64()),
        }))
    }
}

/// What a stage wants of experts must be there.
fn check_experts(config: &SftConfig, context: &Context) -> Result<(), StageError> {
    let wrong = |text: &str| Err(StageError::Config(format!("sft: {text}")));
    let model = &context.learner.model;
    let experts = model.config().experts.as_ref();
    if config.freeze_router && experts.is_none() {
        return wrong("freeze_router = true, but the model has no experts; hint: remove it");
    }
    if config.balance.sequence_loss > 0.0 && experts.is_none() {
        return wrong(
            "balance.sequence_loss is above 0, but the model has no experts; hint: remove it",
        );
    }
    if config.balance.rate > 0.0 {
        if !experts.is_some_and(|experts| experts.router.correction) {
            return wrong(
                "balance.rate is above 0, but the model's routers have no correction for the choice; hint: use balance.sequence_loss",
            );
        }
        if model.lora().is_some() {
            return wrong(
                "balance.rate is above 0, but adapters are trained, and corrections are no part of them; hint: use balance.sequence_loss",
            );
        }
    }
    Ok(())
}

/// A supervised stage under way. Which examples a step learns from follows from its number, so there is nothing to save.
struct SftStage {
    config: SftConfig,
    lessons: Lessons,
    steps: u64,
    gradient: GradientConfig,
    /// The last one measured, in nats.
    heldout_loss: Option<f64>,
}

/// What a stage learns from, and what it is measured on.
struct Lessons {
    train: Train,
    heldout: Vec<Encoded>,
    /// Examples left out because they were too long.
    dropped: usize,
    /// What the rows of each data set were taken for.
    recognised: Vec<String>,
}

/// What a stage learns from.
enum Train {
    /// Examples that are gone through in epochs.
    Set(Vec<Encoded>, Epochs),
    /// Demonstrations that are made as they are needed.
    Endless,
}

impl Stage for SftStage {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&mut self, context: &mut Context, step: u64) -> Result<StepReport, StageError> {
        let examples = self.examples(context, step)?;
        for example in &examples {
            context.spent.trained(Amount::sequence(&example.sequence));
        }
        let place = (step, self.steps);
        let memory = context.memory;
        let learner = &mut *context.learner;
        let mut metrics = loss::step(
            &self.config,
            learner,
            &examples,
            place,
            memory,
            self.gradient,
        )?;
        let every = self.config.heldout_every;
        let due = step + 1 == self.steps || (every > 0 && (step + 1).is_multiple_of(every));
        if due && !self.lessons.heldout.is_empty() {
            let (heldout, head) = (&self.lessons.heldout, self.gradient.head);
            let measured = heldout_loss(&learner.model, heldout, memory.token_budget, head)?;
            metrics.heldout_loss = Some(measured);
        }
        self.heldout_loss = metrics.heldout_loss;
        Ok(StepReport::of(metrics))
    }

    fn save(&mut self, _files: &Path) -> Result<Value, StageError> {
        Ok(json!({ "heldout_loss": self.heldout_loss }))
    }

    fn end(&mut self, _context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let mut report = Map::new();
        if let Some(loss) = self.heldout_loss {
            report.insert("heldout_loss".to_owned(), json!(loss));
        }
        if let Train::Set(examples, _) = &self.lessons.train {
            report.insert("examples".to_owned(), json!(examples.len()));
            report.insert("too_long".to_owned(), json!(self.lessons.dropped));
        }
        Ok(report)
    }
}

impl SftStage {
    /// The examples of one step.
    fn examples(&self, context: &Context, step: u64) -> Result<Vec<Encoded>, StageError> {
        match &self.lessons.train {
            Train::Set(examples, order) => {
                let places = order.step(step, self.config.epochs);
                Ok(places.into_iter().map(|i| examples[i].clone()).collect())
            }
            Train::Endless => {
                let first = step * self.config.batch as u64;
                let mut set = ExampleSet::default();
                for index in first..first + self.config.batch as u64 {
                    push_demonstration(&self.config, context, index, &mut set)?;
                }
                Ok(set.examples)
            }
        }
    }
}

/// Reads a file of examples, makes some of them into tokens, and says what it found.
fn rehearse(
    config: &SftConfig,
    rehearsal: &Rehearsal,
    file: &Path,
    part: &Part,
) -> Result<String, StageError> {
    let files = files::find(file, part)?;
    let mut count = 0usize;
    for row in Examples::of(&files) {
        row?;
        count += 1;
    }
    let place = file.display();
    let Some((codec, context)) = rehearsal.codec else {
        return Ok(format!("{place}: {count} examples"));
    };
    let limit = Limit::of(
        config.max_length,
        config.too_long,
        context,
        rehearsal.memory.token_budget,
    );
    let stride = rehearsal.rows.map_or(1, |most| count.div_ceil(most.max(1)));
    let mut set = ExampleSet::default();
    for row in Examples::of(&files).step_by(stride.max(1)) {
        let (place, example) = row?;
        set.push(|| place.to_string(), codec, &example, config.turns, limit)?;
    }
    let (fit, dropped) = (set.examples.len(), set.dropped);
    if fit == 0 {
        return Err(ExampleError::Nothing {
            place: place.to_string(),
            what: "learn from",
            rows: dropped,
            dropped,
            most: limit.tokens,
            divided: String::new(),
        }
        .into());
    }
    let longest = set.examples.iter().map(|e| e.sequence.len()).max();
    Ok(format!(
        "{place}: {count} examples; of {} made into tokens {dropped} are too long and left out, the longest other has {} of {} tokens",
        fit + dropped,
        longest.unwrap_or(0),
        limit.tokens
    ))
}

/// The longest example of a stage.
fn limit(config: &SftConfig, context: &Context) -> Limit {
    let longest = context.learner.model.config().context();
    Limit::of(
        config.max_length,
        config.too_long,
        longest,
        context.memory.token_budget,
    )
}

impl Lessons {
    /// Reads or makes the examples of a stage, and divides them.
    fn of(config: &SftConfig, context: &Context) -> Result<Self, StageError> {
        let limit = limit(config, context);
        let read = |set: &mut ExampleSet, path: &Path, part: &Part| {
            set.read(path, part, context.codec, config.turns, limit)
        };
        let whole = Part::default();
        let heldout_file = config.heldout_file.as_deref();
        let mut apart = None;
        if let Some(file) = heldout_file {
            read(apart.insert(ExampleSet::default()), file, &whole)?;
        }
        let mut set = ExampleSet::dividing(config.heldout_fraction);
        let mut places = Vec::new();
        let kept = config
            .from_stage
            .map(|index| data_set(context.directory, index));
        let part = Part::new(config.subset.clone(), config.split.clone());
        let parts = [(&config.file, &part), (&kept, &whole)];
        for (path, part) in parts
            .into_iter()
            .filter_map(|(path, part)| Some((path.as_ref()?, part)))
        {
            read(&mut set, path, part)?;
            places.push(path.display().to_string());
        }
        if config.generates() {
            let Some(count) = config.demonstrations else {
                let apart_forms = apart
                    .iter()
                    .flat_map(|set| set.recognised.clone())
                    .collect();
                return Ok(Self {
                    train: Train::Endless,
                    heldout: apart.map(|set| set.examples).unwrap_or_default(),
                    dropped: 0,
                    recognised: apart_forms,
                });
            };
            for index in 0..count as u64 {
                push_demonstration(config, context, index, &mut set)?;
            }
            places.push("data.task".to_owned());
        }
        let heldout_file = heldout_file.zip(apart);
        Self::divided(config, context, set, &places.join(" and "), heldout_file)
    }

    /// Divides the examples at `place`, unless those to hold out are in a file `apart`.
    fn divided(
        config: &SftConfig,
        context: &Context,
        set: ExampleSet,
        place: &str,
        apart: Option<(&Path, ExampleSet)>,
    ) -> Result<Self, StageError> {
        let (rows, dropped) = (set.examples.len() + set.dropped, set.dropped);
        let mut recognised = set.recognised.clone();
        let (train, mut heldout) = set.divided();
        let nothing = |what, place: &str, rows, dropped, left: usize| {
            let divided = match left {
                0 => String::new(),
                left => format!(
                    ", and heldout_fraction = {} puts all other {left} on the other side",
                    config.heldout_fraction
                ),
            };
            ExampleError::Nothing {
                place: place.to_owned(),
                what,
                rows,
                dropped,
                most: limit(config, context).tokens,
                divided,
            }
        };
        if train.is_empty() {
            return Err(nothing("learn from", place, rows, dropped, heldout.len()).into());
        }
        if config.heldout_fraction > 0.0 && heldout.is_empty() {
            return Err(nothing("hold out", place, rows, dropped, train.len()).into());
        }
        if let Some((file, apart)) = apart {
            if apart.examples.is_empty() {
                let (file, dropped) = (file.display().to_string(), apart.dropped);
                return Err(nothing("measure", &file, dropped, dropped, 0).into());
            }
            recognised.extend(apart.recognised);
            heldout = apart.examples;
        }
        let order = Epochs {
            len: train.len(),
            batch: config.batch,
            seed: context.seed(Purpose::Demonstrations),
        };
        Ok(Self {
            train: Train::Set(train, order),
            heldout,
            dropped,
            recognised,
        })
    }
}

/// Makes the `index`-th demonstration of the stage.
fn push_demonstration(
    config: &SftConfig,
    context: &Context,
    index: u64,
    set: &mut ExampleSet,
) -> Result<(), StageError> {
    let Some(generator) = &context.tasks.generator else {
        return Err(StageError::Config(
            "sft: the data make no demonstrations; hint: set `file` or `from_stage`".to_owned(),
        ));
    };
    let mix = config.traces.clone().unwrap_or_default();
    let seed = context.seed(Purpose::Demonstrations);
    let example = Example::Completion(generator.demonstration(seed, index, &mix)?);
    let place = || format!("demonstration {index} of data.task");
    let limit = limit(config, context);
    set.push(place, context.codec, &example, config.turns, limit)?;
    Ok(())
}
