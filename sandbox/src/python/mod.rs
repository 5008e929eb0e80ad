//! Python programs: a CPython that was started once, at build time, and whose memory is copied on
//! write into every instance.
//!
//! - `runtime/`: the harness that runs inside, what makes its snapshot cheap, its WIT world, and the script that makes the component
//! - [`install`]: makes and keeps the component
//! - `instance`: one interpreter, and `partner`: the solution's while a test runs, which may call back
//! - `testing`: a solution in one instance, its tests in another

pub mod install;
mod instance;
mod testing;

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use wasmtime::component::{InstancePre, Linker};

use crate::cache::{Compiled, ModuleCache};
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::execution::{Execution, Exit};
use crate::guest::Guest;
use crate::limits::Limits;
use crate::private::cache_dir;
use crate::wasi::preview2;

use instance::{Interpreter, Side};
pub use testing::{Case, CaseOutcome, TestRequest, Verdict};

/// Fuel that is worth a second of CPython where nothing was measured: what programs of the kind that models write use of it here, in the
/// time that CPython needs for them on the machine of `sandbox/results`. Where it was, [`crate::fuel_of_a_second`] says what.
pub const FUEL_OF_A_SECOND: u64 = 10_000_000_000;

/// What runs Python programs: the compiled interpreter, ready to be instantiated.
pub struct Python {
    engine: Engine,
    prepared: InstancePre<Guest<Side>>,
    /// An instance made ahead of the next request, and the limits that it was made with.
    spare: Option<(Limits, Interpreter)>,
}

impl std::fmt::Debug for Python {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Python").finish_non_exhaustive()
    }
}

/// What the harness says of a program that it ran.
#[derive(Debug, Deserialize)]
struct Ended {
    end: End,
    #[serde(default)]
    code: i32,
    #[serde(default)]
    exception: String,
    /// Why this Python cannot do what the program needs, where that is so.
    #[serde(default)]
    cannot: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Finished,
    Exited,
    Uncaught,
}

impl Ended {
    fn into_exit(self, memory_refused: bool) -> Exit {
        match self.end {
            End::Finished => Exit::Finished,
            End::Exited => Exit::Exited(self.code),
            End::Uncaught if self.exception == "MemoryError" && memory_refused => Exit::OutOfMemory,
            End::Uncaught => Exit::Uncaught(self.exception),
        }
    }
}

/// Makes the Python runtime and compiles it, if that has not been done on this machine, so that
/// every process finds both on disk. `progress` is told of every stage.
///
/// # Errors
/// [`SandboxError::Install`] saying what is missing.
pub fn prepare(progress: &mut dyn FnMut(install::Stage)) -> Result<(), SandboxError> {
    let wasm = install::component(progress)?;
    let engine = Engine::new(Limits::default().stack_bytes)?;
    let cache = ModuleCache::open(&cache_dir()?)?;
    if !cache.holds(&engine, &wasm) {
        progress(install::Stage::Compile);
        Python::load(&engine, &cache, &wasm)?;
    }
    PREPARED.store(true, Ordering::Release);
    Ok(())
}

/// Whether [`prepare`] did its work in this process.
static PREPARED: AtomicBool = AtomicBool::new(false);

/// Whether [`prepare`] has nothing left to do.
///
/// # Errors
/// [`SandboxError::CacheNotPrivate`] if others may change what there is.
pub fn is_ready() -> Result<bool, SandboxError> {
    if PREPARED.load(Ordering::Acquire) {
        return Ok(true);
    }
    let Some(wasm) = install::read_component(&install::component_path()?)? else {
        return Ok(false);
    };
    let engine = Engine::new(Limits::default().stack_bytes)?;
    Ok(ModuleCache::open(&cache_dir()?)?.holds(&engine, &wasm))
}

impl Python {
    /// The interpreter whose component is `wasm`, as [`install::component`] makes it.
    ///
    /// # Errors
    /// [`SandboxError`] if it cannot be compiled or asks for what the sandbox does not offer.
    pub fn load(engine: &Engine, cache: &ModuleCache, wasm: &[u8]) -> Result<Self, SandboxError> {
        const NAME: &str = "the Python runtime";
        let Compiled::Component(component) = cache.load(engine, wasm, NAME)? else {
            return Err(SandboxError::InvalidModule {
                name: NAME.to_owned(),
                reason: "it is a module, not a component".to_owned(),
            });
        };
        let mut linker = Linker::new(engine.wasmtime());
        let mut link =
            || -> wasmtime::Result<()> { linker.root().func_wrap("call-out", instance::call_out) };
        link().map_err(|error| SandboxError::engine(&error))?;
        preview2::define(&mut linker, engine, &component, NAME, &["call-out"])?;
        let prepared = linker
            .instantiate_pre(&component)
            .map_err(|error| SandboxError::engine(&error))?;
        Ok(Self {
            engine: engine.clone(),
            prepared,
            spare: None,
        })
    }

    /// Runs `program` as a script with `stdin` on its standard input.
    ///
    /// # Errors
    /// [`SandboxError`] if the host fails; what the program does is in the [`Execution`].
    pub fn run(
        &mut self,
        program: &str,
        stdin: Vec<u8>,
        limits: &Limits,
    ) -> Result<Execution, SandboxError> {
        limits.validate()?;
        let mut interpreter = self.interpreter(limits)?;
        interpreter.give_stdin(stdin);
        let request = serde_json::json!({ "op": "run", "program": program });
        let exit = match interpreter.ask(&request) {
            Ok(reply) => ended(&reply, &interpreter),
            Err(exit) => exit,
        };
        Ok(interpreter.into_execution(exit))
    }

    /// Makes an instance for the next request, so that it need not wait for it.
    pub fn prepare(&mut self, limits: &Limits) {
        if self.spare.is_none() {
            // What goes wrong here goes wrong again, and is told, when it is needed.
            self.spare = self
                .instantiate(limits)
                .ok()
                .map(|interpreter| (*limits, interpreter));
        }
    }

    fn interpreter(&mut self, limits: &Limits) -> Result<Interpreter, SandboxError> {
        match self.spare.take() {
            Some((made_with, mut interpreter)) if made_with == *limits => {
                interpreter.restart_clock(limits)?;
                Ok(interpreter)
            }
            _ => self.instantiate(limits),
        }
    }

    fn instantiate(&self, limits: &Limits) -> Result<Interpreter, SandboxError> {
        Interpreter::new(&self.engine, &self.prepared, limits)
    }
}

/// Why this Python could not run a program that did not end well, if it says so.
fn cannot(reply: &[u8]) -> Option<String> {
    serde_json::from_slice::<Ended>(reply).ok()?.cannot
}

/// What the harness says about the end of a program. The program shares the interpreter with it, so
/// this is a claim; one that makes no sense is a trap.
fn ended(reply: &[u8], interpreter: &Interpreter) -> Exit {
    match serde_json::from_slice::<Ended>(reply) {
        Ok(ended) => ended.into_exit(interpreter.memory_was_refused()),
        Err(error) => Exit::Trapped(format!("the program broke its harness: {error}")),
    }
}
