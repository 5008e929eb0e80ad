//! Which problems are held out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{DatasetError, expect_setting};
use crate::seed::mix;
use crate::task::Task;

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

/// Divides `tasks` into training and held-out ones by the text of their problems ([`crate::Prompt::problem_text`]), in
/// their order.
///
/// # Errors
/// [`DatasetError::InvalidSetting`] if `heldout_fraction` is not in 0..1.
pub fn partition(
    tasks: Vec<Task>,
    heldout_fraction: f64,
) -> Result<(Vec<Task>, Vec<Task>), DatasetError> {
    check_fraction(heldout_fraction)?;
    Ok(tasks
        .into_iter()
        .partition(|task| Split::of(&task.prompt.problem_text(), heldout_fraction) == Split::Train))
}

/// A number for a list of problems: their names, texts and answers, in this order. Two lists with the same number are the
/// same list, so that verdicts on them may be compared problem by problem.
pub fn fingerprint(tasks: &[Task]) -> u64 {
    tasks.iter().fold(0, |state, task| {
        let parts = [&task.id, &task.prompt.problem_text(), &task.answer];
        parts.into_iter().fold(
            state,
            |state, part| mix(state ^ mix(fnv1a(part.as_bytes()))),
        )
    })
}

/// Refuses a fraction that leaves nothing to train on or is no fraction at all.
pub(crate) fn check_fraction(heldout_fraction: f64) -> Result<(), DatasetError> {
    expect_setting(
        (0.0..1.0).contains(&heldout_fraction),
        "heldout_fraction",
        heldout_fraction,
        "at least 0, below 1",
    )
}

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Prompt;

    #[test]
    fn the_hash_is_fnv1a() {
        // Test vectors of the FNV reference page.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

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
    fn a_fingerprint_tells_lists_apart() {
        let task = |id: &str, answer: &str| Task {
            id: id.to_owned(),
            prompt: Prompt::Text("1+1=".to_owned()),
            answer: answer.to_owned(),
            columns: Default::default(),
        };
        let lists = [
            vec![],
            vec![task("a", "2")],
            vec![task("b", "2")],
            vec![task("a", "3")],
            vec![task("a", "2"), task("b", "2")],
            vec![task("b", "2"), task("a", "2")],
        ];
        let prints: std::collections::HashSet<u64> =
            lists.iter().map(|list| fingerprint(list)).collect();
        assert_eq!(prints.len(), lists.len());
        assert_eq!(fingerprint(&lists[4]), fingerprint(&lists[4].clone()));
    }

    #[test]
    fn partition_keeps_every_task_once() {
        let tasks: Vec<Task> = (0..500)
            .map(|number| Task {
                id: number.to_string(),
                prompt: Prompt::user(None, format!("What is {number}+1?")),
                answer: (number + 1).to_string(),
                columns: Default::default(),
            })
            .collect();
        let (train, heldout) = partition(tasks.clone(), 0.2).unwrap();
        assert_eq!(train.len() + heldout.len(), tasks.len());
        assert!(!heldout.is_empty());
        let error = partition(tasks, 1.0).unwrap_err().to_string();
        assert_eq!(error, "heldout_fraction is 1: expected at least 0, below 1");
    }
}
