//! How a run ended.

use std::time::Duration;

/// A run of a guest program. Whatever the guest did is data here, not an error: errors are for a
/// host that could not run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, up to [`crate::Limits::output_bytes`]. It need not be UTF-8.
    pub stdout: Vec<u8>,
    /// Standard error, up to [`crate::Limits::output_bytes`]. It need not be UTF-8.
    pub stderr: Vec<u8>,
    /// Fuel used up, in the units of [`crate::Limits::fuel`]. The same for every run of the same
    /// program on the same input.
    pub fuel_used: u64,
    /// Time from start to end as the host saw it. Differs from run to run.
    pub wall_time: Duration,
}

/// How a guest program ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It ended by itself; 0 means success.
    Code(i32),
    /// It used up its fuel.
    OutOfFuel,
    /// It wanted more memory than it may have, and did not survive the refusal.
    OutOfMemory,
    /// The host's time was up before the fuel was. The machine was too busy to tell whether the
    /// program would have ended: run it again, or leave it out; it is no wrong answer.
    OutOfTime,
    /// It wrote more than [`crate::Limits::output_bytes`] to one of its outputs.
    TooMuchOutput,
    /// It did something that WebAssembly forbids, such as reading outside of its memory.
    Trap(String),
}

impl Exit {
    /// Whether the program ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_zero_is_success() {
        assert!(Exit::Code(0).is_success());
        for exit in [
            Exit::Code(1),
            Exit::OutOfFuel,
            Exit::OutOfTime,
            Exit::Trap("unreachable".to_owned()),
        ] {
            assert!(!exit.is_success(), "{exit:?}");
        }
    }
}
