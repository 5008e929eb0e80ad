//! A program solves its task.
//!
//! The program is taken from the completion and run in the sandbox against the task's tests. What is
//! expected never enters the instance that runs it: outputs are compared here, and tests run in an
//! instance of their own (see `dunwu_sandbox::python`).
//!
//! - `extract`: the program in a completion
//! - `tests`: the tests in a task's columns
//! - this file: the reward

mod extract;
mod tests_of;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dunwu_sandbox::python::install::{self, Stage};
use dunwu_sandbox::python::{CaseOutcome, TestRequest, Verdict};
use dunwu_sandbox::{Execution, Limits, Program, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};

use crate::attempt::Attempt;
use crate::error::{Fault, PrepareError, RewardError};
use crate::option::OptionError;
use crate::reward::{Preparation, Reward, Score, Verdict as RewardVerdict};
use crate::sample::Sample;

pub use extract::{CodeExtraction, extract_code};
pub use tests_of::{StdioCase, Tests, TestsError, same_output, tests_of};

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
    /// What a test counts as that cannot be verified without trusting the program. Default: `failed`.
    pub unverified: Unverified,
    /// Tests that are run at most, the first ones; 0 for all. Default: 0.
    pub max_tests: usize,
    /// Fuel of each test; see `dunwu_sandbox::Limits`. Default: 10 000 000 000.
    pub fuel: u64,
    /// Wall-clock limit of each test, in seconds. Running into it is a fault, not a verdict. Default: 30.
    pub wall_time_s: f64,
    /// Memory of each test, in MiB. Default: 256.
    pub memory_mib: u64,
    /// Output kept of each test, in KiB. Default: 64.
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
            fuel: limits.fuel,
            wall_time_s: limits.wall_time.as_secs_f64(),
            memory_mib: limits.memory_bytes >> 20,
            output_kib: limits.output_bytes >> 10,
        }
    }
}

impl CodeConfig {
    fn limits(&self) -> Limits {
        Limits {
            fuel: self.fuel,
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
    limits: Limits,
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

/// Times that a test is run whose verdict is a fault.
const ATTEMPTS: usize = 2;

/// What the tests say of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeVerdict {
    /// Tests passed.
    pub passed: usize,
    /// Tests failed.
    pub failed: usize,
    /// Tests that cannot be verified without trusting the program.
    pub unverified: usize,
    /// Why the first test that did not pass did not.
    pub reason: Option<String>,
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
        let limits = config.limits();
        if let Err(error) = limits.validate() {
            return invalid(
                "limits",
                error.to_string(),
                "limits that a program can run in",
            );
        }
        Ok(Self {
            config: config.clone(),
            limits,
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
    /// [`SandboxError`] if the host fails, or is too busy for a verdict twice in a row.
    pub fn verify(&self, program: &str, tests: &Tests) -> Result<CodeVerdict, SandboxError> {
        let sandbox = self.sandbox.get()?;
        let limit = match self.config.max_tests {
            0 => usize::MAX,
            limit => limit,
        };
        match tests {
            Tests::Stdio(cases) => {
                let mut verdict = CodeVerdict::default();
                for case in cases.iter().take(limit) {
                    let outcome = self.stdio(&sandbox, program, case)?;
                    verdict.count(outcome);
                    if !self.config.partial_credit && verdict.passed_none_or_not_all() {
                        break;
                    }
                }
                Ok(verdict)
            }
            Tests::Python(suite) => {
                let mut request = TestRequest {
                    solution: program.to_owned(),
                    setup: suite.setup.clone(),
                    entry_point: suite.entry_point.clone(),
                    cases: suite.cases.clone(),
                    stop_at_failure: !self.config.partial_credit,
                };
                request.cases.truncate(limit);
                if suite.prelude_in_solution {
                    request.solution = format!("{}\n{}", suite.setup, request.solution);
                }
                self.python(&sandbox, &request)
            }
        }
    }

    fn stdio(
        &self,
        sandbox: &Sandbox,
        program: &str,
        case: &StdioCase,
    ) -> Result<Verdict, SandboxError> {
        let program = Program::python(program);
        let mut run = None;
        for _ in 0..ATTEMPTS {
            let execution = sandbox.run(&program, case.input.as_bytes(), &self.limits)?;
            let fault = execution.exit.is_fault();
            run = Some(execution);
            if !fault {
                break;
            }
        }
        let Execution { exit, stdout, .. } = run.expect("at least one attempt");
        if exit.is_fault() {
            return Err(too_busy(&exit.to_string()));
        }
        let stdout = String::from_utf8_lossy(&stdout);
        Ok(
            match (exit.is_success(), same_output(&stdout, &case.output)) {
                (true, true) => Verdict::Passed,
                (true, false) => Verdict::Failed("the output differs".to_owned()),
                (false, _) => Verdict::Failed(format!("the program: {exit}")),
            },
        )
    }

    fn python(
        &self,
        sandbox: &Sandbox,
        request: &TestRequest,
    ) -> Result<CodeVerdict, SandboxError> {
        for attempt in 1..=ATTEMPTS {
            let outcomes = sandbox.test(request, &self.limits)?;
            let fault = outcomes
                .iter()
                .find_map(|CaseOutcome { verdict, .. }| match verdict {
                    Verdict::Fault(reason) => Some(reason.clone()),
                    _ => None,
                });
            match fault {
                Some(_) if attempt < ATTEMPTS => {}
                Some(reason) => return Err(too_busy(&reason)),
                None => {
                    let mut verdict = CodeVerdict::default();
                    for outcome in outcomes {
                        verdict.count(outcome.verdict);
                    }
                    return Ok(verdict);
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    fn score_of(&self, verdict: &CodeVerdict, tests: &Tests) -> f64 {
        let limit = match self.config.max_tests {
            0 => usize::MAX,
            limit => limit,
        };
        let count = tests.len().min(limit);
        let share = match self.config.partial_credit {
            true => verdict.passed as f64 / count as f64,
            false => f64::from(u8::from(verdict.passed == count)),
        };
        self.config.wrong + share * (self.config.correct - self.config.wrong)
    }
}

fn too_busy(reason: &str) -> SandboxError {
    SandboxError::WorkerLost {
        reason: format!(
            "{reason}, {ATTEMPTS} times in a row; hint: raise wall_time_s, or lower fuel"
        ),
    }
}

impl CodeVerdict {
    fn count(&mut self, verdict: Verdict) {
        let (counter, reason) = match verdict {
            Verdict::Passed => (&mut self.passed, None),
            Verdict::Failed(reason) | Verdict::Fault(reason) => (&mut self.failed, Some(reason)),
            Verdict::Unverified(reason) => (&mut self.unverified, Some(reason)),
        };
        *counter += 1;
        if self.reason.is_none() {
            self.reason = reason;
        }
    }

    fn passed_none_or_not_all(&self) -> bool {
        self.failed + self.unverified > 0
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
        let program = extract_code(sample.completion, self.config.extraction, sample.truncated);
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
            .verify(&program, &tests)
            .map_err(|error| failed(Fault::Host, error.to_string()))?;
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
        dunwu_sandbox::python::prepare(&mut said)
            .map_err(|error| PrepareError::new(&self.config.name, error.to_string()))
    }

    fn typical_scores(&self) -> [f64; 2] {
        [self.config.wrong, self.config.correct]
    }
}
