//! Answers within sentences, read as a person reads them: what is claimed, and whether it is claimed at all.
//!
//! | file | subject |
//! |---|---|
//! | this one | the claim of a phrase or sentence |
//! | `plain` | a text without its looks |
//! | `value` | where a value ends, and what words after it make of it |
//! | `reason` | reasons, remarks and lead-ins |
//! | `hedge` | words that make a value no answer |

mod hedge;
mod plain;
mod reason;
mod value;

use std::borrow::Cow;

pub(super) use hedge::{Hedge, doubted, goes_on, hedge_before, taken_back};
pub(super) use plain::{bare, flat};
pub(super) use value::{corrected, harmless, leading_value};

use hedge::hedged;
use reason::{without_lead_in, without_reason};
use value::value_follows;

/// What is said of a text that is more than a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// The words and formulas that are claimed, without reasons and lead-ins.
    pub(super) claim: Cow<'a, str>,
    /// Why nothing is claimed.
    pub(super) hedge: Option<Hedge>,
    /// What a remark in brackets offers in its place: `7` of `6 (or 7)`.
    pub(super) alternative: Option<String>,
}

/// As much of a text is read for reasons, remarks and hedges, in bytes: nobody says an answer at greater length.
const LONGEST_CLAIM: usize = 1200;

/// The claim of a phrase or sentence in which an answer stands.
pub(super) fn said(text: &str) -> Said<'_> {
    let plain = flat(text);
    if plain.len() > LONGEST_CLAIM {
        let end = (0..=LONGEST_CLAIM)
            .rev()
            .find(|end| plain.is_char_boundary(*end))
            .unwrap_or(0);
        return Said {
            hedge: hedged(without_reason(&plain[..end])),
            claim: plain,
            alternative: None,
        };
    }
    if let Some(rest) = after_denial(&plain) {
        let Said { claim, hedge, .. } = said(rest);
        return Said {
            claim: Cow::Owned(claim.into_owned()),
            hedge,
            alternative: None,
        };
    }
    let alternative = alternative(&plain);
    let corrected = corrects(&plain) || offers_a_bound(&plain);
    let head = match &plain {
        Cow::Borrowed(plain) => Cow::Borrowed(without_reason(plain)),
        Cow::Owned(plain) => Cow::Owned(without_reason(plain).to_owned()),
    };
    let hedge = hedged(&head).or_else(|| taken_back(&head));
    let hedge = match (corrected, bare(text).starts_with('~')) {
        (true, _) => Some(Hedge::Several),
        (false, true) => hedge.or(Some(Hedge::Rough)),
        _ => hedge,
    };
    let claim = match head {
        Cow::Borrowed(head) => without_lead_in(head),
        Cow::Owned(head) => Cow::Owned(without_lead_in(&head).into_owned()),
    };
    Said {
        claim,
        hedge,
        alternative,
    }
}

/// Whether a second value takes the place of the first: `12, no wait, 13`.
fn corrects(plain: &str) -> bool {
    #[rustfmt::skip]
    const TURNS: [&str; 10] = [
        "wait", "actually", "i mean", "i meant", "sorry", "correction", "scratch that", "oops", "or rather", "make that",
    ];
    let lower = plain.to_lowercase();
    let digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    TURNS.iter().any(|turn| {
        lower.split_once(turn).is_some_and(|(before, after)| {
            digit(before) && digit(after) && !after.starts_with(|c: char| c.is_alphabetic())
        })
    })
}

/// `max 12`, which is no function of one number.
fn offers_a_bound(plain: &str) -> bool {
    ["max ", "min ", "max. ", "min. "].iter().any(|word| {
        plain
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
            && plain[word.len()..].starts_with(|c: char| c.is_ascii_digit() || c == '$')
    })
}

