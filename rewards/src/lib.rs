//! What a completion is worth.
//!
//! A [`Reward`] looks at one completion of one task and gives a number, says that it does not apply, or fails. A
//! failure is never a number: a judge that breaks down must not teach the model anything. A [`GroupReward`] looks at all
//! completions of a task at once. A [`Rubric`] puts several of both together, by weights or by a formula.
//!
//! # Features
//! Both are on by default; a config that names a component without its feature says which one to turn on.
//! - `code`: the component `code` and plugins that are WebAssembly components, by the sandbox (wasmtime)
//! - `http`: rewards behind a server (ureq)
//!
//! This crate knows no tensors and no tokenizer.
//!
//! ```
//! use dunwu_datasets::{Prompt, Task};
//! use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig, Sample};
//!
//! let config = RubricConfig::new(vec![
//!     ComponentConfig::Exact(Default::default()),
//!     ComponentConfig::Format(Default::default()),
//! ]);
//! let rubric = Rubric::from_config(&config.with_total("exact + 0.1 * format"))?;
//! let task = Task::new("1", Prompt::Text("3+5=".to_owned()), "8");
//! let sample = Sample::new(&task, "<think>3+5=8</think><answer>8</answer>");
//! assert_eq!(rubric.score(&sample)?.total, 1.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map
//! - `sample`, `attempt`: what a judge is shown, and until when; `error`: why there is no verdict, and whose doing that is
//! - `reward`: [`Reward`], [`GroupReward`]
//! - `rubric`: [`Rubric`]; `config`: the rubric that a config describes, with all components that it can name, and another
//!   judge for each entry of a mixture of data
//! - `formula`: the language of a rubric's total
//! - `extract`: where the final answer stands in a completion
//! - [`math`]: the answer is mathematically the same as the gold
//! - `option`, `answer`: what the options of several judges share
//! - `exact`: the answer equals the gold as a text or integer
//! - `countdown`, `procedural`: the checkers of generated tasks
//! - `format`: the completion has the right shape
//! - `length`, `repetition`, `language`: it is not too long, does not repeat itself, stays in one script
//! - `model`: a reward model says; whoever has tensors brings it
//! - `code`: the program in the completion passes the task's tests, in the sandbox
//! - `vote`: the majority among several answers to one task
//! - `plugin`: judges that people bring: WebAssembly components, processes, servers
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod attempt;
#[cfg(feature = "code")]
mod code;
mod config;
mod countdown;
mod error;
mod exact;
mod extract;
mod format;
mod formula;
mod language;
mod length;
pub mod math;
mod model;
mod option;
mod plugin;
mod procedural;
mod repetition;
mod reward;
mod rubric;
mod sample;
mod seat;
mod vote;

pub use attempt::Attempt;
#[cfg(feature = "code")]
pub use code::{
    Code, CodeConfig, CodeError, CodeExtraction, CodeVerdict, OutputCheck, StdioCase, TEST_COLUMNS,
    Tests, TestsError, Unverified, extract_code, extract_program, same_output, tests_of,
};
#[cfg(not(all(feature = "code", feature = "http")))]
pub use config::Absent;
pub use config::{ComponentConfig, PerEntry, PerEntryConfig, RubricConfig};
pub use countdown::{Countdown, CountdownConfig, solves_countdown};
pub use error::{Fault, PrepareError, RewardError};
pub use exact::{Exact, ExactConfig, same_answer};
pub use extract::{Extraction, extract};
pub use format::{Format, FormatConfig};
pub use formula::FormulaError;
pub use language::{Language, LanguageConfig, Part, Script};
pub use length::{Length, LengthConfig};
pub use model::{ModelReward, ModelRewardConfig};
pub use option::OptionError;
pub use plugin::{CommandConfig, CommandReward, Trial, Tried, WireSample, WireScore, try_out};
#[cfg(feature = "http")]
pub use plugin::{HttpConfig, HttpReward};
#[cfg(feature = "code")]
pub use plugin::{PluginLifetime, WasmConfig, WasmReward};
pub use procedural::{Procedural, ProceduralConfig};
pub use repetition::{Repetition, RepetitionConfig};
pub use reward::{GroupReward, Preparation, Reward, Score, Verdict};
pub use rubric::{Component, Explained, RewardOutcome, Rubric, RubricError};
pub use sample::Sample;
pub use seat::{ModelJudge, ModelSeat, Seated, Worth};
pub use vote::{Answers, majority};
