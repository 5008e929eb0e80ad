//! The questions a model is trained and tested on.
//!
//! A [`Task`] is a prompt with a known answer. It comes from a [`TaskSource`]: either a procedural [`Generator`], which
//! never runs out, or a [`JsonlSource`], which shuffles a file anew in every epoch. The `i`-th task of a source depends
//! on its seed and on `i` alone, so a run that is stopped and resumed sees the tasks that an uninterrupted run sees.
//! Held-out problems are chosen by a hash of the problem itself ([`Split`]) and never occur in training.
//!
//! This crate knows no tensors, no tokenizer and no rewards.
//!
//! ```
//! use dunwu_datasets::{Generator, GeneratorConfig, GeneratorSource, Prompt, Split, TaskSource};
//!
//! let generator = Generator::from_config(&GeneratorConfig::ChainSum(Default::default()))?;
//! let heldout = generator.heldout(7, 20)?;
//! let mut source = GeneratorSource::new(generator, 7, Split::Train);
//!
//! let task = source.next_batch(1, 0.0)?.remove(0);
//! let Prompt::Text(problem) = &task.prompt else { unreachable!("chain sums are raw text") };
//! let sum: u32 = problem.trim_end_matches('=').split('+').filter_map(|n| n.parse::<u32>().ok()).sum();
//! assert_eq!(task.answer, sum.to_string());
//! assert!(heldout.iter().all(|unseen| unseen.prompt != task.prompt));
//! # Ok::<(), dunwu_datasets::DatasetError>(())
//! ```
//!
//! # Map
//! - `task`: [`Task`], [`Prompt`], [`Message`], [`Demonstration`], [`Example`]
//! - `source`: [`TaskSource`] and [`Cursor`]
//! - `split`: which problems are held out; `partition`: lists divided by it
//! - `seed`: how every random draw gets its seed; `hash`: what that and the split rest on
//! - `generators`: chain sums, two-operand addition with a curriculum, countdown, small programs, and the source over one
//! - `message`: a turn of a conversation; `place`: where a row stands
//! - `rows`: files as rows, of JSON, CSV or Parquet, plain or compressed, in one piece or in shards
//! - `list`: many tasks in little memory
//! - `jsonl`: strict readers of tasks and demonstrations from rows, and the source over a file
//! - `preference`: pairs of answers of which one is better, and answers that are good or bad, in the forms that they come in
//! - `recognise`: what a data set is, told by its first rows
//! - `formats`: files of well-known benchmarks, and how their problems are put to a model
//! - `curriculum`: which problems of a file, or levels of a generator, are worth posing
//! - `mixture`: several sources as one, in fixed proportions
//! - `template`: the text around a question
//! - `settings`: checks of settings; `error`: [`DatasetError`]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod curriculum;
mod error;
mod formats;
mod generators;
mod hash;
mod jsonl;
mod list;
mod message;
mod mixture;
mod partition;
mod place;
mod preference;
mod recognise;
mod rows;
mod seed;
mod settings;
mod source;
mod split;
mod task;
mod template;

pub use curriculum::{Evidence, LevelSource, PassRateConfig, ProblemSource};
pub use error::DatasetError;
pub use formats::{Benchmark, DataFormat, Problems, read_benchmark};
pub use generators::{
    Addition, AdditionConfig, ChainSum, ChainSumConfig, Countdown, CountdownConfig, Generator,
    GeneratorConfig, GeneratorSource, OperandRange, Program, ProgramConfig, ProgramOperations,
    ProgramStyle, TraceMix,
};
pub use jsonl::{
    AnswerFormat, ExampleForm, Examples, JsonlConfig, JsonlSource, Tasks, read_examples, read_tasks,
};
pub use list::TaskList;
pub use message::{Message, Role};
pub use mixture::{
    MIXTURE_COLUMN, MixtureEntry, MixtureSource, check_entries, mixture_shares, mixture_task,
};
pub use partition::{fingerprint, partition};
pub use place::Place;
pub use preference::{
    Judged, Pair, Preference, PreferenceForm, PreferenceReport, Preferences, Tie,
};
pub use recognise::{TaskForm, recognise_examples, recognise_tasks};
pub use rows::{DataFiles, Part, describe_file};
pub use seed::{derive_seed, rng, shuffled};
pub use source::{Cursor, TaskResult, TaskSource};
pub use split::Split;
pub use task::{Demonstration, Example, Prompt, PromptStyle, Task};
pub use template::{Template, TemplateConfig, TemplateSource};
