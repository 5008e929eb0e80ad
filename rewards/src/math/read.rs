//! Which part of a text is the answer, and what follows from that.

use std::borrow::Cow;

use super::budget::{Budget, Doubt, MAX_ANSWER_BYTES};
use super::decide::Context;
use super::expression::Expression;
use super::parse::{ParseError, parse_with};
use super::quick::same_number;
use super::text::{is_letters_only, is_wordy, number_word, plain_words, same_text};
use super::token::Commas;
use super::{Form, MathOptions, Verdict};
use crate::extract::{Extraction, extract_from, visible_part};

/// Texts up to this length may be bare answers, in bytes.
const MAX_BARE: usize = 400;

/// An answer as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The part of the text that is the answer; empty if there is none.
    pub(super) text: String,
    /// What it says, if it was necessary to know.
    pub(super) expression: Option<Expression>,
}

impl Reading {
    fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            expression: None,
        }
    }

    /// The expression as LaTeX, or the words.
    pub(super) fn describe(&self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        let read_now;
        let expression = match &self.expression {
            Some(expression) => Some(expression),
            None => {
                read_now = super::parse(&self.text).ok();
                read_now.as_ref()
            }
        };
        Some(match expression {
            Some(expression) => expression.to_string(),
            None => self.text.clone(),
        })
    }
}

type Decided = (Verdict, Cow<'static, str>, Reading, Reading);

/// Reads both texts and compares them.
pub(super) fn decide(gold: &str, pred: &str, options: &MathOptions, budget: &Budget) -> Decided {
    let gold = gold_answer(gold);
    if gold.is_empty() {
        let why = Doubt::Unreadable {
            side: "gold",
            reason: ParseError::Empty.to_string(),
        };
        let pred = Reading::of(tidy(pred));
        return (
            Verdict::Undecided { why },
            "".into(),
            Reading::default(),
            pred,
        );
    }
    let (found, bare) = match predicted(pred, options) {
        Some(found) => found,
        None => {
            return (
                Verdict::Different,
                "no answer was found".into(),
                Reading::of(gold),
                Reading::default(),
            );
        }
    };
    let judge = Judge {
        options,
        budget,
        gold,
        bare,
    };
    judge.run(found)
}

/// The answer within a gold text, which is mostly all of it.
fn gold_answer(gold: &str) -> &str {
    let gold = tidy(gold);
    if gold.len() < 8 {
        return gold;
    }
    if gold.contains("\\boxed") || gold.contains("\\fbox") {
        if let Some(found) = extract_from(gold, &[Extraction::Boxed]) {
            return found;
        }
        // A box that is never closed: a gold answer is not cut off, only badly written.
        if let Some((_, rest)) = gold.rsplit_once("\\boxed{") {
            return rest;
        }
    }
    if gold.contains("####")
        && let Some(found) = extract_from(gold, &[Extraction::Hashes])
    {
        return found;
    }
    if gold.len() > MAX_BARE || gold.contains("nswer") {
        return extract_from(gold, &[Extraction::AnswerPhrase, Extraction::LastMath])
            .unwrap_or(gold);
    }
    gold
}

/// The answer within a predicted text, and whether it is all of a bare answer.
pub(super) fn predicted<'a>(pred: &'a str, options: &MathOptions) -> Option<(&'a str, bool)> {
    let whole = tidy(pred);
    let bare = match options.form {
        Form::Answer => true,
        Form::Completion => false,
        Form::Auto => looks_bare(whole),
    };
    if bare {
        return (!whole.is_empty()).then_some((whole, true));
    }
    find(pred, options).map(|found| (tidy(found), false))
}

/// Looks for the answer of a completion.
fn find<'a>(pred: &'a str, options: &MathOptions) -> Option<&'a str> {
    let visible = match options.search_thoughts {
        true => pred,
        false => visible_part(pred),
    };
    if !options.truncated {
        return extract_from(visible, &options.extraction);
    }
    let delimited: Vec<Extraction> = options
        .extraction
        .iter()
        .copied()
        .filter(|extraction| extraction.is_delimited())
        .collect();
    extract_from(visible, &delimited)
}

