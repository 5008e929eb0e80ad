//! Values within sentences: whether one follows, where it ends, and what the words after it make of it.

/// Numbers in words that a hedge may stand before.
const NUMBER_WORDS: [&str; 12] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "zero", "twelve",
];

/// Whether a number, a formula or a letter of a choice is among the first `near` words of `rest`.
pub(super) fn value_follows(rest: &str, near: usize) -> bool {
    rest.split_whitespace().take(near).any(|word| {
        let word = word.trim_start_matches(['(', '"', '-', '−']);
        let letter = word.trim_end_matches([')', '.', ',', '"']);
        word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\'))
            || (letter.len() == 1
                && letter != "a"
                && letter != "i"
                && letter.as_bytes()[0].is_ascii_alphabetic())
            || NUMBER_WORDS.contains(&letter)
    })
}

/// The value at the beginning of a claim and the words after it: `72` of `72 clips in May`, `$x=5$` of `$x=5$ in all`.
pub(in crate::math) fn leading_value(claim: &str) -> Option<(&str, &str)> {
    for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        if let Some(rest) = claim.strip_prefix(open)
            && let Some(end) = rest.find(close)
        {
            let inner = &rest[..end];
            // A dollar sign of money opens no formula.
            let money = open == "$"
                && inner.contains(' ')
                && inner.starts_with(|c: char| c.is_ascii_digit());
            if !money && !inner.trim().is_empty() {
                let end = open.len() + end + close.len();
                return Some((&claim[..end], &claim[end..]));
            }
        }
    }
    let end = number_end(claim)?;
    Some((&claim[..end], &claim[end..]))
}

/// Where the number at the beginning of `claim` ends.
fn number_end(claim: &str) -> Option<usize> {
    let bytes = claim.as_bytes();
    let mut at = claim.len()
        - claim
            .trim_start_matches(['-', '−', '+', '$', '€', '£', '\\'])
            .len();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let begins = digit(at) || bytes.get(at) == Some(&b'.') && digit(at + 1);
    if !begins {
        return None;
    }
    loop {
        while digit(at) {
            at += 1;
        }
        let joined = match bytes.get(at) {
            Some(b'.' | b'/' | b':') => digit(at + 1),
            Some(b',') => digit(at + 1) && digit(at + 2) && digit(at + 3) && !digit(at + 4),
            // `2 1/2`
            Some(b' ') => {
                let digits = bytes[at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                digits > 0 && bytes.get(at + 1 + digits) == Some(&b'/') && digit(at + 2 + digits)
            }
            _ => false,
        };
        if !joined {
            break;
        }
        at += 1;
    }
    for sign in ["\\%", "%", " %", "^\\circ", "°"] {
        if claim[at..].starts_with(sign) {
            at += sign.len();
            break;
        }
    }
    for scale in [" million", " billion", " trillion", " thousand", " hundred"] {
        if claim[at..].starts_with(scale) {
            at += scale.len();
        }
    }
    Some(at)
}

/// Whether the words after a value put another in its place: `10, which is 7`, `not 10, it's 7`.
pub(in crate::math) fn corrected(rest: &str) -> bool {
    let lower = format!(" {}", rest.trim_start_matches([' ', ',']).to_lowercase());
    [" which is ", " it is ", " it's ", " rather "]
        .iter()
        .any(|turn| {
            lower.split_once(turn).is_some_and(|(_, after)| {
                after.starts_with(|c: char| c.is_ascii_digit() || c == '$')
            })
        })
}

/// Whether the words after a value leave it what it is: `clips in May`, and not `to 9`, `squared` or `boys and 3 girls`.
pub(in crate::math) fn harmless(rest: &str) -> bool {
    let lower = rest.trim_start_matches([' ', '-', ',']).to_lowercase();
    if rest.trim().is_empty() {
        return true;
    }
    #[rustfmt::skip]
    const CHANGING: &[&str] = &[
        "to", "or", "over", "squared", "cubed", "times", "plus", "minus", "divided", "choose", "factorial", "mod", "modulo", "and", "less",
        "more", "fewer", "out", "through", "until", "point", "th", "st", "nd", "rd", "by", "raised", "percent", "或", "到", "至", "oder", "ou",
    ];
    let first: String = lower.chars().take_while(|c| c.is_alphabetic()).collect();
    let conditional = first == "if" && lower[2..].trim().bytes().all(|b| b.is_ascii_digit());
    // `5 m 6 m`
    let measures = rest.contains(|c: char| c.is_ascii_digit())
        && !rest
            .split(|c: char| !c.is_alphabetic())
            .any(|word| word.chars().count() >= 3);
    // `10C3`
    let glued = rest.starts_with(|c: char| c.is_alphabetic())
        && lower[first.len()..].starts_with(|c: char| c.is_ascii_digit());
    if glued || conditional || measures || first.is_empty() || CHANGING.contains(&first.as_str()) {
        return false;
    }
    // A second value that is joined to the first, or corrects it.
    let joined = [
        " which is ",
        " it is ",
        " it's ",
        " and ",
        " or ",
        " to ",
        " by ",
        " plus ",
        " times ",
        "或",
        " minus ",
    ];
    for joint in joined {
        for (at, _) in lower.match_indices(joint) {
            let after = lower[at + joint.len()..].trim_start();
            let after = after.trim_start_matches("maybe ").trim_start_matches('$');
            if after.starts_with(|c: char| c.is_ascii_digit() || c == '\\') {
                return false;
            }
        }
    }
    !lower.contains(['=', '^', '+', '*', '<', '>'])
}
