//! Answers that are marked by words, by bold type, or by being the last formula.

/// A text that ends a completion although it goes on: what a model writes of the next turn.
const TURN_ENDS: [&str; 3] = ["<|im_end|>", "<|im_start|>", "<|endoftext|>"];

/// Farthest that the "is" may stand from "the answer", in bytes.
const PHRASE_REACH: usize = 80;

/// Longest answer taken from the lines below a phrase, in bytes.
const BELOW_REACH: usize = 400;

/// `text` up to the first mark of a next turn.
fn own_turn(text: &str) -> &str {
    let end = TURN_ENDS.iter().filter_map(|mark| text.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// What follows the last "answer is" and its kin.
pub(super) fn answer_phrase(text: &str) -> Option<&str> {
    let text = own_turn(text);
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    // From the end: each "answer" until one says something.
    while let Some(at) = rfind_marker(bytes, end) {
        if let Some(found) = after_marker(text, at) {
            return Some(found);
        }
        end = at;
    }
    None
}

/// The last place before `end` where "nswer", "答案" or a line's "A:" stands.
fn rfind_marker(bytes: &[u8], end: usize) -> Option<usize> {
    let chinese = "答案".as_bytes();
    (0..end).rev().find(|&at| match bytes[at] {
        b'n' | b'N' => bytes[at..].len() >= 5 && bytes[at..at + 5].eq_ignore_ascii_case(b"nswer"),
        b'p' => bytes[at..].starts_with(b"ption is "),
        b'h' => bytes[at..].starts_with(b"hoice is "),
        b'A' => bytes.get(at + 1) == Some(&b':') && (at == 0 || bytes[at - 1] == b'\n'),
        0xe7 => bytes[at..].starts_with(chinese),
        _ => false,
    })
}

/// What the marker at `at` introduces.
fn after_marker(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let rest = match bytes[at] {
        b'A' => &text[at + 2..],
        0xe7 => {
            let rest = text[at + "答案".len()..].trim_start();
            ["是", "为", "：", ":"]
                .iter()
                .find_map(|mark| rest.strip_prefix(mark))?
        }
        _ => after_answer(&text[at + 5..])?,
    };
    let rest = rest.trim_start_matches([' ', '\t', '*', ':', '"', '：']);
    let sentence = first_sentence(rest);
    if says_something(sentence) {
        return Some(sentence);
    }
    // "The answer is as follows:" and then the answer itself.
    let below = rest[sentence.len()..].trim_start();
    let cut = (0..=BELOW_REACH.min(below.len()))
        .rev()
        .find(|cut| below.is_char_boundary(*cut))?;
    let paragraph = below[..cut].split("\n\n").next().unwrap_or_default();
    let introduced = sentence.trim_end().is_empty() || sentence.trim_end().ends_with(':');
    (introduced && says_something(paragraph)).then_some(paragraph)
}

/// What follows "answer": after a colon, "is", "are" or "=", which may stand a few words away.
fn after_answer(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '>') {
        return None;
    }
    let near = rest.trim_start_matches(['*', ' ', '_']);
    for mark in [
        ":",
        "：",
        "is ",
        "is:",
        "is\n",
        "are ",
        "are:",
        "= ",
        "=",
        "would be ",
        "should be ",
        "will be ",
    ] {
        if let Some(after) = near.strip_prefix(mark) {
            return Some(after);
        }
    }
    if near.starts_with(['$', '\\']) {
        return Some(near);
    }
    let reach = (0..=PHRASE_REACH.min(rest.len()))
        .rev()
        .find(|cut| rest.is_char_boundary(*cut))?;
    let near = &rest[..reach];
    let near = &near[..near.find(['.', '\n', '?']).unwrap_or(near.len())];
    let at = [" is ", " are ", ": ", " is: "]
        .iter()
        .filter_map(|mark| near.find(mark).map(|at| at + mark.len()))
        .min()?;
    Some(&rest[at..])
}

/// Whether there is anything that could be an answer.
fn says_something(text: &str) -> bool {
    text.chars().any(|c| c.is_alphanumeric()) && !text.trim_end().ends_with(':')
}

/// Up to the end of the line or sentence; formulas are not cut.
fn first_sentence(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut math = false;
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b'\\' => {
                match next {
                    Some(b'(' | b'[') => math = true,
                    Some(b')' | b']') => math = false,
                    _ => {}
                }
                at += usize::from(next.is_some_and(|byte| byte.is_ascii()));
            }
            b'$' => math = !math,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'\n' if !math && depth == 0 => return &text[..at],
            b'\n' if next == Some(b'\n') => return &text[..at],
            b'.' if !math
                && depth == 0
                && matches!(next, Some(b' ' | b'\n'))
                && !abbreviates(&text[..at]) =>
            {
                return &text[..at];
            }
            _ => {}
        }
        at += 1;
    }
    text
}

/// Whether a full stop after this is part of `p.m.` or `approx.`.
fn abbreviates(before: &str) -> bool {
    ["p.m", "a.m", "approx", "vs", "e.g", "i.e", " p", " a"]
        .iter()
        .any(|short| before.ends_with(short))
}

/// The last bold text with a digit in it.
pub(super) fn bold(text: &str) -> Option<&str> {
    let text = own_turn(text);
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
    let text = own_turn(text);
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
        || content.ends_with(['(', '=', '+', '-', '*'])
        || content.trim_end().ends_with(['=', '+'])
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
    fn phrases_lead_to_the_answer() {
        let cases = [
            ("The answer is 12.", Some("12.")),
            ("The answer is 12. I hope so.", Some("12")),
            ("Answer: 12\nmore", Some("12")),
            ("**Answer:** 12", Some("12")),
            (
                "Final Answer: The final answer is $28 \\%$. I hope it is correct.",
                Some("$28 \\%$"),
            ),
            ("answer is 1.5 cm", Some("1.5 cm")),
            ("The answer to the question is 7", Some("7")),
            ("The answer is as follows:\n\n$$5$$", Some("$$5$$")),
            ("that is the answer. Now 5", None),
            ("blah\nA: 694", Some("694")),
            ("the answer is 1\nThe answer is 2", Some("2")),
            ("<answer>5", None),
            ("所以答案是 5。", Some("5。")),
            ("no", None),
            (
                "It leaves at 4. The answer is 4:30 p.m. on Monday.",
                Some("4:30 p.m. on Monday."),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(answer_phrase(text), expected, "{text}");
        }
    }

    #[test]
    fn formulas_and_money_are_told_apart() {
        let cases = [
            ("so $x=5$ it is", Some("$x=5$")),
            (r"\[a\] then \(b\)", Some(r"\(b\)")),
            ("It costs $10 for one and $20 for two", None),
            ("It costs $10 each, so $x = 5$.", Some("$x = 5$")),
            ("between $12$ and $13$", Some("$12$ and $13$")),
            ("$x$ is 15", None),
            ("$$7$$", Some("$$7$$")),
            ("$ 9 $", Some("$ 9 $")),
            ("$5", None),
            (
                "the system is $(7, 6)$. <|im_start|>user $3$",
                Some("$(7, 6)$"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(last_math(text), expected, "{text}");
        }
        assert_eq!(bold("so **73** it is **true**"), Some("73"));
    }
}
