//! What a run does, stage by stage.
//!
//! | file | subject |
//! |---|---|
//! | [`stage`](mod@stage) | what every kind of stage is to the run that drives it |
//! | [`harvest`] | what is sampled chunk by chunk and left as a file |
//! | [`examples`] | examples of text as tokens |
//! | [`pairs_data`] | preferences as token ids |
//! | [`second`] | another model that a stage's config names |
//! | [`prompts`] | prompts that leave room for a completion, and the others |
//! | [`config`] | `[[stages]]`, and the one line that registers a kind |
//! | [`sft`], [`grpo`], [`rejection`], [`pairs`], [`preference`], [`reward_model`], [`distill`] | a kind each: its settings, its step, its figures |
//!
//! A stage knows neither the console nor the files of a run, nor any other stage. A new one is a folder here, with a type that
//! implements [`Settings`] and one that implements [`Stage`], and a line in `config.rs`.

pub mod config;
pub mod distill;
pub mod examples;
pub mod grpo;
pub mod harvest;
pub mod pairs;
pub mod pairs_data;
pub mod preference;
pub mod prompts;
pub mod rejection;
pub mod reward_model;
pub mod second;
pub mod sft;
pub mod stage;

pub use config::{StageConfig, StageKind};
pub use prompts::{Drawn, PromptLengths, PromptLimit};
pub use stage::{
    Context, Demand, Measuring, Notes, Rehearsal, Saved, SecondModel, Settings, Stage, StageError,
    StepMetrics, StepReport, Surroundings, Weights, collector, data_set, pair_set,
};
