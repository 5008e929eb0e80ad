//! Where the final answer stands in a completion.
//!
//! Every search is one pass over the text, whatever stands in it.

mod phrase;

use serde::{Deserialize, Serialize};

use phrase::{answer_phrase, bold, last_math};

/// A way of finding the final answer. Each takes the last occurrence of what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extraction {
    /// What stands between `<answer>` and `</answer>`. Both tags must be there.
    AnswerTag,
    /// What stands in `\boxed{…}` or `\fbox{…}`, braces within it balanced. The brace must be closed. Several boxes with
    /// nothing but commas, `and`, `or` and spacing between them are one answer, found as they stand, boxes included; if all
    /// say the same, the last is taken.
    Boxed,
    /// The rest of the line after `####`, as GSM8K writes it.
    Hashes,
    /// What follows "the answer is", "Answer:", "Final answer:" or a line's "A:", up to the end of the sentence.
    AnswerPhrase,
    /// What stands between `**` and `**`, if there is a digit in it.
    Bold,
    /// The last formula: `$…$`, `$$…$$`, `\(…\)` or `\[…\]`. A dollar sign before an amount of money opens none.
    LastMath,
    /// The last number. `1,234.5` is one number; a minus counts as a sign unless it follows a
    /// letter, a digit or a closing bracket. Digits within a word, as in `B2B`, are no number.
    LastNumber,
    /// All of the text.
    Whole,
}

impl Extraction {
    /// Whether the answer's end is marked. If not, cutting a completion short can turn a wrong
    /// answer into a right one: `123` into `12`, or a formula on the way into the last one.
    pub fn is_delimited(self) -> bool {
        match self {
            Self::AnswerTag | Self::Boxed => true,
            Self::Hashes
            | Self::AnswerPhrase
            | Self::Bold
            | Self::LastMath
            | Self::LastNumber
            | Self::Whole => false,
        }
    }
}

/// The final answer of `text`: what the first of `order` that finds anything finds, without the
/// white space around it. An empty answer is none.
///
/// Only what follows the last `</think>` is searched, if there is one, and only up to the next
/// `<think>`: a thought is not an answer.
///
/// ```
/// use dunwu_rewards::{Extraction, extract};
///
/// let text = r"<think>7, or 8?</think>It is \boxed{8}, not \frac{7}{1}.";
/// assert_eq!(extract(text, &[Extraction::AnswerTag, Extraction::Boxed]), Some("8"));
/// assert_eq!(extract(text, &[Extraction::AnswerTag]), None);
/// ```
pub fn extract<'a>(text: &'a str, order: &[Extraction]) -> Option<&'a str> {
    extract_from(visible_part(text), order)
}

/// [`extract`] without leaving out thoughts.
pub(crate) fn extract_from<'a>(text: &'a str, order: &[Extraction]) -> Option<&'a str> {
    order.iter().find_map(|extraction| {
        let found = match extraction {
            Extraction::AnswerTag => answer_tag(text),
            Extraction::Boxed => boxed(text),
            Extraction::Hashes => hashes(text),
            Extraction::AnswerPhrase => answer_phrase(text),
            Extraction::Bold => bold(text),
            Extraction::LastMath => last_math(text),
            Extraction::LastNumber => last_number(text),
            Extraction::Whole => Some(text),
        };
        found.map(str::trim).filter(|answer| !answer.is_empty())
    })
}

/// What a completion says outside of its thoughts.
pub(crate) fn visible_part(text: &str) -> &str {
    let after = text
        .rsplit_once("</think>")
        .map_or(text, |(_, after)| after);
    after
        .split_once("<think>")
        .map_or(after, |(before, _)| before)
}

fn answer_tag(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once("</answer>")?;
    before.rsplit_once("<answer>").map(|(_, answer)| answer)
}

/// A box: where its command begins, its content, and its end.
#[derive(Clone, Copy)]
struct Span {
    command: usize,
    start: usize,
    end: usize,
}

