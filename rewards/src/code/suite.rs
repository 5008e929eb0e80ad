//! The tests of a task: of programs, or of functions.

use dunwu_sandbox::python::Case;

use super::choose::identifiers;

/// A program is given this input and must write this output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StdioCase {
    /// Standard input.
    pub input: String,
    /// What must stand on standard output; see [`super::OutputCheck`].
    pub output: String,
}

/// Python statements that test functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// Statements before each test, on the tests' side.
    pub(super) setup: String,
    /// The task's prompt where it may be code, of which both sides get the definitions.
    pub(super) prompt: Option<String>,
    /// The function under test, if it is known: a name, or an expression such as `Solution().twoSum`.
    pub(super) entry_point: Option<String>,
    /// The tests.
    pub(super) cases: Vec<Case>,
}

/// A task's tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tests {
    /// Inputs and outputs of a program.
    Stdio(Vec<StdioCase>),
    /// Tests of functions.
    Python(Suite),
}

/// Why a task's tests cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestsError {
    /// A column has another shape than its name promises.
    #[error("column {column}: {reason}")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong.
        reason: String,
    },
}

pub(super) fn wrong(column: &'static str, reason: impl std::fmt::Display) -> TestsError {
    TestsError::Column {
        column,
        reason: reason.to_string(),
    }
}

impl Tests {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Stdio(cases) => cases.len(),
            Self::Python(suite) => suite.cases.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the tests use `name`, as a function or class of the solution.
    pub(super) fn mention(&self, name: &str) -> bool {
        let Self::Python(suite) = self else {
            return false;
        };
        let entry = suite.entry_point.as_deref().unwrap_or("");
        identifiers(entry).any(|word| word == name)
            || entry.chars().all(char::is_alphanumeric) && !entry.is_empty() && name == "Solution"
            || suite
                .cases
                .iter()
                .any(|case| identifiers(&case.code).any(|word| word == name))
    }
}
