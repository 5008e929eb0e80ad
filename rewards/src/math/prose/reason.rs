//! What stands around a claim: reasons and remarks behind it, lead-ins before it.

use std::borrow::Cow;

use super::{plain::bare, value::leading_value};

/// What begins a reason, a remark or a condition after an answer.
#[rustfmt::skip]
const REASONS: &[&str] = &[
    " because", " since ", ", since", ", as ", ", which", ", so ", ", where", " where ", ", not ", " (not ", " rather than ",
    " instead of ", ", and not", ", but not", ", leaving", " whenever ", " provided ", " for all ", " for any ", " for every ",
    " for each ", " for some ", " with equality", "; ", " — ", " – ", " - ", ", hence", ", therefore", ", thus", ". ",
    "，因为", "，不是", "，而不是", "，所以", "，其中", " weil ", ", weil", " parce que", ", car ", " porque", " （", "（",
    ", i.e.", ", that is", ", namely", " as required", " as desired", ", given ", " in total", ", the ", ", it ", ", we ", ", a ",
    " for integer", " for natural", " for positive", " for nonnegative", " for non-negative", " for real", " for arbitrary",
    ", this ", ", there ", ", after ", ", when ", " when ", ", if ", " if ", ", for ", ", by ", ", using ", ", assuming ", ", obtained ",
];

/// What stands before an answer without changing it.
#[rustfmt::skip]
const LEAD_INS: &[&str] = &[
    "i think it is ", "i think ", "i believe it is ", "i believe ", "it is ", "it's ", "that is ", "there are ", "there is ", "they are ",
    "we get ", "we have ", "simply ", "exactly ", "just ", "only ", "equal to ", "equals ", "is ", "are ", "thus ", "so ", "hence ",
    "therefore ", "indeed ", "clearly ", "option ", "choice ", "letter ", "a total of ", "the number ", "the answer is ", "the answer: ",
    "answer: ", "answer is ", "given by ", "then ", "now ", "of ", "the letter ", "the value ", "the final answer is ", "final answer: ",
    "the final answer is: ", "here is ",
];

/// The text up to its first reason, remark or condition, outside of formulas and brackets.
pub(super) fn without_reason(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut depth, mut math) = (0usize, false);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if matches!(bytes.get(at + 1), Some(b'(' | b'[')) => math = true,
            b'\\' if matches!(bytes.get(at + 1), Some(b')' | b']')) => math = false,
            b'$' => math = !math && text[at + 1..].contains('$'),
            b'(' if depth == 0 && !math && at > 0 && is_remark(text, at) => {
                return text[..at].trim_end();
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' | b',' | b';' | b'.' | 0xef
                if depth == 0 && !math && at > 0 && reason_at(text, at).is_some() =>
            {
                return text[..at].trim_end_matches([' ', ',']);
            }
            _ => {}
        }
        at += 1;
    }
    text
}

/// The reason that begins at `at`.
fn reason_at(text: &str, at: usize) -> Option<&'static str> {
    let rest = &text[at..];
    let found = REASONS.iter().find(|reason| {
        let head = rest.get(..reason.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(reason))
    })?;
    let dash = matches!(*found, " - " | " – " | " — ");
    if dash {
        // `x - 1` is a difference, `D - none of these` is not.
        let after = &rest[found.len()..];
        let first = after.chars().take_while(|c| c.is_alphabetic()).count();
        let words = after
            .split(|c: char| !c.is_alphabetic())
            .filter(|word| word.len() >= 3)
            .count();
        if first == 0 || words == 0 || (first == 1 && words < 2) {
            return None;
        }
    }
    let consequence = matches!(*found, ", so " | ", hence" | ", therefore" | ", thus");
    if consequence && !begins_with_value(&text[..at]) {
        // `It costs $4 and $6, so $10`: the answer comes after it.
        return None;
    }
    if *found == " if "
        && rest[4..]
            .trim_end_matches(['.', '}'])
            .chars()
            .all(|c| c.is_ascii_digit())
    {
        return None;
    }
    if *found == ". " && rest[2..].starts_with(|c: char| !c.is_uppercase()) {
        return None;
    }
    Some(found)
}

/// Whether a text begins with a value, or is little more than one word.
fn begins_with_value(head: &str) -> bool {
    head.split_whitespace().count() <= 2 || leading_value(&without_lead_in(head)).is_some()
}

/// Whether the bracket at `at` holds a remark: words, and no list of values.
fn is_remark(text: &str, at: usize) -> bool {
    let spaced = text[..at].ends_with(' ');
    let inside = text[at + 1..].split(')').next().unwrap_or_default();
    let words = inside
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.len() >= 2 && word.is_ascii())
        .count();
    let reason = [
        "since", "because", "from", "see", "note", "i.e", "e.g", "or ",
    ]
    .iter()
    .any(|word| inside.to_ascii_lowercase().starts_with(word));
    spaced && (words >= 2 || reason) && !inside.contains('\\')
}

/// The claim without `I think it is`, and with `negative` as a sign.
pub(super) fn without_lead_in(head: &str) -> Cow<'_, str> {
    let mut claim = head.trim();
    loop {
        let lead = LEAD_INS.iter().find(|lead| {
            claim
                .get(..lead.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(lead))
        });
        match lead {
            Some(lead) => claim = claim[lead.len()..].trim_start_matches([' ', ':', '*']),
            None => break,
        }
    }
    let claim = bare(claim);
    for sign in ["negative ", "minus "] {
        if let Some(rest) = claim
            .get(..sign.len())
            .filter(|head| head.eq_ignore_ascii_case(sign))
            .map(|_| &claim[sign.len()..])
            && rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\' | '.'))
        {
            let unsigned = rest.trim_start_matches('$');
            return Cow::Owned(format!("-{unsigned}"));
        }
    }
    Cow::Borrowed(claim)
}
