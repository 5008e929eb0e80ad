//! The problems of a run, by side of the split.
//!
//! | file | subject |
//! |---|---|
//! | this one | problems to train on and problems that are held out |
//! | [`section`] | `[data]` of a config |
//! | [`files`] | the files that it names, here or on the hub |

use std::path::Path;

use dunwu_datasets::{
    DatasetError, Demonstration, Generator, GeneratorSource, JsonlSource, LevelSource,
    MixtureEntry, MixtureSource, PassRateConfig, ProblemSource, PromptStyle, Split, Task, TaskForm,
    TaskList, TaskSource, Template, TemplateSource, TraceMix, derive_seed, fingerprint,
    mixture_shares, mixture_task, partition, recognise_tasks,
};

pub mod files;
pub mod section;

use files::FilesError;
use section::{CurriculumConfig, SourceConfig};

pub use section::{DataSection, LongPrompts};

/// The tasks of a run, by side of the split.
pub struct Tasks {
    /// What makes demonstrations, when all tasks are generated.
    pub(crate) generator: Option<Demonstrator>,
    origin: Origin,
    /// Problems that training never sees.
    pub heldout: Vec<Task>,
    /// How long prompts may be, and what is done about longer ones.
    pub prompts: PromptRule,
}

/// How long prompts may be, as `[data]` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptRule {
    /// Tokens; without it, what the model's context holds beside a completion.
    pub longest: Option<usize>,
    /// What is done about a longer one.
    pub too_long: LongPrompts,
}

impl From<&DataSection> for PromptRule {
    fn from(data: &DataSection) -> Self {
        Self {
            longest: data.max_prompt_tokens,
            too_long: data.too_long,
        }
    }
}

/// Where training tasks come from.
enum Origin {
    One(Side),
    Mixture(Vec<Entry>),
    /// A source of the caller's own.
    Own(SourceOf),
}

/// Makes a source that is at its beginning, in the order that a seed gives.
pub type SourceOf = Box<dyn Fn(u64) -> Box<dyn TaskSource> + Send + Sync>;

/// An entry of a mixture.
struct Entry {
    name: String,
    weight: f64,
    side: Side,
}

/// The training side of one source.
struct Side {
    problems: Problems,
    /// What the rows of a file were taken for, where the config does not say it.
    recognised: Option<String>,
    /// Draws by pass rates, when there is such a curriculum.
    rates: Option<PassRateConfig>,
}

enum Problems {
    /// With the text around its questions.
    Generated(Generator, Option<Template>),
    /// Those of a file, put by its template as they are drawn.
    Fixed(TaskList),
}

/// Generators whose demonstrations are put as their tasks are: one, or those of a mixture.
pub(crate) struct Demonstrator {
    parts: Vec<Part>,
}

/// One generator of a [`Demonstrator`].
struct Part {
    weight: f64,
    generator: Generator,
    template: Option<Template>,
}

impl Demonstrator {
    /// As [`Generator::demonstration`], put by the config's template. In a mixture each demonstration is of an entry that
    /// is drawn by the weights.
    pub(crate) fn demonstration(
        &self,
        seed: u64,
        index: u64,
        mix: &TraceMix,
    ) -> Result<Demonstration, DatasetError> {
        let part = self.part(derive_seed(seed, &[PART, index]));
        let (task, completion) = part.generator.demonstrated_task(seed, index, mix)?;
        let task = match &part.template {
            Some(template) => template.apply(task)?,
            None => task,
        };
        Ok(Demonstration {
            prompt: task.prompt,
            completion,
        })
    }

