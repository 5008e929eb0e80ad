//! How a run ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A run of a guest program. Whatever the guest did is data here, not an error: errors are for a
/// host that could not run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, up to [`crate::limits::Limits::output_bytes`]. It need not be UTF-8.
    pub stdout: Vec<u8>,
    /// Standard error, up to [`crate::limits::Limits::output_bytes`]. It need not be UTF-8.
    pub stderr: Vec<u8>,
    /// Fuel used up, in the units of [`crate::limits::Limits::fuel`]. The same for every run of the same
    /// program on the same input.
    pub fuel_used: u64,
    /// Time from start to end as the host saw it. Differs from run to run.
    pub wall_time: Duration,
}

/// How a guest program ended. In JSON: `"finished"`, `{"exited":3}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It ran to its end.
    Finished,
    /// It asked to exit, with this status. Anybody can ask for 0: it proves nothing.
    Exited(i32),
    /// An exception that nobody caught, by the name of its class.
    Uncaught(String),
    /// It used up its fuel.
    OutOfFuel,
    /// It wanted more memory than it may have, and did not survive the refusal.
    OutOfMemory,
    /// It called more deeply than the stack is long.
    StackOverflow,
    /// It wrote more than [`crate::limits::Limits::output_bytes`] to one of its outputs.
    OutputLimit,
    /// The host's time was up before the fuel was. The machine was too busy to tell whether the
    /// program would have ended: run it again, or leave it out; it is no wrong answer.
    Deadline,
    /// It did something that WebAssembly forbids, such as reading outside of its memory, or aborted.
    Trapped(String),
}

impl Exit {
    /// Whether the program ran to its end or exited with status 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished | Self::Exited(0))
    }

    /// Whether the run says nothing about the program, so that it may be repeated.
    pub fn is_fault(&self) -> bool {
        *self == Self::Deadline
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Uncaught(class) => write!(f, "uncaught {class}"),
            Self::OutOfFuel => f.write_str("out of fuel"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::StackOverflow => f.write_str("stack overflow"),
            Self::OutputLimit => f.write_str("too much output"),
            Self::Deadline => f.write_str("the wall-clock deadline passed"),
            Self::Trapped(reason) => write!(f, "trapped: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_orderly_end_is_success() {
        assert!(Exit::Finished.is_success() && Exit::Exited(0).is_success());
        for exit in [
            Exit::Exited(1),
            Exit::Uncaught("ValueError".to_owned()),
            Exit::OutOfFuel,
            Exit::Deadline,
            Exit::Trapped("unreachable".to_owned()),
        ] {
            assert!(!exit.is_success(), "{exit:?}");
            assert_eq!(exit.is_fault(), exit == Exit::Deadline);
        }
    }

    #[test]
    fn the_json_form_is_stable() {
        let cases = [
            (Exit::Finished, r#""finished""#),
            (Exit::Exited(3), r#"{"exited":3}"#),
            (Exit::OutOfFuel, r#""out-of-fuel""#),
        ];
        for (exit, expected) in cases {
            assert_eq!(serde_json::to_string(&exit).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Exit>(expected).unwrap(), exit);
        }
    }
}
