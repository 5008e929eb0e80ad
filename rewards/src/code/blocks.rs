//! Blocks of code in a text: fences of Markdown, and the other marks that models put around programs.

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The language, in small letters; empty if none is said.
    pub(super) language: String,
    /// The lines within.
    pub(super) body: String,
}

/// Marks that stand around a program as fences do.
const TAGS: [(&str, &str); 5] = [
    ("[PYTHON]", "[/PYTHON]"),
    ("<code>", "</code>"),
    ("<python>", "</python>"),
    ("\\begin{lstlisting}", "\\end{lstlisting}"),
    ("\\begin{verbatim}", "\\end{verbatim}"),
];

/// Languages that are Python's, or what a fence says of a file of Python.
const PYTHON: [&str; 9] = [
    "python", "python3", "py", "py3", "python2", "ipython", "ipython3", "pycon", "sage",
];

impl Block {
    /// Whether it says that it is Python.
    pub(super) fn is_python(&self) -> bool {
        PYTHON.contains(&self.language.as_str())
    }
}

/// A line that opens or closes a block: its indentation, the number of its marks, which mark, and what follows.
struct Fence<'a> {
    indent: usize,
    mark: char,
    marks: usize,
    info: &'a str,
}

/// Whether a line opens or closes a block.
pub(super) fn is_fence(line: &str) -> bool {
    fence(line).is_some()
}

/// The fence that `line` is, after CommonMark: three or more backticks or tildes, behind marks of lists, quotes or a tag.
fn fence(line: &str) -> Option<Fence<'_>> {
    let text = line.trim_start_matches([' ', '\t']);
    let indent = line.len() - text.len();
    let text = text
        .trim_start_matches("<answer>")
        .trim_start_matches("> ")
        .trim_start();
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

/// A fence at the end of a line of prose, as in ``Here it is: ```python``.
fn fence_after_prose(line: &str) -> Option<Fence<'_>> {
    let at = line.rfind("```")?;
    let info = line[at + 3..].trim();
    (PYTHON.contains(&language(info).as_str()) && !line[..at].contains("```")).then_some(Fence {
        indent: 0,
        mark: '`',
        marks: 3,
        info,
    })
}

/// The language that a fence names: `python` of `python:solution.py`, `{.python}` and `Python title="x"`.
fn language(info: &str) -> String {
    let word = info
        .split([' ', ',', '{', '}', ':', '\t'])
        .find(|word| !word.is_empty());
    let word = word
        .unwrap_or("")
        .trim_start_matches('.')
        .to_ascii_lowercase();
    if word.starts_with("python3.") {
        return "python3".to_owned();
    }
    word
}

/// The blocks of `text` in their order; one that is left open counts unless the text was cut off (`truncated`).
pub(super) fn blocks(text: &str, truncated: bool) -> Vec<Block> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if let Some(opening) = fence(line).or_else(|| fence_after_prose(line)) {
            let end = block_end(&lines, at, &opening, true)
                .or_else(|| block_end(&lines, at, &opening, false));
            let (last, next, closes_in) = match end {
                Some(End { line, closes_in }) => {
                    (line + usize::from(closes_in), line + 1, closes_in)
                }
                None if truncated => return found,
                None => (lines.len(), lines.len(), false),
            };
            keep(&mut found, &opening, &lines[at..last.max(at)], closes_in);
            at = next.max(at);
        } else if let Some((_, close)) = TAGS.iter().find(|(open, _)| line.contains(open)) {
            let Some(end) = lines[at..].iter().position(|line| line.contains(close)) else {
                continue;
            };
            let body = lines[at..at + end].join("\n") + "\n";
            push(&mut found, "python".to_owned(), body);
            at += end + 1;
        }
    }
    found
}

/// Where a block ends.
struct End {
    line: usize,
    /// Whether the line holds code before the fence.
    closes_in: bool,
}

/// The line that closes the block that `opening` opened, from line `from` on. With `minds_strings`, a fence within a string of three
/// quotes is a part of it.
fn block_end(lines: &[&str], from: usize, opening: &Fence<'_>, minds_strings: bool) -> Option<End> {
    let marks: String = std::iter::repeat_n(opening.mark, opening.marks).collect();
    let mut string = None;
    for (line, text) in lines.iter().enumerate().skip(from) {
        let within = minds_strings && string.is_some();
        if let Some(closing) = fence(text).filter(|_| !within)
            && closing.mark == opening.mark
            && closing.marks >= opening.marks
            && (closing.info.is_empty() || closing.info.starts_with("</"))
        {
            return Some(End {
                line,
                closes_in: false,
            });
        }
        string = string_after(text, string);
        let trimmed = text.trim_end().trim_end_matches("</answer>");
        let ends = opening.mark == '`' && trimmed.ends_with(&marks) && trimmed.len() > marks.len();
        if ends
            && !within
            && string.is_none()
            && !trimmed[..trimmed.len() - marks.len()].contains(&marks)
        {
            return Some(End {
                line,
                closes_in: true,
            });
        }
    }
    None
}

/// Which quotes a string of three quotes has that is open after `line`, where `open` was before it.
fn string_after(line: &str, mut open: Option<&'static str>) -> Option<&'static str> {
    let mut rest = line;
    loop {
        match open {
            Some(quotes) => match rest.find(quotes) {
                Some(at) => {
                    rest = &rest[at + 3..];
                    open = None;
                }
                None => return open,
            },
            None => {
                let first = ["\"\"\"", "'''"]
                    .into_iter()
                    .filter_map(|quotes| rest.find(quotes).map(|at| (at, quotes)))
                    .min();
                let comment = rest.find('#');
                match first {
                    Some((at, quotes)) if comment.is_none_or(|hash| hash > at) => {
                        rest = &rest[at + 3..];
                        open = Some(quotes);
                    }
                    _ => return None,
                }
            }
        }
    }
}

/// Adds a block, without the indentation that it has within a list or the marks of a quote. With `closes_in` its last line ends with the
/// fence.
fn keep(found: &mut Vec<Block>, opening: &Fence<'_>, lines: &[&str], closes_in: bool) {
    let quoted = !lines.is_empty() && lines.iter().all(|line| line.starts_with('>'));
    let mut body = String::new();
    for (index, line) in lines.iter().enumerate() {
        let spaces = line.len() - line.trim_start_matches([' ', '\t']).len();
        let mut line = &line[spaces.min(opening.indent)..];
        if quoted {
            line = line[1..].strip_prefix(' ').unwrap_or(&line[1..]);
        }
        if closes_in && index + 1 == lines.len() {
            let code = line.trim_end().trim_end_matches("</answer>");
            line = code.trim_end_matches(opening.mark);
        }
        body.push_str(line);
        body.push('\n');
    }
    push(found, language(opening.info), body);
}

fn push(found: &mut Vec<Block>, language: String, body: String) {
    if !body.trim().is_empty() {
        found.push(Block { language, body });
    }
}