/// What follows the correction of a denied value: `D` of `not C, it is D`.
fn after_denial(plain: &str) -> Option<&str> {
    let lower = plain.to_ascii_lowercase();
    if !lower.starts_with("not ") {
        return None;
    }
    [
        " but rather ",
        " but ",
        " it is ",
        " it's ",
        " rather ",
        "而是",
    ]
    .iter()
    .filter_map(|turn| lower.find(turn).map(|at| at + turn.len()))
    .min()
    .filter(|at| value_follows(&lower[*at..], 1))
    .map(|at| &plain[at..])
}

/// What a remark in brackets offers instead of the value before it: `7` of `6 (or 7)`.
fn alternative(plain: &str) -> Option<String> {
    let lower = plain.to_lowercase();
    let lower = lower.replace('（', " (");
    let at = lower.find(" (")?;
    let inside = lower[at + 2..]
        .split([')', '）'])
        .next()
        .unwrap_or_default();
    let offered = [
        "or ",
        "oder ",
        "ou ",
        "o ",
        "或者",
        "或",
        "if you prefer, ",
        "maybe ",
        "perhaps ",
        "possibly ",
    ]
    .iter()
    .find_map(|joint| inside.trim_start().strip_prefix(joint))?;
    // The same said otherwise.
    let same = [
        "about",
        "approx",
        "roughly",
        "equivalent",
        "in other",
        "simply",
        "≈",
        "nearly",
        "around",
        "in ",
        "as ",
    ]
    .iter()
    .any(|word| offered.trim_start().starts_with(word));
    let offered = offered.strip_prefix("maybe ").unwrap_or(offered);
    (!same && value_follows(offered, 2)).then(|| offered.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_without_reasons_and_lead_ins() {
        let cases = [
            ("42, not 43", "42", None),
            ("D - none of these", "D", None),
            ("x - 1", "x - 1", None),
            ("I think it is C", "C", None),
            ("12, because 3 times 4 is 12", "12", None),
            ("negative 3", "-3", None),
            ("42 (that is, 6 times 7)", "42", None),
            ("f(x) = 2 (x+1)", "f(x) = 2 (x+1)", None),
            ("12，因为 3×4=12", "12", None),
            (r"\text{The answer is } 42", "42", None),
            ("**42** ✅", "42", None),
            ("x**2", "x**2", None),
            ("- x = 3\n- y = 4", "x = 3, y = 4", None),
            ("not 8", "not 8", Some(Hedge::Denied)),
            ("7 or maybe 8", "7 or maybe 8", Some(Hedge::Several)),
            ("less than 8", "less than 8", Some(Hedge::Bounded)),
            ("about 8", "about 8", Some(Hedge::Rough)),
            ("notably 8", "notably 8", None),
            ("12，不是15", "12", None),
            ("不是15", "不是15", Some(Hedge::Denied)),
        ];
        for (text, claim, hedge) in cases {
            let found = said(text);
            assert_eq!(
                (found.claim.as_ref(), found.hedge),
                (claim, hedge),
                "{text}"
            );
        }
    }

    #[test]
    fn hedges_right_before_a_value() {
        let cases = [
            ("There are 7 or ", Some(Hedge::Several)),
            ("It isn't ", Some(Hedge::Denied)),
            ("less than the ", Some(Hedge::Bounded)),
            ("Not so: it is ", None),
            ("more than enough, so ", None),
            ("from 1 ", None),
        ];
        for (before, expected) in cases {
            assert_eq!(hedge_before(before), expected, "{before}");
        }
    }

    #[test]
    fn values_at_the_beginning() {
        let cases = [
            ("72 clips in May", Some(("72", true))),
            ("5 to 9", Some(("5", false))),
            ("2 boys and 3 girls", Some(("2", false))),
            ("5 squared", Some(("5", false))),
            ("$x=5$ in all", Some(("$x=5$", true))),
            ("$5,000 a year", Some(("$5,000", true))),
            ("2 1/2 hours", Some(("2 1/2", true))),
            ("1:30 in the morning", Some(("1:30", true))),
            ("clips", None),
        ];
        for (claim, expected) in cases {
            let found = leading_value(claim).map(|(value, rest)| (value, harmless(rest)));
            assert_eq!(found, expected, "{claim}");
        }
    }
}
