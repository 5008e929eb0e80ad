//! Whether two mathematical answers are the same: exact, bounded in steps and memory, and never silent.
//!
//! [`judge`] reads a gold answer and a predicted one, which may be a whole completion, and says [`Verdict::Equal`],
//! [`Verdict::Different`] or [`Verdict::Undecided`] with a reason. Nothing is called equal because two floats are close:
//! numbers are compared as exact fractions, algebraic numbers by a separation bound, everything else by canonical forms and
//! by evaluation with guaranteed error bounds. Two answers with variables that no canonical form joins are called equal if
//! they agree at points of all signs and magnitudes; where absolute values, floors, divisors, binomials or even roots may
//! hide a piece that no point has seen, that is undecided. Every step counts against a budget, so no input takes longer than a few
//! milliseconds.
//!
//! ```
//! use dunwu_rewards::math::{MathOptions, Verdict, judge};
//!
//! let options = MathOptions::default();
//! let verdict = |gold, pred| judge(gold, pred, &options).verdict;
//! assert_eq!(verdict(r"\frac{1}{\sqrt 2}", r"so it is $\boxed{\sqrt{2}/2}$."), Verdict::Equal);
//! assert_eq!(verdict("(1, 2]", "[1, 2)"), Verdict::Different);
//! assert!(matches!(verdict("5", "5^{5^{5^5}}"), Verdict::Undecided { .. }));
//! ```
//!
//! # Map
//! - `read`: which part of a completion is the answer, and what kind of text it is; `prose`: what a sentence claims
//! - `quick`: plain numbers, without building a tree
//! - `token`, `parse`, `print`: between text and [`Expression`]
//! - `compare`: kinds of answers: lists, sets, tuples, equations, units; `realset`: sets of real numbers
//! - `decide`: two scalars, `points` those with variables; by `exact` fractions, `normal` forms, `separation` bounds, and `evaluate` with `numeric` balls
//! - `text`: answers in words; `units`
//! - `golds`: several right answers, and what is wrong with one; `reward`: the rubric's component `math`
//! - `budget`: what a decision may cost

mod budget;
mod compare;
mod decide;
mod evaluate;
mod exact;
mod expression;
mod golds;
mod normal;
mod numeric;
mod parse;
mod points;
mod print;
#[cfg(test)]
mod properties;
mod prose;
mod quick;
mod read;
mod realset;
mod reward;
mod separation;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod units;
mod vocabulary;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use budget::{DEFAULT_STEPS, Doubt, MAX_ANSWER_BYTES, MAX_BITS, MAX_DEPTH};
pub use expression::{
    Binder, Connective, Constant, Expression, Function, Half, RelationKind, SetOperation,
};
pub use golds::{gold_fault, judge_any, right_answers};
pub use parse::{ParseError, parse};
pub use reward::{Math, MathConfig, Undecided};
pub use units::Unit;

use crate::extract::Extraction;
use budget::Budget;
use read::Reading;

/// What is said about two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the same.
    Equal,
    /// They are not the same.
    Different,
    /// It is not known. Neither right nor wrong may be made of this.
    Undecided {
        /// Why.
        why: Doubt,
    },
}

impl Verdict {
    fn of(equal: bool) -> Self {
        if equal { Self::Equal } else { Self::Different }
    }

    /// `equal`, `different` or `undecided`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Undecided { .. } => "undecided",
        }
    }
}

/// What a percent sign means where only one of two answers has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PercentPolicy {
    /// `28%` is 0.28, and also 28, as an answer to "how many percent?".
    #[default]
    Either,
    /// `28%` is 0.28 and nothing else.
    Hundredths,
    /// `28%` is 28 and nothing else: the sign is a unit.
    Unit,
}

/// How far from the gold number a predicted one may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// Half a unit of the decimal with this number: 2 allows 0.005.
    Decimals(u32),
    /// A share of the gold number's absolute value: 0.01 allows 1 %.
    Relative(f64),
}

/// What a predicted text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A bare answer if it looks like one, a completion otherwise.
    #[default]
    Auto,
    /// A bare answer.
    Answer,
    /// A completion, in which the answer has to be found.
    Completion,
}

/// How answers are read and compared.
#[derive(Clone, Debug, PartialEq)]
pub struct MathOptions {
    /// What the predicted text is.
    pub form: Form,
    /// Where the answer of a completion is looked for; the first that finds anything wins.
    pub extraction: Vec<Extraction>,
    /// Whether answers between `<think>` and `</think>` count.
    pub search_thoughts: bool,
    /// Whether the completion was cut off. Then only answers whose end is marked count.
    pub truncated: bool,
    /// How far apart numbers may be; none unless given.
    pub tolerance: Option<Tolerance>,
    /// What a percent sign means.
    pub percent: PercentPolicy,
    /// Whether units and brackets have to be there: `5` is not `5 cm`, and `x = 1, y = 2` is not `(1, 2)`. `1, 2` is never a
    /// point.
    pub strict: bool,
    /// Steps that a decision may take.
    pub steps: u32,
}

impl Default for MathOptions {
    fn default() -> Self {
        Self {
            form: Form::Auto,
            extraction: Self::default_extraction(),
            search_thoughts: false,
            truncated: false,
            tolerance: None,
            percent: PercentPolicy::default(),
            strict: false,
            steps: DEFAULT_STEPS,
        }
    }
}

impl MathOptions {
    /// Where answers of completions are looked for unless something else is said.
    pub fn default_extraction() -> Vec<Extraction> {
        vec![
            Extraction::Boxed,
            Extraction::AnswerTag,
            Extraction::Hashes,
            Extraction::AnswerPhrase,
            Extraction::Bold,
            Extraction::LastMath,
            Extraction::LastNumber,
        ]
    }
}

/// A verdict with what it rests on.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, in words.
    pub why: Cow<'static, str>,
    /// Steps that it took.
    pub steps: u32,
    gold: Reading,
    pred: Reading,
}

impl Judgement {
    /// The gold answer as it was read: LaTeX, or the words; `None` if there is none.
    pub fn gold_parsed(&self) -> Option<String> {
        self.gold.describe()
    }

    /// The predicted answer as it was read; `None` if there is none.
    pub fn pred_parsed(&self) -> Option<String> {
        self.pred.describe()
    }
}

/// The answer in a predicted text, as [`judge`] would take it; `None` if there is none.
pub fn answer_in<'a>(pred: &'a str, options: &MathOptions) -> Option<&'a str> {
    read::predicted(pred, options).map(|found| found.text)
}

/// Compares a predicted answer, or the answer of a completion, with the gold one. Never panics, and takes a bounded number
/// of steps beyond one pass over the text.
pub fn judge(gold: &str, pred: &str, options: &MathOptions) -> Judgement {
    let budget = Budget::new(options.steps);
    let (verdict, why, gold, pred) = read::decide(gold, pred, options, &budget);
    let why = match &verdict {
        Verdict::Undecided { why } => Cow::Owned(why.to_string()),
        _ => why,
    };
    Judgement {
        verdict,
        why,
        steps: budget.spent(),
        gold,
        pred,
    }
}
