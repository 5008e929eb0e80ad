//! What a run may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one run of a guest program.
///
/// Fuel decides: it counts the guest's instructions, so a program is stopped at the same place on
/// every machine. Wall time is a safety net for the host, and a verdict that rests on it can differ
/// from one run to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Instructions that the guest may execute, in units of fuel (about one per WebAssembly
    /// instruction). Default: 10 000 000 000, on the order of ten seconds
    /// of computing.
    pub fuel: u64,
    /// Linear memory that the guest may have, in bytes. Default: 256 MiB.
    pub memory_bytes: u64,
    /// Time from start to end as the host sees it. Default: 30 s, well above what the fuel allows,
    /// so that a busy machine does not change verdicts.
    pub wall_time: Duration,
    /// Bytes kept of the guest's standard output and, apart from it, of its standard error.
    /// Default: 64 KiB.
    pub output_bytes: u64,
    /// Native stack that the guest may use, in bytes. Default: 64 MiB. (Python guards itself: too
    /// deep a recursion is a `RecursionError` long before.)
    pub stack_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000_000,
            memory_bytes: 256 << 20,
            wall_time: Duration::from_secs(30),
            output_bytes: 64 << 10,
            stack_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// Size of a WebAssembly page: the step in which linear memory grows, in bytes.
    const PAGE_BYTES: u64 = 64 << 10;
    /// What a 32-bit guest can address, in bytes.
    const ADDRESSABLE_BYTES: u64 = 4 << 30;
    /// Stacks below this do not even start an interpreter.
    const SMALLEST_STACK_BYTES: u64 = 64 << 10;
    /// Stacks above this serve nobody but a guest that wants to waste memory.
    pub(crate) const LARGEST_STACK_BYTES: u64 = 256 << 20;

    /// Checks that a program could run at all within these limits.
    ///
    /// # Errors
    /// [`LimitsError`] naming the limit, its value and what it may be.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let Self {
            fuel,
            memory_bytes,
            wall_time,
            output_bytes: _,
            stack_bytes,
        } = *self;
        if fuel == 0 {
            return Err(LimitsError::NoFuel);
        }
        if !(Self::PAGE_BYTES..=Self::ADDRESSABLE_BYTES).contains(&memory_bytes) {
            return Err(LimitsError::Memory { memory_bytes });
        }
        if wall_time.is_zero() {
            return Err(LimitsError::NoTime);
        }
        if !(Self::SMALLEST_STACK_BYTES..=Self::LARGEST_STACK_BYTES).contains(&stack_bytes) {
            return Err(LimitsError::Stack { stack_bytes });
        }
        Ok(())
    }
}

/// Why limits make no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// No instruction could be executed.
    #[error("fuel is 0: expected at least 1")]
    NoFuel,
    /// Less than a page, or more than a 32-bit guest can address.
    #[error("memory_bytes is {memory_bytes}: expected from 65536 (one page) to 4294967296 (4 GiB)")]
    Memory {
        /// The limit given, in bytes.
        memory_bytes: u64,
    },
    /// Every run would be over time before it starts.
    #[error("wall_time is 0 s: expected more")]
    NoTime,
    /// A stack that is of no use.
    #[error("stack_bytes is {stack_bytes}: expected from 65536 (64 KiB) to 268435456 (256 MiB)")]
    Stack {
        /// The limit given, in bytes.
        stack_bytes: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let cases = [
            (
                Limits {
                    fuel: 0,
                    ..Limits::default()
                },
                "fuel is 0: expected at least 1",
            ),
            (
                Limits {
                    memory_bytes: 65_535,
                    ..Limits::default()
                },
                "memory_bytes is 65535: expected from 65536 (one page) to 4294967296 (4 GiB)",
            ),
            (
                Limits {
                    wall_time: Duration::ZERO,
                    ..Limits::default()
                },
                "wall_time is 0 s: expected more",
            ),
            (
                Limits {
                    stack_bytes: 1,
                    ..Limits::default()
                },
                "stack_bytes is 1: expected from 65536 (64 KiB) to 268435456 (256 MiB)",
            ),
        ];
        for (limits, expected) in cases {
            assert_eq!(limits.validate().unwrap_err().to_string(), expected);
        }
        assert_eq!(
            Limits {
                output_bytes: 0,
                ..Limits::default()
            }
            .validate(),
            Ok(())
        );
    }
}
