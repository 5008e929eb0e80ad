//! Which part of a text is the answer, and what follows from that.

mod comparison;
mod prediction;
mod second;

use std::borrow::Cow;

use super::budget::{Budget, Doubt, MAX_ANSWER_BYTES};
use super::compare::set_in_words;
use super::expression::Expression;
use super::parse::{ParseError, parse_with};
use super::prose::{Hedge, bare, doubted, flat, goes_on, hedge_before, said};
use super::quick::same_number;
use super::text::{
    is_letters_only, is_wordy, lettered, number_word, plain_words, same_text, single_letter,
};
use super::token::Commas;
use super::{Form, MathOptions, Verdict};
use crate::extract::{Extraction, extract_from, extract_with, visible_part};

/// Texts up to this length may be bare answers, in bytes.
const MAX_BARE: usize = 400;

/// Completions up to this length may be bare answers if no word is in them, in bytes.
const MAX_BARE_COMPLETION: usize = 80;

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
    let Some(found) = predicted(pred, options) else {
        return (
            Verdict::Different,
            "no answer was found".into(),
            Reading::of(gold),
            Reading::default(),
        );
    };
    let judge = Judge {
        options,
        budget,
        gold,
        found,
    };
    let decided = judge.run(found.text);
    if decided.0 == Verdict::Different && judge.all_boxes_match(pred) {
        // Each of several values has a box of its own, and only the last was taken.
        let why = Doubt::Unclear;
        return (Verdict::Undecided { why }, "".into(), decided.2, decided.3);
    }
    decided
}

/// The answer within a gold text, which is mostly all of it.
fn gold_answer(gold: &str) -> &str {
    let gold = tidy(gold);
    if gold.len() < 8 && !gold.starts_with("####") {
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

/// An answer that was found in a predicted text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The answer.
    pub(super) text: &'a str,
    /// What found it; `None` if the text is a bare answer.
    by: Option<Extraction>,
    /// The sentence in which it stands, up to it.
    before: &'a str,
    /// The sentence in which it stands.
    sentence: &'a str,
    /// What follows it.
    after: &'a str,
}

impl Found<'_> {
    fn is_bare(&self) -> bool {
        self.by.is_none()
    }

    /// What found it.
    fn by(&self) -> Option<Extraction> {
        self.by
    }

    /// Whether only its place, and no word or mark, makes it the answer.
    fn is_unmarked(&self) -> bool {
        matches!(self.by, Some(Extraction::LastNumber))
    }

    /// Why the words right before it take it back.
    fn hedge(&self) -> Option<Hedge> {
        if goes_on(self.after) {
            return Some(Hedge::Several);
        }
        if self.by != Some(Extraction::Boxed) && doubted(self.before) {
            return Some(Hedge::Denied);
        }
        let hedge = hedge_before(self.before)?;
        match self.by {
            Some(Extraction::LastNumber | Extraction::LastMath | Extraction::Bold) => Some(hedge),
            Some(Extraction::Boxed) if hedge == Hedge::Denied => Some(hedge),
            _ => None,
        }
    }
}

/// The answer within a predicted text.
pub(super) fn predicted<'a>(pred: &'a str, options: &MathOptions) -> Option<Found<'a>> {
    let whole = tidy(pred);
    let bare = match options.form {
        Form::Answer => true,
        // A completion may be an answer and nothing else too.
        Form::Completion if is_named_choice(whole) => !options.truncated,
        Form::Completion => {
            !options.truncated
                && whole.len() <= MAX_BARE_COMPLETION
                && looks_bare(whole)
                && words_of_prose(whole) == 0
                && !whole.chars().any(|c| c >= '\u{2e80}')
        }
        Form::Auto => looks_bare(whole),
    };
    if bare {
        return (!whole.is_empty()).then_some(Found {
            text: whole,
            by: None,
            before: "",
            sentence: whole,
            after: "",
        });
    }
    let (found, by) = find(pred, options)?;
    let at = found.as_ptr() as usize - pred.as_ptr() as usize;
    let (start, end) = sentence_around(pred, at, at + found.len());
    Some(Found {
        text: tidy(found),
        by: Some(by),
        before: &pred[start..at],
        sentence: &pred[start..end],
        after: &pred[at + found.len()..],
    })
}

