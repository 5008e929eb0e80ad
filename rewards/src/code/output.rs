//! Whether a program wrote what was expected.

use serde::{Deserialize, Serialize};

/// How a program's output is compared with the one that is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputCheck {
    /// The same words in the same lines, as contest judges have it: empty lines and white space around words aside; numbers with a
    /// fraction up to 10⁻⁶ of 1 or of their size, whole numbers exactly (`4.0` is 4), and `YES`, `No` and their like in any case. Where
    /// the expected text is indented or has wider gaps, such as a drawing, white space within lines counts too.
    #[default]
    Lines,
    /// The same words in the same order, whatever lines they are in; compared as for `lines`.
    Tokens,
    /// The same lines in any order; compared as for `lines`.
    AnyOrder,
    /// The same text, up to white space at the ends of lines and of the whole.
    Exact,
}

/// Words that may be written in any case if the expected output has no others.
const ANY_CASE: [&str; 6] = ["yes", "no", "true", "false", "possible", "impossible"];

/// Largest difference of two numbers, as a share of the expected one or of 1, whichever is more.
const TOLERANCE: f64 = 1e-6;

/// Whether a program wrote what was expected, by [`OutputCheck::Lines`].
pub fn same_output(found: &str, expected: &str) -> bool {
    OutputCheck::Lines.accepts(found, expected)
}

impl OutputCheck {
    /// Whether `found` is what was expected.
    pub fn accepts(self, found: &str, expected: &str) -> bool {
        if same_text(found, expected) {
            return true;
        }
        let any_case = expected
            .split_whitespace()
            .all(|word| ANY_CASE.contains(&word.to_ascii_lowercase().as_str()));
        match self {
            Self::Exact => false,
            Self::Tokens => same_words(
                found.split_whitespace(),
                expected.split_whitespace(),
                any_case,
            ),
            Self::Lines => {
                if is_drawn(expected) {
                    return false;
                }
                let (found, expected) = (written_lines(found), written_lines(expected));
                found.len() == expected.len()
                    && found
                        .iter()
                        .zip(&expected)
                        .all(|(found, expected)| same_line(found, expected, any_case))
            }
            Self::AnyOrder => {
                let mut found = written_lines(found);
                let expected = written_lines(expected);
                expected.len() == found.len()
                    && expected.iter().all(|expected| {
                        let same = |found: &&str| same_line(found, expected, any_case);
                        let at = found.iter().position(same);
                        at.map(|at| found.swap_remove(at)).is_some()
                    })
            }
        }
    }
}

/// The same lines, white space at their ends and empty lines at the end of the text aside.
fn same_text(found: &str, expected: &str) -> bool {
    fn trimmed(text: &str) -> impl Iterator<Item = &str> {
        text.trim_end().lines().map(str::trim_end)
    }
    trimmed(found).eq(trimmed(expected))
}

/// Whether white space within the lines of a text says something.
fn is_drawn(text: &str) -> bool {
    text.lines().any(|line| {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        line.trim_end() != words
    })
}

fn written_lines(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .collect()
}

fn same_line(found: &str, expected: &str, any_case: bool) -> bool {
    // A carriage return within a line would hide what stands before it.
    !found.trim_end().contains('\r')
        && same_words(
            found.split_ascii_whitespace(),
            expected.split_ascii_whitespace(),
            any_case,
        )
}

fn same_words<'a>(
    found: impl Iterator<Item = &'a str>,
    expected: impl Iterator<Item = &'a str>,
    any_case: bool,
) -> bool {
    let (found, expected): (Vec<_>, Vec<_>) = (found.collect(), expected.collect());
    found.len() == expected.len()
        && found.iter().zip(&expected).all(|(found, expected)| {
            found == expected
                || any_case && found.eq_ignore_ascii_case(expected)
                || same_number(found, expected)
        })
}

/// Whether two words are numbers, and the same one: to the last digit where a whole one is expected.
fn same_number(found: &str, expected: &str) -> bool {
    if !is_number(found) || !is_number(expected) {
        return false;
    }
    if is_whole(expected) {
        return whole_part(found).is_some_and(|found| Some(found) == whole_part(expected));
    }
    let (Ok(found), Ok(expected)) = (found.parse::<f64>(), expected.parse::<f64>()) else {
        return false;
    };
    found.is_finite()
        && expected.is_finite()
        && (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

/// Digits with a sign, a point and an exponent: neither words such as `nan`, nor underscores.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
}

fn is_whole(word: &str) -> bool {
    word.strip_prefix('-')
        .unwrap_or(word)
        .bytes()
        .all(|byte| byte.is_ascii_digit())
}

/// The digits of a whole number, without zeros before them or behind a point; nothing if there is a fraction or an exponent.
fn whole_part(word: &str) -> Option<(bool, &str)> {
    let (minus, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let zeros = |text: &str| text.bytes().all(|byte| byte == b'0');
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) || !zeros(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    Some((minus && !whole.is_empty(), whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_compared_as_contests_do() {
        let same = [
            ("1 \n2\n\n", "1\n2"),
            ("", "\n"),
            (" 1", "1"),
            ("1\n\n2\n", "1\n2"),
            ("0.33333333333", "0.333333"),
            ("2.50", "2.5"),
            ("4.0", "4"),
            ("007", "7"),
            ("-0", "0"),
            ("Yes\nno", "YES\nNO"),
            ("1e-7", "0.0"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("  *\n ***", "  *\n ***"),
        ];
        for (found, expected) in same {
            assert!(same_output(found, expected), "{found:?} {expected:?}");
        }
        let different = [
            ("1\n2", "1 2"),
            ("1", "1\n2"),
            ("5\n6", "5"),
            ("4\r5", "5"),
            ("nan", "0.5"),
            ("inf", "1.5"),
            ("5\u{200b}", "5"),
            ("５", "5"),
            ("4.1", "4"),
            ("0.51", "0.5"),
            ("2000000001.0", "2000000000"),
            ("12345678901234567890124", "12345678901234567890123"),
            ("NO\nYES", "YES\nNO"),
            ("alice", "Alice"),
            ("*\n***", "  *\n ***"),
            ("1_0", "10"),
        ];
        for (found, expected) in different {
            assert!(!same_output(found, expected), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn other_checks_are_stricter_or_laxer() {
        assert!(OutputCheck::Tokens.accepts("1\n2", "1 2"));
        assert!(!OutputCheck::Tokens.accepts("2\n1", "1 2"));
        assert!(OutputCheck::AnyOrder.accepts("b 2\na 1", "a 1\nb 2"));
        assert!(!OutputCheck::AnyOrder.accepts("a 1\na 1", "a 1\nb 2"));
        assert!(!OutputCheck::Exact.accepts("4.0", "4"));
        assert!(OutputCheck::Exact.accepts("4 \n", "4"));
    }
}
