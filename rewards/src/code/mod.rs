//! A program solves its task.
//!
//! The program is taken from the completion and run in the sandbox against the task's tests. What is
//! expected never enters the instance that runs it: outputs are compared here, and tests run in an
//! instance of their own (see `dunwu_sandbox::python`).
//!
//! - `extract`: the program in a completion; `blocks`, `choose`: its blocks, and which of them are the program
//! - `suite`: the tests of a task; `tests_of`: how they stand in a task's columns, `columns`: those of inputs and outputs
//! - `output`: whether a program wrote what was expected
//! - `verify`: runs the tests
//! - this file: the reward

mod blocks;
mod choose;
mod columns;
mod extract;
mod output;
mod suite;
mod tests_of;
mod verify;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dunwu_sandbox::python::FUEL_OF_A_SECOND;
use dunwu_sandbox::python::install::{self, Stage};
use dunwu_sandbox::{Cancel, Limits, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::error::{Fault, PrepareError, RewardError};
use crate::option::OptionError;
use crate::reward::{Preparation, Reward, Score, Verdict as RewardVerdict};
use crate::sample::Sample;

pub use extract::{CodeExtraction, extract_code, extract_program};
pub use output::{OutputCheck, same_output};
pub use suite::{StdioCase, Tests, TestsError};
pub use tests_of::{TEST_COLUMNS, tests_of};
pub use verify::{CodeError, CodeVerdict};

/// Settings of [`Code`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodeConfig {
    /// The component's name. Default: `code`.
    pub name: String,
    /// Factor in the rubric's weighted sum. Default: 1.
    pub weight: f64,
    /// Where the program stands in the completion. Default: `last-block`.
    pub extraction: CodeExtraction,
    /// Whether the score is the share of tests passed; otherwise all must pass. Default: false.
    pub partial_credit: bool,
    /// Score if all tests pass (with partial credit, of the whole). Default: 1.
    pub correct: f64,
    /// Score if none does, or there is no program. Default: 0.
    pub wrong: f64,
    /// What a test counts as in which the program gave something that cannot be judged without trusting it, or needed a Python with more
    /// than the standard library. Default: `failed`. (A test that is broken itself is an error about the task, whatever this says.)
    pub unverified: Unverified,
    /// How outputs of programs are compared with expected ones. Default: `lines`.
    pub output_check: OutputCheck,
    /// Tests that are run at most, the first ones; 0 for all. Default: 0.
    pub max_tests: usize,
    /// Time of each test, in seconds that this machine's CPython would need for it, as they were measured when the Python runtime was
    /// made. It is counted in fuel (see [`dunwu_sandbox::fuel_of_a_second`]), so that it decides the same however busy the machine is, and
    /// at every repetition; for the same on every machine, say `fuel`. Default: 4.
    pub cpython_s: f64,
    /// Fuel of each test, instead of `cpython_s`; see `dunwu_sandbox::Limits`. Default: what `cpython_s` says.
    pub fuel: Option<u64>,
    /// Wall-clock limit of each test, in seconds. Running into it is a fault, not a verdict. Default: 60.
    pub wall_time_s: f64,
    /// Memory of each test, in MiB. Default: 256.
    pub memory_mib: u64,
    /// Output kept of each test, in KiB; where more is expected, twice that. Default: 64.
    pub output_kib: u64,
}

/// What a test that cannot be verified does to the score. It is always counted in the part
/// `unverified`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unverified {
    /// It counts as failed.
    #[default]
    Failed,
    /// The completion has no reward: the judge reports an error.
    Error,
}

impl Default for CodeConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            name: "code".to_owned(),
            weight: 1.0,
            extraction: CodeExtraction::default(),
            partial_credit: false,
            correct: 1.0,
            wrong: 0.0,
            unverified: Unverified::default(),
            max_tests: 0,
            output_check: OutputCheck::default(),
            cpython_s: 4.0,
            fuel: None,
            wall_time_s: 60.0,
            memory_mib: limits.memory_bytes >> 20,
            output_kib: limits.output_bytes >> 10,
        }
    }
}

impl CodeConfig {
    /// The limits of a test where a second of CPython is worth this much fuel.
    fn limits(&self, fuel_of_a_second: u64) -> Limits {
        // The saturating conversion of `as`: NaN is no fuel, which `Limits` refuses.
        let fuel = (self.cpython_s * fuel_of_a_second as f64) as u64;
        Limits {
            fuel: self.fuel.unwrap_or(fuel),
            wall_time: Duration::try_from_secs_f64(self.wall_time_s).unwrap_or(Duration::ZERO),
            memory_bytes: self.memory_mib << 20,
            output_bytes: self.output_kib << 10,
            ..Limits::default()
        }
    }
}

/// 1 if the program in a completion passes its task's tests.
///
/// Parts: `passed`, `failed` and `unverified`, numbers of tests; `extracted`, 1 if there was a program.
pub struct Code {
    config: CodeConfig,
    /// Known once the first program is run: by then the runtime has been made, and a second measured.
    limits: OnceLock<Limits>,
    sandbox: Arc<SharedSandbox>,
}

/// A sandbox that is started when it is first needed, so that configs can be read without one.
#[derive(Default)]
pub(crate) struct SharedSandbox(Mutex<Option<Arc<Sandbox>>>);

impl SharedSandbox {
    fn get(&self) -> Result<Arc<Sandbox>, SandboxError> {
        let mut sandbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = &*sandbox {
            return Ok(Arc::clone(sandbox));
        }
        // To make the runtime takes longer than any verdict may: that is for `prepare`.
        if !install::is_installed() {
            return Err(SandboxError::Install {
                reason: "the Python runtime has not been made; hint: call Rubric::prepare before judging, or run `dunwu sandbox install`".to_owned(),
            });
        }
        let started = sandbox.insert(Arc::new(Sandbox::for_all_cores()?));
        Ok(Arc::clone(started))
    }
}