/// Whether a text may be an answer and nothing else.
fn looks_bare(text: &str) -> bool {
    text.len() <= MAX_BARE
        && !text.contains('\n')
        && !text.starts_with("A:")
        && ![
            "\\boxed", "\\fbox", "<answer>", "####", "think>", "nswer", "<|",
        ]
        .iter()
        .any(|marker| text.contains(marker))
}

/// A text without white space and markdown around it.
fn tidy(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text.len();
        for mark in ["**", "__", "`"] {
            if let Some(inner) = text
                .strip_prefix(mark)
                .and_then(|rest| rest.strip_suffix(mark))
            {
                text = inner.trim();
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Both answers, and how to compare them.
struct Judge<'a> {
    options: &'a MathOptions,
    budget: &'a Budget,
    gold: &'a str,
    /// Whether the predicted text is taken for a bare answer.
    bare: bool,
}

impl Judge<'_> {
    fn run(&self, pred: &str) -> Decided {
        let gold = self.gold;
        let texts = |verdict, why: &'static str| {
            (
                verdict,
                Cow::Borrowed(why),
                Reading::of(gold),
                Reading::of(pred),
            )
        };
        if gold == pred {
            return texts(Verdict::Equal, "the same text");
        }
        if let Some(same) = same_number(gold, pred)
            && (same || self.options.tolerance.is_none())
        {
            return match same {
                true => texts(Verdict::Equal, "the same number"),
                false => texts(Verdict::Different, "two numbers"),
            };
        }
        for (side, text) in [("gold", gold), ("predicted", pred)] {
            if text.len() > MAX_ANSWER_BYTES {
                let why = Doubt::TooLong {
                    side,
                    bytes: text.len(),
                    limit: MAX_ANSWER_BYTES,
                };
                return texts(Verdict::Undecided { why }, "");
            }
        }
        let letters = gold.bytes().any(|byte| byte.is_ascii_alphabetic()) || !gold.is_ascii();
        if letters && self.in_words(pred) {
            return texts(Verdict::Equal, "the same words");
        }
        self.by_meaning(pred)
    }

    /// Whether both are the same words or the same letter of a choice.
    fn in_words(&self, pred: &str) -> bool {
        let gold = self.gold;
        if pred.len() > 4 * MAX_BARE || gold.len() > 4 * MAX_BARE {
            return false;
        }
        let marked = gold.contains("\\text")
            || pred.contains("\\text")
            || gold.starts_with('(')
            || pred.starts_with('(');
        if plain_words(gold).trim_matches(['(', ')']).len() == 1 {
            // `r` and `R` are two variables; `(C)` and `c` are one choice.
            let same_case = gold.bytes().find(u8::is_ascii_alphabetic)
                == pred.bytes().find(u8::is_ascii_alphabetic);
            return gold.is_ascii() && same_text(gold, pred) && (same_case || marked);
        }
        if !is_wordy(gold) || !same_text(gold, pred) {
            return false;
        }
        // `AB` and `ab` may be products; `Yes` and `yes` are not.
        !is_letters_only(gold)
            || marked
            || ["yes", "no", "odd", "all", "one", "two", "six", "ten"]
                .contains(&plain_words(gold).as_str())
    }

    fn parse(&self, text: &str, commas: Commas) -> Result<Expression, ParseError> {
        if let Some(number) = number_word(text) {
            return parse_with(&number, commas, self.budget);
        }
        parse_with(text, commas, self.budget)
    }

    fn by_meaning(&self, pred: &str) -> Decided {
        let gold = self.gold;
        let left = match self.parse(gold, Commas::Thousands) {
            Err(ParseError::Unexpected { .. }) if gold.contains(['$', '\\']) => {
                let inner = extract_from(gold, &[Extraction::AnswerPhrase, Extraction::LastMath]);
                self.parse(inner.unwrap_or(gold), Commas::Thousands)
            }
            read => read,
        };
        let (pred, right) = self.read_pred(pred);
        let reading = |text: &str, read: &Result<Expression, ParseError>| Reading {
            text: text.to_owned(),
            expression: read.as_ref().ok().cloned(),
        };
        let (gold_reading, pred_reading) = (reading(gold, &left), reading(pred, &right));
        let (verdict, why): (Verdict, &'static str) = match (&left, &right) {
            (Ok(left), Ok(right)) => self.compare(left, right, pred),
            _ => self.unreadable(&left, &right, pred),
        };
        (verdict, Cow::Borrowed(why), gold_reading, pred_reading)
    }

    /// The predicted answer; prose around it is taken away if it does not read as it is.
    fn read_pred<'p>(&self, pred: &'p str) -> (&'p str, Result<Expression, ParseError>) {
        let prose = words_of_prose(pred) >= 3 || words_before_formula(pred);
        if !prose {
            let whole = self.parse(pred, Commas::Thousands);
            match whole {
                Err(ParseError::Unexpected { .. } | ParseError::Incomplete) => {}
                read => return (pred, read),
            }
        }
        let order: &[Extraction] = match self.bare {
            // What looked like a bare answer is a sentence.
            true => &[
                Extraction::AnswerPhrase,
                Extraction::Bold,
                Extraction::LastMath,
                Extraction::LastNumber,
            ],
            false => &[
                Extraction::Boxed,
                Extraction::LastMath,
                Extraction::LastNumber,
            ],
        };
        let starts_with_number = pred
            .trim_start_matches(['$', '-', '\\', ' '])
            .starts_with(|c: char| c.is_ascii_digit());
        if prose && starts_with_number && !pred.contains("\\boxed") && !pred.starts_with('$') {
            // `72 clips, since …`: the answer comes first.
            let end = pred
                .find(|c: char| {
                    !(c.is_ascii_digit() || matches!(c, '-' | '$' | ',' | '.' | '/' | '%' | '\\'))
                })
                .unwrap_or(pred.len());
            let first = pred[..end].trim_end_matches([',', '.', '\\', '/']);
            if let Ok(read) = self.parse(first, Commas::Thousands) {
                return (first, Ok(read));
            }
        }
        let has_words = words_of_prose(pred) >= 1;
        for extraction in order {
            // Without words it is a formula that cannot be read; a number out of it would be a guess.
            if *extraction == Extraction::LastNumber && !has_words {
                continue;
            }
            let Some(found) = extract_from(pred, std::slice::from_ref(extraction)) else {
                continue;
            };
            if found.len() < pred.len() || prose {
                let read = self.parse(found, Commas::Thousands);
                if read.is_ok() || *extraction == Extraction::LastMath {
                    return (found, read);
                }
            }
        }
        (pred, self.parse(pred, Commas::Thousands))
    }

    fn compare(
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
            return (verdict, "the same value");
        }
        // `1,234` may be two numbers.
        let (gold_again, pred_again) = (has_doubtful_comma(self.gold), has_doubtful_comma(pred));
        if gold_again || pred_again {
            let again = |text: &str, first: &Expression, doubtful: bool| match doubtful {
                true => self
                    .parse(text, Commas::Separators)
                    .unwrap_or_else(|_| first.clone()),
                false => first.clone(),
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
        (verdict, "two values")
    }

    /// One of the two is no mathematics that can be read.
    fn unreadable(
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

/// Whether a comma in `text` may part thousands or two numbers: `1,234`.
fn has_doubtful_comma(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (1..bytes.len()).any(|at| {
        bytes[at] == b','
            && digit(at - 1)
            && digit(at + 1)
            && digit(at + 2)
            && digit(at + 3)
            && !digit(at + 4)
    })
}

/// Whether a formula between dollar signs has words before it.
fn words_before_formula(text: &str) -> bool {
    let before = text.split(['$']).next().unwrap_or_default();
    before.len() < text.len() && !before.contains('\\') && words_of_prose(before) >= 1
}

/// How many words a text has outside of commands and `\text{…}`: of three letters or more, or English ones of two.
fn words_of_prose(text: &str) -> usize {
    let mut count = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            let name = bytes[at + 1..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            let command = &text[at + 1..at + 1 + name];
            at += 1 + name.max(usize::from(bytes.get(at + 1).is_some_and(u8::is_ascii)));
            if command.starts_with("text")
                || matches!(
                    command,
                    "mathrm" | "mbox" | "hbox" | "operatorname" | "begin" | "end"
                )
            {
                at = text[at.min(text.len())..]
                    .find('}')
                    .map_or(bytes.len(), |end| at + end + 1);
            }
            continue;
        }
        let run = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        let word = if run >= 2 { &text[at..at + run] } else { "" };
        let counts = run >= 3 || super::vocabulary::is_english(word);
        count += usize::from(counts && super::vocabulary::function_named(word).is_none());
        at += run.max(1);
    }
    count
}
