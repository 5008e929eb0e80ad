//! Where the final answer stands in a completion.
//!
//! Every search is one pass over the text, whatever stands in it.

mod formula;
mod number;
mod phrase;
mod turn;

use serde::{Deserialize, Serialize};

use formula::{bold, last_math};
use number::last_number;
use phrase::{answer_line, answer_phrase};
use turn::own_turn;

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
    /// What follows "the answer is", "Answer:", "Final answer:" or a line's "A:", their kin in other languages (Antwort,
    /// Respuesta, Réponse, 答案, 故选 and more), or the letter of "I choose B" and "Option B is correct", up to the end of the
    /// sentence. Where it is asked for, a later line "Answer: …" counts before an earlier box, tag or `####`.
    AnswerPhrase,
    /// What stands between `**` and `**`, if there is a digit in it.
    Bold,
    /// The last formula: `$…$`, `$$…$$`, `\(…\)` or `\[…\]`. A dollar sign before an amount of money opens none.
    LastMath,
    /// The last number. `1,234.5` is one number, and so are `3/8`, `2 1/2`, `1:30`, `2^{10}`, `5%` and `3.5 million`; a minus
    /// counts as a sign unless it follows a letter, a digit or a closing bracket. Digits within a word, as in `B2B`, and
    /// exponents of units and letters, as in `cm^2`, are no number.
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
    extract_with(text, order).map(|(found, _)| found)
}

/// [`extract_from`], and what found it. Only the completion's own turn is searched: nothing after the first mark of its end.
pub(crate) fn extract_with<'a>(
    text: &'a str,
    order: &[Extraction],
) -> Option<(&'a str, Extraction)> {
    let own = own_turn(text);
    let found = order.iter().find_map(|extraction| {
        let found = match extraction {
            Extraction::AnswerTag => answer_tag(own),
            Extraction::Boxed => boxed(own),
            Extraction::Hashes => hashes(own),
            Extraction::AnswerPhrase => answer_phrase(own),
            Extraction::Bold => bold(own),
            Extraction::LastMath => last_math(own),
            Extraction::LastNumber => last_number(own),
            Extraction::Whole => Some(text),
        };
        let found = found.map(str::trim).filter(|answer| !answer.is_empty())?;
        Some((found, *extraction))
    });
    let (found, extraction) = found?;
    let marked = matches!(
        extraction,
        Extraction::AnswerTag | Extraction::Boxed | Extraction::Hashes
    );
    if marked && order.contains(&Extraction::AnswerPhrase) {
        // The later of two final answers counts.
        let end = found.as_ptr() as usize - own.as_ptr() as usize + found.len();
        if own[end..].contains("nswer:")
            && let Some(line) = answer_line(&own[end..])
        {
            return Some((line.trim(), Extraction::AnswerPhrase));
        }
    }
    Some((found, extraction))
}

/// What a completion says outside of its thoughts.
pub(crate) fn visible_part(text: &str) -> &str {
    if !text.contains('<') {
        return text;
    }
    let after = text
        .rsplit_once("</think>")
        .map_or(text, |(_, after)| after);
    after
        .split_once("<think>")
        .map_or(after, |(before, _)| before)
}

fn answer_tag(text: &str) -> Option<&str> {
    if !text.contains('<') {
        return None;
    }
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
    if !text.contains('\\') {
        return None;
    }
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
                // `\\\\boxed`: the backslash was escaped once too often.
                let doubled = COMMANDS
                    .iter()
                    .any(|command| text[at + 1..].starts_with(*command));
                // Skips an ASCII character that is escaped; of any other, the next loop skips it.
                if !doubled && bytes.get(at + 1).is_some_and(u8::is_ascii) {
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
    if !text.contains('#') {
        return None;
    }
    let (_, after) = text.rsplit_once("####")?;
    after.lines().next()
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
            (Boxed, r"\\boxed{4}", Some("4")),
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
            (LastNumber, "she ate 3/8 of it", Some("3/8")),
            (LastNumber, "it takes 2 1/2 hours", Some("2 1/2")),
            (LastNumber, "from 2 to 1/2", Some("1/2")),
            (LastNumber, "on 1/2/2020", Some("1/2/2020")),
            (LastNumber, "it takes 2 5/2 hours", Some("5/2")),
            (LastNumber, "at 1:30.", Some("1:30")),
            (LastNumber, "mixed 2:3:4", Some("2:3:4")),
            (LastNumber, "step 2: 30", Some("30")),
            (LastNumber, "a volume of 120 cm^3", Some("120")),
            (LastNumber, "an area of 25cm^{2}", Some("25")),
            (LastNumber, "about 2^10 of them", Some("2^10")),
            (LastNumber, "about 2^{10} of them", Some("2^{10}")),
            (LastNumber, "3.2 × 10^4 in all", Some("3.2 × 10^4")),
            (LastNumber, "3.2*10^-4 in all", Some("3.2*10^-4")),
            (LastNumber, "it fell by 5%.", Some("5%")),
            (LastNumber, "it is 3.5 million", Some("3.5 million")),
            (LastNumber, "a debt of -$5", Some("-$5")),
            (LastNumber, "x_1 and nothing", None),
            (LastNumber, "so 1011_2", Some("1011_2")),
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
        for line in [
            "Answer:",
            "\nQ:",
            "not ",
            "\nAnswer: - ",
            "答案",
            "$ answer is ",
        ] {
            let text = line.repeat(100_000);
            let start = std::time::Instant::now();
            let _ = extract(&text, &[AnswerPhrase, Bold, LastMath, LastNumber]);
            assert!(start.elapsed().as_millis() < 3000, "{line:?}");
        }
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
