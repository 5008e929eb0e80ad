//! What a worker is asked and what it answers, and how both travel through a pipe.
//!
//! A message is its length (8 bytes, little-endian), a number (8 bytes) and its text in postcard's encoding. A worker first says
//! [`Hello`], under the number 0; then each request has a number of its own, and its answer has the same one. Whoever finds another
//! number than it waits for gives the worker up: an answer is never taken for that to another question.

use std::io::{Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::confine::Confinement;
use crate::error::SandboxError;
use crate::execution::Execution;
use crate::limits::Limits;
use crate::python::{CaseOutcome, TestRequest, install};

/// The largest text of a message, in bytes.
const MESSAGE_BYTES: usize = 1 << 30;

/// The number under which a worker introduces itself.
pub(crate) const HELLO: u64 = 0;

/// What decides whether two programs understand each other: a hash of the texts of all that goes through the pipe, and of what runs
/// in the guest, at the time that the program was built.
pub(crate) fn build() -> u64 {
    fnv1a(&[&SOURCES.to_le_bytes(), install::recipe_key().as_bytes()])
}

const SOURCES: u64 = fnv1a(&[
    env!("CARGO_PKG_VERSION").as_bytes(),
    include_bytes!("protocol.rs"),
    include_bytes!("confine.rs"),
    include_bytes!("limits.rs"),
    include_bytes!("execution.rs"),
    include_bytes!("runner.rs"),
    include_bytes!("python/testing.rs"),
]);

/// FNV-1a with 64 bits over the parts, each followed by its length.
const fn fnv1a(parts: &[&[u8]]) -> u64 {
    const fn add(hash: u64, byte: u8) -> u64 {
        (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3)
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut part = 0;
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            hash = add(hash, parts[part][at]);
            at += 1;
        }
        let mut length = parts[part].len();
        while length > 0 {
            hash = add(hash, (length & 0xff) as u8);
            length >>= 8;
        }
        part += 1;
    }
    hash
}

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

/// What a worker says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Its [`build`].
    pub(crate) build: u64,
    /// What it gave up.
    pub(crate) confinement: Confinement,
}

/// What is asked of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) job: Job,
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Job {
    Run(Program, Vec<u8>),
    Test(TestRequest),
}

impl Request {
    /// Time after which the worker itself must be broken. The guest's own deadline comes first.
    pub(crate) fn patience(&self) -> Duration {
        let guests = match &self.job {
            Job::Run(..) => 1,
            // Two for each test, and the one that reads the prompt before them.
            Job::Test(request) => u32::try_from(request.cases.len())
                .unwrap_or(u32::MAX)
                .saturating_mul(2)
                .saturating_add(1),
        };
        // A worker that just started has the interpreter's code to load first.
        self.limits
            .wall_time
            .saturating_mul(guests)
            .saturating_add(Duration::from_secs(60))
    }

    pub(crate) fn uses_python(&self) -> bool {
        match &self.job {
            Job::Run(program, _) => matches!(program, Program::Python(_)),
            Job::Test(_) => true,
        }
    }
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Execution(Execution),
    Tests(Vec<CaseOutcome>),
    /// The host's failure, in words.
    Failed(String),
}

/// A message as it came, not yet understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    text: Vec<u8>,
}

impl Frame {
    /// What the message says.
    ///
    /// # Errors
    /// [`SandboxError::Protocol`] if it is not the encoding of a `T`, as a whole.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, SandboxError> {
        let bad =
            |reason: String| SandboxError::protocol(format!("message {}: {reason}", self.number));
        match postcard::take_from_bytes(&self.text) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(bad(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(bad(error.to_string())),
        }
    }
}

