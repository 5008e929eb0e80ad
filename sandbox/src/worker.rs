//! The worker's side: a process that runs the guests that it is sent, one at a time.
//!
//! Threads of one process share its address space, and every run maps and unmaps memory: two threads
//! are no faster than one. A process for each core is; it also contains a crash of the engine. A
//! program becomes able to start its own workers by calling [`serve_if_asked`] first thing in `main`;
//! where it does not (as in unit tests), threads are used.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::confine::{Confinement, confine};
use crate::engine::thread_stack_bytes;
use crate::error::SandboxError;
use crate::limits::Limits;
use crate::private::cache_dir;
use crate::protocol::{HELLO, Hello, Request, build, receive, send};
use crate::runner::{Runner, programs_dir};

/// Requests after which a worker process is replaced by a new one, which takes some 100 ms: what the engine, the
/// allocator and hostile guests leave behind does not add up over a long run.
pub const REQUESTS_OF_A_WORKER: u32 = 5_000;

/// The argument that turns a program into a worker.
pub(crate) const ARGUMENT: &str = "__dunwu-sandbox-worker";

/// Lengths of stack for which a worker keeps an engine: each reserves 17 GB of address space.
const KEPT_RUNNERS: usize = 2;

/// How often a worker looks whether the process that started it still lives.
const ORPHAN_CHECK: Duration = Duration::from_millis(500);

/// The program that workers run.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    /// Its file.
    pub(crate) program: PathBuf,
    /// Whether that is the program which runs now.
    pub(crate) is_this_one: bool,
}

static SERVING: OnceLock<Serving> = OnceLock::new();

/// The program that workers run; nothing as long as none is known to serve.
pub(crate) fn serving() -> Option<&'static Serving> {
    SERVING.get()
}

/// Turns this process into a worker if it was started as one, and does not return then. Otherwise
/// notes that this program can be started as one.
///
/// Call it first thing in `main`, before threads are started and arguments parsed.
pub fn serve_if_asked() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == ARGUMENT)
    {
        std::process::exit(match serve() {
            Ok(()) => 0,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "sandbox worker: {error}");
                1
            }
        });
    }
    if let Ok(program) = std::env::current_exe() {
        let is_this_one = true;
        let _ = SERVING.set(Serving {
            program,
            is_this_one,
        });
    }
}

/// Names another program that calls [`serve_if_asked`] to be started as workers, for those who
/// cannot call it themselves. Has no effect after the first call of either.
pub fn serve_with(program: PathBuf) {
    let is_this_one = false;
    let _ = SERVING.set(Serving {
        program,
        is_this_one,
    });
}

/// Serves on a thread whose stack is long enough for every guest: each request costs two switches of
/// threads less than if it were handed on.
fn serve() -> Result<(), SandboxError> {
    let lost = |reason: String| SandboxError::WorkerLost { reason };
    let confinement = confine_worker();
    end_with_parent();
    std::thread::Builder::new()
        .name("sandbox".to_owned())
        .stack_size(thread_stack_bytes(Limits::LARGEST_STACK_BYTES))
        .spawn(move || serve_here(confinement))
        .map_err(|error| lost(format!("a thread does not start: {error}")))?
        .join()
        .map_err(|_| lost("its thread panicked".to_owned()))?
}

/// Leaves this process the cache, and writing only of compiled programs.
fn confine_worker() -> Confinement {
    match cache_dir() {
        Ok(cache) => confine(&[Path::new(&cache)], &[&programs_dir(&cache)]),
        Err(_) => confine(&[], &[]),
    }
}

/// Ends this process soon after the one that started it, however that ended: a guest that still runs then runs for nobody.
fn end_with_parent() {
    #[cfg(unix)]
    {
        let parent = nix::unistd::getppid();
        let watch = move || {
            while nix::unistd::getppid() == parent {
                std::thread::sleep(ORPHAN_CHECK);
            }
            std::process::exit(1);
        };
        let _ = std::thread::Builder::new()
            .name("sandbox-parent".to_owned())
            .spawn(watch);
    }
    #[cfg(not(unix))]
    let _ = ORPHAN_CHECK;
}

fn serve_here(confinement: Confinement) -> Result<(), SandboxError> {
    let mut stdin = std::io::stdin().lock();
    let mut stdout = std::io::stdout().lock();
    let hello = Hello {
        build: build(),
        confinement,
    };
    send(&mut stdout, HELLO, &hello)?;
    let mut runners: Vec<(u64, Runner)> = Vec::new();
    // A worker is cancelled by being killed.
    let never = Cancel::new();
    while let Some(frame) = receive(&mut stdin)? {
        let request: Request = frame.decode()?;
        let (limits, python) = (request.limits, request.uses_python());
        let runner = runner_for(&mut runners, limits.stack_bytes);
        let reply = runner.answer(request, &never);
        send(&mut stdout, frame.number, &reply)?;
        if python {
            runner.prepare(&limits);
        }
    }
    Ok(())
}

/// The runner of guests with this much stack, made if there is none. The one that was used longest ago makes room.
fn runner_for(runners: &mut Vec<(u64, Runner)>, stack_bytes: u64) -> &mut Runner {
    let kept = runners.iter().position(|(bytes, _)| *bytes == stack_bytes);
    let runner = match kept {
        Some(at) => runners.remove(at),
        None => {
            if runners.len() == KEPT_RUNNERS {
                runners.remove(0);
            }
            (stack_bytes, Runner::new(stack_bytes))
        }
    };
    runners.push(runner);
    &mut runners.last_mut().expect("just pushed").1
}
