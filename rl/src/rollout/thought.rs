//! Where a completion thinks: so that whoever shows it can fold that part away.

use std::ops::Range;

/// What opens and closes a thought: as DeepSeek-R1 and Qwen3 write it, and as Magistral does.
const MARKS: [(&str, &str); 2] = [("<think>", "</think>"), ("[THINK]", "[/THINK]")];

/// The range of bytes of `text` that is its first thought, without the marks around it; `None` where it has none. A prompt that
/// ends with an opening mark has begun the thought. One that is not closed goes on to the end of the text.
pub fn thinking(prompt: &str, text: &str) -> Option<Range<usize>> {
    let opened = |mark: &str| prompt.trim_end().ends_with(mark);
    let found = MARKS.into_iter().find_map(|(open, close)| {
        let start = match text.find(open) {
            // A model may open the thought once more.
            Some(at) if !opened(open) || text[..at].trim().is_empty() => at + open.len(),
            _ if opened(open) => 0,
            _ => return None,
        };
        Some((start, close))
    });
    let (start, close) = found?;
    let length = text[start..].find(close);
    Some(start..length.map_or(text.len(), |length| start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_is_found_where_it_is() {
        for (prompt, text, thought) in [
            ("1+2=", "<think>a</think>3", Some("a")),
            ("1+2=", " <think>é\nb</think><think>c</think>", Some("é\nb")),
            ("1+2=", "<think>cut off", Some("cut off")),
            ("1+2=", "[THINK]a[/THINK]3", Some("a")),
            ("1+2=", "3", None),
            ("1+2=", "a</think>3", None),
            ("1+2=<think>\n", "a</think>3", Some("a")),
            ("1+2=<think>\n", "<think>a</think>3", Some("a")),
            ("1+2=<think>\n", "a <think>b</think>3", Some("a <think>b")),
            ("1+2=<think>", "", Some("")),
        ] {
            let range = thinking(prompt, text);
            assert_eq!(
                range.map(|range| &text[range]),
                thought,
                "{prompt:?} {text:?}"
            );
        }
    }
}
