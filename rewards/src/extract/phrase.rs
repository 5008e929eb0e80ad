//! Answers that are marked by words: "the answer is", "Antwort:", "故选", "I choose B".

/// Farthest that the "is" may stand from "the answer", in bytes.
const PHRASE_REACH: usize = 80;

/// Longest answer taken from the lines below a phrase, in bytes.
const BELOW_REACH: usize = 400;

/// The word for "answer" in other languages, and whether a colon or verb has to follow.
const FOREIGN: [(&str, bool); 22] = [
    ("答案", true),
    ("故选择", false),
    ("故选", false),
    ("应选", false),
    ("选", false),
    ("Đáp án", true),
    ("उत्तर", true),
    ("الجواب", true),
    ("الإجابة", true),
    ("答え", true),
    ("答", true),
    ("正解", true),
    ("정답", true),
    ("ntwort", true),
    ("espuesta", true),
    ("éponse", true),
    ("eponse", true),
    ("isposta", true),
    ("esposta", true),
    ("твет", true),
    ("dpowiedź", true),
    ("evap", true),
];

/// What may stand between the word for "answer" and the answer itself.
const FOREIGN_LINKS: [&str; 18] = [
    "是：", "是:", "为：", "为:", "是", "为", "：", ":", "は", "은", "는", "ist", "lautet", "es",
    "est", "è", "é", "=",
];

/// Verbs by which a letter of a multiple choice is chosen.
const CHOOSING: [&str; 5] = ["choose ", "pick ", "select ", "go with ", "chose "];

/// What follows a letter that is declared to be right.
const RIGHT: [&str; 4] = [
    " is correct",
    " is right",
    " is the correct",
    " is the right",
];

/// What follows the last "answer is" and its kin.
pub(super) fn answer_phrase(text: &str) -> Option<&str> {
    // Each may be followed by a long line that says nothing.
    const MOST: usize = 64;
    let mut end = text.len();
    // From the end: each marker until one says something.
    for _ in 0..MOST {
        let at = rfind_marker(text, end)?;
        if let Some(found) = after_marker(text, at) {
            return Some(found);
        }
        end = at;
    }
    None
}

/// What a line that begins with "Answer:" or "Final answer:" says, the last such line of `text`.
pub(super) fn answer_line(text: &str) -> Option<&str> {
    const LONGEST: usize = 120;
    let mut found = None;
    for line in text.lines() {
        let start = line.trim_start_matches(|c: char| !c.is_alphanumeric());
        let lower = start.as_bytes();
        let heads: [&[u8]; 2] = [b"answer", b"final answer"];
        let head = heads.iter().find(|head| {
            lower.len() > head.len() && lower[..head.len()].eq_ignore_ascii_case(head)
        });
        let Some(head) = head else { continue };
        let rest = start[head.len()..].trim_start_matches('*');
        if let Some(rest) = rest.strip_prefix(':')
            && rest.len() <= LONGEST
            && says_something(rest)
        {
            found = Some(rest.trim_start_matches(['*', ' ']));
        }
    }
    found
}

/// The last place before `end` where a marker stands.
fn rfind_marker(text: &str, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..end).rev().find(|&at| match bytes[at] {
        b'n' | b'N' if bytes[at..].len() >= 5 => {
            bytes[at..at + 5].eq_ignore_ascii_case(b"nswer") || bytes[at..].starts_with(b"ntwort")
        }
        b'p' if bytes[at..].starts_with(b"ption is ") => true,
        b'h' if bytes[at..].starts_with(b"hoice is ") => true,
        b'A' => bytes.get(at + 1) == Some(&b':') && (at == 0 || bytes[at - 1] == b'\n'),
        b'c' | b'p' | b's' | b'g' => CHOOSING
            .iter()
            .any(|verb| bytes[at..].starts_with(verb.as_bytes())),
        b' ' => RIGHT
            .iter()
            .any(|right| bytes[at..].starts_with(right.as_bytes())),
        b'e' | b'i' | b'd' | 0x80.. => foreign_at(&bytes[at..]).is_some(),
        _ => false,
    })
}

/// The word for "answer" in another language at the beginning of `bytes`, and whether a colon or verb has to follow.
fn foreign_at(bytes: &[u8]) -> Option<(&'static str, bool)> {
    // Most places are told apart by their second byte.
    let second = *bytes.get(1)?;
    FOREIGN
        .iter()
        .find(|(word, _)| word.as_bytes()[1] == second && bytes.starts_with(word.as_bytes()))
        .copied()
}

/// What the marker at `at` introduces.
fn after_marker(text: &str, at: usize) -> Option<&str> {
    let rest = &text[at..];
    if rest.starts_with("A:") && (at == 0 || text.as_bytes()[at - 1] == b'\n') {
        return introduced(&text[at + 2..]);
    }
    if let Some(verb) = CHOOSING.iter().find(|verb| rest.starts_with(**verb)) {
        return chosen_letter(&rest[verb.len()..]);
    }
    if RIGHT.iter().any(|right| rest.starts_with(right)) {
        return letter_before(&text[..at]);
    }
    if let Some((word, linked)) = foreign_at(rest.as_bytes()) {
        if word == "选" {
            return chosen_letter(rest[word.len()..].trim_start_matches([' ', '择', '：', ':']));
        }
        return introduced(after_foreign(&rest[word.len()..], linked)?);
    }
    introduced(after_answer(&text[..at], &text[at + 5..])?)
}

