//! The caller's side: workers are started, asked, given up and replaced here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::confine::{Confinement, VARIABLES};
use crate::engine::thread_stack_bytes;
use crate::error::SandboxError;
use crate::private::{cache_dir, private_dir};
use crate::protocol::{Frame, HELLO, Hello, Reply, Request, build, receive, send};
use crate::runner::{Runner, programs_dir};
use crate::worker::{ARGUMENT, REQUESTS_OF_A_WORKER, Serving, serving};

/// Time that a process has to introduce itself.
const HELLO_PATIENCE: Duration = Duration::from_secs(60);

/// How often those who wait look whether they are still to wait.
const CANCEL_CHECK: Duration = Duration::from_millis(10);

/// A worker, as those who give it work see it. One that failed in whatever way is not asked again: another takes its place.
pub(crate) enum Worker {
    Threads(HashMap<u64, Station>),
    Process(Option<Process>),
}

impl Worker {
    pub(crate) fn start() -> Result<Self, SandboxError> {
        match serving() {
            Some(serving) => Process::start(serving).map(|process| Self::Process(Some(process))),
            None => Ok(Self::Threads(HashMap::new())),
        }
    }

    /// Kills what still runs there. The next request meets a new one.
    pub(crate) fn give_up(&mut self) {
        match self {
            Self::Threads(stations) => stations.clear(),
            Self::Process(process) => *process = None,
        }
    }

    /// The reply to `request`. A worker that is lost over it is replaced, and asked once more.
    ///
    /// # Errors
    /// [`SandboxError::WorkerLost`] if that is lost too, [`SandboxError::Cancelled`], [`SandboxError::OtherBuild`].
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        cancel: &Cancel,
    ) -> Result<Reply, SandboxError> {
        let first = self.ask_once(request, cancel);
        let result = match first {
            Err(SandboxError::WorkerLost { .. } | SandboxError::Protocol { .. }) => {
                self.give_up();
                self.ask_once(request, cancel)
            }
            other => other,
        };
        if result.is_err() {
            self.give_up();
        }
        result
    }

    fn ask_once(&mut self, request: &Request, cancel: &Cancel) -> Result<Reply, SandboxError> {
        match self {
            Self::Threads(stations) => {
                station(stations, request.limits.stack_bytes)?.ask(request.clone(), cancel)
            }
            Self::Process(slot) => {
                let process = match slot {
                    Some(process) => process,
                    None => {
                        let serving = serving().ok_or_else(|| lost("no program serves"))?;
                        slot.insert(Process::start(serving)?)
                    }
                };
                let reply = process.ask(request, cancel)?;
                if process.answered == REQUESTS_OF_A_WORKER {
                    // Where no other can be started, this one goes on.
                    match serving().map(Process::start) {
                        Some(Ok(fresh)) => *slot = Some(fresh),
                        _ => process.answered = 0,
                    }
                }
                Ok(reply)
            }
        }
    }

    /// What holds the worker back; nothing for threads, which share everything with their process.
    ///
    /// # Errors
    /// As for [`Worker::ask`].
    pub(crate) fn confinement(&mut self) -> Result<Option<Confinement>, SandboxError> {
        match self {
            Self::Threads(_) => Ok(None),
            Self::Process(slot) => {
                let process = match slot {
                    Some(process) => process,
                    None => {
                        let serving = serving().ok_or_else(|| lost("no program serves"))?;
                        slot.insert(Process::start(serving)?)
                    }
                };
                process.hello(&Cancel::new()).map(Some)
            }
        }
    }
}

fn lost(reason: impl Into<String>) -> SandboxError {
    SandboxError::WorkerLost {
        reason: reason.into(),
    }
}

/// What comes next through `channel`, unless it takes longer than `patience` or is cancelled.
fn wait<T>(channel: &Receiver<T>, patience: Duration, cancel: &Cancel) -> Result<T, SandboxError> {
    let start = Instant::now();
    loop {
        if cancel.is_cancelled() {
            return Err(SandboxError::Cancelled);
        }
        match channel.recv_timeout(CANCEL_CHECK) {
            // A guest that was interrupted for it answers too.
            Ok(_) if cancel.is_cancelled() => return Err(SandboxError::Cancelled),
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) if start.elapsed() < patience => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(lost(format!("no answer in {} s", patience.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(lost("it ended")),
        }
    }
}

/// A request on its way to a thread, and where its reply goes.
type Errand = (Request, Cancel, Sender<Reply>);

/// A thread with a long enough stack, and what runs guests on it. Each errand has a channel of its own for its reply: one that comes
/// late meets nobody.
pub(crate) struct Station {
    errands: Sender<Errand>,
}

impl Station {
    fn start(stack_bytes: u64) -> Result<Self, SandboxError> {
        let (errands, inbox) = channel::<Errand>();
        std::thread::Builder::new()
            .name("sandbox".to_owned())
            .stack_size(thread_stack_bytes(stack_bytes))
            .spawn(move || {
                let mut runner = Runner::new(stack_bytes);
                for (request, cancel, reply) in inbox {
                    let (limits, python) = (request.limits, request.uses_python());
                    let _ = reply.send(runner.answer(request, &cancel));
                    if python {
                        runner.prepare(&limits);
                    }
                }
            })
            .map_err(|error| lost(format!("a thread does not start: {error}")))?;
        Ok(Self { errands })
    }

    fn ask(&mut self, request: Request, cancel: &Cancel) -> Result<Reply, SandboxError> {
        let (reply, replies) = channel();
        let patience = request.patience();
        self.errands
            .send((request, cancel.clone(), reply))
            .map_err(|_| lost("its thread ended"))?;
        wait(&replies, patience, cancel)
    }
}

/// The station for guests with this much stack, started if there is none.
fn station(
    stations: &mut HashMap<u64, Station>,
    stack_bytes: u64,
) -> Result<&mut Station, SandboxError> {
    use std::collections::hash_map::Entry;
    Ok(match stations.entry(stack_bytes) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Station::start(stack_bytes)?),
    })
}