    fn part(&self, seed: u64) -> &Part {
        let total: f64 = self.parts.iter().map(|part| part.weight).sum();
        // The upper 53 bits as a number in [0, 1).
        let mut place = (seed >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let part = self.parts.iter().find(|part| {
            place -= part.weight;
            place < 0.0
        });
        part.or(self.parts.last()).expect("there is a generator")
    }
}

/// What the seed is for that picks the entry of a demonstration: the first step of its path.
const PART: u64 = 5;

/// Why there are no problems.
#[derive(Debug, thiserror::Error)]
pub enum TasksError {
    /// The task or its file is not what it should be.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The files are not there.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A side of the split is empty.
    #[error(
        "{place}: no tasks to {what} with {key}.heldout_fraction = {fraction}; hint: change the fraction, or give more tasks"
    )]
    Nothing {
        /// The file, or the key of the generator.
        place: String,
        /// What they would be for.
        what: &'static str,
        /// Where the source stands in the config.
        key: String,
        /// Share of its tasks that is held out.
        fraction: f64,
    },
    /// No entry of a mixture holds anything out.
    #[error(
        "data.mixture: no entry holds anything out; hint: set heldout_fraction above 0 in one of them"
    )]
    NothingHeldOut,
}

impl Tasks {
    /// Tasks from a source of the caller's own, and problems that training never sees.
    pub fn own(source: SourceOf, heldout: Vec<Task>) -> Self {
        Self {
            generator: None,
            origin: Origin::Own(source),
            heldout,
            prompts: PromptRule::default(),
        }
    }

    /// No problems at all, for runs that only learn from examples.
    pub fn none() -> Self {
        Self {
            generator: None,
            origin: Origin::Mixture(Vec::new()),
            heldout: Vec::new(),
            prompts: PromptRule::default(),
        }
    }

    /// How many problems to train on are read from files; those of generators have no end.
    pub fn written_count(&self) -> usize {
        let lists = self.sides().filter_map(|(_, side)| side.written());
        lists.map(TaskList::len).sum()
    }

