//! What a second of this machine's CPython is worth in fuel.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::error::SandboxError;
use crate::limits::Limits;
use crate::protocol::Program;
use crate::python::install::{find_python, missing};
use crate::sandbox::Sandbox;

/// A program of the kind that models write: numbers, lists, dictionaries, text, calls and objects, a third of a second of each or so.
const PROGRAM: &str = r#"
class Item:
    def __init__(self, key):
        self.key = key
    def twice(self):
        return self.key * 2
def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps
longest = max(range(1, 6000), key=collatz)
sieve = [True] * 300000
for i in range(2, 550):
    if sieve[i]:
        for j in range(i * i, len(sieve), i):
            sieve[j] = False
counts = {}
for i in range(150000):
    key = str(i * 7919 % 1009)
    counts[key] = counts.get(key, 0) + 1
row = [0] * 601
for i in range(1, 601):
    last = 0
    for j in range(1, 601):
        last, row[j] = row[j], max(row[j - 1], row[j]) if i * j % 7 else last + 1
total = sum(Item(i).twice() for i in range(100000))
words = sorted(" ".join(counts).split(), key=lambda word: (len(word), word))
print(longest, sum(sieve), len(counts), row[-1], total, words[-1])
"#;

/// A measurement of both.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// Fuel that the program used in the sandbox.
    pub fuel: u64,
    /// Seconds that the host's CPython took for it, the fastest of five, without its start.
    pub cpython_s: f64,
}

impl Calibration {
    /// Fuel for each second of CPython; compare [`crate::python::FUEL_OF_A_SECOND`].
    pub fn fuel_of_a_second(&self) -> f64 {
        self.fuel as f64 / self.cpython_s
    }
}

/// Runs a program in `sandbox` and by the host's CPython.
///
/// # Errors
/// [`SandboxError`] if either cannot run it, or if they do not write the same.
pub fn calibrate(sandbox: &Sandbox) -> Result<Calibration, SandboxError> {
    let limits = Limits {
        fuel: u64::MAX / 2,
        ..Limits::default()
    };
    let inside = |program: &str| sandbox.run(&Program::python(program), b"", &limits);
    let start = inside("pass")?;
    let run = inside(PROGRAM)?;
    let python = find_python()?;
    let mut least = f64::INFINITY;
    let mut start_s = f64::INFINITY;
    for _ in 0..5 {
        start_s = start_s.min(host(&python, "pass")?.0);
        let (seconds, written) = host(&python, PROGRAM)?;
        if written != run.stdout {
            return Err(missing(format!(
                "the sandbox wrote {:?} and {python} {:?} for the same program",
                String::from_utf8_lossy(&run.stdout),
                String::from_utf8_lossy(&written)
            )));
        }
        least = least.min(seconds);
    }
    Ok(Calibration {
        fuel: run.fuel_used.saturating_sub(start.fuel_used),
        cpython_s: (least - start_s).max(1e-3),
    })
}

/// Seconds that the host's Python took for `program`, and what it wrote.
fn host(python: &str, program: &str) -> Result<(f64, Vec<u8>), SandboxError> {
    let failed = |error: std::io::Error| missing(format!("{python} does not run: {error}"));
    let started = Instant::now();
    let mut child = Command::new(python)
        .args(["-I", "-S", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(program.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    Ok((started.elapsed().as_secs_f64(), output.stdout))
}