/// Whether a text is `Option (C)` and nothing else.
fn is_named_choice(text: &str) -> bool {
    let letter = ["Option ", "Choice ", "option ", "choice "]
        .iter()
        .find_map(|name| text.strip_prefix(name));
    letter.is_some_and(|letter| letter.len() <= 4 && single_letter(letter).is_some())
}

/// Where the sentence begins and ends in which `from..to` stands: at a line break, or a full stop before white space.
fn sentence_around(text: &str, from: usize, to: usize) -> (usize, usize) {
    const FARTHEST: usize = 300;
    let bytes = text.as_bytes();
    let ends = |at: usize| match bytes[at] {
        b'\n' => true,
        b'.' | b'!' | b'?' => bytes
            .get(at + 1)
            .is_none_or(|next| next.is_ascii_whitespace()),
        _ => false,
    };
    let mut start = from;
    while start > 0 && from - start < FARTHEST && !ends(start - 1) {
        start -= 1;
    }
    let mut end = to;
    while end < bytes.len() && end - to < FARTHEST && !ends(end) {
        end += 1;
    }
    while !text.is_char_boundary(start) {
        start += 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (start, end)
}

/// Looks for the answer of a completion.
fn find<'a>(pred: &'a str, options: &MathOptions) -> Option<(&'a str, Extraction)> {
    let visible = if options.search_thoughts {
        pred
    } else {
        visible_part(pred)
    };
    if !options.truncated {
        return extract_with(visible, &options.extraction);
    }
    let delimited: Vec<Extraction> = options
        .extraction
        .iter()
        .copied()
        .filter(|extraction| extraction.is_delimited())
        .collect();
    extract_with(visible, &delimited)
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

/// A text without white space, markdown and other looks around it.
fn tidy(text: &str) -> &str {
    bare(text)
}

/// Both answers, and how to compare them.
struct Judge<'a> {
    options: &'a MathOptions,
    budget: &'a Budget,
    gold: &'a str,
    /// The predicted answer, and where it was found.
    found: Found<'a>,
}

