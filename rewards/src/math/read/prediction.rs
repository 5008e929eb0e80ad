//! The predicted answer as an expression, out of the words around it.

use super::super::expression::Expression;
use super::super::parse::ParseError;
use super::super::prose::{
    Hedge, Said, corrected, harmless, hedge_before, leading_value, said, taken_back,
};
use super::super::token::Commas;
use super::super::units::Unit;
use super::{Judge, words_before_formula, words_of_prose};
use crate::extract::{Extraction, extract_from};

/// A predicted answer, read.
pub(super) struct Read {
    /// The part of the text that is the answer.
    pub(super) text: String,
    /// What it says.
    pub(super) expression: Result<Expression, ParseError>,
    /// Why it claims nothing.
    pub(super) hedge: Option<Hedge>,
    /// Other values of the same sentence, where nothing but its place makes this one the answer.
    pub(super) others: Vec<String>,
    /// Another value that is offered in its place, and has to be the same.
    pub(super) alternative: Option<String>,
}

impl Read {
    fn of(text: &str, expression: Result<Expression, ParseError>) -> Self {
        Self {
            text: text.to_owned(),
            expression,
            hedge: None,
            others: Vec::new(),
            alternative: None,
        }
    }
}

impl Judge<'_> {
    /// The predicted answer; prose around it is taken away if it does not read as it is.
    pub(super) fn read_pred(&self, pred: &str) -> Read {
        if self.found.is_unmarked() {
            return self.read_unmarked(pred);
        }
        let words = words_of_prose(pred);
        let bound = pred.starts_with(['m', 'M', '~']);
        let prose = words >= 3 || words_before_formula(pred) || pred.ends_with('!') || bound;
        if !prose && pred.is_ascii() && !pred.contains('\n') {
            let whole = self.parse(pred, Commas::Thousands);
            if !matches!(
                whole,
                Err(ParseError::Unexpected { .. } | ParseError::Incomplete)
            ) {
                return Read::of(pred, whole);
            }
        }
        let exclaimed = matches!(
            self.found.by(),
            Some(Extraction::AnswerPhrase | Extraction::Bold)
        );
        let Said {
            claim,
            hedge,
            alternative,
        } = said(pred);
        let claim = match claim.strip_suffix('!') {
            // `The answer is 42!` is no factorial, unless it is one.
            Some(calm) if exclaimed && self.exclaims(&claim, calm) => calm.into(),
            _ => claim,
        };
        if let Some(hedge) = hedge {
            return Read {
                hedge: Some(hedge),
                ..Read::of(&claim, Err(ParseError::Empty))
            };
        }
        let mut read = self.read_claim(&claim);
        read.alternative = alternative;
        read
    }

    /// A claim: as it stands if it is a formula or little more.
    fn read_claim(&self, claim: &str) -> Read {
        if words_of_prose(claim) < 3 && !words_before_formula(claim) {
            let read = self.parse(claim, Commas::Thousands);
            if !matches!(
                read,
                Err(ParseError::Unexpected { .. } | ParseError::Incomplete)
            ) {
                return Read::of(claim, read);
            }
        }
        self.read_prose(claim)
    }

    /// Whether the mark at the end of `claim` is one of a sentence: the gold answer is what stands before it.
    fn exclaims(&self, claim: &str, calm: &str) -> bool {
        calm.ends_with(|c: char| c.is_ascii_digit())
            && !claim.starts_with(['$', '\\'])
            && super::same_number(self.gold, calm) == Some(true)
    }

    /// A claim in words: its value first, or a formula, or the only number in it.
    fn read_prose(&self, claim: &str) -> Read {
        if let Some((value, rest)) = leading_value(claim)
            && !claim.contains("\\boxed")
            && !corrected(rest)
        {
            if !harmless(rest) {
                return Read::of(claim, self.parse(claim, Commas::Thousands));
            }
            if let Some(measured) = with_unit(value, rest)
                && let Ok(read) = self.parse(&measured, Commas::Thousands)
            {
                return Read::of(&measured, Ok(read));
            }
            if let Ok(read) = self.parse(value, Commas::Thousands) {
                return Read::of(value, Ok(read));
            }
        }
        let order: &[Extraction] = if self.found.is_bare() {
            // What looked like a bare answer is a sentence.
            &[
                Extraction::AnswerPhrase,
                Extraction::Bold,
                Extraction::LastMath,
            ]
        } else {
            &[Extraction::Boxed, Extraction::LastMath]
        };
        for extraction in order {
            let Some(found) = extract_from(claim, std::slice::from_ref(extraction)) else {
                continue;
            };
            let before = &claim[..found.as_ptr() as usize - claim.as_ptr() as usize];
            if let Some(hedge) = hedge_before(before) {
                return Read {
                    hedge: Some(hedge),
                    ..Read::of(found, Err(ParseError::Empty))
                };
            }
            let read = self.parse(found, Commas::Thousands);
            if read.is_ok() || *extraction == Extraction::LastMath {
                return Read::of(found, read);
            }
        }
        // `The point is (2, 5)`
        for link in [" is ", " are ", ": ", " = "] {
            if let Some((_, tail)) = claim.rsplit_once(link)
                && words_of_prose(tail) == 0
                && let Ok(read) = self.parse(tail, Commas::Thousands)
            {
                return Read::of(tail, Ok(read));
            }
        }
        // Without words it is a formula that cannot be read; a number out of it would be a guess.
        if words_of_prose(claim) >= 1 {
            return self.read_unmarked(claim);
        }
        Read::of(claim, self.parse(claim, Commas::Thousands))
    }

    /// The last number of a sentence in which nothing marks the answer.
    fn read_unmarked(&self, pred: &str) -> Read {
        let sentence = if self.found.is_unmarked() {
            self.found.sentence
        } else {
            pred
        };
        if let Some(hedge) = taken_back(sentence) {
            return Read {
                hedge: Some(hedge),
                ..Read::of(sentence, Err(ParseError::Empty))
            };
        }
        let sentence = without_remarks(sentence);
        let Some(mut found) = extract_from(&sentence, &[Extraction::LastNumber]) else {
            return Read::of(pred, self.parse(pred, Commas::Thousands));
        };
        // `3 · 70 = 210 meters each time`: the result of the calculation.
        let after_equals = sentence.rfind(['=', '≈']).map(|at| {
            let sign = sentence[at..].chars().next().map_or(1, char::len_utf8);
            sentence[at + sign..].trim_start()
        });
        let mut others = Vec::new();
        match after_equals.and_then(leading_value) {
            Some((value, _)) => found = value,
            None => others = numbers_of(&sentence),
        }
        let at = found.as_ptr() as usize - sentence.as_ptr() as usize;
        if let Some(hedge) = hedge_before(&sentence[..at]) {
            return Read {
                hedge: Some(hedge),
                ..Read::of(found, Err(ParseError::Empty))
            };
        }
        let ordinal = ["th", "st", "nd", "rd"].iter().any(|end| {
            sentence[at + found.len()..]
                .strip_prefix(end)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        });
        if ordinal || changed_by(&sentence[..at]) {
            others.push(found.to_owned());
            return Read {
                others,
                ..Read::of(&sentence, self.parse(&sentence, Commas::Thousands))
            };
        }
        let measured = with_unit(found, &sentence[at + found.len()..]);
        let text = measured.as_deref().unwrap_or(found);
        let read = self.parse(text, Commas::Thousands);
        others.retain(|other| other != found);
        Read {
            others,
            ..Read::of(text, read)
        }
    }
}

