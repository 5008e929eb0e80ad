//! What drives the public interfaces, in one binary; `rl/tests/program.rs` drives the program.
//!
//! | module | what it holds to |
//! |---|---|
//! | `references` | numbers of transformers |
//! | `objectives` | losses, gradients and advantages by TRL and verl |
//! | `consistency` | the same thing computed two ways |
//! | `experts` | mixtures of experts from sampling to an update |
//! | `turns` | completions of several turns, from the session to a gradient step |
//! | `own_objective` | an objective handed in as a function |
//! | `configs` | every shipped config loads |
//! | `layers` | modules use only what stands below them |
//! | `wgpu` | the same on a wgpu adapter, when DUNWU_TEST_WGPU is set |
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod configs;
mod consistency;
mod experts;
mod families;
mod fixtures;
mod layers;
mod objectives;
mod own_objective;
mod preference;
mod references;
mod turns;
mod wgpu;
