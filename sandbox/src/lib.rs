//! Runs code that nobody trusts: programs of a language model, in WebAssembly, with no capability at
//! all.
//!
//! A guest has its input, two outputs, fuel, memory, and nothing else: no file, no network, no
//! variable, no thread, no real clock. The same program on the same input gives the same output and
//! uses the same fuel. `SECURITY.md` in the repository says what is promised and how it is tested.
//!
//! ```no_run
//! use dunwu_sandbox::{Exit, Limits, Program, Sandbox};
//!
//! let sandbox = Sandbox::new(2)?;
//! let run = sandbox.run(&Program::python("print(int(input()) + 1)"), b"41", &Limits::default())?;
//! assert_eq!((run.exit, run.stdout.as_slice()), (Exit::Finished, b"42\n".as_slice()));
//! # Ok::<(), dunwu_sandbox::SandboxError>(())
//! ```
//!
//! # Map
//! - `limits`, `execution`, `error`: what a run may use, how it ended, why it could not be
//! - `sandbox`: [`Sandbox`], programs and tests on all cores
//! - `worker`: the process or thread that runs one at a time
//! - `python`: the interpreter, how it is made, and tests of a solution
//! - `program`: WebAssembly programs of other languages
//! - `guest`, `wasi`: what a guest has and may ask for
//! - `engine`, `cache`: WebAssembly's engine, compiled code on disk
//! - `plugin`: rewards that people bring as components
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod engine;
mod error;
mod execution;
mod guest;
mod limits;
pub mod plugin;
mod program;
pub mod python;
mod sandbox;
mod wasi;
pub mod worker;

pub use cache::{ModuleCache, cache_dir};
pub use engine::Engine;
pub use error::SandboxError;
pub use execution::{Execution, Exit};
pub use limits::{Limits, LimitsError};
pub use program::WasmProgram;
pub use sandbox::{Program, Sandbox};
