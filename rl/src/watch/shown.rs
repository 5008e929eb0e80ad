//! A completion to be shown.

use serde_json::{Map, Value};

use super::clean;

/// How much of a text is kept, in bytes.
const KEPT: usize = 64 << 10;

/// A line of `completions.jsonl`, as far as it is shown; everything in it is clean.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown {
    /// The step of the run.
    pub step: u64,
    /// Its place in the step, and in its group; runs of older versions do not say.
    pub place: Option<(u64, u64)>,
    /// The prompt, in one line.
    pub prompt: String,
    /// The right answer.
    pub answer: String,
    /// What was thought, line by line; `None` where nothing was, or the run does not say where.
    pub thought: Option<Vec<String>>,
    /// What was said besides.
    pub said: Vec<String>,
    /// Its length in tokens.
    pub tokens: Option<u64>,
    /// The total reward; `None` without a verdict.
    pub reward: Option<f64>,
    /// How much better it was than its group.
    pub advantage: Option<f64>,
    /// Why it ended; of older runs only whether it was cut off.
    pub finish: String,
    /// Why there is no verdict.
    pub judge_error: Option<String>,
}

impl Shown {
    /// That of a line; what it lacks stays empty.
    pub fn of(line: &Map<String, Value>) -> Self {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or("");
        let count = |key: &str| line.get(key).and_then(Value::as_u64);
        let number = |key: &str| line.get(key).and_then(Value::as_f64);
        let (thought, said) = parts(text("completion"), line.get("thinking"));
        let cut_off = line.get("truncated").and_then(Value::as_bool) == Some(true);
        let finish = match text("finish") {
            "" if cut_off => "length",
            finish => finish,
        };
        Self {
            step: count("step").unwrap_or(0),
            place: count("group").zip(count("sample")),
            prompt: clean::line(within(text("prompt").trim())),
            answer: clean::line(within(text("answer").trim())),
            thought,
            said,
            tokens: count("tokens"),
            reward: number("reward"),
            advantage: number("advantage"),
            finish: clean::line(within(finish)),
            judge_error: line
                .get("judge_error")
                .and_then(Value::as_str)
                .map(clean::line),
        }
    }

    /// What was said in one line.
    pub fn brief(&self) -> String {
        let said = self.said.iter().map(|line| line.trim());
        let said: Vec<&str> = said.filter(|line| !line.is_empty()).collect();
        said.join(" ↵ ")
    }
}

/// The thought in a text, and the rest of it.
fn parts(text: &str, range: Option<&Value>) -> (Option<Vec<String>>, Vec<String>) {
    let bound = |index: usize| range?.get(index)?.as_u64()?.try_into().ok();
    let (from, to): (Option<usize>, Option<usize>) = (bound(0), bound(1));
    // A range that does not fit the text is none.
    let thought = from.zip(to).and_then(|(from, to)| {
        let thought = text.get(from..to)?;
        Some((thought, text.get(..from)?, text.get(to..)?))
    });
    match thought {
        Some((thought, before, after)) => {
            let said = format!("{}{}", within(unmarked(before)), within(unmarked(after)));
            (Some(clean::lines(within(thought))), clean::lines(&said))
        }
        None => (None, clean::lines(within(text))),
    }
}

/// The text before a thought without the mark that opens it, or that after it without the one that closes it.
fn unmarked(text: &str) -> &str {
    let marks = ["<think>", "[THINK]"];
    let text = marks
        .iter()
        .find_map(|mark| text.strip_suffix(mark))
        .unwrap_or(text);
    let marks = ["</think>", "[/THINK]"];
    marks
        .iter()
        .find_map(|mark| text.strip_prefix(mark))
        .unwrap_or(text)
}

/// The beginning of a text that is too long.
fn within(text: &str) -> &str {
    let end = (0..=KEPT.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(line: Value) -> Shown {
        Shown::of(line.as_object().unwrap())
    }

    #[test]
    fn the_thought_is_apart_and_a_wrong_range_is_none() {
        let text = "<think>é\nb</think>\n3";
        let with = |range: Value| shown(json!({"completion": text, "thinking": range}));
        let found = with(json!([7, 11]));
        assert_eq!(
            found.thought.as_deref(),
            Some(&["é".to_owned(), "b".to_owned()][..])
        );
        assert_eq!(found.brief(), "3");
        for wrong in [
            json!(null),
            json!([8, 11]),
            json!([11, 7]),
            json!([0, 999]),
            json!("x"),
            json!([-1, 2]),
        ] {
            let found = with(wrong.clone());
            assert_eq!(found.thought, None, "{wrong}");
            assert_eq!(found.brief(), "<think>é ↵ b</think> ↵ 3");
        }
    }

    #[test]
    fn a_line_of_an_older_version_and_one_without_sense_are_shown() {
        let old = shown(json!({"step": 3, "completion": "4", "truncated": true, "reward": 1.0}));
        assert_eq!(
            (old.step, old.place, old.finish.as_str()),
            (3, None, "length")
        );
        let none = shown(json!({"step": "x", "completion": 7, "reward": "much", "thinking": {}}));
        assert_eq!(
            none,
            Shown {
                said: vec![String::new()],
                ..Shown::default()
            }
        );
    }

    #[test]
    fn a_megabyte_is_cut() {
        let long = shown(json!({"completion": "é".repeat(1 << 20)}));
        assert!(long.said[0].len() <= KEPT);
    }
}
