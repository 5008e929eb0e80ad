//! **dunwu**: reinforcement-learning post-training of language models.
//!
//! A GRPO loop samples chain-of-thought completions from a small language model, judges them with
//! verifiable rewards and updates the policy, on any GPU through wgpu or on the plain CPU.
//!
//! A run in ten lines, watched by a closure:
//!
//! ```no_run
//! use dunwu::{config::RunConfig, run::{Event, Run}};
//!
//! let config = RunConfig::from_file("configs/quickstart.toml".as_ref())?;
//! let summary = Run::builder(config)
//!     .observer(|event: &Event| {
//!         if let Event::Step { line, metrics, .. } = event {
//!             println!("step {}: {}", line.step, metrics.line());
//!         }
//!     })
//!     .train()?;
//! println!("{:?}", summary.heldout_accuracy_after);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Rewards, task sources, environments and objectives of one's own are handed to the same builder: see the examples of this
//! crate. The way of one step is [`stages::grpo::Trainer::step`]; `ARCHITECTURE.md` has the map and the order of the layers.
//!
//! # Map
//! - [`config`]: a run as a TOML file
//! - [`run`]: its life: builder, events, controls, checkpoints
//! - [`stages`]: what it does: [`stages::sft`], [`stages::grpo`], [`stages::rejection`],
//!   [`stages::pairs`], [`stages::preference`], [`stages::reward_model`], [`stages::distill`]
//! - [`tasks`], [`rollout`], [`eval`]: problems, judged completions, measurements
//! - [`learner`]: log-probabilities, gradients, the optimiser
//! - [`generation`]: batched decoding with a key-value cache
//! - [`bundle`], [`model`], [`tokenizer`]: a model with its text, the transformer, text and ids
//! - [`compute`]: the arithmetic, on slices of the CPU and on tensors of any device
//! - `watch`: a run seen from outside, in the terminal
//! - [`alarms`], [`analysis`], [`cost`], [`mod@bench`], [`device`], [`glossary`], [`hub`], [`machine`], [`seeds`], [`statistics`]
//!
//! # Features
//! - `flex`, `wgpu`: the CPU and GPUs; both by default
//! - `cli`: the program; `code`, `http`: rewards that run programs, or stand behind a server; `plot`: curves as SVG;
//!   `parquet`: data sets in Parquet files; `watch`: a run in the terminal. All by default
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alarms;
pub mod analysis;
pub mod bench;
pub mod bundle;
pub(crate) mod checks;
pub mod compute;
pub mod config;
pub mod cost;
pub mod device;
pub mod eval;
pub mod formats;
pub mod generation;
pub mod glossary;
pub mod hub;
pub mod learner;
pub mod machine;
pub mod model;
pub(crate) mod parallel;
pub mod rollout;
pub mod run;
pub mod seeds;
pub mod stages;
pub mod statistics;
pub mod tasks;
pub mod tokenizer;
#[cfg(feature = "watch")]
pub mod watch;
