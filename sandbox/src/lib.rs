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
//! sandbox.prepare_python(&mut |stage| eprintln!("{stage}"))?;
//! let run = sandbox.run(&Program::python("print(int(input()) + 1)"), b"41", &Limits::default())?;
//! assert_eq!((run.exit, run.stdout.as_slice()), (Exit::Finished, b"42\n".as_slice()));
//! # Ok::<(), dunwu_sandbox::SandboxError>(())
//! ```
//!
//! # Map
//! From the bottom up; a module uses those above it in this list, never those below:
//! - `limits`, `error`, `execution`, `cancel`: what a run may use, why it could not be, how it ended, how it is given up
//! - `private`: directories and files that nobody else may write to
//! - `engine`, `cache`: WebAssembly's engine, compiled code on disk
//! - `guest`, `wasi`: what a guest has and may ask for
//! - `program`: WebAssembly programs of other languages; `plugin`: rewards that people bring as components; `python`: the
//!   interpreter, how it is made, and tests of a solution
//! - `confine`: what a worker gives up; `protocol`: what it is asked and what it answers
//! - `runner`: engine, interpreter and programs of one thread
//! - `worker`, `supervisor`: workers from inside, and as seen by who asks them
//! - `sandbox`: [`Sandbox`], programs and tests on all cores
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod calibrate;
mod cancel;
pub mod confine;
mod engine;
mod error;
mod execution;
mod guest;
mod limits;
pub mod plugin;
mod private;
mod program;
mod protocol;
pub mod python;
mod runner;
mod sandbox;
mod supervisor;
mod wasi;
pub mod worker;

pub use cache::ModuleCache;
pub use calibrate::{Calibration, calibrate, fuel_of_a_second, prepare};
pub use cancel::Cancel;
pub use engine::Engine;
pub use error::SandboxError;
pub use execution::{Execution, Exit};
pub use limits::{Limits, LimitsError};
pub use private::cache_dir;
pub use program::WasmProgram;
pub use protocol::Program;
#[doc(hidden)]
pub use protocol::fuzz_messages;
pub use sandbox::Sandbox;
