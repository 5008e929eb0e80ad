//! Programs and tests on all cores.

use std::sync::{Condvar, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::python::install::Stage;
use crate::python::{self, CaseOutcome, TestRequest};
use crate::worker::{Job, Reply, Request, Worker};
use crate::{Execution, Limits, SandboxError};

/// A program that a sandbox can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// Python source.
    Python(String),
    /// A WebAssembly module or component.
    Wasm {
        /// What errors call it.
        name: String,
        /// Its binary form.
        bytes: Vec<u8>,
    },
}

impl Program {
    /// The Python program `text`.
    pub fn python(text: impl Into<String>) -> Self {
        Self::Python(text.into())
    }
}

/// Workers that run guests, and a queue for those who wait for one. Share it by reference or `Arc`:
/// every call takes a free worker and waits if there is none.
pub struct Sandbox {
    idle: Mutex<Vec<Worker>>,
    freed: Condvar,
    workers: usize,
    python_ready: Mutex<bool>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with this many workers, at least one. See [`crate::worker`] for what they are.
    ///
    /// # Errors
    /// [`SandboxError::Io`] if a process cannot be started.
    pub fn new(workers: usize) -> Result<Self, SandboxError> {
        let workers = workers.max(1);
        let idle = (0..workers)
            .map(|_| Worker::start())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
            freed: Condvar::new(),
            workers,
            python_ready: Mutex::new(false),
        })
    }

    /// A sandbox with a worker for each core.
    ///
    /// # Errors
    /// As for [`Sandbox::new`].
    pub fn for_all_cores() -> Result<Self, SandboxError> {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many guests can run at once.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Makes the Python runtime and compiles it, if that has not been done on this machine;
    /// `progress` is told of every stage. Done by itself, silently, when Python is first needed.
    ///
    /// # Errors
    /// [`SandboxError::Install`] saying what is missing.
    pub fn prepare_python(&self, progress: &mut dyn FnMut(Stage)) -> Result<(), SandboxError> {
        let mut ready = lock(&self.python_ready);
        if !*ready {
            python::prepare(progress)?;
            *ready = true;
        }
        Ok(())
    }

    /// Runs `program` with `stdin` on its standard input.
    ///
    /// # Errors
    /// [`SandboxError`] if the host fails; what the program does is in the [`Execution`].
    pub fn run(
        &self,
        program: &Program,
        stdin: &[u8],
        limits: &Limits,
    ) -> Result<Execution, SandboxError> {
        match self.ask(Job::Run(program.clone(), stdin.to_vec()), limits)? {
            Reply::Execution(execution) => Ok(execution),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs the tests of a Python solution; see [`TestRequest`].
    ///
    /// # Errors
    /// [`SandboxError`] if the host fails; whatever the solution does is in the outcomes.
    pub fn test(
        &self,
        request: &TestRequest,
        limits: &Limits,
    ) -> Result<Vec<CaseOutcome>, SandboxError> {
        match self.ask(Job::Test(request.clone()), limits)? {
            Reply::Tests(outcomes) => Ok(outcomes),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, job: Job, limits: &Limits) -> Result<Reply, SandboxError> {
        limits.validate()?;
        let request = Request {
            job,
            limits: *limits,
        };
        if request.uses_python() {
            self.prepare_python(&mut |_| {})?;
        }
        let mut idle = lock(&self.idle);
        let mut worker = loop {
            match idle.pop() {
                Some(worker) => break worker,
                None => {
                    idle = self
                        .freed
                        .wait(idle)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(idle);
        let reply = worker.ask(&request);
        lock(&self.idle).push(worker);
        self.freed.notify_one();
        match reply? {
            Reply::Failed(reason) => Err(SandboxError::Worker { reason }),
            reply => Ok(reply),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(reply: &Reply) -> SandboxError {
    SandboxError::protocol(format!("the worker answered another question: {reply:?}"))
}
