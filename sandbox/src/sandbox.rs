//! Programs and tests on all cores.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cancel::Cancel;
use crate::confine::Confinement;
use crate::error::SandboxError;
use crate::execution::Execution;
use crate::limits::Limits;
use crate::protocol::{Job, Program, Reply, Request};
use crate::python::install::Stage;
use crate::python::{self, CaseOutcome, TestRequest};
use crate::supervisor::Worker;

/// How often those who wait for a worker look whether they are still to wait.
const CANCEL_CHECK: Duration = Duration::from_millis(10);

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

    /// What holds the workers back, should a guest ever break out of WebAssembly; nothing if they are threads of this process.
    ///
    /// # Errors
    /// [`SandboxError::WorkerLost`] or [`SandboxError::OtherBuild`] if a worker does not introduce itself.
    pub fn confinement(&self) -> Result<Option<Confinement>, SandboxError> {
        self.hold(&Cancel::new())?.worker().confinement()
    }

    /// Makes the Python runtime and compiles it, if that has not been done on this machine;
    /// `progress` is told of every stage. Call it before Python is first needed: it takes a minute and 40 MB from PyPI, which no
    /// judge with a deadline should meet, so running a program does not do it.
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
        self.run_cancellable(program, stdin, limits, &Cancel::new())
    }

    /// As [`Sandbox::run`], for work that somebody may give up.
    ///
    /// # Errors
    /// As for [`Sandbox::run`], and [`SandboxError::Cancelled`].
    pub fn run_cancellable(
        &self,
        program: &Program,
        stdin: &[u8],
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Execution, SandboxError> {
        match self.ask(Job::Run(program.clone(), stdin.to_vec()), limits, cancel)? {
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
        self.test_cancellable(request, limits, &Cancel::new())
    }

    /// As [`Sandbox::test`], for work that somebody may give up.
    ///
    /// # Errors
    /// As for [`Sandbox::test`], and [`SandboxError::Cancelled`].
    pub fn test_cancellable(
        &self,
        request: &TestRequest,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Vec<CaseOutcome>, SandboxError> {
        match self.ask(Job::Test(request.clone()), limits, cancel)? {
            Reply::Tests(outcomes) => Ok(outcomes),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, job: Job, limits: &Limits, cancel: &Cancel) -> Result<Reply, SandboxError> {
        limits.validate()?;
        let request = Request {
            job,
            limits: *limits,
        };
        if request.uses_python() {
            self.require_python()?;
        }
        let mut held = self.hold(cancel)?;
        cancel.note_start();
        let reply = held.worker().ask(&request, cancel)?;
        match reply {
            Reply::Failed(reason) => Err(SandboxError::Worker { reason }),
            reply => Ok(reply),
        }
    }

    fn require_python(&self) -> Result<(), SandboxError> {
        let mut ready = lock(&self.python_ready);
        if !*ready && !python::is_ready()? {
            return Err(SandboxError::Install {
                reason: "it was not asked for before it is needed; hint: `dunwu sandbox install`, or Sandbox::prepare_python"
                    .to_owned(),
            });
        }
        *ready = true;
        Ok(())
    }

    /// A free worker, waited for if there is none.
    fn hold(&self, cancel: &Cancel) -> Result<Held<'_>, SandboxError> {
        let mut idle = lock(&self.idle);
        loop {
            if cancel.is_cancelled() {
                return Err(SandboxError::Cancelled);
            }
            if let Some(worker) = idle.pop() {
                let worker = Some(worker);
                return Ok(Held {
                    sandbox: self,
                    worker,
                });
            }
            (idle, _) = self
                .freed
                .wait_timeout(idle, CANCEL_CHECK)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A worker that is in use. It goes back when this is dropped, also by a panic: no worker is ever lost to the others.
struct Held<'a> {
    sandbox: &'a Sandbox,
    worker: Option<Worker>,
}

impl Held<'_> {
    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(mut worker) = self.worker.take() else {
            return;
        };
        if std::thread::panicking() {
            // Whatever it was about to say is not for the next one.
            worker.give_up();
        }
        lock(&self.sandbox.idle).push(worker);
        self.sandbox.freed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(reply: &Reply) -> SandboxError {
    SandboxError::protocol(format!("the worker answered another question: {reply:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_loses_no_worker() {
        let sandbox = Sandbox::new(1).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = sandbox.hold(&Cancel::new()).unwrap();
            panic!("as a bug would");
        }));
        assert!(caught.is_err());
        // Without the guard this would wait for ever.
        assert_eq!(sandbox.confinement().unwrap(), None);
        assert_eq!(lock(&sandbox.idle).len(), 1);
    }

    #[test]
    fn who_is_cancelled_waits_no_longer() {
        let sandbox = Sandbox::new(1).unwrap();
        let _held = sandbox.hold(&Cancel::new()).unwrap();
        let cancel = Cancel::new();
        cancel.cancel();
        let limits = Limits::default();
        let program = Program::Wasm {
            name: "x".to_owned(),
            bytes: Vec::new(),
        };
        let result = sandbox.run_cancellable(&program, b"", &limits, &cancel);
        assert!(matches!(result, Err(SandboxError::Cancelled)), "{result:?}");
        assert_eq!(cancel.started(), None);
    }
}
