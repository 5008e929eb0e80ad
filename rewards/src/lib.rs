//! What a completion is worth.
//!
//! A [`Reward`] looks at one completion of one task and gives a number, says that it does not apply, or fails. A
//! failure is never a number: a judge that breaks down must not teach the model anything. A [`Rubric`] puts several
//! rewards together, by weights or by a formula.
//!
//! This crate knows no tensors and no tokenizer.
//!
//! ```
//! use dunwu_datasets::{Prompt, Task};
//! use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig, Sample};
//!
//! let rubric = Rubric::from_config(&RubricConfig {
//!     total: Some("exact + 0.1 * format".to_owned()),
//!     components: vec![
//!         ComponentConfig::Exact(Default::default()),
//!         ComponentConfig::Format(Default::default()),
//!     ],
//!     ..Default::default()
//! })?;
//! let prompt = Prompt::Text("3+5=".to_owned());
//! let task = Task { id: "1".to_owned(), prompt, answer: "8".to_owned(), columns: Default::default() };
//! let completion = "<think>3+5=8</think><answer>8</answer>";
//! let sample = Sample { task: &task, completion, truncated: false, completion_tokens: 38 };
//! assert_eq!(rubric.score(&sample)?.total, 1.1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map
//! - `reward`: [`Reward`], [`Sample`], [`RewardError`]
//! - `rubric`: [`Rubric`] and its config
//! - `formula`: the language of a rubric's total
//! - `extract`: where the final answer stands in a completion
//! - [`math`]: the answer is mathematically the same as the gold
//! - `exact`: the answer equals the gold as a text or integer
//! - `countdown`, `procedural`: the checkers of generated tasks
//! - `format`: the completion has the right shape
//! - `length`, `repetition`, `language`: it is not too long, does not repeat itself, stays in one script
//! - `code`: the program in the completion passes the task's tests, in the sandbox
//! - `per_entry`: another judge for each entry of a mixture of data
//! - `vote`: the majority among several answers to one task
//! - `plugin`: judges that people bring: WebAssembly components, processes, servers
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod code;
mod countdown;
mod exact;
mod extract;
mod format;
mod formula;
mod language;
mod length;
pub mod math;
mod per_entry;
mod plugin;
mod procedural;
mod repetition;
mod reward;
mod rubric;
mod vote;

pub use code::{
    Code, CodeConfig, CodeExtraction, CodeVerdict, StdioCase, Tests, TestsError, Unverified,
    extract_code, same_output, tests_of,
};
pub use countdown::{Countdown, CountdownConfig, solves_countdown};
pub use exact::{Exact, ExactConfig, same_answer};
pub use extract::{Extraction, extract};
pub use format::{Format, FormatConfig};
pub use formula::FormulaError;
pub use language::{Language, LanguageConfig, Part, Script};
pub use length::{Length, LengthConfig};
pub use per_entry::{PerEntry, PerEntryConfig};
pub use plugin::{
    CommandConfig, CommandReward, HttpConfig, HttpReward, PluginLifetime, Trial, Tried, WasmConfig,
    WasmReward, WireSample, WireScore, try_out,
};
pub use procedural::{Procedural, ProceduralConfig};
pub use repetition::{Repetition, RepetitionConfig};
pub use reward::{PrepareError, Reward, RewardError, Sample, Score};
pub use rubric::{Component, ComponentConfig, RewardOutcome, Rubric, RubricConfig, RubricError};
pub use vote::{Answers, majority};