impl Code {
    /// The judge that `config` describes, with a sandbox of its own.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] naming the option.
    pub fn from_config(config: &CodeConfig) -> Result<Self, OptionError> {
        let invalid = |option: &'static str, value: String, expected: &str| {
            Err(OptionError::invalid(&config.name, option, value, expected))
        };
        for (option, value) in [("correct", config.correct), ("wrong", config.wrong)] {
            if !value.is_finite() {
                return invalid(option, value.to_string(), "a finite number");
            }
        }
        if config.memory_mib < 64 || config.memory_mib > 4096 {
            return invalid("memory_mib", config.memory_mib.to_string(), "64 to 4096");
        }
        let limits = config.limits(FUEL_OF_A_SECOND);
        if let Err(error) = limits.validate() {
            return invalid(
                "limits",
                error.to_string(),
                "limits that a program can run in",
            );
        }
        Ok(Self {
            config: config.clone(),
            limits: OnceLock::new(),
            sandbox: Arc::default(),
        })
    }

    /// Uses `sandbox` instead of one of its own.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        let shared = SharedSandbox(Mutex::new(Some(sandbox)));
        Self {
            sandbox: Arc::new(shared),
            ..self
        }
    }

    /// Runs the tests of `program`.
    ///
    /// # Errors
    /// [`CodeError`]: the host failed or was too busy, or a test is broken.
    pub fn verify(&self, program: &str, tests: &Tests) -> Result<CodeVerdict, CodeError> {
        self.verify_within(program, tests, &Attempt::unlimited())
    }

    /// As [`Code::verify`], for as long as `attempt` goes on: what runs in the sandbox after that is killed.
    ///
    /// # Errors
    /// As for [`Code::verify`], and [`SandboxError::Cancelled`] where the attempt was over first.
    pub fn verify_within(
        &self,
        program: &str,
        tests: &Tests,
        attempt: &Attempt,
    ) -> Result<CodeVerdict, CodeError> {
        let attempt = attempt.clone();
        let sandbox = self.sandbox.get()?;
        let limits = self
            .limits
            .get_or_init(|| self.config.limits(dunwu_sandbox::fuel_of_a_second()));
        let run = verify::Verification {
            sandbox: &sandbox,
            limits: *limits,
            output_check: self.config.output_check,
            stop_at_failure: !self.config.partial_credit,
            count: self.count(tests),
            cancel: Cancel::when(move || attempt.is_over()),
        };
        run.run(program, tests)
    }

    /// How many of `tests` are run.
    fn count(&self, tests: &Tests) -> usize {
        let limit = match self.config.max_tests {
            0 => usize::MAX,
            limit => limit,
        };
        tests.len().min(limit)
    }

    fn score_of(&self, verdict: &CodeVerdict, tests: &Tests) -> f64 {
        let count = self.count(tests);
        let share = if self.config.partial_credit {
            verdict.passed as f64 / count as f64
        } else {
            f64::from(u8::from(verdict.passed == count))
        };
        self.config.wrong + share * (self.config.correct - self.config.wrong)
    }
}

impl Reward for Code {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let said = self.score_in_parts(sample, &Attempt::unlimited())?;
        Ok(said.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample, attempt: &Attempt) -> RewardVerdict {
        let failed = |fault: Fault, reason: String| {
            RewardError::of(fault, sample, &self.config.name, reason)
        };
        if attempt.is_over() {
            let reason = "nobody waits for the verdict any more";
            return Err(failed(Fault::Host, reason.to_owned()));
        }
        let tests = tests_of(sample.task);
        let tests = tests.map_err(|error| failed(Fault::Task, error.to_string()))?;
        let Some(tests) = tests else {
            return Ok(None);
        };
        let wanted = |name: &str| tests.mention(name);
        let program = extract_program(
            sample.completion,
            self.config.extraction,
            sample.truncated,
            &wanted,
        );
        let Some(program) = program else {
            let parts = vec![("extracted".to_owned(), 0.0)];
            return Ok(Some(Score {
                value: self.config.wrong,
                parts,
                note: Some("no program".to_owned()),
            }));
        };
        let program = tests.complete(sample.task, &program, self.config.extraction);
        let verdict = self
            .verify_within(&program, &tests, attempt)
            .map_err(|error| {
                let fault = match &error {
                    CodeError::Sandbox(_) => Fault::Host,
                    CodeError::BrokenTest { .. } => Fault::Task,
                };
                failed(fault, error.to_string())
            })?;
        if verdict.unverified > 0 && self.config.unverified == Unverified::Error {
            let reason = verdict.reason.unwrap_or_default();
            return Err(failed(Fault::Completion, format!("unverified: {reason}")));
        }
        let count = |number: usize| number as f64;
        Ok(Some(Score {
            value: self.score_of(&verdict, &tests),
            parts: vec![
                ("extracted".to_owned(), 1.0),
                ("passed".to_owned(), count(verdict.passed)),
                ("failed".to_owned(), count(verdict.failed)),
                ("unverified".to_owned(), count(verdict.unverified)),
            ],
            note: verdict.reason,
        }))
    }

    fn prepare(&self, report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        let stages = Stage::ALL;
        let mut said = |stage: Stage| {
            let step = stages.iter().position(|other| *other == stage);
            report(Preparation::new(
                stage.to_string(),
                step.unwrap_or(0),
                stages.len(),
            ));
        };
        dunwu_sandbox::prepare(&mut said)
            .map_err(|error| PrepareError::new(&self.config.name, error.to_string()))
    }

    fn typical_scores(&self) -> [f64; 2] {
        [self.config.wrong, self.config.correct]
    }
}
