//! Several right answers to one task, and whose doing it is that nothing can be decided.

use super::budget::Doubt;
use super::{Form, Judgement, MathOptions, Verdict, judge};

/// The right answers that a task's answer names: the strings and numbers of a JSON array such as `["1/2", "0.5", 3]` with a
/// string in it, or the text itself. `[1, 2]` is an interval or a list, and no list of answers.
///
/// ```
/// use dunwu_rewards::math::right_answers;
///
/// assert_eq!(right_answers(r#"["x^2", "x \\cdot x"]"#), ["x^2", r"x \cdot x"]);
/// assert_eq!(right_answers("[1, 2]"), ["[1, 2]"]);
/// ```
pub fn right_answers(answer: &str) -> Vec<String> {
    let whole = || vec![answer.to_owned()];
    let text = answer.trim();
    if !text.starts_with('[') || !text.contains('"') {
        return whole();
    }
    let Ok(serde_json::Value::Array(items)) = serde_json::from_str(text) else {
        return whole();
    };
    let answers: Option<Vec<String>> = items
        .iter()
        .map(|item| match item {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    match answers {
        Some(answers) if !answers.is_empty() => answers,
        _ => whole(),
    }
}

/// Compares a predicted answer with each of several right ones: equal to one is equal, and different from all is different.
/// Without any gold answer nothing can be decided.
pub fn judge_any(golds: &[String], pred: &str, options: &MathOptions) -> Judgement {
    let mut kept: Option<Judgement> = None;
    for gold in golds {
        let next = judge(gold, pred, options);
        if next.verdict == Verdict::Equal {
            return next;
        }
        let doubted = matches!(next.verdict, Verdict::Undecided { .. });
        if kept.is_none() || doubted {
            kept = Some(next);
        }
    }
    kept.unwrap_or_else(|| judge("", pred, options))
}

/// What is wrong with a gold answer: why it can be compared with nothing. `None` for one that is known to differ from, or to
/// equal, a plain number; where a comparison with it is undecided, that is the predicted answer's doing.
pub fn gold_fault(gold: &str, options: &MathOptions) -> Option<Doubt> {
    let options = MathOptions {
        form: Form::Answer,
        truncated: false,
        ..options.clone()
    };
    let mut fault = None;
    // Two numbers, since a gold answer may be too close to one of them.
    for probe in ["1", "-7/3"] {
        match judge(gold, probe, &options).verdict {
            Verdict::Undecided { why } => fault = Some(why),
            _ => return None,
        }
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_right_answers() {
        let cases: [(&str, &[&str]); 7] = [
            ("5", &["5"]),
            (r#"["5", "five"]"#, &["5", "five"]),
            (r#" ["5", 6] "#, &["5", "6"]),
            ("[1, 2]", &["[1, 2]"]),
            (r#"["a""#, &[r#"["a""#]),
            (r#"[]"#, &["[]"]),
            (r#"["a", ["b"]]"#, &[r#"["a", ["b"]]"#]),
        ];
        for (answer, expected) in cases {
            assert_eq!(right_answers(answer), expected, "{answer}");
        }
    }

    #[test]
    fn one_of_several_is_enough() {
        let options = MathOptions::default();
        let verdict = |golds: &[&str], pred: &str| {
            let golds: Vec<String> = golds.iter().map(|gold| (*gold).to_owned()).collect();
            judge_any(&golds, pred, &options).verdict.name()
        };
        assert_eq!(verdict(&["6", "5"], "5"), "equal");
        assert_eq!(verdict(&["6", "7"], "5"), "different");
        assert_eq!(verdict(&["6", "\\begin{"], "5"), "undecided");
        assert_eq!(verdict(&[], "5"), "undecided");
    }

    #[test]
    fn whose_doing_a_doubt_is() {
        let options = MathOptions::default();
        for gold in ["", "\\begin{", "5^{5^{5^5}}", "1/0"] {
            assert!(gold_fault(gold, &options).is_some(), "{gold}");
        }
        for gold in [
            "1",
            "-7/3",
            "x",
            "(1,2]",
            "Paris",
            r"\lfloor x \rfloor",
            "k\\pi",
            "5 apples",
            "3:30",
        ] {
            assert_eq!(gold_fault(gold, &options), None, "{gold}");
        }
    }
}