/// One pass with a stack of open braces, so that hostile text costs no more than other text.
/// An escaped brace such as `\{` is no brace.
fn boxed(text: &str) -> Option<&str> {
    const COMMANDS: [&str; 2] = [r"\boxed", r"\fbox"];
    let first = COMMANDS
        .iter()
        .filter_map(|command| text.find(command))
        .min()?;
    // For every open brace, where its command begins if it is one, and where its content begins.
    let mut open: Vec<(Option<usize>, usize)> = Vec::new();
    let mut last: Option<Span> = None;
    // Where a run of neighbouring boxes begins, and whether they all say the same.
    let mut run: Option<(usize, bool)> = None;
    let bytes = text.as_bytes();
    let mut at = first;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                if let Some(command) = COMMANDS
                    .iter()
                    .find(|command| text[at..].starts_with(**command))
                {
                    let begin = at;
                    at += command.len();
                    let gap = text[at..].len() - text[at..].trim_start_matches(' ').len();
                    if bytes.get(at + gap) == Some(&b'{') {
                        at += gap + 1;
                        open.push((Some(begin), at));
                    }
                    continue;
                }
                // Skips an ASCII character that is escaped; of any other, the next loop skips it.
                if bytes.get(at + 1).is_some_and(u8::is_ascii) {
                    at += 1;
                }
            }
            b'{' => open.push((None, at + 1)),
            b'}' => {
                if let Some((Some(command), start)) = open.pop()
                    && last.is_none_or(|latest| start > latest.start)
                {
                    let next = Span {
                        command,
                        start,
                        end: at,
                    };
                    run = Some(match (last, run) {
                        (Some(before), Some((begin, same))) if joins(text, before, next) => {
                            let repeated =
                                text[before.start..before.end].trim() == text[start..at].trim();
                            (begin, same && repeated)
                        }
                        _ => (command, true),
                    });
                    last = Some(next);
                }
            }
            _ => {}
        }
        at += 1;
    }
    let (last, (begin, same)) = (last?, run?);
    if same {
        return Some(&text[last.start..last.end]);
    }
    Some(&text[begin..=last.end])
}

/// Whether only separators stand between two boxes.
fn joins(text: &str, before: Span, next: Span) -> bool {
    const LONGEST: usize = 48;
    if next.command <= before.end || next.command - before.end > LONGEST {
        return false;
    }
    let mut between = &text[before.end + 1..next.command];
    const SEPARATORS: [&str; 20] = [
        " ", "\n", "\t", ",", ";", "$", "\\quad", "\\qquad", "\\text", "{", "}", "and", "or",
        "\\,", "\\;", "\\ ", "\\(", "\\)", "\\[", "\\]",
    ];
    while !between.is_empty() {
        let Some(separator) = SEPARATORS
            .iter()
            .find(|separator| between.starts_with(**separator))
        else {
            return false;
        };
        between = &between[separator.len()..];
    }
    true
}

fn hashes(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once("####")?;
    after.lines().next()
}

/// The last number, searched from the end.
fn last_number(text: &str) -> Option<&str> {
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
        return Some(with_sign(text, start, end));
    }
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
fn with_sign(text: &str, start: usize, end: usize) -> &str {
    let number = &text[start..end];
    if let Some(comma) = number.rfind(',')
        && !well_grouped(number)
    {
        // In a list such as `3,45` the last number is 45, and has no sign.
        return &number[comma + 1..];
    }
    // `3.1.4` is no number; its end is.
    let points = number.bytes().filter(|byte| *byte == b'.').count();
    if points > 1 {
        let last = number.rfind('.').unwrap_or(0);
        let before = number[..last].rfind('.').map_or(0, |point| point + 1);
        return &number[before..];
    }
    let mut before = text[..start].chars().rev();
    let sign = before
        .next()
        .filter(|sign| matches!(sign, '-' | '\u{2212}'));
    let operand = before
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '}'));
    let sign_len = sign.filter(|_| !operand).map_or(0, char::len_utf8);
    &text[start - sign_len..end]
}

