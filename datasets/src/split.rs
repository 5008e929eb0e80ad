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

    /// The side of a problem that was written by people: texts that differ in upper and lower case or in white space alone are one
    /// problem.
    pub fn of_text(text: &str, heldout_fraction: f64) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        Self::of(&words.join(" ").to_lowercase(), heldout_fraction)
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

    #[test]
    fn how_a_text_is_set_does_not_matter() {
        let mut heldout = 0;
        for number in 0..1_000 {
            let text = format!("What is {number} + 1?");
            let side = Split::of_text(&text, 0.3);
            for other in [
                format!(" What is  {number} +\n1?\n"),
                format!("what IS {number} + 1?"),
            ] {
                assert_eq!(Split::of_text(&other, 0.3), side, "{other:?}");
            }
            heldout += u32::from(side == Split::Heldout);
        }
        // The standard deviation is 14.5.
        assert!(heldout.abs_diff(300) < 75, "{heldout}");
    }
}
