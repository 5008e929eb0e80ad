//! The program in a completion.

use serde::{Deserialize, Serialize};

/// Where a program stands in a completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeExtraction {
    /// The last fenced block whose language is Python or not given.
    #[default]
    LastBlock,
    /// The last fenced block, or everything if there is no fence at all.
    LastBlockOrWhole,
    /// Everything that was written.
    Whole,
    /// The prompt and what was written after it, as HumanEval's prompts are continued.
    Continuation,
    /// The prompt and what was written after it, up to the first line that is not indented: the rest of a function whose
    /// head is the prompt. What a model without a chat template writes beyond it does not count.
    FunctionBody,
    /// What was written up to the first fence: the prompt has opened the block.
    OpenBlock,
}

/// The program in `completion`; nothing if there is none.
///
/// Only what follows the last `</think>` is searched: a thought is not an answer. A block that the
/// end of the text leaves open counts, unless the model was cut off (`truncated`): then nobody knows
/// what the program would have been.
///
/// ```
/// use dunwu_rewards::{CodeExtraction, extract_code};
///
/// let completion = "First:\n```python\nx = 1\n```\nBetter:\n```py\nprint(2)\n```\nDone.";
/// assert_eq!(extract_code(completion, CodeExtraction::LastBlock, false).as_deref(), Some("print(2)\n"));
/// assert_eq!(extract_code("print(2)", CodeExtraction::LastBlock, false), None);
/// ```
pub fn extract_code(
    completion: &str,
    extraction: CodeExtraction,
    truncated: bool,
) -> Option<String> {
    let spoken = match completion.rsplit_once("</think>") {
        Some((_, after)) => after,
        None if completion.trim_start().starts_with("<think>") => return None,
        None => completion,
    };
    let whole = || Some(spoken.to_owned()).filter(|text| !text.trim().is_empty());
    match extraction {
        CodeExtraction::Whole | CodeExtraction::Continuation => whole(),
        CodeExtraction::FunctionBody => Some(function_body(spoken)),
        CodeExtraction::OpenBlock => open_block(spoken),
        CodeExtraction::LastBlock => last_block(spoken, truncated),
        CodeExtraction::LastBlockOrWhole => {
            match spoken.lines().any(|line| fence(line).is_some()) {
                true => last_block(spoken, truncated),
                false => whole(),
            }
        }
    }
}

/// The lines up to the first that is neither blank nor indented. The first line goes on where the prompt ends.
fn function_body(text: &str) -> String {
    let mut lines = text.split_inclusive('\n');
    let mut body = lines.next().unwrap_or("").to_owned();
    let within = |line: &&str| line.trim().is_empty() || line.starts_with([' ', '\t']);
    body.extend(lines.take_while(within));
    body
}

/// The lines before the first fence; none if there is nothing.
fn open_block(text: &str) -> Option<String> {
    let mut lines = text.split_inclusive('\n');
    let code: String = lines
        .by_ref()
        .take_while(|line| fence(line.trim_end()).is_none())
        .collect();
    Some(code).filter(|code| !code.trim().is_empty())
}

/// A line that opens or closes a block: its indentation, the number of its marks, which mark, and
/// what follows.
struct Fence<'a> {
    indent: usize,
    mark: char,
    marks: usize,
    info: &'a str,
}

/// The fence that `line` is, after CommonMark: three or more backticks or tildes.
fn fence(line: &str) -> Option<Fence<'_>> {
    let text = line.trim_start_matches([' ', '\t']);
    let indent = line.len() - text.len();
    let mark = text
        .chars()
        .next()
        .filter(|mark| ['`', '~'].contains(mark))?;
    let marks = text.chars().take_while(|other| *other == mark).count();
    let info = text[marks..].trim();
    (marks >= 3 && !(mark == '`' && info.contains('`'))).then_some(Fence {
        indent,
        mark,
        marks,
        info,
    })
}

