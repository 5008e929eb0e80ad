//! **dunwu**: reinforcement-learning post-training of language models.
//!
//! A GRPO loop samples chain-of-thought completions from a small language model, judges them with
//! verifiable rewards and updates the policy, on any GPU through wgpu or on the plain CPU.
//!
//! The way of one step is [`grpo::Trainer::step`]; `ARCHITECTURE.md` has the map.
//!
//! ```
//! use dunwu::stages::grpo::{ScaleRewards, group_advantages};
//!
//! // Of three answers, one was right and one could not be judged.
//! let rewards = [Some(1.0), Some(0.0), None];
//! let advantages = group_advantages(&rewards, ScaleRewards::Group);
//! assert!(advantages[0].unwrap() > 0.0 && advantages[1].unwrap() < 0.0);
//! assert_eq!(advantages[2], None); // a judge that failed is not a wrong answer
//! ```
//!
//! # Map
//! - [`config`]: a run as a TOML file
//! - [`run`]: its stages, its directory
//! - [`rollout`]: prompts in, judged completions out
//! - [`generation`]: batched decoding with a key-value cache
//! - [`grpo`], [`sft`], [`rejection`]: the stages
//! - [`policy`]: log-probabilities, gradients, the optimiser
//! - [`model`], [`tokenizer`]: transformer, weights, text
//! - [`formats`]: GGUF files
//! - [`compute`]: the arithmetic, on slices of the CPU and on tensors of any device
//! - [`eval`], [`analysis`], [`checkpoint`], [`metrics`], [`device`], [`mod@bench`]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alarms;
pub mod analysis;
pub mod bench;
pub mod bundle;
pub(crate) mod checks;
pub mod compute;
pub mod config;
pub mod device;
pub mod eval;
pub mod formats;
pub mod generation;
pub mod glossary;
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
