//! The solution's interpreter as the tests' side of the host has it: at rest, or in the middle of a call.
//!
//! A test may hand a function of its own to a solution. When the solution calls it, the solution's instance has to wait within an
//! import while the tests' instance runs, which waits within an import itself. So a request that may call back runs in a thread of
//! its own; the two sides then take turns, one message each.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::Interpreter;
use crate::engine::thread_stack_bytes;
use crate::execution::Exit;

/// The first byte of a request that may call back; JSON does not mind it.
const MAY_CALL_BACK: u8 = b' ';

/// The solution's interpreter.
pub(crate) enum Partner {
    /// It waits for a request.
    Rests(Box<Interpreter>),
    /// It carries one out in a thread, and waits for what it asked for.
    Waits(Waiting),
}

/// The tests' end of a call in progress. The call is over when this is dropped, and the solution's instance gone: an engine has room for
/// a few at once.
pub(crate) struct Waiting {
    /// There until this is dropped.
    answers: Option<Sender<Vec<u8>>>,
    news: Receiver<News>,
    /// There until this is dropped.
    thread: Option<JoinHandle<()>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A solution that waits for an answer learns that there will be none, and ends; one that is done is about to.
        self.answers = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What comes from a solution's thread.
enum News {
    /// The solution asks for something.
    Asks(Vec<u8>),
    /// The request is done.
    Done(Box<Interpreter>, Result<Vec<u8>, Exit>),
}

/// The solution's end of a call in progress.
pub(crate) struct Line {
    answers: Receiver<Vec<u8>>,
    news: Sender<News>,
}

impl Line {
    /// Asks the tests' side for something, and waits for it.
    pub(super) fn ask(&self, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        let gone = || wasmtime::Error::msg("the test is over");
        self.news.send(News::Asks(message)).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())
    }
}

impl Partner {
    /// Sends a message; the partner afterwards, if it lives, and what came back.
    pub(super) fn tell(self, message: Vec<u8>) -> (Option<Self>, Result<Vec<u8>, Exit>) {
        match self {
            Self::Rests(mut interpreter) if message.first() != Some(&MAY_CALL_BACK) => {
                let reply = interpreter.ask_bytes(message);
                let alive = reply.is_ok().then_some(Self::Rests(interpreter));
                (alive, reply)
            }
            Self::Rests(interpreter) => match Waiting::start(interpreter, message) {
                Ok(waiting) => waiting.next(),
                Err(error) => (
                    None,
                    Err(Exit::Trapped(format!("no thread for a call: {error}"))),
                ),
            },
            Self::Waits(waiting) => {
                let answers = waiting.answers.as_ref();
                if answers.is_some_and(|answers| answers.send(message).is_ok()) {
                    waiting.next()
                } else {
                    (None, Err(lost()))
                }
            }
        }
    }

    /// Fuel that the solution has used; nothing known of one in the middle of a call.
    pub(crate) fn fuel_used(&self) -> u64 {
        match self {
            Self::Rests(interpreter) => interpreter.fuel_used(),
            Self::Waits(_) => 0,
        }
    }
}

impl Waiting {
    fn start(mut interpreter: Box<Interpreter>, request: Vec<u8>) -> std::io::Result<Self> {
        let (answers, answered) = channel();
        let (told, news) = channel();
        let stack = thread_stack_bytes(interpreter.stack_bytes());
        let thread = std::thread::Builder::new()
            .name("sandbox-solution".to_owned())
            .stack_size(stack)
            .spawn(move || {
                interpreter.side().tests = Some(Line {
                    answers: answered,
                    news: told.clone(),
                });
                let reply = interpreter.ask_bytes(request);
                interpreter.side().tests = None;
                // Nobody waits for it if the test is over.
                let _ = told.send(News::Done(interpreter, reply));
            })?;
        Ok(Self {
            answers: Some(answers),
            news,
            thread: Some(thread),
        })
    }

    fn next(self) -> (Option<Partner>, Result<Vec<u8>, Exit>) {
        match self.news.recv() {
            Ok(News::Asks(message)) => (Some(Partner::Waits(self)), Ok(message)),
            Ok(News::Done(interpreter, reply)) => {
                let alive = reply.is_ok().then_some(Partner::Rests(interpreter));
                (alive, reply)
            }
            Err(_) => (None, Err(lost())),
        }
    }
}

fn lost() -> Exit {
    Exit::Trapped("the solution's thread ended".to_owned())
}
