//! Which problems are held out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::{fnv1a, mix};

/// The side of the fence a problem is on.
///
/// The side is a property of the problem, not of a run: it follows from a hash of the problem's canonical text, so it is
/// the same for every seed, machine and order of work, and a problem met in training is never a held-out one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Problems to learn from.
    Train,
    /// Problems that training never sees.
    Heldout,
}

impl Split {
    /// The side of the problem whose canonical text is `problem`, when about `heldout_fraction` (0 to 1) of all problems
    /// are held out.
    ///
    /// The text's FNV-1a hash (64 bits) goes through SplitMix64's output function, because FNV alone spreads short texts
    /// poorly over the high bits; the upper 53 bits, as a number in [0, 1), are compared with the fraction. A larger
    /// fraction therefore holds out all problems that a smaller one does. The mapping is fixed.
    pub fn of(problem: &str, heldout_fraction: f64) -> Self {
        let position = (mix(fnv1a(problem.as_bytes())) >> 11) as f64 / (1_u64 << 53) as f64;
        if position < heldout_fraction {
            Split::Heldout
        } else {
            Split::Train
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Heldout => "heldout",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_fraction_is_held_out_and_growth_keeps_it() {
        let mut counts = [0_u32; 2];
        for number in 0..10_000 {
            let problem = format!("{}+{}", number / 100, number % 100);
            let small = Split::of(&problem, 0.1) == Split::Heldout;
            let large = Split::of(&problem, 0.3) == Split::Heldout;
            assert!(large || !small, "{problem}");
            counts[0] += u32::from(small);
            counts[1] += u32::from(large);
        }
        // Binomial standard deviations are 30 and 46; five of them have a chance of about 6e-7 to be exceeded.
        assert!(counts[0].abs_diff(1000) < 150, "{}", counts[0]);
        assert!(counts[1].abs_diff(3000) < 230, "{}", counts[1]);
    }
}