    /// Every `stride`-th of them, in their order and as they are posed.
    pub fn written(&self, stride: usize) -> impl Iterator<Item = Result<Task, DatasetError>> + '_ {
        let named = self.sides().flat_map(|(entry, side)| {
            let list = side.written();
            let places = 0..list.map_or(0, TaskList::len);
            places.filter_map(move |place| Some((entry, list?, place)))
        });
        named.step_by(stride.max(1)).map(|(entry, list, place)| {
            let task = list.get(place)?;
            match entry {
                Some(entry) => mixture_task(entry, task),
                None => Ok(task),
            }
        })
    }

    /// Whether some problems are made by generators.
    pub fn makes(&self) -> bool {
        let made = |(_, side): (_, &Side)| matches!(side.problems, Problems::Generated(..));
        self.sides().any(made)
    }

    /// The sources, with their names in a mixture.
    fn sides(&self) -> Box<dyn Iterator<Item = (Option<&str>, &Side)> + '_> {
        match &self.origin {
            Origin::One(side) => Box::new(std::iter::once((None, side))),
            Origin::Mixture(entries) => {
                let entries = entries.iter();
                Box::new(entries.map(|entry| (Some(entry.name.as_str()), &entry.side)))
            }
            Origin::Own(_) => Box::new(std::iter::empty()),
        }
    }

    /// A fingerprint of the problems that are read from files, by side of the split; `None` where all are made by
    /// generators, which the config describes, or come from the caller.
    pub fn fingerprint(&self) -> Option<String> {
        let sides: Vec<&Side> = match &self.origin {
            Origin::One(side) => vec![side],
            Origin::Mixture(entries) => entries.iter().map(|entry| &entry.side).collect(),
            Origin::Own(_) => Vec::new(),
        };
        let read = sides.iter().filter_map(|side| match &side.problems {
            // All of them could be put when the list was made.
            Problems::Fixed(tasks) => Some(fingerprint(tasks.iter().filter_map(Result::ok))),
            Problems::Generated(..) => None,
        });
        let mut parts: Vec<u64> = read.collect();
        if parts.is_empty() {
            return None;
        }
        parts.push(fingerprint(&self.heldout));
        let parts: Vec<String> = parts.iter().map(|part| format!("{part:016x}")).collect();
        Some(parts.join("-"))
    }

    /// Reads and divides what a config asks, with at most `problems` to hold out; `seed` draws those of generators.
    ///
    /// # Errors
    /// When a file is not what it should be, or there is nothing to train on or to hold out.
    pub fn new(data: &DataSection, problems: usize, seed: u64) -> Result<Self, TasksError> {
        if data.mixture.is_empty() {
            let source = data.source();
            let (side, heldout) = read(&source, seed, problems)?;
            if heldout.is_empty() {
                return Err(nothing("hold out", &source));
            }
            return Ok(Self {
                generator: side
                    .part(1.0)
                    .map(|part| Demonstrator { parts: vec![part] }),
                origin: Origin::One(side),
                heldout,
                prompts: data.into(),
            });
        }
        let measured = |source: &SourceConfig| match source.task {
            Some(task) => Generator::from_config(task).map(|g| g.heldout_fraction() > 0.0),
            None => Ok(source.heldout_fraction > 0.0),
        };
        let mut counts = vec![0; data.mixture.len()];
        let mut weighed = Vec::new();
        for (index, entry) in data.mixture.iter().enumerate() {
            if measured(&entry.source(index))? {
                weighed.push((index, entry.weight));
            }
        }
        if weighed.is_empty() {
            return Err(TasksError::NothingHeldOut);
        }
        let weights: Vec<f64> = weighed.iter().map(|(_, weight)| *weight).collect();
        for ((index, _), share) in weighed.iter().zip(mixture_shares(&weights, problems)) {
            counts[*index] = share;
        }
        let mut entries = Vec::new();
        let mut heldout = Vec::new();
        for ((index, entry), count) in data.mixture.iter().enumerate().zip(counts) {
            let source = entry.source(index);
            let (side, own) = read(&source, derive_seed(seed, &[index as u64]), count)?;
            if own.is_empty() && count > 0 {
                return Err(nothing("hold out", &source));
            }
            for task in own {
                heldout.push(mixture_task(&entry.name, task)?);
            }
            entries.push(Entry {
                name: entry.name.clone(),
                weight: entry.weight,
                side,
            });
        }
        let parts: Option<Vec<Part>> = entries
            .iter()
            .map(|entry| entry.side.part(entry.weight))
            .collect();
        Ok(Self {
            generator: parts.map(|parts| Demonstrator { parts }),
            origin: Origin::Mixture(entries),
            heldout,
            prompts: data.into(),
        })
    }

    /// What the rows of files were taken for where the config does not say it: a line each.
    pub fn recognised(&self) -> Vec<&str> {
        match &self.origin {
            Origin::One(side) => side.recognised.as_deref().into_iter().collect(),
            Origin::Mixture(entries) => {
                let lines = entries
                    .iter()
                    .filter_map(|entry| entry.side.recognised.as_deref());
                lines.collect()
            }
            Origin::Own(_) => Vec::new(),
        }
    }

    /// The training tasks from their beginning, in the order that `seed` gives them.
    ///
    /// # Errors
    /// When a curriculum or a mixture cannot be made of them.
    pub fn source(&self, seed: u64) -> Result<Box<dyn TaskSource>, DatasetError> {
        let entries = match &self.origin {
            Origin::One(side) => return side.source(seed),
            Origin::Own(source) => return Ok(source(seed)),
            Origin::Mixture(entries) => entries,
        };
        let mut sources = Vec::with_capacity(entries.len());
        for (index, Entry { name, weight, side }) in entries.iter().enumerate() {
            sources.push(MixtureEntry {
                name: name.clone(),
                weight: *weight,
                source: side.source(derive_seed(seed, &[index as u64]))?,
            });
        }
        Ok(Box::new(MixtureSource::new(sources)?))
    }
}

impl Side {
    /// The problems that are read from a file.
    fn written(&self) -> Option<&TaskList> {
        match &self.problems {
            Problems::Fixed(tasks) => Some(tasks),
            Problems::Generated(..) => None,
        }
    }

    fn source(&self, seed: u64) -> Result<Box<dyn TaskSource>, DatasetError> {
        let (generator, template) = match (&self.problems, &self.rates) {
            (Problems::Fixed(tasks), None) => {
                return Ok(Box::new(JsonlSource::new(tasks.clone(), seed)?));
            }
            (Problems::Fixed(tasks), Some(rates)) => {
                return Ok(Box::new(ProblemSource::new(tasks.clone(), rates, seed)?));
            }
            (Problems::Generated(generator, template), _) => (generator.clone(), template),
        };
        let source: Box<dyn TaskSource> = match &self.rates {
            Some(rates) => Box::new(LevelSource::new(generator, rates, seed)?),
            None => Box::new(GeneratorSource::new(generator, seed, Split::Train)),
        };
        Ok(match template {
            Some(template) => Box::new(TemplateSource::new(source, template.clone())),
            None => source,
        })
    }

