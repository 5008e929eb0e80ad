//! Tests of a solution that nobody trusts.
//!
//! A test runs in an instance that never loads the solution; the solution runs in an instance that
//! never sees the test. When the test calls the solution's function, the host carries the arguments
//! over and the result back, as values of exact builtin types. What the solution prints, patches,
//! raises or exits with stays on its side: to pass, it has to give right values.

use serde::{Deserialize, Serialize};

use super::instance::Partner;
use super::{Python, cannot, ended};
use crate::error::SandboxError;
use crate::execution::Exit;
use crate::limits::Limits;

/// One test: statements that raise `AssertionError`, or anything else, if the solution is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Python statements, such as `assert add(2, 3) == 5`.
    pub code: String,
}

/// A solution and its tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRequest {
    /// The solution, as it was written.
    pub solution: String,
    /// Statements that come before each test, such as imports. They run on the tests' side: they
    /// are as trusted as the tests.
    pub setup: String,
    /// The task's prompt, or what of it is code: where it is Python (a function's head, the classes that a solution is given), both
    /// sides get its definitions. Default: none.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The function under test, which tests may call `candidate`: a name, or an expression such as `Solution().twoSum`. Without one,
    /// every function that a test calls and that neither it nor the standard library defines is the solution's.
    pub entry_point: Option<String>,
    /// The tests. Each meets a fresh instance of the solution.
    pub cases: Vec<Case>,
    /// Whether to stop at the first test that does not pass; those after it have no outcome.
    pub stop_at_failure: bool,
}

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The test ran to its end.
    Passed,
    /// It did not, for this reason.
    Failed(String),
    /// What the solution gave cannot be judged without trusting it, or needs a Python with more than the standard library.
    Unverified(String),
    /// The test cannot be carried out, whatever the solution is: an error about the task.
    Broken(String),
    /// The host ran out of time: the test says nothing about the solution and may be repeated.
    Fault(String),
}

/// A test's verdict and cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// What became of it.
    pub verdict: Verdict,
    /// Fuel that the solution used, where it lived to tell.
    pub fuel_used: u64,
}

#[derive(Deserialize)]
struct Judged {
    verdict: JudgedAs,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum JudgedAs {
    Passed,
    Failed,
    Unverified,
    Broken,
}

/// What is run before a solution.
#[derive(Default, Deserialize)]
struct Prelude {
    #[serde(default)]
    prelude: Vec<String>,
    #[serde(default)]
    classes: Vec<String>,
}

impl Python {
    /// Runs the tests of `request`, each under `limits` (the solution and the test apart).
    ///
    /// # Errors
    /// [`SandboxError`] if the host fails; whatever the solution does is in the outcomes.
    pub fn test(
        &mut self,
        request: &TestRequest,
        limits: &Limits,
    ) -> Result<Vec<CaseOutcome>, SandboxError> {
        limits.validate()?;
        let mut outcomes = Vec::with_capacity(request.cases.len());
        let mut judge = None;
        let prelude = match self.prelude(request, limits, &mut judge)? {
            Ok(prelude) => prelude,
            Err(verdict) => {
                outcomes.push(CaseOutcome {
                    verdict,
                    fuel_used: 0,
                });
                return Ok(outcomes);
            }
        };
        for case in &request.cases {
            let outcome = self.test_one(request, case, limits, &prelude, &mut judge)?;
            let passed = outcome.verdict == Verdict::Passed;
            outcomes.push(outcome);
            if request.stop_at_failure && !passed {
                break;
            }
        }
        Ok(outcomes)
    }

