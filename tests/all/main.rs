//! Everything that drives public interfaces and the program itself, in one binary.
//!
//! | module | what it holds to |
//! |---|---|
//! | `references` | numbers of transformers and TRL |
//! | `consistency` | the same thing computed two ways |
//! | `program` | the command line: what it does, and what it says of bad input |
//! | `configs` | every shipped config loads |
//! | `wgpu` | the same on a wgpu adapter, when DUNWU_TEST_WGPU is set |
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod configs;
mod consistency;
mod fixtures;
mod program;
mod references;
mod wgpu;