/// A worker process and the pipes to it. It is killed when this is dropped.
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    stdin: ChildStdin,
    frames: Receiver<Frame>,
    /// What it said of itself, once it has.
    confinement: Option<Confinement>,
    /// The number of the last request.
    asked: u64,
    /// Requests that it has answered.
    answered: u32,
}

impl Process {
    fn start(serving: &Serving) -> Result<Self, SandboxError> {
        let mut child = command(serving)
            .spawn()
            .map_err(SandboxError::io(&serving.program))?;
        let stdin = child.stdin.take().expect("piped above");
        let mut stdout = child.stdout.take().expect("piped above");
        let (outbox, frames) = channel();
        std::thread::spawn(move || {
            while let Ok(Some(frame)) = receive(&mut stdout) {
                if outbox.send(frame).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            program: serving.program.clone(),
            child,
            stdin,
            frames,
            confinement: None,
            asked: HELLO,
            answered: 0,
        })
    }

    /// What the process said of itself before anything else.
    fn hello(&mut self, cancel: &Cancel) -> Result<Confinement, SandboxError> {
        if let Some(confinement) = self.confinement {
            return Ok(confinement);
        }
        let frame = wait(&self.frames, HELLO_PATIENCE, cancel)?;
        let other = || SandboxError::OtherBuild {
            program: self.program.clone(),
        };
        // A program that introduces itself otherwise is another build too.
        let hello: Hello = frame.decode().map_err(|_| other())?;
        if frame.number != HELLO || hello.build != build() {
            return Err(other());
        }
        Ok(*self.confinement.insert(hello.confinement))
    }

    fn ask(&mut self, request: &Request, cancel: &Cancel) -> Result<Reply, SandboxError> {
        self.hello(cancel)?;
        self.asked += 1;
        send(&mut self.stdin, self.asked, request)?;
        let frame = wait(&self.frames, request.patience(), cancel)?;
        if frame.number != self.asked {
            let (found, asked) = (frame.number, self.asked);
            return Err(SandboxError::protocol(format!(
                "an answer to request {found} where {asked} was asked"
            )));
        }
        self.answered += 1;
        frame.decode()
    }
}

/// How a worker is started: with as much of the environment as it needs.
fn command(serving: &Serving) -> Command {
    let mut command = Command::new(&serving.program);
    #[cfg(target_os = "linux")]
    if serving.is_this_one {
        // The program that runs, also where another was built in its place since.
        let this = std::path::Path::new("/proc/self/exe");
        if this.exists() {
            command = Command::new(this);
            std::os::unix::process::CommandExt::arg0(&mut command, &serving.program);
        }
    }
    // Ctrl-C is for the program: it decides what becomes of its workers.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for name in VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Ok(cache) = cache_dir() {
        // What the worker may write to has to be there before it is confined. Where it cannot be made, the worker will say so when it
        // needs it.
        let _ = private_dir(&programs_dir(&cache));
        let absolute = std::path::absolute(&cache).unwrap_or(cache);
        command.env("DUNWU_CACHE_DIR", absolute);
    }
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Exit;
    use crate::limits::Limits;
    use crate::protocol::{Job, Program};

    fn endless() -> Request {
        let wasm = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))"#;
        Request {
            job: Job::Run(
                Program::Wasm {
                    name: "endless".to_owned(),
                    bytes: wat::parse_str(wasm).unwrap(),
                },
                Vec::new(),
            ),
            limits: Limits {
                fuel: u64::MAX / 4,
                wall_time: Duration::from_secs(600),
                ..Limits::default()
            },
        }
    }

    #[test]
    fn a_guest_on_a_thread_is_stopped_when_its_work_is_cancelled() {
        let mut station = Station::start(Limits::default().stack_bytes).unwrap();
        let cancel = Cancel::new();
        let canceller = cancel.clone();
        let helper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            canceller.cancel();
        });
        let start = Instant::now();
        let result = station.ask(endless(), &cancel);
        assert!(matches!(result, Err(SandboxError::Cancelled)), "{result:?}");
        helper.join().unwrap();
        // The thread itself is free again: it takes another errand, whose answer is its own.
        let mut short = endless();
        short.limits.fuel = 1_000_000;
        match station.ask(short, &Cancel::new()).unwrap() {
            Reply::Execution(run) => assert_eq!(run.exit, Exit::OutOfFuel),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_thread_that_is_gone_is_replaced() {
        let (errands, inbox) = channel();
        drop(inbox);
        let stack = Limits::default().stack_bytes;
        let mut worker = Worker::Threads(HashMap::from([(stack, Station { errands })]));
        let mut request = endless();
        request.limits.fuel = 1_000_000;
        assert!(matches!(
            worker.ask(&request, &Cancel::new()).unwrap(),
            Reply::Execution(_)
        ));
    }
}