    /// What `request` has for the solution's side, as the tests' side reads it; a verdict if it cannot be read.
    fn prelude(
        &mut self,
        request: &TestRequest,
        limits: &Limits,
        judge: &mut Option<super::Interpreter>,
    ) -> Result<Result<Prelude, Verdict>, SandboxError> {
        if request.setup.trim().is_empty() && request.prompt.is_none() {
            return Ok(Ok(Prelude::default()));
        }
        let mut tests = self.interpreter(limits)?;
        let reply = tests.ask(&serde_json::json!({
            "op": "prelude",
            "setup": request.setup,
            "prompt": request.prompt,
            "entry_point": request.entry_point,
        }));
        let reply = match reply {
            Ok(reply) => reply,
            Err(exit) => return Ok(Err(test_ended(&exit))),
        };
        *judge = Some(tests);
        if let Ok(judged) = serde_json::from_slice::<Judged>(&reply) {
            return Ok(Err(judged.into_verdict()));
        }
        let prelude = serde_json::from_slice(&reply)
            .map_err(|error| SandboxError::protocol(format!("the tests' side: {error}")))?;
        Ok(Ok(prelude))
    }

    fn test_one(
        &mut self,
        request: &TestRequest,
        case: &Case,
        limits: &Limits,
        prelude: &Prelude,
        judge: &mut Option<super::Interpreter>,
    ) -> Result<CaseOutcome, SandboxError> {
        let mut solution = self.interpreter(limits)?;
        let load = serde_json::json!({
            "op": "load",
            "program": request.solution,
            "prelude": prelude.prelude,
            "classes": prelude.classes,
        });
        let (loaded, cannot) = match solution.ask(&load) {
            Ok(reply) => (ended(&reply, &solution), cannot(&reply)),
            Err(exit) => (exit, None),
        };
        if loaded != Exit::Finished {
            let fuel_used = solution.fuel_used();
            let verdict = match cannot {
                Some(reason) => Verdict::Unverified(format!("the solution: {reason}")),
                None => died(&loaded),
            };
            return Ok(CaseOutcome { verdict, fuel_used });
        }
        let mut tests = match judge.take() {
            Some(mut tests) => {
                tests.restart_clock(limits)?;
                tests
            }
            None => self.interpreter(limits)?,
        };
        let side = tests.side();
        side.partner = Some(Partner::Rests(Box::new(solution)));
        side.died = None;
        let reply = tests.ask(&serde_json::json!({
            "op": "judge",
            "setup": request.setup,
            "prompt": request.prompt,
            "test": case.code,
            "entry_point": request.entry_point,
        }));
        let side = tests.side();
        let solution_died = side.died.take();
        let fuel_used = side.partner.take().map_or(0, |partner| partner.fuel_used());
        let verdict = match (&reply, solution_died) {
            (_, Some(exit)) => died(&exit),
            (Err(exit), None) => test_ended(exit),
            (Ok(reply), None) => judged(reply)?,
        };
        // An instance that trapped is not used again.
        if reply.is_ok() {
            *judge = Some(tests);
        }
        Ok(CaseOutcome { verdict, fuel_used })
    }
}

/// The verdict where the tests' own instance ended before it said anything: the solution's was alive.
fn test_ended(exit: &Exit) -> Verdict {
    if exit.is_fault() {
        return Verdict::Fault(format!("the test: {exit}"));
    }
    Verdict::Broken(format!("the test: {exit}"))
}

/// The verdict on a solution whose instance ended before it answered.
fn died(exit: &Exit) -> Verdict {
    if exit.is_fault() {
        return Verdict::Fault(exit.to_string());
    }
    Verdict::Failed(format!("the solution: {exit}"))
}

fn judged(reply: &[u8]) -> Result<Verdict, SandboxError> {
    let judged: Judged = serde_json::from_slice(reply)
        .map_err(|error| SandboxError::protocol(format!("the tests' side: {error}")))?;
    Ok(judged.into_verdict())
}

impl Judged {
    fn into_verdict(self) -> Verdict {
        match self.verdict {
            JudgedAs::Passed => Verdict::Passed,
            JudgedAs::Failed => Verdict::Failed(self.reason),
            JudgedAs::Unverified => Verdict::Unverified(self.reason),
            JudgedAs::Broken => Verdict::Broken(self.reason),
        }
    }
}
