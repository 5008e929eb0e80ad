//! Where a completion's own turn ends: what a model writes of the next one is no answer.

/// Tokens by which the families of models end a turn or begin the next.
const TURN_MARKS: [&str; 17] = [
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
    let begins = |text: &str, at: usize, marks: &[&str]| {
        let rest = &text.as_bytes()[at..];
        marks.iter().any(|mark| rest.starts_with(mark.as_bytes()))
    };
    // By single characters first, which is faster than to look for words.
    let first = |text: &str, character: char, marks: &[&str]| {
        let mut places = text.match_indices(character).map(|(at, _)| at);
        places.find(|at| begins(text, *at, marks))
    };
    let own = &text[..first(text, '<', &TURN_MARKS).unwrap_or(text.len())];
    let own = &own[..first(own, '[', &["[/INST]"]).unwrap_or(own.len())];
    // Hardly any text poses a further problem: whether there is an answer before it matters only then.
    if first(own, '\n', &NEXT_PROBLEMS).is_none() {
        return own;
    }
    let Some(answered) = first_answer(own) else {
        return own;
    };
    let next = own
        .match_indices('\n')
        .map(|(at, _)| at)
        .find(|at| *at > answered && begins(own, *at, &NEXT_PROBLEMS));
    &own[..next.unwrap_or(own.len())]
}

/// Where the first answer is marked in `text`.
fn first_answer(text: &str) -> Option<usize> {
    let marks = [
        "nswer is",
        "nswer:",
        "####",
        "\\boxed{",
        "</answer>",
        "\nA:",
        "答案",
    ];
    marks.iter().filter_map(|mark| text.find(mark)).min()
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