impl Judge<'_> {
    /// A verdict without a look at what the texts mean.
    fn by_text(&self, pred: &str, verdict: Verdict, why: &'static str) -> Decided {
        (
            verdict,
            Cow::Borrowed(why),
            Reading::of(self.gold),
            Reading::of(pred),
        )
    }

    fn run(&self, pred: &str) -> Decided {
        let gold = self.gold;
        let hedge = self.found.hedge();
        if let Some(hedge) = hedge
            && !is_wordy(gold)
        {
            return self.hedged(pred, hedge);
        }
        // The last number of a text is only an answer if its sentence says so.
        let marked = !self.found.is_unmarked();
        if gold == pred && marked {
            return self.by_text(pred, Verdict::Equal, "the same text");
        }
        if let Some(same) = same_number(gold, pred)
            && marked
            && (same || self.options.tolerance.is_none())
        {
            return if same {
                self.by_text(pred, Verdict::Equal, "the same number")
            } else {
                self.by_text(pred, Verdict::Different, "two numbers")
            };
        }
        for (side, text) in [("gold", gold), ("predicted", pred)] {
            if text.len() > MAX_ANSWER_BYTES {
                let why = Doubt::TooLong {
                    side,
                    bytes: text.len(),
                    limit: MAX_ANSWER_BYTES,
                };
                return self.by_text(pred, Verdict::Undecided { why }, "");
            }
        }
        let letters = gold.bytes().any(|byte| byte.is_ascii_alphabetic()) || !gold.is_ascii();
        if letters && self.in_words(pred) {
            return self.by_text(pred, Verdict::Equal, "the same words");
        }
        if let Some(decided) = self.choices(pred) {
            return decided;
        }
        self.by_meaning(pred)
    }

    /// What becomes of an answer that is taken back in the same breath.
    fn hedged(&self, pred: &str, hedge: Hedge) -> Decided {
        match hedge {
            Hedge::Rough => self.by_text(pred, Verdict::Undecided { why: Doubt::Rough }, ""),
            _ => self.by_text(pred, Verdict::Different, hedge.why()),
        }
    }

    /// Letters of a choice with the values they stand for: `(C) 27` is `C`, and it is 27.
    fn choices(&self, pred: &str) -> Option<Decided> {
        if !may_be_lettered(self.gold) && !may_be_lettered(pred) {
            return None;
        }
        let (gold_flat, pred_flat) = (flat(self.gold), flat(pred));
        let (gold_parts, pred_parts) = (lettered(&gold_flat), lettered(&pred_flat));
        if gold_parts.is_none() && pred_parts.is_none() {
            return None;
        }
        let decided = |equal: bool| {
            let why = if equal {
                "the same choice"
            } else {
                "two choices"
            };
            Some(self.by_text(pred, Verdict::of(equal), why))
        };
        match (gold_parts, pred_parts) {
            (Some((gold, value)), Some((letter, other))) => {
                let values = self.instead(value).run(other);
                if gold != letter || values.0 == Verdict::Different {
                    return decided(false);
                }
                decided(true)
            }
            (Some((gold, value)), None) => {
                let claim = said(pred);
                if let Some(letter) = single_letter(&claim.claim) {
                    let claimed = claim.hedge.is_none() && claim.alternative.is_none();
                    return decided(letter == gold && claimed);
                }
                Some(self.instead(value).run(pred))
            }
            (None, Some((letter, value))) => match single_letter(self.gold) {
                Some(gold) => decided(gold == letter),
                None => Some(self.run(value)),
            },
            (None, None) => None,
        }
    }

    /// This judge with another gold answer.
    fn instead<'b>(&'b self, gold: &'b str) -> Judge<'b> {
        Judge {
            options: self.options,
            budget: self.budget,
            gold,
            found: self.found,
        }
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
            if gold.ends_with('!') != pred.ends_with('!')
                && gold.bytes().any(|b| b.is_ascii_lowercase())
            {
                // A factorial.
                return false;
            }
            // `r` and `R` are two variables; `(C)` and `c` are one choice.
            let same_case = gold.bytes().find(u8::is_ascii_alphabetic)
                == pred.bytes().find(u8::is_ascii_alphabetic);
            return gold.is_ascii() && same_text(gold, pred) && (same_case || marked);
        }
        if !is_wordy(gold) || !(same_text(gold, pred) || same_predicate(gold, pred)) {
            return false;
        }
        // `AB` and `ab` may be products; `Yes` and `yes` are not.
        !is_letters_only(gold)
            || marked
            || ["yes", "no", "odd", "all", "one", "two", "six", "ten"]
                .contains(&plain_words(gold).as_str())
    }

    fn parse(&self, text: &str, commas: Commas) -> Result<Expression, ParseError> {
        if let Some(set) = set_in_words(text) {
            return Ok(set);
        }
        if let Some(number) = number_word(text) {
            return parse_with(&number, commas, self.budget);
        }
        parse_with(text, commas, self.budget)
    }

    fn by_meaning(&self, pred: &str) -> Decided {
        let gold = self.gold;
        let left = self.read_gold();
        let read = self.read_pred(pred);
        if let Some(hedge) = read.hedge
            && left.is_ok()
        {
            return self.hedged(pred, hedge);
        }
        if read.text != pred && gold.chars().any(char::is_alphabetic) && self.in_words(&read.text) {
            return self.by_text(&read.text, Verdict::Equal, "the same words");
        }
        let reading = |text: &str, read: &Result<Expression, ParseError>| Reading {
            text: text.to_owned(),
            expression: read.as_ref().ok().cloned(),
        };
        let (verdict, why): (Verdict, &'static str) = match (&left, &read.expression) {
            (Ok(left), Ok(right)) => self.compare(left, right, &read.text),
            (left, right) => self.unreadable(left, right, &read.text),
        };
        // What is offered besides has to be the same.
        let (verdict, why) = match &read.alternative {
            Some(other) if verdict == Verdict::Equal => {
                let same = self.parse(other, Commas::Thousands).is_ok_and(|other| {
                    left.as_ref()
                        .is_ok_and(|left| self.compare(left, &other, pred).0 == Verdict::Equal)
                });
                if same {
                    (verdict, why)
                } else {
                    (Verdict::Different, Hedge::Several.why())
                }
            }
            _ => (verdict, why),
        };
        let weak = verdict == Verdict::Different
            && read.others.iter().any(|other| {
                self.parse(other, Commas::Thousands).is_ok_and(|other| {
                    left.as_ref()
                        .is_ok_and(|left| self.compare(left, &other, pred).0 == Verdict::Equal)
                })
            });
        let verdict = if weak {
            Verdict::Undecided {
                why: Doubt::Unclear,
            }
        } else {
            verdict
        };
        (
            verdict,
            Cow::Borrowed(why),
            reading(gold, &left),
            reading(&read.text, &read.expression),
        )
    }

    /// The gold answer; prose around it is taken away if it does not read as it is.
    fn read_gold(&self) -> Result<Expression, ParseError> {
        let gold = self.gold;
        match self.parse(gold, Commas::Thousands) {
            Err(ParseError::Unexpected { .. }) if gold.contains(['$', '\\']) => {
                let inner = extract_from(gold, &[Extraction::AnswerPhrase, Extraction::LastMath]);
                match self.parse(inner.unwrap_or(gold), Commas::Thousands) {
                    Err(ParseError::Unexpected { .. }) => {
                        self.parse(&said(gold).claim, Commas::Thousands)
                    }
                    read => read,
                }
            }
            Err(ParseError::Unexpected { .. }) => self.parse(&said(gold).claim, Commas::Thousands),
            read => read,
        }
    }

    /// Whether the boxes of a completion together are the gold answer, which is a list.
    fn all_boxes_match(&self, pred: &str) -> bool {
        const MOST: usize = 8;
        if self.found.by != Some(Extraction::Boxed) || pred.matches("\\boxed{").count() < 2 {
            return false;
        }
        if !self.gold.contains([',', ';']) && !self.gold.contains("and") {
            return false;
        }
        let boxes: Vec<&str> = pred
            .match_indices("\\boxed{")
            .take(MOST + 1)
            .filter_map(|(at, _)| {
                let inner = &pred[at + "\\boxed{".len()..];
                inner.find('}').map(|end| &inner[..end])
            })
            .collect();
        if boxes.len() > MOST {
            return false;
        }
        let joined = boxes.join(", ");
        self.run(&joined).0 == Verdict::Equal
    }
}

