//! What runs one guest at a time: a process of its own, or a thread.
//!
//! Threads of one process share its address space, and every run maps and unmaps memory: two threads
//! are no faster than one. A process for each core is; it also contains a crash of the engine. A
//! program becomes able to start its own workers by calling [`serve_if_asked`] first thing in `main`;
//! where it does not (as in unit tests), threads are used.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::digest;
use crate::engine::thread_stack_bytes;
use crate::python::{CaseOutcome, Python, TestRequest, install};
use crate::sandbox::Program;
use crate::{Engine, Execution, Limits, ModuleCache, SandboxError, WasmProgram, cache_dir};

/// The argument that turns a program into a worker.
const ARGUMENT: &str = "__dunwu-sandbox-worker";

/// A message longer than this is no message.
const MESSAGE_BYTES: usize = 1 << 30;

/// WebAssembly programs that a worker keeps compiled.
const KEPT_PROGRAMS: usize = 16;

/// Requests after which a worker process is replaced by a new one, which takes some 100 ms: what the engine, the
/// allocator and hostile guests leave behind does not add up over a long run.
pub const REQUESTS_OF_A_WORKER: u32 = 5_000;

/// What is asked of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) job: Job,
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Run(Program, Vec<u8>),
    Test(TestRequest),
}

impl Request {
    /// Time after which the worker itself must be broken. The guest's own deadline comes first.
    fn patience(&self) -> Duration {
        let guests = match &self.job {
            Job::Run(..) => 1,
            Job::Test(request) => 2 * request.cases.len().max(1) as u32,
        };
        // A worker that just started has the interpreter's code to load first.
        self.limits.wall_time.saturating_mul(guests) + Duration::from_secs(60)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Execution(Execution),
    Tests(Vec<CaseOutcome>),
    /// The host's failure, in words.
    Failed(String),
}

/// The program that workers run, once it is known that it serves.
static SERVING_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

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
                eprintln!("sandbox worker: {error}");
                1
            }
        });
    }
    if let Ok(program) = std::env::current_exe() {
        let _ = SERVING_PROGRAM.set(program);
    }
}

/// Names another program that calls [`serve_if_asked`] to be started as workers, for those who
/// cannot call it themselves. Has no effect after the first call of either.
pub fn serve_with(program: PathBuf) {
    let _ = SERVING_PROGRAM.set(program);
}

/// Serves on a thread whose stack is long enough for every guest: each request costs two switches of
/// threads less than if it were handed on.
fn serve() -> Result<(), SandboxError> {
    let lost = |reason: String| SandboxError::WorkerLost { reason };
    std::thread::Builder::new()
        .name("sandbox".to_owned())
        .stack_size(thread_stack_bytes(Limits::LARGEST_STACK_BYTES))
        .spawn(serve_here)
        .map_err(|error| lost(format!("a thread does not start: {error}")))?
        .join()
        .map_err(|_| lost("its thread panicked".to_owned()))?
}

fn serve_here() -> Result<(), SandboxError> {
    let mut stdin = std::io::stdin().lock();
    let mut stdout = std::io::stdout().lock();
    let broken = |error: std::io::Error| SandboxError::protocol(error.to_string());
    let mut runners: HashMap<u64, Runner> = HashMap::new();
    while let Some(message) = receive(&mut stdin).map_err(broken)? {
        let request: Request = postcard::from_bytes(&message)
            .map_err(|error| SandboxError::protocol(error.to_string()))?;
        let (limits, python) = (request.limits, request.uses_python());
        let runner = runners
            .entry(limits.stack_bytes)
            .or_insert_with(|| Runner::new(limits.stack_bytes));
        let reply = match runner.handle(request) {
            Ok(reply) => reply,
            Err(error) => Reply::Failed(error.to_string()),
        };
        let message = postcard::to_stdvec(&reply)
            .map_err(|error| SandboxError::protocol(error.to_string()))?;
        send(&mut stdout, &message).map_err(broken)?;
        if python {
            runner.prepare(&limits);
        }
    }
    Ok(())
}

fn send(to: &mut impl Write, message: &[u8]) -> std::io::Result<()> {
    to.write_all(&(message.len() as u64).to_le_bytes())?;
    to.write_all(message)?;
    to.flush()
}

/// The next message; nothing at the end of the stream.
fn receive(from: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES {
        return Err(std::io::Error::other("a message of more than 1 GiB"));
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

/// A thread with a long enough stack, and what runs guests on it.
pub(crate) struct Station {
    requests: Sender<Request>,
    replies: Receiver<Result<Reply, SandboxError>>,
}

impl Station {
    fn start(stack_bytes: u64) -> Result<Self, SandboxError> {
        let (requests, inbox) = channel::<Request>();
        let (outbox, replies) = channel();
        std::thread::Builder::new()
            .name("sandbox".to_owned())
            .stack_size(thread_stack_bytes(stack_bytes))
            .spawn(move || {
                let mut runner = Runner::new(stack_bytes);
                for request in inbox {
                    let limits = request.limits;
                    let python = request.uses_python();
                    let reply = runner.handle(request);
                    if outbox.send(reply).is_err() {
                        return;
                    }
                    if python {
                        runner.prepare(&limits);
                    }
                }
            })
            .map_err(|error| SandboxError::WorkerLost {
                reason: format!("a thread does not start: {error}"),
            })?;
        Ok(Self { requests, replies })
    }

    /// The reply to `request`; failures of the host are part of it.
    fn ask(&mut self, request: Request) -> Result<Reply, SandboxError> {
        let lost = || SandboxError::WorkerLost {
            reason: "its thread ended".to_owned(),
        };
        self.requests.send(request).map_err(|_| lost())?;
        Ok(match self.replies.recv().map_err(|_| lost())? {
            Ok(reply) => reply,
            Err(error) => Reply::Failed(error.to_string()),
        })
    }
}

/// The station for guests with this much stack, started if there is none.
fn station(
    stations: &mut HashMap<u64, Station>,
    stack_bytes: u64,
) -> Result<&mut Station, SandboxError> {
    Ok(match stations.entry(stack_bytes) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Station::start(stack_bytes)?),
    })
}

