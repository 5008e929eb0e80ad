//! Distillation: the policy, here the student, is drawn towards a teacher's distribution of the next token.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | [`DistillConfig`] |
//! | [`agreement`] | whether two models mean the same by the same ids |
//! | [`teacher`] | who teaches: another model, an earlier self, a server |
//! | [`server`] | a server with log-probabilities of a prompt |
//! | [`stored`] | a teacher's likeliest tokens, kept in a file |
//! | [`loss`] | the step: the divergence of each token, or the sampled token's advantage |
//! | [`metrics`] | its figures |
//!
//! On policy the student samples completions of the run's tasks, and the teacher is asked what it thinks of each of their
//! tokens; off policy both read given examples. The loss of a step is the mean over its tokens of the divergence.
//! `rl/docs/distillation.md` has equations, settings, and what other programs do.

pub mod agreement;
pub mod config;
pub mod loss;
pub mod metrics;
pub mod server;
mod stage;
pub mod stored;
pub mod teacher;

pub use config::{DistillConfig, DistillLoss, ServerConfig, TeacherConfig};
pub use loss::{Known, Lesson, Taught};
pub use metrics::DistillMetrics;
