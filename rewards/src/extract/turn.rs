//! Where a completion's own turn ends: what a model writes of the next one is no answer.

/// Tokens by which the families of models end a turn or begin the next.
const TURN_MARKS: [&str; 18] = [
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end|>",
    "<|return|>",
    "<|user|>",
    "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<eos>",
    "</s>",
    "[/INST]",
    "<｜end▁of▁sentence｜>",
];

/// Beginnings of lines by which a model poses itself the next problem.
const NEXT_PROBLEMS: [&str; 6] = [
    "\nHuman:",
    "\nUser:",
    "\nQuestion:",
    "\nQ:",
    "\n[INST]",
    "\n### Instruction",
];

/// `text` up to the end of its own turn: to the first mark of a turn's end, or to a further problem that follows an answer.
pub(super) fn own_turn(text: &str) -> &str {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let marks: &[&str] = match (byte, bytes.get(at + 1)) {
            (b'<', Some(b'|' | b'/' | b'e' | b's' | 0xef)) | (b'[', Some(b'/')) => &TURN_MARKS,
            (b'\n', Some(b'H' | b'U' | b'Q' | b'[' | b'#')) => &NEXT_PROBLEMS,
            _ => continue,
        };
        let begins = marks
            .iter()
            .any(|mark| bytes[at..].starts_with(mark.as_bytes()));
        if begins && (*byte != b'\n' || has_answered(&text[..at])) {
            return &text[..at];
        }
    }
    text
}

/// Whether an answer is marked somewhere in `text`.
fn has_answered(text: &str) -> bool {
    [
        "nswer is",
        "nswer:",
        "####",
        "\\boxed{",
        "</answer>",
        "\nA:",
        "答案",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_where_the_next_begins() {
        let cases = [
            ("it is 5<|eot_id|>user 6", "it is 5"),
            ("it is 5</s> 6", "it is 5"),
            ("it is 5<end_of_turn>\n6", "it is 5"),
            ("The answer is 5.\n\nQ: what is 6?", "The answer is 5.\n"),
            ("#### 5\nQuestion: what is 6?\n#### 6", "#### 5"),
            // The problem is only repeated.
            (
                "Well.\nQuestion: what is 5?\nThe answer is 5.",
                "Well.\nQuestion: what is 5?\nThe answer is 5.",
            ),
            ("a < b and b < c: done", "a < b and b < c: done"),
        ];
        for (text, expected) in cases {
            assert_eq!(own_turn(text), expected, "{text}");
        }
    }
}
