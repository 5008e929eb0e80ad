//! Runs a program against a task's tests.

use dunwu_sandbox::python::{CaseOutcome, TestRequest, Verdict};
use dunwu_sandbox::{Cancel, Execution, Exit, Limits, Program, Sandbox, SandboxError};

use super::OutputCheck;
use super::suite::{StdioCase, Suite, Tests};

/// Times that a test is run whose verdict is a fault.
const ATTEMPTS: usize = 2;

/// What the tests say of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeVerdict {
    /// Tests passed.
    pub passed: usize,
    /// Tests failed.
    pub failed: usize,
    /// Tests that cannot be verified without trusting the program, or with the standard library only.
    pub unverified: usize,
    /// Why the first test that did not pass did not.
    pub reason: Option<String>,
}

/// Why there is no verdict on a program.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The host failed, or was too busy for a verdict twice in a row.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A test cannot be carried out, whatever the program is: the task is at fault.
    #[error("the task's test {number} is broken: {reason}")]
    BrokenTest {
        /// Which test, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is needed to run tests.
pub(super) struct Verification<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) limits: Limits,
    pub(super) output_check: OutputCheck,
    pub(super) stop_at_failure: bool,
    /// Tests that are run at most, the first ones.
    pub(super) count: usize,
    /// Until when anybody waits for the verdict.
    pub(super) cancel: Cancel,
}

impl Verification<'_> {
    pub(super) fn run(&self, program: &str, tests: &Tests) -> Result<CodeVerdict, CodeError> {
        match tests {
            Tests::Stdio(cases) => {
                let mut verdict = CodeVerdict::default();
                for case in cases.iter().take(self.count) {
                    let outcome = self.stdio(program, case)?;
                    verdict.count(outcome);
                    if self.stop_at_failure && verdict.failed + verdict.unverified > 0 {
                        break;
                    }
                }
                Ok(verdict)
            }
            Tests::Python(suite) => self.python(program, suite),
        }
    }

    fn stdio(&self, program: &str, case: &StdioCase) -> Result<Verdict, SandboxError> {
        let source = Program::python(program);
        // An answer of any length can be right.
        let limits = Limits {
            output_bytes: self.limits.output_bytes.max(2 * case.output.len() as u64),
            ..self.limits
        };
        let mut run = None;
        for _ in 0..ATTEMPTS {
            let execution = self.sandbox.run_cancellable(
                &source,
                case.input.as_bytes(),
                &limits,
                &self.cancel,
            )?;
            let fault = execution.exit.is_fault();
            run = Some(execution);
            if !fault {
                break;
            }
        }
        let Some(execution) = run else {
            return Err(too_busy("no attempt"));
        };
        if execution.exit.is_fault() {
            return Err(too_busy(&execution.exit.to_string()));
        }
        Ok(self.stdio_verdict(program, &execution, case))
    }

    fn stdio_verdict(&self, program: &str, run: &Execution, case: &StdioCase) -> Verdict {
        let found = String::from_utf8_lossy(&run.stdout);
        if run.exit.is_success() {
            if self.output_check.accepts(&found, &case.output) {
                return Verdict::Passed;
            }
            return Verdict::Failed("the output differs".to_owned());
        }
        match not_here(program, run) {
            Some(reason) => Verdict::Unverified(reason),
            None => Verdict::Failed(format!("the program: {}", run.exit)),
        }
    }

    fn python(&self, program: &str, suite: &Suite) -> Result<CodeVerdict, CodeError> {
        let request = TestRequest {
            solution: program.to_owned(),
            setup: suite.setup.clone(),
            prompt: suite.prompt.clone(),
            entry_point: suite.entry_point.clone(),
            cases: suite.cases.iter().take(self.count).cloned().collect(),
            stop_at_failure: self.stop_at_failure,
        };
        let mut fault = String::new();
        for _ in 0..ATTEMPTS {
            let outcomes = self
                .sandbox
                .test_cancellable(&request, &self.limits, &self.cancel)?;
            match counted(&outcomes)? {
                Ok(verdict) => return Ok(verdict),
                Err(reason) => fault = reason,
            }
        }
        Err(too_busy(&fault).into())
    }
}

/// The verdict that outcomes make; the reason of a fault among them.
fn counted(outcomes: &[CaseOutcome]) -> Result<Result<CodeVerdict, String>, CodeError> {
    let mut verdict = CodeVerdict::default();
    for (index, outcome) in outcomes.iter().enumerate() {
        match &outcome.verdict {
            Verdict::Fault(reason) => return Ok(Err(reason.clone())),
            Verdict::Broken(reason) => {
                return Err(CodeError::BrokenTest {
                    number: index + 1,
                    reason: reason.clone(),
                });
            }
            other => verdict.count(other.clone()),
        }
    }
    Ok(Ok(verdict))
}

/// Why this Python may be at fault that a program did not end well: it has the standard library only, and 32 bits.
fn not_here(program: &str, run: &Execution) -> Option<String> {
    let Exit::Uncaught(class) = &run.exit else {
        return None;
    };
    let said = String::from_utf8_lossy(&run.stderr);
    let last = said.trim_end().lines().next_back().unwrap_or("").to_owned();
    let small = class == "OverflowError"
        && ["C ssize_t", "C long", "index-sized"]
            .iter()
            .any(|word| last.contains(word));
    let missing = class == "ModuleNotFoundError";
    let deep = class == "RecursionError" && program.contains("setrecursionlimit");
    (small || missing || deep)
        .then(|| format!("the program needs more than this Python has: {last}"))
}

fn too_busy(reason: &str) -> SandboxError {
    SandboxError::WorkerLost {
        reason: format!(
            "{reason}, {ATTEMPTS} times in a row; hint: raise wall_time_s, or lower cpython_s"
        ),
    }
}

impl CodeVerdict {
    fn count(&mut self, verdict: Verdict) {
        let (counter, reason) = match verdict {
            Verdict::Passed => (&mut self.passed, None),
            Verdict::Failed(reason) | Verdict::Fault(reason) | Verdict::Broken(reason) => {
                (&mut self.failed, Some(reason))
            }
            Verdict::Unverified(reason) => (&mut self.unverified, Some(reason)),
        };
        *counter += 1;
        if self.reason.is_none() {
            self.reason = reason;
        }
    }
}
