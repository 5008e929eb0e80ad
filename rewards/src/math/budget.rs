//! What a decision may cost, counted in steps and not in seconds.

use std::cell::Cell;

/// Steps that one decision may take unless an option says otherwise: about a millisecond of work.
pub const DEFAULT_STEPS: u32 = 120_000;

/// Deepest nesting of brackets, powers and commands that is read.
pub const MAX_DEPTH: usize = 48;

/// Longest answer that is read, in bytes. A whole completion may be longer: only the answer found in it counts.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Largest exact number that is computed, in bits. Written numbers may be longer.
pub const MAX_BITS: u64 = 16 * 1024;

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The step budget ran out.
    #[error("the step budget of {steps} is spent")]
    Budget {
        /// The budget.
        steps: u32,
    },
    /// A number on the way would be too large.
    #[error("a number would need about 2^{log2_bits} bits; at most {limit} are computed")]
    TooLarge {
        /// The number's size: the binary logarithm of its length in bits.
        log2_bits: u64,
        /// The limit in bits.
        limit: u64,
    },
    /// An answer is too long to be read.
    #[error("the {side} answer has {bytes} bytes; at most {limit} are read")]
    TooLong {
        /// `gold` or `predicted`.
        side: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An answer is nested too deeply.
    #[error("the answer is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An answer cannot be read as mathematics.
    #[error("the {side} answer cannot be read: {reason}")]
    Unreadable {
        /// `gold` or `predicted`.
        side: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// An answer has no value, such as 1/0.
    #[error("the {side} answer has no value that can be computed")]
    NoValue {
        /// `gold`, `predicted`, or `one` where it could be either.
        side: &'static str,
    },
    /// Both agree as far as was computed, and that is no proof.
    #[error("the two agree to {bits} bits, which does not decide it")]
    TooClose {
        /// The precision reached.
        bits: u64,
    },
    /// Both agree wherever both have a value, but one of them has a value more often.
    #[error("the two agree where both have a value, but their domains differ")]
    Domain,
    /// Both agree at all points that were tried, which is no proof where a function has several pieces.
    #[error("the two agree at all points tried, which does not decide it where {what} occur")]
    Sampled {
        /// What has several pieces: absolute values, floors, divisors, binomials or roots.
        what: &'static str,
    },
    /// The predicted answer is only a rough one.
    #[error("the predicted answer is a rough one")]
    Rough,
    /// The predicted text names several values, none of them as its answer.
    #[error("the predicted text names several values, none of them as its answer")]
    Unclear,
    /// The two are the same if a logarithm without a base is a natural one, and differ if its base is ten.
    #[error("a logarithm without a base may be one to the base of ten or a natural one")]
    LogarithmBase,
    /// Two kinds of answers for whose comparison there is no rule.
    #[error("{left} and {right} cannot be compared")]
    Kinds {
        /// Kind of the gold answer.
        left: &'static str,
        /// Kind of the predicted answer.
        right: &'static str,
    },
}

/// A counter of steps. A step is about seven nanoseconds; work on long numbers counts by their length.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u32,
    left: Cell<u32>,
}

impl Budget {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            left: Cell::new(limit),
        }
    }

    /// Steps taken so far; never more than the limit.
    pub(crate) fn spent(&self) -> u32 {
        self.limit - self.left.get()
    }

    /// Takes `steps`, or says that there are not so many left. An overdraft spends everything, so
    /// that nothing goes on after a failure.
    pub(crate) fn spend(&self, steps: u64) -> Result<(), Doubt> {
        match u64::from(self.left.get()).checked_sub(steps) {
            Some(left) => {
                self.left.set(u32::try_from(left).unwrap_or(u32::MAX));
                Ok(())
            }
            None => {
                self.left.set(0);
                Err(Doubt::Budget { steps: self.limit })
            }
        }
    }

    /// Takes the price of a product, quotient or root of numbers with so many bits.
    pub(crate) fn spend_bits(&self, left: u64, right: u64) -> Result<(), Doubt> {
        self.spend(4 + (left / 64 + 1) * (right / 64 + 1) / 6)
    }
}