/// Sends `message` under `number`.
///
/// # Errors
/// [`SandboxError::Protocol`] if it cannot be written, or is too long.
pub(crate) fn send<T: Serialize>(
    to: &mut impl Write,
    number: u64,
    message: &T,
) -> Result<(), SandboxError> {
    let broken = |error: std::io::Error| SandboxError::protocol(error.to_string());
    let text =
        postcard::to_stdvec(message).map_err(|error| SandboxError::protocol(error.to_string()))?;
    if text.len() > MESSAGE_BYTES {
        return Err(too_long(text.len() as u64));
    }
    let mut head = [0; 16];
    head[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
    head[8..].copy_from_slice(&number.to_le_bytes());
    to.write_all(&head)
        .and_then(|()| to.write_all(&text))
        .and_then(|()| to.flush())
        .map_err(broken)
}

/// The next message; nothing at the end of the stream.
///
/// # Errors
/// [`SandboxError::Protocol`] if the stream breaks off within a message or names an absurd length.
pub(crate) fn receive(from: &mut impl Read) -> Result<Option<Frame>, SandboxError> {
    let broken = |error: std::io::Error| SandboxError::protocol(error.to_string());
    let mut head = [0; 16];
    let mut have = 0;
    while have < head.len() {
        match from.read(&mut head[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(SandboxError::protocol("the pipe ended within a message")),
            Ok(count) => have += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
    let (length, number) = head.split_at(8);
    let number_in = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let (length, number) = (number_in(length), number_in(number));
    if length > MESSAGE_BYTES as u64 {
        return Err(too_long(length));
    }
    // Memory grows with what comes, not with what was announced.
    let mut text = Vec::new();
    from.take(length).read_to_end(&mut text).map_err(broken)?;
    if text.len() as u64 != length {
        return Err(SandboxError::protocol("the pipe ended within a message"));
    }
    Ok(Some(Frame { number, text }))
}

fn too_long(length: u64) -> SandboxError {
    SandboxError::protocol(format!(
        "a message of {length} bytes, more than {MESSAGE_BYTES}"
    ))
}

/// For fuzzing: reads `bytes` as messages of both sides, and checks that what was understood is written and read back the same.
#[doc(hidden)]
pub fn fuzz_messages(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = receive(&mut bytes) {
        check_round_trip::<Request>(&frame);
        check_round_trip::<Reply>(&frame);
        check_round_trip::<Hello>(&frame);
    }
}

fn check_round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frame: &Frame) {
    let Ok(value) = frame.decode::<T>() else {
        return;
    };
    let mut written = Vec::new();
    send(&mut written, frame.number, &value).expect("memory takes everything");
    let back = receive(&mut written.as_slice())
        .expect("it was just written")
        .expect("it was just written");
    assert_eq!(back.number, frame.number);
    assert_eq!(back.decode::<T>().expect("it was just written"), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Exit;
    use crate::python::{Case, Verdict};

    fn messages() -> Vec<u8> {
        let test = TestRequest {
            solution: "def f(): return 1".to_owned(),
            setup: String::new(),
            prompt: Some("def f():".to_owned()),
            entry_point: Some("f".to_owned()),
            cases: vec![Case {
                code: "assert f() == 1".to_owned(),
            }],
            stop_at_failure: true,
        };
        let limits = Limits::default();
        let mut bytes = Vec::new();
        for (number, job) in [
            (1, Job::Test(test)),
            (2, Job::Run(Program::python("print(1)"), b"in".to_vec())),
        ] {
            send(&mut bytes, number, &Request { job, limits }).unwrap();
        }
        let outcome = CaseOutcome {
            verdict: Verdict::Failed("no".to_owned()),
            fuel_used: 7,
        };
        let execution = Execution {
            exit: Exit::Exited(-1),
            stdout: b"out".to_vec(),
            stderr: Vec::new(),
            fuel_used: 3,
            wall_time: Duration::from_millis(5),
        };
        send(&mut bytes, 1, &Reply::Tests(vec![outcome])).unwrap();
        send(&mut bytes, 2, &Reply::Execution(execution)).unwrap();
        send(&mut bytes, 3, &Reply::Failed("no".to_owned())).unwrap();
        let hello = Hello {
            build: build(),
            confinement: Confinement::default(),
        };
        send(&mut bytes, HELLO, &hello).unwrap();
        bytes
    }

    #[test]
    fn messages_come_back_with_their_numbers() {
        let bytes = messages();
        let mut rest = bytes.as_slice();
        let mut numbers = Vec::new();
        while let Some(frame) = receive(&mut rest).unwrap() {
            numbers.push(frame.number);
        }
        assert_eq!(numbers, [1, 2, 1, 2, 3, HELLO]);
        fuzz_messages(&bytes);
    }

    #[test]
    fn what_was_cut_or_changed_is_an_error_and_never_a_panic() {
        let bytes = messages();
        for length in 0..bytes.len() {
            fuzz_messages(&bytes[..length]);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                fuzz_messages(&changed);
            }
        }
        // A length that nobody could mean allocates nothing.
        let mut vast = Vec::new();
        vast.extend_from_slice(&u64::MAX.to_le_bytes());
        vast.extend_from_slice(&1_u64.to_le_bytes());
        let error = receive(&mut vast.as_slice()).unwrap_err().to_string();
        assert!(error.contains("18446744073709551615 bytes"), "{error}");
        let error = receive(&mut &bytes[..10]).unwrap_err().to_string();
        assert!(error.contains("ended within a message"), "{error}");
        let mut longer = Vec::new();
        send(&mut longer, 1, &(Reply::Failed(String::new()), 0_u8)).unwrap();
        let frame = receive(&mut longer.as_slice()).unwrap().unwrap();
        let error = frame.decode::<Reply>().unwrap_err().to_string();
        assert!(error.contains("1 bytes too many"), "{error}");
    }

    #[test]
    fn patience_does_not_overflow() {
        let request = Request {
            job: Job::Run(Program::python(""), Vec::new()),
            limits: Limits {
                wall_time: Duration::MAX,
                ..Limits::default()
            },
        };
        assert_eq!(request.patience(), Duration::MAX);
    }
}