impl Request {
    pub(crate) fn uses_python(&self) -> bool {
        match &self.job {
            Job::Run(program, _) => matches!(program, Program::Python(_)),
            Job::Test(_) => true,
        }
    }
}

/// Engine, interpreter and programs of one thread.
struct Runner {
    stack_bytes: u64,
    parts: Option<(Engine, ModuleCache)>,
    python: Option<Python>,
    programs: Vec<(String, WasmProgram)>,
}

impl Runner {
    fn new(stack_bytes: u64) -> Self {
        Self {
            stack_bytes,
            parts: None,
            python: None,
            programs: Vec::new(),
        }
    }

    fn handle(&mut self, request: Request) -> Result<Reply, SandboxError> {
        let Request { job, limits } = request;
        limits.validate()?;
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

    fn prepare(&mut self, limits: &Limits) {
        if let Some(python) = &mut self.python {
            python.prepare(limits);
        }
    }

    fn parts(&mut self) -> Result<(Engine, ModuleCache), SandboxError> {
        if let Some(parts) = &self.parts {
            return Ok(parts.clone());
        }
        let parts = (
            Engine::new(self.stack_bytes)?,
            ModuleCache::open(&cache_dir()?)?,
        );
        Ok(self.parts.insert(parts).clone())
    }

    fn python(&mut self) -> Result<&mut Python, SandboxError> {
        if self.python.is_none() {
            let (engine, cache) = self.parts()?;
            let wasm = install::component(&mut |_| {})?;
            self.python = Some(Python::load(&engine, &cache, &wasm)?);
        }
        Ok(self.python.as_mut().expect("just made"))
    }

    fn program(&mut self, name: &str, bytes: &[u8]) -> Result<&WasmProgram, SandboxError> {
        let key = digest(bytes);
        if let Some(at) = self.programs.iter().position(|(kept, _)| *kept == key) {
            return Ok(&self.programs[at].1);
        }
        let (engine, cache) = self.parts()?;
        let program = WasmProgram::load(&engine, &cache, bytes, name)?;
        if self.programs.len() == KEPT_PROGRAMS {
            self.programs.remove(0);
        }
        self.programs.push((key, program));
        Ok(&self.programs.last().expect("just pushed").1)
    }
}

/// A worker, as those who give it work see it.
pub(crate) enum Worker {
    Thread(HashMap<u64, Station>),
    Process(Process),
}

impl Worker {
    pub(crate) fn start() -> Result<Self, SandboxError> {
        match SERVING_PROGRAM.get() {
            Some(program) => Process::start(program.clone()).map(Self::Process),
            None => Ok(Self::Thread(HashMap::new())),
        }
    }

    /// The reply to `request`. A process that is lost over it is replaced, and asked once more.
    ///
    /// # Errors
    /// [`SandboxError::WorkerLost`] if that is lost too.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, SandboxError> {
        match self {
            Self::Thread(stations) => {
                let station = station(stations, request.limits.stack_bytes)?;
                station.ask(request.clone())
            }
            Self::Process(process) => match process.ask(request) {
                Ok(reply) => {
                    if process.answered == REQUESTS_OF_A_WORKER {
                        // Where no other can be started, this one goes on.
                        match Process::start(process.program.clone()) {
                            Ok(fresh) => *process = fresh,
                            Err(_) => process.answered = 0,
                        }
                    }
                    Ok(reply)
                }
                Err(_) => {
                    *process = Process::start(process.program.clone())?;
                    process.ask(request)
                }
            },
        }
    }
}

/// A worker process and the pipes to it.
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    stdin: ChildStdin,
    replies: Receiver<Vec<u8>>,
    /// Requests that it has answered.
    answered: u32,
}

impl Process {
    fn start(program: PathBuf) -> Result<Self, SandboxError> {
        let mut child = Command::new(&program)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(SandboxError::io(&program))?;
        let stdin = child.stdin.take().expect("piped above");
        let mut stdout = child.stdout.take().expect("piped above");
        let (outbox, replies) = channel();
        std::thread::spawn(move || {
            while let Ok(Some(message)) = receive(&mut stdout) {
                if outbox.send(message).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            program,
            child,
            stdin,
            replies,
            answered: 0,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, SandboxError> {
        let lost = |reason: &str| SandboxError::WorkerLost {
            reason: reason.to_owned(),
        };
        let message = postcard::to_stdvec(request)
            .map_err(|error| SandboxError::protocol(error.to_string()))?;
        send(&mut self.stdin, &message).map_err(|error| lost(&error.to_string()))?;
        let patience = request.patience();
        match self.replies.recv_timeout(patience) {
            Ok(reply) => {
                self.answered += 1;
                postcard::from_bytes(&reply)
                    .map_err(|error| SandboxError::protocol(error.to_string()))
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(lost(&format!("no answer in {} s", patience.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(lost("it ended")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