fn last_block(text: &str, truncated: bool) -> Option<String> {
    let mut last = None;
    let mut open: Option<(Fence<'_>, String)> = None;
    for line in text.lines() {
        match (&mut open, fence(line)) {
            (None, Some(opening)) => open = Some((opening, String::new())),
            (Some((opening, _)), Some(closing))
                if closing.mark == opening.mark
                    && closing.marks >= opening.marks
                    && closing.info.is_empty() =>
            {
                let (opening, body) = open.take().expect("matched above");
                keep(&mut last, &opening, body);
            }
            (Some((opening, body)), _) => {
                // A block within a list is indented as a whole.
                let spaces = line.len() - line.trim_start_matches([' ', '\t']).len();
                body.push_str(&line[spaces.min(opening.indent)..]);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    if let (Some((opening, body)), false) = (open, truncated) {
        keep(&mut last, &opening, body);
    }
    last
}

fn keep(last: &mut Option<String>, opening: &Fence<'_>, body: String) {
    let language = opening
        .info
        .split([' ', ',', '{', '}'])
        .find(|word| !word.is_empty());
    let language = language
        .unwrap_or("")
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let is_python = ["", "python", "python3", "py", "py3", "python2"].contains(&language.as_str());
    if is_python && !body.trim().is_empty() {
        *last = Some(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_python_block_is_taken() {
        let cases = [
            ("```python\na\n```", Some("a\n")),
            ("```\na\n```\n```python\nb\n```", Some("b\n")),
            ("```python\na\n```\n```bash\nls\n```", Some("a\n")),
            ("```Python3 title=x\na\n```", Some("a\n")),
            ("~~~py\na\n~~~", Some("a\n")),
            (
                "````python\na = '''\n```\n'''\n````",
                Some("a = '''\n```\n'''\n"),
            ),
            (
                "1. so:\n   ```python\n   if a:\n       b\n   ```",
                Some("if a:\n    b\n"),
            ),
            ("```python\na", Some("a\n")),
            ("```python\n\n```", None),
            ("use `a` or ```a``` here", None),
            ("a", None),
            ("", None),
            ("<think>```python\na\n```</think> so", None),
            ("<think>```python\na\n```", None),
            ("<think>x</think>```python\na\n```", Some("a\n")),
        ];
        for (completion, expected) in cases {
            let found = extract_code(completion, CodeExtraction::LastBlock, false);
            assert_eq!(found.as_deref(), expected, "{completion}");
        }
    }

    #[test]
    fn a_block_that_was_cut_off_is_none() {
        let completion = "```python\na\n```\n```python\nb";
        let found = |truncated| extract_code(completion, CodeExtraction::LastBlock, truncated);
        assert_eq!(found(true).as_deref(), Some("a\n"));
        assert_eq!(found(false).as_deref(), Some("b\n"));
    }

    #[test]
    fn a_model_that_continues_is_not_judged_by_what_it_writes_beyond() {
        let found = |text, extraction| extract_code(text, extraction, false);
        let cases = [
            ("    return 1\n\ndef g():\n    pass\n", "    return 1\n\n"),
            ("return 1\n    # so\nprint(1)", "return 1\n    # so\n"),
            ("    return 1\ndef", "    return 1\n"),
            ("", ""),
        ];
        for (text, expected) in cases {
            let body = found(text, CodeExtraction::FunctionBody);
            assert_eq!(body.as_deref(), Some(expected), "{text}");
        }
        let block = found("x = 1\n```\nSo it is.\n", CodeExtraction::OpenBlock);
        assert_eq!(block.as_deref(), Some("x = 1\n"));
        assert_eq!(found("```\nx = 1", CodeExtraction::OpenBlock), None);
    }

    #[test]
    fn extraction_never_panics() {
        for text in [
            "```",
            "```\n",
            "~~~`\n```é\nü",
            "   ```\n é\n   ```",
            "```python\n\u{a0}x\n",
        ] {
            for extraction in [
                CodeExtraction::LastBlock,
                CodeExtraction::LastBlockOrWhole,
                CodeExtraction::Whole,
                CodeExtraction::FunctionBody,
                CodeExtraction::OpenBlock,
            ] {
                let _ = extract_code(text, extraction, false);
            }
        }
    }
}
