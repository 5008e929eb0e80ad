//! The program in a completion.

use serde::{Deserialize, Serialize};

use super::blocks::{blocks, is_fence};
use super::choose::{bare_program, choose};

/// Where a program stands in a completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeExtraction {
    /// The last fenced block whose language is Python or not given and that is a program; of several, those that define what the tests
    /// call, with what they need from blocks before them.
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
/// Only what follows the thought is searched (`<think>…</think>`): a thought is not an answer. A block that the end of the text leaves
/// open counts, unless the model was cut off (`truncated`): then nobody knows what the program would have been. Sessions, outputs and
/// comments are no programs, whatever their fences say.
///
/// ```
/// use dunwu_rewards::{CodeExtraction, extract_code};
///
/// let completion = "First:\n```python\nx = 1\n```\nBetter:\n```py\nprint(2)\n```\nDone.";
/// assert_eq!(extract_code(completion, CodeExtraction::LastBlock, false).as_deref(), Some("print(2)\n"));
/// assert_eq!(extract_code("Print 2.", CodeExtraction::LastBlock, false), None);
/// ```
pub fn extract_code(
    completion: &str,
    extraction: CodeExtraction,
    truncated: bool,
) -> Option<String> {
    extract_program(completion, extraction, truncated, &|_| false)
}

/// As [`extract_code`], for a program of which the tests name some functions and classes: `wanted` says which names they use. Of several
/// blocks those count that define such names, with what they need from blocks before them.
pub fn extract_program(
    completion: &str,
    extraction: CodeExtraction,
    truncated: bool,
    wanted: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let spoken = after_thought(completion)?;
    let whole = || Some(spoken.to_owned()).filter(|text| !text.trim().is_empty());
    match extraction {
        CodeExtraction::Whole | CodeExtraction::Continuation => whole(),
        CodeExtraction::FunctionBody => Some(function_body(spoken)),
        CodeExtraction::OpenBlock => open_block(spoken),
        CodeExtraction::LastBlock => {
            choose(&blocks(spoken, truncated), wanted).or_else(|| bare_program(spoken, truncated))
        }
        CodeExtraction::LastBlockOrWhole => {
            let found = blocks(spoken, truncated);
            if found.is_empty() && !spoken.lines().any(is_fence) {
                return whole();
            }
            choose(&found, wanted)
        }
    }
}

/// What follows the thought; nothing if the model has not ended it.
fn after_thought(completion: &str) -> Option<&str> {
    const END: &str = "</think>";
    let mut rest = completion.len();
    while let Some(at) = completion[..rest].rfind(END) {
        if !is_quoted(completion, at, END.len()) {
            return Some(&completion[at + END.len()..]);
        }
        rest = at;
    }
    let thinks = completion.trim_start().starts_with("<think>");
    (!thinks).then_some(completion)
}

/// Whether what stands at `at` is within quotes on its line: a part of a program, and not a mark.
fn is_quoted(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].rsplit('\n').next().unwrap_or("");
    let after = text[at + length..].split('\n').next().unwrap_or("");
    ['"', '\''].into_iter().any(|quote| {
        let opened = before.matches(quote).count() % 2 == 1;
        opened && after.contains(quote)
    })
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
        .take_while(|line| !is_fence(line.trim_end()))
        .collect();
    Some(code).filter(|code| !code.trim().is_empty())
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

    /// What is taken for tests that use `add`.
    fn for_add(completion: &str) -> Option<String> {
        extract_program(completion, CodeExtraction::LastBlock, false, &|name| {
            name == "add"
        })
    }

    const ADD: &str = "def add(a, b):\n    return a + b\n";

    #[test]
    fn the_block_that_defines_what_tests_call_is_taken() {
        let before = format!("So:\n```python\n{ADD}```\n");
        let after = [
            "",
            "Use it:\n```python\nprint(add(2, 3))\n```",
            "```python\nimport unittest\nclass T(unittest.TestCase):\n    def test(self):\n        assert add(1, 2) == 3\n```",
            "```\n5\n```",
            "```text\nO(1)\n```",
            "```python\n>>> add(2, 3)\n5\n```",
            "```python\n# nothing more\n```",
            "```javascript\nfunction add(a, b) { return 0 }\n```",
            "In one line: ```add = sum```",
        ];
        for after in after {
            let completion = format!("{before}{after}");
            assert_eq!(for_add(&completion).as_deref(), Some(ADD), "{completion}");
        }
        let twice = format!("```python\ndef add(a, b):\n    return 0\n```\nNo:\n{before}");
        assert_eq!(for_add(&twice).as_deref(), Some(ADD));
    }

    #[test]
    fn blocks_that_need_each_other_are_joined() {
        let completion = "```python\nimport math\n```\n```python\ndef half(a):\n    return a / 2\n```\n```python\ndef other(a):\n    return a\n```\n```python\ndef add(a, b):\n    return half(a) + half(b)\n```";
        let joined = for_add(completion).unwrap();
        assert!(
            joined.contains("def half") && joined.contains("import math"),
            "{joined}"
        );
        assert!(!joined.contains("def other"), "{joined}");
        let program = "```python\ndef solve(n):\n    return n * 2\n```\nThen\n```python\nprint(solve(int(input())))\n```";
        let whole = extract_code(program, CodeExtraction::LastBlock, false).unwrap();
        assert!(
            whole.starts_with("def solve") && whole.trim_end().ends_with("input())))"),
            "{whole}"
        );
    }

    #[test]
    fn every_kind_of_mark_is_known() {
        let add = ADD.trim_end();
        let completions = [
            format!("<answer>```python\n{add}\n```</answer>"),
            format!("<answer>\n```python\n{add}\n```\n</answer>"),
            format!("<think>a</think>\n<answer>```py\n{add}```</answer>"),
            format!("```python\n{add}```"),
            format!("```python:add.py\n{add}\n```"),
            format!("```{{.python .numberLines}}\n{add}\n```"),
            format!("```python3.11\n{add}\n```"),
            format!("~~~~python\n{add}\n~~~~"),
            format!("The code: ```python\n{add}\n```"),
            format!("[PYTHON]\n{add}\n[/PYTHON]"),
            format!("\\begin{{lstlisting}}[language=Python]\n{add}\n\\end{{lstlisting}}"),
            format!("> ```python\n> {}\n> ```", add.replace('\n', "\n> ")),
            format!("Here it is.\n\n{add}\n\nIt adds."),
        ];
        for completion in completions {
            let found = for_add(&completion).unwrap_or_else(|| panic!("{completion}"));
            assert_eq!(found.trim_end(), add, "{completion}");
        }
    }

    #[test]
    fn strings_hide_fences_and_ends_of_thoughts() {
        let docstring = "def add(a, b):\n    \"\"\"Adds.\n\n    ```\n    add(1, 2)\n    ```\n    \"\"\"\n    return a + b\n";
        let completion = format!("```python\n{docstring}```\nDone.");
        assert_eq!(for_add(&completion).as_deref(), Some(docstring));
        let tag = "def add(a, b):\n    text = \"<think>x</think>\"\n    return a + b\n";
        let completion = format!("<think>so</think>```python\n{tag}```");
        assert_eq!(for_add(&completion).as_deref(), Some(tag));
        let spoken = format!("<think>don't</think>\n```python\n{ADD}```");
        assert_eq!(for_add(&spoken).as_deref(), Some(ADD));
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
