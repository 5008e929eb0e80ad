//! Answers that are marked by bold type, or by being the last formula.

/// The last bold text with a digit in it.
pub(super) fn bold(text: &str) -> Option<&str> {
    let mut end = text.len();
    while let Some(close) = text[..end].rfind("**") {
        let open = text[..close].rfind("**")?;
        let inner = text[open + 2..close].trim();
        let one_line = !inner.contains('\n');
        if one_line && inner.bytes().any(|byte| byte.is_ascii_digit()) && !inner.ends_with(':') {
            return Some(inner);
        }
        end = open;
    }
    None
}

/// The last formula; neighbouring ones with only a connective between them are one.
pub(super) fn last_math(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut last: Option<(usize, usize)> = None;
    // What has been opened: the delimiter and where its content begins.
    let mut open: Option<(&str, usize, usize)> = None;
    let mut at = 0;
    while at < bytes.len() {
        let delimiter = match bytes[at] {
            b'\\' => match bytes.get(at + 1) {
                Some(b'(') => "\\(",
                Some(b')') => "\\)",
                Some(b'[') => "\\[",
                Some(b']') => "\\]",
                Some(next) => {
                    at += 1 + usize::from(next.is_ascii());
                    continue;
                }
                None => break,
            },
            b'$' if bytes.get(at + 1) == Some(&b'$') => "$$",
            b'$' => "$",
            _ => {
                at += 1;
                continue;
            }
        };
        let closes = match open {
            Some(("\\(", ..)) => delimiter == "\\)",
            Some(("\\[", ..)) => delimiter == "\\]",
            Some((opened, ..)) => opened == delimiter,
            None => false,
        };
        if let (true, Some((_, outer, start))) = (closes, open) {
            let content = &text[start..at];
            if delimiter == "$" && is_money(content) {
                // The sign stood before an amount; this one may open a formula.
                open = Some(("$", at, at + 1));
            } else {
                if !content.trim().is_empty() {
                    last = Some(match last {
                        Some((begin, end)) if connects(&text[end..outer]) => {
                            (begin, at + delimiter.len())
                        }
                        _ => (outer, at + delimiter.len()),
                    });
                }
                open = None;
            }
        } else if matches!(delimiter, "\\(" | "\\[" | "$" | "$$")
            && open.is_none_or(|(opened, ..)| opened == "$")
        {
            open = Some((delimiter, at, at + delimiter.len()));
        }
        at += delimiter.len();
    }
    let (begin, end) = last?;
    let found = &text[begin..end];
    // `$x$ is 15`: the name of a variable is no answer where a number follows.
    let bare_name = !found.bytes().any(|byte| byte.is_ascii_digit()) && found.len() <= 5;
    if bare_name && text[end..].bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(found)
}

/// Whether what stands between two dollar signs is prose about money: `10 for the book and `.
fn is_money(content: &str) -> bool {
    if !content.starts_with(|c: char| c.is_ascii_digit() || c == '<') || content.contains('\\') {
        return false;
    }
    let words = content
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() >= 2)
        .count();
    words >= 1
        || content.trim_end().ends_with([
            '(', '=', '+', '-', '*', '/', '−', '–', '—', '×', '÷', ',', '≈',
        ])
}

/// Whether only a connective stands between two formulas.
fn connects(between: &str) -> bool {
    matches!(between.trim_matches([' ', ',']), "" | "and" | "or")
        && !between.contains('\n')
        && !between.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_and_money_are_told_apart() {
        let cases = [
            ("so $x=5$ it is", Some("$x=5$")),
            (r"\[a\] then \(b\)", Some(r"\(b\)")),
            ("It costs $10 for one and $20 for two", None),
            ("It costs $10 each, so $x = 5$.", Some("$x = 5$")),
            ("He has $50 − $20 = $30 left", None),
            ("He has $50 – $20 = $30", None),
            ("between $12$ and $13$", Some("$12$ and $13$")),
            ("$x$ is 15", None),
            ("$$7$$", Some("$$7$$")),
            ("$ 9 $", Some("$ 9 $")),
            ("$5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(last_math(text), expected, "{text}");
        }
        assert_eq!(bold("so **73** it is **true**"), Some("73"));
    }
}
