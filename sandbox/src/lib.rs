//! The vocabulary for running code that a model wrote: what a run may use, and how it ended.
//!
//! **There is no engine here yet.** This crate runs nothing; it holds only the types that an engine
//! and those who call it will share, so that rewards can be designed against them.
//!
//! ```
//! use std::time::Duration;
//! use dunwu_sandbox::Limits;
//!
//! let limits = Limits { wall_time: Duration::from_secs(2), ..Limits::default() };
//! assert!(limits.validate().is_ok());
//! ```
//!
//! # Map
//! - `limits`: [`Limits`], what a run may use
//! - `execution`: [`Execution`] and [`Exit`], how a run ended
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod execution;
mod limits;

pub use execution::{Execution, Exit};
pub use limits::{Limits, LimitsError};
