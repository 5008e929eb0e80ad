//! Where the final answer stands in a completion.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A way of finding the final answer. Each takes the last occurrence of what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extraction {
    /// What stands between `<answer>` and `</answer>`. Both tags must be there.
    AnswerTag,
    /// What stands in `\boxed{…}`, braces within it balanced. The brace must be closed.
    Boxed,
    /// The rest of the line after `####`, as GSM8K writes it.
    Hashes,
    /// The last number. `1,234.5` is one number; a minus counts as a sign unless it follows a
    /// letter, a digit or a closing bracket.
    LastNumber,
    /// All of the text.
    Whole,
}

impl Extraction {
    /// Whether the answer's end is marked. If not, cutting a completion short can turn a wrong
    /// answer into a right one: `123` into `12`.
    pub fn is_delimited(self) -> bool {
        match self {
            Self::AnswerTag | Self::Boxed => true,
            Self::Hashes | Self::LastNumber | Self::Whole => false,
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
    let spoken = outside_of_thought(text);
    order.iter().find_map(|extraction| {
        let found = match extraction {
            Extraction::AnswerTag => answer_tag(spoken),
            Extraction::Boxed => boxed(spoken),
            Extraction::Hashes => hashes(spoken),
            Extraction::LastNumber => last_number(spoken),
            Extraction::Whole => Some(spoken),
        };
        found.map(str::trim).filter(|answer| !answer.is_empty())
    })
}

fn outside_of_thought(text: &str) -> &str {
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

/// One pass with a stack of open braces, so that hostile text costs no more than other text.
/// An escaped brace such as `\{` is no brace.
fn boxed(text: &str) -> Option<&str> {
    const COMMAND: &str = r"\boxed";
    // For every open brace, whether it belongs to the command, and where its content begins.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if text[at..].starts_with(COMMAND) => {
                at += COMMAND.len();
                let gap = text[at..].len() - text[at..].trim_start_matches(' ').len();
                if bytes.get(at + gap) == Some(&b'{') {
                    at += gap + 1;
                    open.push((true, at));
                }
                continue;
            }
            // Skips an ASCII character that is escaped; of any other, the next loop skips it.
            b'\\' if bytes.get(at + 1).is_some_and(u8::is_ascii) => at += 1,
            b'{' => open.push((false, at + 1)),
            b'}' => {
                if let Some((true, start)) = open.pop()
                    && last.is_none_or(|(latest, _)| start > latest)
                {
                    last = Some((start, at));
                }
            }
            _ => {}
        }
        at += 1;
    }
    last.map(|(start, end)| &text[start..end])
}

fn hashes(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once("####")?;
    after.lines().next()
}

fn last_number(text: &str) -> Option<&str> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"[0-9][0-9,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+")
            .expect("the pattern is a constant")
    });
    let found = NUMBER.find_iter(text).last()?;
    let number = found.as_str().trim_end_matches(',');
    let end = found.start() + number.len();
    let start = match number.rfind(',') {
        // In a list such as `3,45` the last number is 45, and has no sign.
        Some(comma) if !well_grouped(number) => return Some(&number[comma + 1..]),
        _ => found.start(),
    };
    let mut before = text[..start].chars().rev();
    let sign = before
        .next()
        .filter(|sign| matches!(sign, '-' | '\u{2212}'));
    let operand = before
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '}'));
    let sign_len = sign.filter(|_| !operand).map_or(0, char::len_utf8);
    Some(&text[start - sign_len..end])
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
    use Extraction::{AnswerTag, Boxed, Hashes, LastNumber, Whole};

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
            (Boxed, r"\boxed{1} \boxed{2}", Some("2")),
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
            for extraction in [AnswerTag, Boxed, Hashes, LastNumber, Whole] {
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
            extract(&text, &[AnswerTag, Boxed, Hashes, LastNumber]),
            None
        );
    }
}
