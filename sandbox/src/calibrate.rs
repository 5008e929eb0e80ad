//! What a second of this machine's CPython is worth in fuel: measured once, when the runtime is made, and kept beside it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::limits::Limits;
use crate::private::{cache_dir, open_private, private_dir, read_all, write_private};
use crate::protocol::Program;
use crate::python::install::{Stage, find_python, missing, recipe_key};
use crate::python::{self, FUEL_OF_A_SECOND};
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

/// What the host's Python is told: to run what it reads, and to say last how much processor time that took. How busy the machine is,
/// and how long Python takes to start, does not count.
const CLOCK: &str = r#"
import sys, time
program = compile(sys.stdin.read(), "<program>", "exec")
start = time.process_time()
exec(program, {"__name__": "__main__"})
sys.stderr.write(repr(time.process_time() - start))
"#;

/// Runs by the host's Python, of which the fastest counts.
const ROUNDS: usize = 5;

/// Fuel of a second, at least and at most: what is outside was not measured right.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = FUEL_OF_A_SECOND / 10..=FUEL_OF_A_SECOND * 10;

/// A measurement of both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// Fuel that the program used in the sandbox.
    pub fuel: u64,
    /// Seconds of processor time that the host's CPython took for it, the fastest of five, without its start.
    pub cpython_s: f64,
}

impl Calibration {
    /// Fuel for each second of CPython.
    pub fn fuel_of_a_second(&self) -> f64 {
        self.fuel as f64 / self.cpython_s
    }
}

/// Makes the Python runtime and compiles it, and measures what a second is worth, as far as that has not been done on this machine.
/// `progress` is told of every stage. A machine whose Python cannot be measured goes by [`FUEL_OF_A_SECOND`].
///
/// # Errors
/// As for [`python::prepare`].
pub fn prepare(progress: &mut dyn FnMut(Stage)) -> Result<(), SandboxError> {
    python::prepare(progress)?;
    if kept().is_none() {
        progress(Stage::Measure);
        let measured = Sandbox::new(1).and_then(|sandbox| calibrate(&sandbox));
        if let Ok(calibration) = measured {
            keep(&calibration)?;
        }
    }
    Ok(())
}

/// Fuel for each second of this machine's CPython, as [`prepare`] measured it; [`FUEL_OF_A_SECOND`] where it did not. It is measured once
/// for an installed runtime, so that verdicts stay what they are.
pub fn fuel_of_a_second() -> u64 {
    kept().map_or(FUEL_OF_A_SECOND, |calibration| {
        calibration.fuel_of_a_second() as u64
    })
}

/// Where the measurement for this runtime is kept.
fn path() -> Result<PathBuf, SandboxError> {
    let name = format!("second-{}.json", recipe_key());
    Ok(cache_dir()?.join("python").join(name))
}

fn keep(calibration: &Calibration) -> Result<(), SandboxError> {
    let path = path()?;
    private_dir(path.parent().expect("a file in a directory"))?;
    let text = serde_json::to_vec(calibration).expect("numbers");
    write_private(&path, &text)
}

/// What was measured earlier, if that is whole, plausible, and nobody else can have written it.
fn kept() -> Option<Calibration> {
    let path = path().ok()?;
    let file = open_private(&path).ok()??;
    plausible(&read_all(&file, &path).ok()?)
}

fn plausible(text: &[u8]) -> Option<Calibration> {
    let calibration: Calibration = serde_json::from_slice(text).ok()?;
    PLAUSIBLE
        .contains(&(calibration.fuel_of_a_second() as u64))
        .then_some(calibration)
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
    let python = find_python()?;
    let inside = |program: &str| sandbox.run(&Program::python(program), b"", &limits);
    let start = inside("pass")?;
    let run = inside(PROGRAM)?;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
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
        cpython_s: least.max(1e-3),
    })
}

/// Seconds of processor time that the host's Python took for `program`, and what it wrote.
fn host(python: &str, program: &str) -> Result<(f64, Vec<u8>), SandboxError> {
    let failed = |error: std::io::Error| missing(format!("{python} does not run: {error}"));
    let mut child = Command::new(python)
        .args(["-I", "-S", "-c", CLOCK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(program.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let seconds = said.trim().parse().map_err(|_| {
        let last = said.trim().lines().next_back().unwrap_or("nothing");
        missing(format!("{python} did not say how long it took, but {last}"))
    })?;
    Ok((seconds, output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plausible_measurement_counts() {
        let calibration = Calibration {
            fuel: 3 * FUEL_OF_A_SECOND,
            cpython_s: 2.0,
        };
        let text = serde_json::to_vec(&calibration).unwrap();
        assert_eq!(plausible(&text), Some(calibration));
        assert_eq!(
            calibration.fuel_of_a_second() as u64,
            FUEL_OF_A_SECOND * 3 / 2
        );
        for text in [
            "",
            "{}",
            r#"{"fuel": 1, "cpython_s": 1.0}"#,
            r#"{"fuel": 10000000000, "cpython_s": 0.0}"#,
            r#"{"fuel": 10000000000, "cpython_s": -1.0}"#,
            r#"{"fuel": 10000000000, "cpython_s": 1e-9}"#,
        ] {
            assert_eq!(plausible(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_hosts_python_says_how_long_it_took() {
        let Ok(python) = find_python() else {
            eprintln!("skipped: no python3");
            return;
        };
        let (short, written) = host(&python, "print(1)").unwrap();
        assert_eq!(written, b"1\n");
        let (long, _) = host(&python, "for i in range(3000000): pass").unwrap();
        assert!(
            0.0 <= short && short < long && long < 60.0,
            "{short} {long}"
        );
        let error = host(&python, "raise ValueError('so')").unwrap_err();
        assert!(error.to_string().contains("ValueError: so"), "{error}");
    }
}
