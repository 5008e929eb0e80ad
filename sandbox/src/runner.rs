//! Engine, interpreter and programs of one thread that runs guests, one at a time.

use std::path::Path;

use crate::cache::ModuleCache;
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::limits::Limits;
use crate::private::{cache_dir, digest};
use crate::program::WasmProgram;
use crate::protocol::{Job, Program, Reply, Request};
use crate::python::{Python, install};

/// WebAssembly programs that a runner keeps compiled.
const KEPT_PROGRAMS: usize = 16;

/// Where, below the cache's directory, compiled programs of guests are kept: apart from the interpreter, to which workers may not
/// write.
pub(crate) const PROGRAMS: &str = "programs";

/// What runs guests with one length of stack.
pub(crate) struct Runner {
    stack_bytes: u64,
    engine: Option<Engine>,
    python: Option<Python>,
    programs: Vec<(String, WasmProgram)>,
}

impl Runner {
    pub(crate) fn new(stack_bytes: u64) -> Self {
        Self {
            stack_bytes,
            engine: None,
            python: None,
            programs: Vec::new(),
        }
    }

    /// Does what `request` asks for, unless and until it is cancelled. The host's failures are part of the reply.
    pub(crate) fn answer(&mut self, request: Request, cancel: &Cancel) -> Reply {
        self.handle(request, cancel)
            .unwrap_or_else(|error| Reply::Failed(error.to_string()))
    }

    fn handle(&mut self, request: Request, cancel: &Cancel) -> Result<Reply, SandboxError> {
        let Request { job, limits } = request;
        limits.validate()?;
        self.engine()?.work_for(cancel);
        match job {
            Job::Run(Program::Python(text), stdin) => self
                .python()?
                .run(&text, stdin, &limits)
                .map(Reply::Execution),
            Job::Run(Program::Wasm { name, bytes }, stdin) => self
                .program(&name, &bytes)?
                .run(stdin, &limits)
                .map(Reply::Execution),
            Job::Test(request) => self.python()?.test(&request, &limits).map(Reply::Tests),
        }
    }

    /// Makes ready what the next request will probably need.
    pub(crate) fn prepare(&mut self, limits: &Limits) {
        if let Some(python) = &mut self.python {
            python.prepare(limits);
        }
    }

    fn engine(&mut self) -> Result<Engine, SandboxError> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine = Engine::new(self.stack_bytes)?;
        Ok(self.engine.insert(engine).clone())
    }

    fn python(&mut self) -> Result<&mut Python, SandboxError> {
        if self.python.is_none() {
            // Both were made by `python::prepare`, in the process that sent the request.
            let wasm = install::installed()?;
            let cache = ModuleCache::read_only(&cache_dir()?);
            self.python = Some(Python::load(&self.engine()?, &cache, &wasm)?);
        }
        Ok(self.python.as_mut().expect("just made"))
    }

    fn program(&mut self, name: &str, bytes: &[u8]) -> Result<&WasmProgram, SandboxError> {
        let key = digest(bytes);
        if let Some(at) = self.programs.iter().position(|(kept, _)| *kept == key) {
            return Ok(&self.programs[at].1);
        }
        let cache = ModuleCache::open(&programs_dir(&cache_dir()?))?;
        let program = WasmProgram::load(&self.engine()?, &cache, bytes, name)?;
        if self.programs.len() == KEPT_PROGRAMS {
            self.programs.remove(0);
        }
        self.programs.push((key, program));
        Ok(&self.programs.last().expect("just pushed").1)
    }
}

/// The directory of compiled programs below the cache's.
pub(crate) fn programs_dir(cache: &Path) -> std::path::PathBuf {
    cache.join(PROGRAMS)
}