/// Whether the commas of a number stand where thousands are parted: `1,234,567.8`.
pub(crate) fn well_grouped(number: &str) -> bool {
    let integer = number.split(['.', 'e', 'E']).next().unwrap_or(number);
    let mut groups = integer.split(',');
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Extraction::{AnswerPhrase, AnswerTag, Bold, Boxed, Hashes, LastMath, LastNumber, Whole};

    #[test]
    fn each_extraction_finds_its_last_occurrence() {
        let cases = [
            (
                AnswerTag,
                "<answer>1</answer> no <answer> 2 </answer>",
                Some("2"),
            ),
            (AnswerTag, "<answer>1</answer> no <answer>2", Some("1")),
            (AnswerTag, "<answer>1", None),
            (AnswerTag, "1</answer>", None),
            (AnswerTag, "</answer>1<answer>", None),
            (AnswerTag, "<answer><answer>1</answer>", Some("1")),
            (AnswerTag, "<answer> </answer>", None),
            (AnswerTag, "<answer>äöü 顿悟</answer>", Some("äöü 顿悟")),
            (Boxed, r"\boxed{1} or rather \boxed{2}", Some("2")),
            (Boxed, r"\boxed{1} \boxed{2}", Some(r"\boxed{1} \boxed{2}")),
            (
                Boxed,
                r"\boxed{2}, so $\boxed{1}$ and $\boxed{2}$",
                Some(r"\boxed{1}$ and $\boxed{2}"),
            ),
            (Boxed, r"\boxed{2} \boxed{2}", Some("2")),
            (Boxed, r"\fbox{3}", Some("3")),
            (Boxed, r"\boxed{\frac{1}{2}}", Some(r"\frac{1}{2}")),
            (Boxed, r"\boxed{\{1, 2\}}", Some(r"\{1, 2\}")),
            (Boxed, r"\boxed {3}", Some("3")),
            (Boxed, r"\boxed{1} \boxed{2", Some("1")),
            (Boxed, r"\boxed{1 \boxed{2}", Some("2")),
            (Boxed, r"\boxed{1 \boxed{2} 3}", Some("2")),
            (Boxed, r"{ } } \boxed{4} {", Some("4")),
            (Boxed, r"\\{ \boxed{4}", Some("4")),
            (Boxed, r"\boxed 4", None),
            (Boxed, r"\boxed", None),
            (Boxed, r"\boxed{顿\悟}\", Some(r"顿\悟")),
            (Hashes, "#### 1\nbut\n#### 2 \nand 3", Some("2")),
            (Hashes, "#### ", None),
            (Hashes, "### 2", None),
            (LastNumber, "from 1 to 12.", Some("12")),
            (LastNumber, "about 1,234.50 dollars", Some("1,234.50")),
            (LastNumber, "1, 2, 3,", Some("3")),
            (LastNumber, "(1,23)", Some("23")),
            (LastNumber, "1,2345", Some("2345")),
            (LastNumber, "it is -5", Some("-5")),
            (LastNumber, "it is \u{2212}5", Some("\u{2212}5")),
            (LastNumber, "10-5", Some("5")),
            (LastNumber, "x)-5", Some("5")),
            (LastNumber, "-7", Some("-7")),
            (LastNumber, "1.5e-3 m", Some("1.5e-3")),
            (LastNumber, ".5", Some(".5")),
            (LastNumber, "Arabic digits ٣ are left alone", None),
            (LastNumber, "none", None),
            (LastNumber, "5 of B2B", Some("5")),
            (LastNumber, "2x", Some("2")),
            (LastNumber, "step 3.1.4", Some("1.4")),
            (LastNumber, "from 7... on", Some("7")),
            (LastNumber, "x=.25.", Some(".25")),
            (LastNumber, "1e5 or 2E+3", Some("2E+3")),
            (Whole, "  19 \n", Some("19")),
            (Whole, " \n", None),
        ];
        for (extraction, text, expected) in cases {
            assert_eq!(
                extract(text, &[extraction]),
                expected,
                "{extraction:?} of {text:?}"
            );
        }
    }

    #[test]
    fn thoughts_are_not_searched() {
        let cases = [
            ("<think>8</think>", None),
            ("<think>8</think>9", Some("9")),
            ("8</think>9", Some("9")),
            ("<think>8", None),
            ("7<think>8", Some("7")),
            ("<think>1</think>2<think>3</think>4<think>5", Some("4")),
            ("<think><answer>8</answer></think>", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                extract(text, &[AnswerTag, LastNumber]),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_first_extraction_that_finds_anything_wins() {
        let text = r"<answer>1</answer> \boxed{2} #### 3";
        assert_eq!(extract(text, &[AnswerTag, Boxed]), Some("1"));
        assert_eq!(extract(text, &[Boxed, AnswerTag]), Some("2"));
        assert_eq!(extract("#### 3", &[AnswerTag, Boxed, Hashes]), Some("3"));
        assert_eq!(extract(text, &[]), None);
    }

    #[test]
    fn random_text_never_panics() {
        use rand::RngExt;
        let pieces = [
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            r"\boxed",
            "{",
            "}",
            "\\",
            "####",
            "**",
            "$",
            r"\(",
            r"\]",
            "answer is",
            "A:",
            ". ",
            "1",
            "23",
            ",",
            ".",
            "-",
            "\u{2212}",
            "e",
            " ",
            "\n",
            "顿",
            "é",
            "\u{301}",
            "<",
            ">",
            "\0",
        ];
        let mut rng = dunwu_datasets::rng(1);
        for _ in 0..20_000 {
            let count = rng.random_range(0..30);
            let text: String = (0..count)
                .map(|_| pieces[rng.random_range(0..pieces.len())])
                .collect();
            for extraction in [
                AnswerTag,
                Boxed,
                Hashes,
                AnswerPhrase,
                Bold,
                LastMath,
                LastNumber,
                Whole,
            ] {
                if let Some(found) = extract(&text, &[extraction]) {
                    assert!(text.contains(found) && !found.is_empty());
                    assert_eq!(found, found.trim());
                }
            }
        }
    }

    #[test]
    fn long_hostile_text_is_searched_in_one_pass() {
        // A quadratic search would take 10^11 steps here.
        let text = r"\boxed{".repeat(100_000);
        assert_eq!(
            extract(
                &text,
                &[
                    AnswerTag,
                    Boxed,
                    Hashes,
                    AnswerPhrase,
                    Bold,
                    LastMath,
                    LastNumber
                ]
            ),
            None
        );
    }
}
