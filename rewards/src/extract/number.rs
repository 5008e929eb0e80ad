//! The last number of a text, as people write numbers: with fractions, powers, clock times, percent signs and `million`.

use super::well_grouped;

/// Words that multiply the number before them.
const SCALES: [&str; 5] = [" million", " billion", " trillion", " thousand", " hundred"];

/// The last number, searched from the end.
pub(super) fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b'.');
    let mut end = bytes.len();
    loop {
        while end > 0 && !bytes[end - 1].is_ascii_digit() {
            end -= 1;
        }
        if end == 0 {
            return None;
        }
        let mut start = end;
        while start > 0 && part(bytes[start - 1]) {
            start -= 1;
        }
        let run_start = start;
        // A point or comma in front of the digits belongs to the sentence, unless it is the point of `.5`.
        while matches!(bytes[start], b',' | b'.')
            && !(bytes[start] == b'.' && bytes[start + 1].is_ascii_digit())
        {
            start += 1;
        }
        // `1.5e-3`: the digits found are an exponent.
        let exponent = exponent_start(bytes, start);
        if let Some(mantissa) =
            exponent.filter(|_| bytes[start..end].iter().all(u8::is_ascii_digit))
        {
            start = mantissa;
        }
        let word = text[..start]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_ascii_alphabetic());
        if word && start == run_start.min(start) {
            // Within a word: `B2B`.
            end = start;
            continue;
        }
        match raised(text, start, end) {
            Raised::No => {}
            Raised::Number(from, to) => return Some(&text[from..to]),
            Raised::Letter(before) => {
                end = before;
                continue;
            }
        }
        let (from, to) = with_sign(text, start, end);
        let from = with_left_side(text, from);
        return Some(&text[from..with_right_side(text, to)]);
    }
}

/// Whether digits stand above or below something.
enum Raised {
    /// They stand on the line.
    No,
    /// Of a number, which with them goes from here to there: `2^{10}`, `1011_2`.
    Number(usize, usize),
    /// Of a letter or unit, which ends here: `cm^2`, `x_1`.
    Letter(usize),
}

fn raised(text: &str, start: usize, end: usize) -> Raised {
    let bytes = text.as_bytes();
    let mut at = start;
    if at > 0 && bytes[at - 1] == b'-' {
        at -= 1;
    }
    let braced = at > 0 && bytes[at - 1] == b'{' && bytes.get(end) == Some(&b'}');
    at -= usize::from(braced);
    if at == 0 || !matches!(bytes[at - 1], b'^' | b'_') {
        return Raised::No;
    }
    let mark = at - 1;
    let digits = bytes[..mark]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
        .count();
    let base = mark - digits;
    let in_word = base > 0 && bytes[base - 1].is_ascii_alphabetic();
    if digits == 0 || in_word {
        return Raised::Letter(mark);
    }
    let to = end + usize::from(braced);
    // `3.2 × 10^4`
    let before = text[..base].trim_end();
    let multiplied = ["×", "*", "\\times", "\\cdot", "x"]
        .iter()
        .find_map(|sign| before.strip_suffix(sign));
    if let (Some(mantissa), "10") = (multiplied, &text[base..mark]) {
        let mantissa = mantissa.trim_end();
        let length = mantissa
            .bytes()
            .rev()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        if length > 0 {
            let (from, _) = with_sign(text, mantissa.len() - length, mantissa.len());
            return Raised::Number(from, to);
        }
    }
    let (from, _) = with_sign(text, base, mark);
    Raised::Number(from, to)
}

/// Where the mantissa begins, if an exponent's digits begin at `start`.
fn exponent_start(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    if at > 0 && matches!(bytes[at - 1], b'+' | b'-') {
        at -= 1;
    }
    if at == 0 || !matches!(bytes[at - 1], b'e' | b'E') {
        return None;
    }
    at -= 1;
    let mut mantissa = at;
    while mantissa > 0
        && (bytes[mantissa - 1].is_ascii_digit() || matches!(bytes[mantissa - 1], b'.' | b','))
    {
        mantissa -= 1;
    }
    (mantissa < at && bytes[at - 1].is_ascii_digit()).then_some(mantissa)
}

/// The number from `start` to `end`, without what a list puts before it, and with its sign.
fn with_sign(text: &str, start: usize, end: usize) -> (usize, usize) {
    let number = &text[start..end];
    if let Some(comma) = number.rfind(',')
        && !well_grouped(number)
    {
        // In a list such as `3,45` the last number is 45, and has no sign.
        return (start + comma + 1, end);
    }
    // `3.1.4` is no number; its end is.
    let points = number.bytes().filter(|byte| *byte == b'.').count();
    if points > 1 {
        let last = number.rfind('.').unwrap_or(0);
        let before = number[..last].rfind('.').map_or(0, |point| point + 1);
        return (start + before, end);
    }
    let dollar = text[..start].ends_with("-$") || text[..start].ends_with("\u{2212}$");
    let start = start - usize::from(dollar);
    let mut before = text[..start].chars().rev();
    let sign = before
        .next()
        .filter(|sign| matches!(sign, '-' | '\u{2212}'));
    let operand = before
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '}'));
    let sign_len = sign.filter(|_| !operand).map_or(0, char::len_utf8);
    match (dollar, sign_len) {
        (true, 0) => (start + 1, end),
        _ => (start - sign_len, end),
    }
}

/// Where a number begins whose last part begins at `start`: `3/8`, `2 1/2`, `1:30`.
fn with_left_side(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let digits_before = |at: usize| {
        bytes[..at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut from = start;
    let separator = match start.checked_sub(1).map(|at| bytes[at]) {
        Some(sign @ (b'/' | b':')) => sign,
        _ => return start,
    };
    while from > 0 && bytes[from - 1] == separator {
        let digits = digits_before(from - 1);
        if digits == 0 {
            break;
        }
        from -= 1 + digits;
    }
    if from == start || (from > 0 && bytes[from - 1].is_ascii_alphabetic()) {
        return start;
    }
    if separator == b'/' {
        // The whole number of a mixed one, before a proper fraction.
        let parts: Vec<u64> = text[from..]
            .split(|c: char| !c.is_ascii_digit())
            .take(2)
            .map_while(|part| part.parse().ok())
            .collect();
        let proper = matches!(parts.as_slice(), [above, below] if above < below);
        if proper && from > 1 && bytes[from - 1] == b' ' {
            let digits = digits_before(from - 1);
            let whole = from - 1 - digits;
            let free = whole == 0 || matches!(bytes[whole - 1], b' ' | b'$' | b'(' | b'\n' | b'=');
            if digits > 0 && free {
                return whole;
            }
        }
    }
    with_sign(text, from, from + 1).0
}

/// Where a number ends whose digits end at `end`: with `%`, or a word such as `million`.
fn with_right_side(text: &str, end: usize) -> usize {
    let rest = &text[end..];
    for sign in ["%", "\\%", " %"] {
        if rest.starts_with(sign) {
            return end + sign.len();
        }
    }
    let scale = SCALES.iter().find(|scale| {
        rest.strip_prefix(**scale)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
    });
    end + scale.map_or(0, |scale| scale.len())
}