    fn part(&self, weight: f64) -> Option<Part> {
        match &self.problems {
            Problems::Generated(generator, template) => Some(Part {
                weight,
                generator: generator.clone(),
                template: template.clone(),
            }),
            Problems::Fixed(_) => None,
        }
    }
}

/// The training side of one source, and at most `count` of its held-out tasks: exactly so many of a generator's, which
/// never runs out of them without saying so.
fn read(source: &SourceConfig, seed: u64, count: usize) -> Result<(Side, Vec<Task>), TasksError> {
    let rates = match source.curriculum {
        Some(CurriculumConfig::PassRate(rates)) => Some(rates.clone()),
        Some(CurriculumConfig::Progress(_)) | None => None,
    };
    let (problems, recognised, heldout) = match source.task {
        Some(generator) => {
            let template = source.template.map(Template::from_config).transpose()?;
            let generator = Generator::from_config(generator)?;
            let put = |task| match &template {
                Some(template) => template.apply(task),
                None => Ok(task),
            };
            let heldout = generator.heldout(seed, count)?;
            let heldout = heldout.into_iter().map(put).collect::<Result<_, _>>()?;
            // A column that the template misses is missing in every task of a generator.
            put(generator.task(seed, 0, 0.0, Split::Train)?)?;
            (Problems::Generated(generator, template), None, heldout)
        }
        None => {
            let file = source.file.expect("the config was validated");
            let (train, recognised, heldout) = divided(source, file, count)?;
            (Problems::Fixed(train), recognised, heldout)
        }
    };
    let side = Side {
        problems,
        recognised,
        rates,
    };
    Ok((side, heldout))
}

/// The tasks of a file: those to train on, what its rows were taken for unless the config says it, and the first `count` of those to
/// hold out; all put by the template. They are read one after the other, and kept as text.
fn divided(
    source: &SourceConfig,
    file: &Path,
    count: usize,
) -> Result<(TaskList, Option<String>, Vec<Task>), TasksError> {
    let files = files::find(file, &source.part)?;
    let (form, told) = match (source.format, source.fields) {
        (Some(format), _) => (TaskForm::Benchmark(format), true),
        (None, Some(fields)) => (TaskForm::Fields(fields.clone()), true),
        (None, None) => (recognise_tasks(&files)?, false),
    };
    let recognised = (!told).then(|| format!("{}: {form}", files.origin()));
    let template = template_of(source, &form)?;
    let put = |task| match &template {
        Some(template) => template.apply(task),
        None => Ok(task),
    };
    let (mut train, mut heldout) = (TaskList::new(), Vec::new());
    for task in form.tasks(&files)? {
        let (train_side, heldout_side) = partition(vec![task?], source.heldout_fraction)?;
        for task in train_side {
            train.push(&task);
        }
        for task in heldout_side {
            if heldout.len() < count {
                heldout.push(put(task)?);
            }
        }
    }
    if train.is_empty() {
        return Err(nothing("train on", source));
    }
    Ok((train.put_by(template)?, recognised, heldout))
}

/// How the problems of a file are put: as the config says, or in the words of a benchmark's own, as a user's message.
fn template_of(source: &SourceConfig, form: &TaskForm) -> Result<Option<Template>, TasksError> {
    let of_format = match form {
        TaskForm::Benchmark(format) => Some(format.template(PromptStyle::Chat)),
        TaskForm::Fields(_) => None,
    };
    let config = source.template.or(of_format.as_ref());
    Ok(config.map(Template::from_config).transpose()?)
}

fn nothing(what: &'static str, source: &SourceConfig) -> TasksError {
    let place = match source.file {
        Some(file) => file.display().to_string(),
        None => format!("{}.task", source.key),
    };
    TasksError::Nothing {
        place,
        what,
        key: source.key.clone(),
        fraction: source.heldout_fraction,
    }
}