/// Whether the letter of a choice with a bracket or point may stand at the beginning of `text`.
fn may_be_lettered(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'(' | b'*' | b'$') => true,
        Some(b'\\') => matches!(bytes.get(1), Some(b't' | b'm' | b' ' | b'(')),
        Some(letter) => {
            letter.is_ascii_alphabetic() && matches!(bytes.get(1), Some(b')' | b'.' | b':'))
        }
        None => false,
    }
}

/// Whether a sentence says of its subject what the other answer says: `The sequence is convergent.` and `convergent`.
fn same_predicate(gold: &str, pred: &str) -> bool {
    let tail = |text: &str| -> Option<String> {
        let words = plain_words(text);
        let (_, tail) = words
            .rsplit_once(" is ")
            .or_else(|| words.rsplit_once(" are "))?;
        (!tail.starts_with("not ")).then(|| tail.to_owned())
    };
    match (tail(gold), tail(pred)) {
        (Some(tail), None) => same_text(&tail, pred),
        (None, Some(tail)) => same_text(gold, &tail),
        _ => false,
    }
}

/// Whether a text is a decimal with a comma that may as well part two numbers: `0,5`.
fn has_short_decimals(text: &str) -> bool {
    let digits = text.trim_matches(['$', ' ', '-']).strip_prefix("0,");
    digits.is_some_and(|digits| {
        (1..3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
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