/// Whether one of the last words before a number makes it another: `twice 8`, `the number after 8`.
fn changed_by(before: &str) -> bool {
    #[rustfmt::skip]
    const CHANGING: &[&str] = &[
        "twice", "half", "double", "triple", "after", "before", "times", "divided", "root", "minus", "plus", "than", "without", "except",
        "cube", "square", "squared", "third", "quarter", "inverse", "reciprocal", "multiple", "factor", "divisor", "logarithm",
        "divisible", "multiplied", "non",
    ];
    // Right before the number.
    #[rustfmt::skip]
    const BLOCKING: &[&str] = &[
        "no", "from", "but", "over", "beyond", "past", "besides", "minimum", "maximum", "min", "max", "non-", "near", "toward", "towards", "outside",
    ];
    const PARTS: &[&str] = &[
        "none", "one", "each", "any", "all", "some", "out", "most", "neither", "either", "many",
        "few", "both", "short", "upwards",
    ];
    const NEAR: usize = 3;
    let words: Vec<&str> = before.split_whitespace().rev().take(NEAR).collect();
    let lower = |at: usize| words.get(at).map(|word| word.to_ascii_lowercase());
    let (last, earlier) = (lower(0).unwrap_or_default(), lower(1).unwrap_or_default());
    if BLOCKING.contains(&last.as_str())
        || last == "of" && PARTS.contains(&earlier.as_str())
        || last == "to" && before.to_ascii_lowercase().contains("from ")
    {
        return true;
    }
    words
        .iter()
        .take_while(|word| !word.ends_with([',', ':', '=', '.']))
        .any(|word| CHANGING.contains(&word.to_ascii_lowercase().as_str()))
}

/// The value with the unit that follows it, if the words after it begin with one.
fn with_unit(value: &str, rest: &str) -> Option<String> {
    const MOST_WORDS: usize = 4;
    let rest = rest.trim_end_matches(['.', ' ']);
    let glued = !rest.starts_with(' ');
    let words: Vec<&str> = rest.split_whitespace().take(MOST_WORDS).collect();
    for count in (1..=words.len()).rev() {
        let unit = words[..count].join(" ");
        let unit = unit.trim_end_matches([',', '.', ';']);
        // A word of one letter is a unit only right after the number.
        if unit.chars().count() == 1 && !glued {
            continue;
        }
        if unit.is_ascii() && Unit::parse(unit).is_some_and(|unit| unit.is_known()) {
            return Some(format!("{value} {unit}"));
        }
    }
    None
}

/// A sentence without remarks in brackets that come after a number.
fn without_remarks(sentence: &str) -> String {
    let mut kept = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(open) = rest.find(" (") {
        let inside = &rest[open + 2..];
        let Some(close) = inside.find(')') else { break };
        let words = words_of_prose(&inside[..close]);
        let number = kept
            .bytes()
            .chain(rest[..open].bytes())
            .any(|byte| byte.is_ascii_digit());
        if words >= 1 && number {
            kept.push_str(&rest[..open]);
            rest = &inside[close + 1..];
        } else {
            kept.push_str(&rest[..open + 2]);
            rest = inside;
        }
    }
    kept.push_str(rest);
    kept
}

/// All numbers of a sentence, from the last to the first; at most a few.
fn numbers_of(sentence: &str) -> Vec<String> {
    const MOST: usize = 6;
    let mut found = Vec::new();
    let mut rest = sentence;
    while let Some(number) = extract_from(rest, &[Extraction::LastNumber]) {
        if found.len() == MOST {
            break;
        }
        found.push(number.to_owned());
        rest = &rest[..number.as_ptr() as usize - rest.as_ptr() as usize];
    }
    found
}
