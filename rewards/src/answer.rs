//! What judges of final answers share: where the answer is looked for, and what a right and a wrong one are worth.

use crate::extract::{Extraction, extract};
use crate::option::{OptionError, check_finite};
use crate::sample::Sample;

/// The common options of judges of final answers.
#[derive(Clone, Debug)]
pub(crate) struct AnswerScores {
    pub(crate) name: String,
    extraction: Vec<Extraction>,
    correct: f64,
    wrong: f64,
}

impl AnswerScores {
    /// # Errors
    /// [`OptionError::Invalid`] for scores that are not finite or an empty `extraction`.
    pub(crate) fn new(
        name: &str,
        extraction: &[Extraction],
        correct: f64,
        wrong: f64,
    ) -> Result<Self, OptionError> {
        check_finite(name, "correct", correct)?;
        check_finite(name, "wrong", wrong)?;
        if extraction.is_empty() {
            return Err(OptionError::invalid(
                name,
                "extraction",
                "[]",
                "at least one",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            extraction: extraction.to_vec(),
            correct,
            wrong,
        })
    }

    /// The final answer in a completion. In a truncated one only answers whose end is marked count.
    pub(crate) fn found<'a>(&self, sample: &Sample<'a>) -> Option<&'a str> {
        let usable: Vec<Extraction> = self
            .extraction
            .iter()
            .copied()
            .filter(|extraction| !sample.truncated || extraction.is_delimited())
            .collect();
        extract(sample.completion, &usable)
    }

    /// The score of a right or a wrong answer.
    pub(crate) fn score(&self, right: bool) -> f64 {
        if right { self.correct } else { self.wrong }
    }

    /// The scores of a wrong and of a right answer.
    pub(crate) fn both(&self) -> [f64; 2] {
        [self.wrong, self.correct]
    }
}