/// The answer at the beginning of `rest`, up to the end of its sentence, or in the lines below.
fn introduced(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches([' ', '\t', '*', ':', '"', '：', '_', '\u{3000}']);
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
    let announced = sentence.trim_end().is_empty() || sentence.trim_end().ends_with(':');
    // The mark of a list with one item is no minus.
    let item = ["- ", "* ", "• "]
        .iter()
        .find_map(|mark| paragraph.strip_prefix(mark));
    let paragraph = item
        .filter(|item| !item.contains('\n'))
        .unwrap_or(paragraph);
    (announced && says_something(paragraph)).then_some(paragraph)
}

/// What follows "answer": after a colon, "is", "are" or "=", which may stand a few words away, or below a heading.
fn after_answer<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
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
    // `## Final answer` and the answer below.
    let heading = before.to_ascii_lowercase().ends_with("final a");
    if heading && near.starts_with('\n') {
        return Some(near.trim_start());
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

/// What follows a foreign word for "answer": after its colon or verb.
fn after_foreign(rest: &str, linked: bool) -> Option<&str> {
    let mut near = rest.trim_start_matches(['*', ' ', '_', 's']);
    for adjective in ["finale", "final", "correcta", "correcte"] {
        near = near.strip_prefix(adjective).unwrap_or(near);
    }
    let near = near.trim_start_matches(['*', ' ', '_']);
    let link = FOREIGN_LINKS.iter().find(|link| {
        let word = link.ends_with(|c: char| c.is_ascii_lowercase());
        near.strip_prefix(**link)
            .is_some_and(|after| !word || after.starts_with([' ', ':', '\n']))
    });
    match link {
        Some(link) => Some(&near[link.len()..]),
        None => (!linked).then_some(near),
    }
}

/// `B` in `B.`, `option (B) because`; nothing where no letter of a choice is named.
fn chosen_letter(rest: &str) -> Option<&str> {
    let mut near = rest;
    for word in ["the ", "answer ", "option ", "choice ", "letter "] {
        near = near.strip_prefix(word).unwrap_or(near);
    }
    let letter = near.trim_start_matches(['(', '*', '[']);
    let mut characters = letter.chars();
    let first = characters.next()?;
    let alone = !characters.next().is_some_and(char::is_alphanumeric);
    if !(('A'..='J').contains(&first) && alone) {
        return None;
    }
    Some(first_sentence(near))
}

/// The letter of a choice at the end of `before`: of `Option B`, `(B)`.
fn letter_before(before: &str) -> Option<&str> {
    let trimmed = before.trim_end_matches([')', '*', ']']);
    let start = trimmed.len().checked_sub(1)?;
    let letter = trimmed.as_bytes()[start];
    let outside = trimmed[..start].trim_end_matches(['(', '*', '[']);
    let bracketed = outside.len() < start;
    let named = ["ption ", "hoice ", "nswer ", "tatement "]
        .iter()
        .any(|name| outside.ends_with(name));
    ((b'A'..=b'J').contains(&letter) && (bracketed || named)).then(|| &trimmed[start..])
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
            // The sign of an amount of money opens no formula: no other follows in its line.
            b'$' if math => math = false,
            b'$' => math = opens_formula(&text[at + 1..]),
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
            0xe3 if !math && depth == 0 && bytes[at..].starts_with("。".as_bytes()) => {
                return &text[..at];
            }
            _ => {}
        }
        at += 1;
    }
    text
}

/// Whether what follows a dollar sign is a formula: another sign ends it before the paragraph does.
fn opens_formula(rest: &str) -> bool {
    if rest.starts_with('$') {
        return true;
    }
    match rest.find('$') {
        Some(close) => !rest[..close].contains("\n\n"),
        None => false,
    }
}

/// Whether a full stop after this is part of `p.m.` or `approx.`.
fn abbreviates(before: &str) -> bool {
    ["p.m", "a.m", "approx", "vs", "e.g", "i.e", " p", " a"]
        .iter()
        .any(|short| before.ends_with(short))
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
            ("所以答案是 5。", Some("5")),
            ("no", None),
            (
                "It leaves at 4. The answer is 4:30 p.m. on Monday.",
                Some("4:30 p.m. on Monday."),
            ),
            ("Answer: $5,000. That is all.", Some("$5,000")),
            ("## Final Answer\n\n61", Some("61")),
            ("Die Antwort lautet: 7", Some("7")),
            ("La respuesta final es 7.", Some("7.")),
            ("Réponse : 7", Some("7")),
            ("Ответ: 7", Some("7")),
            ("정답: 7", Some("7")),
            ("故选：D", Some("D")),
            ("因此故选 B", Some("B")),
            ("I choose B.", Some("B.")),
            ("We select option (C) here", Some("(C) here")),
            ("I choose a number", None),
            ("所以选项C正确", None),
            ("选é", None),
            ("The answer is:\n- 18", Some("18")),
            ("Option B is correct.", Some("B")),
            ("**(D)** is the right one", Some("D")),
            ("Anna is correct.", None),
            ("the test is right", None),
        ];
        for (text, expected) in cases {
            assert_eq!(answer_phrase(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_that_begin_with_answer() {
        let cases = [
            ("x\n**Answer: D**", Some("D**")),
            ("Final answer: 5", Some("5")),
            ("I answer: 5", None),
            ("Answer:\n5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(answer_line(text), expected, "{text}");
        }
    }
}
