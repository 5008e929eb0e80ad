//! Two answers as they were read: their comparison, and what follows if one cannot be read.

use super::super::Verdict;
use super::super::budget::Doubt;
use super::super::decide::Context;
use super::super::expression::Expression;
use super::super::parse::ParseError;
use super::super::text::{is_letters_only, is_wordy, plain_words, same_text};
use super::super::token::Commas;
use super::{Judge, has_doubtful_comma, has_short_decimals};

impl Judge<'_> {
    pub(super) fn compare(
        &self,
        left: &Expression,
        right: &Expression,
        pred: &str,
    ) -> (Verdict, &'static str) {
        let context = Context {
            options: self.options,
            budget: self.budget,
            depth: std::cell::Cell::new(0),
        };
        let answers = |left: &Expression, right: &Expression| {
            context
                .answers(left, right)
                .unwrap_or_else(|why| Verdict::Undecided { why })
        };
        let verdict = answers(left, right);
        if verdict == Verdict::Equal {
            let word = |text: &str| is_letters_only(text) && plain_words(text).len() > 2;
            if word(self.gold) && word(pred) && plain_words(self.gold) != plain_words(pred) {
                // `odd` and `dod` are the same product of letters, and hardly the same answer.
                let why = Doubt::Kinds {
                    left: "letters that may be a word",
                    right: "other letters",
                };
                return (Verdict::Undecided { why }, "");
            }
            if has_short_decimals(self.gold) && !pred.contains(',') {
                let why = Doubt::Kinds {
                    left: "a decimal or two numbers",
                    right: "a decimal",
                };
                return (Verdict::Undecided { why }, "");
            }
            return (verdict, "the same value");
        }
        // `1,234` may be two numbers.
        let (gold_again, pred_again) = (has_doubtful_comma(self.gold), has_doubtful_comma(pred));
        if gold_again || pred_again {
            let again = |text: &str, first: &Expression, doubtful: bool| {
                if doubtful {
                    self.parse(text, Commas::Separators)
                        .unwrap_or_else(|_| first.clone())
                } else {
                    first.clone()
                }
            };
            let lists = (
                again(self.gold, left, gold_again),
                again(pred, right, pred_again),
            );
            let tries = [(&lists.0, &lists.1), (left, &lists.1), (&lists.0, right)];
            if tries
                .iter()
                .any(|(left, right)| answers(left, right) == Verdict::Equal)
            {
                return (Verdict::Equal, "the same values, with commas as separators");
            }
        }
        if verdict == Verdict::Different
            && let Some(decided) = self.second_look(left, right, pred, &answers)
        {
            return decided;
        }
        (verdict, "two values")
    }

    /// One of the two is no mathematics that can be read.
    pub(super) fn unreadable(
        &self,
        left: &Result<Expression, ParseError>,
        right: &Result<Expression, ParseError>,
        pred: &str,
    ) -> (Verdict, &'static str) {
        let gold = self.gold;
        if same_text(gold, pred)
            && gold.len() > 3
            && !gold
                .bytes()
                .any(|byte| byte.is_ascii_uppercase() && !is_wordy(gold))
        {
            return (Verdict::Equal, "the same words");
        }
        for (side, read) in [("gold", left), ("predicted", right)] {
            if let Err(ParseError::Bound(doubt)) = read {
                let why = match doubt {
                    Doubt::TooLong { bytes, limit, .. } => Doubt::TooLong {
                        side,
                        bytes: *bytes,
                        limit: *limit,
                    },
                    other => other.clone(),
                };
                return (Verdict::Undecided { why }, "");
            }
        }
        let wordless = |text: &str| {
            text.bytes()
                .any(|byte| byte.is_ascii_digit() || matches!(byte, b'\\' | b'=' | b'^'))
        };
        let (gold_math, pred_math) = (wordless(gold), wordless(pred));
        match (left, right) {
            // Words against words, or words against a number.
            (Err(_), Err(_)) if !gold_math && !pred_math => {
                (Verdict::Different, "two answers in words")
            }
            (Err(_), _) if !gold_math => (Verdict::Different, "words and a value"),
            (_, Err(_)) if !pred_math => (Verdict::Different, "a value and words"),
            (Err(error), _) => {
                let reason = error.to_string();
                (
                    Verdict::Undecided {
                        why: Doubt::Unreadable {
                            side: "gold",
                            reason,
                        },
                    },
                    "",
                )
            }
            (_, Err(error)) => {
                let reason = error.to_string();
                (
                    Verdict::Undecided {
                        why: Doubt::Unreadable {
                            side: "predicted",
                            reason,
                        },
                    },
                    "",
                )
            }
            (Ok(_), Ok(_)) => (Verdict::Different, "two values"),
        }
    }
}
