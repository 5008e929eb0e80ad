//! Which of the blocks in a completion is the program.

use std::collections::BTreeSet;

use super::blocks::Block;

/// Words that begin a statement of Python, or stand in one.
const STATEMENTS: [&str; 14] = [
    "def ", "class ", "import ", "from ", "for ", "while ", "if ", "print(", "return ", "with ",
    "try:", "async ", "@", "lambda ",
];

/// The program in `blocks`. `wanted` says which names the tests use.
pub(super) fn choose(blocks: &[Block], wanted: &dyn Fn(&str) -> bool) -> Option<String> {
    let programs: Vec<&Block> = blocks.iter().filter(|block| is_program(block)).collect();
    let defined: Vec<BTreeSet<String>> = programs
        .iter()
        .map(|block| definitions(&block.body))
        .collect();
    // The last definition of each name that the tests use.
    let mut chosen = BTreeSet::new();
    let names: BTreeSet<&String> = defined
        .iter()
        .flatten()
        .filter(|name| wanted(name))
        .collect();
    for name in names {
        chosen.extend(defined.iter().rposition(|names| names.contains(name)));
    }
    if chosen.is_empty() {
        let reads = |block: &&Block| {
            ["input(", "stdin", "open(0"]
                .iter()
                .any(|word| block.body.contains(word))
        };
        let last = programs
            .iter()
            .rposition(|block| reads(block) && !calls_only(&block.body));
        let marked = || programs.iter().rposition(|block| block.is_python());
        chosen.insert(last.or_else(marked).or(programs.len().checked_sub(1))?);
    }
    let mut needed = chosen.clone();
    for at in chosen {
        with_needs(&programs, &defined, at, &mut needed);
    }
    Some(
        needed
            .into_iter()
            .map(|at| programs[at].body.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

/// Adds the blocks before `at` that define what it reads and does not define.
fn with_needs(
    programs: &[&Block],
    defined: &[BTreeSet<String>],
    at: usize,
    needed: &mut BTreeSet<usize>,
) {
    let words: BTreeSet<&str> = identifiers(&programs[at].body).collect();
    for before in 0..at {
        let imports_only =
            defined[before].is_empty() && programs[before].body.lines().all(is_import_or_blank);
        let gives = |name: &String| {
            words.contains(name.as_str())
                && !defined[at].contains(name)
                && !needed
                    .iter()
                    .any(|other| *other > before && *other < at && defined[*other].contains(name))
                && defined[before + 1..at]
                    .iter()
                    .all(|names| !names.contains(name))
        };
        if (imports_only || defined[before].iter().any(gives)) && needed.insert(before) {
            with_needs(programs, defined, before, needed);
        }
    }
}

fn is_import_or_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with('#')
        || line.starts_with("import ")
        || line.starts_with("from ")
}

/// Whether a block could be a program: Python by its fence or by its looks, and neither a session nor comments only.
fn is_program(block: &Block) -> bool {
    let lines = || {
        block
            .body
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let session = lines().any(|line| line.starts_with(">>> ") || line.starts_with("In ["));
    let comments = lines().all(|line| line.starts_with('#'));
    if session
        && lines()
            .next()
            .is_some_and(|line| line.starts_with(">>>") || line.starts_with("In ["))
        || comments
    {
        return false;
    }
    block.is_python() || block.language.is_empty() && looks_like_python(&block.body)
}

fn looks_like_python(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        STATEMENTS.iter().any(|word| line.starts_with(word)) || is_assignment(line) || is_call(line)
    })
}

fn is_assignment(line: &str) -> bool {
    let Some((name, value)) = line.split_once('=') else {
        return false;
    };
    let name = name
        .trim_end_matches(['+', '-', '*', '/', '%', '|', '&'])
        .trim();
    let names = name.split(',').map(str::trim);
    !value.trim().is_empty() && names.clone().count() > 0 && names.into_iter().all(is_name)
}

fn is_call(line: &str) -> bool {
    line.split_once('(').is_some_and(|(name, rest)| {
        name.split('.').all(is_name)
            && rest.trim_end().ends_with(')')
            && name.chars().any(|letter| letter.is_ascii_lowercase())
    })
}

fn is_name(text: &str) -> bool {
    let mut letters = text.trim().chars();
    letters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '.')
}

/// Whether a program only calls what others define: no definition, and no reading of input.
fn calls_only(body: &str) -> bool {
    body.lines().all(|line| {
        line.trim().is_empty() || line.trim_start().starts_with('#') || line.starts_with("print(")
    })
}

/// Names that stand at the beginning of a program's lines: of functions, classes and variables.
fn definitions(body: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in body.lines() {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = ["def ", "class "]
            .iter()
            .find_map(|word| line.strip_prefix(word));
        if let Some(rest) = rest {
            names.extend(identifiers(rest).next().map(str::to_owned));
        } else if is_assignment(line)
            && !line.starts_with([' ', '\t'])
            && let Some((name, _)) = line.split_once('=')
        {
            names.extend(identifiers(name).map(str::to_owned));
        }
    }
    names
}

/// The words of a text that could be names.
pub(super) fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| {
            word.chars()
                .next()
                .is_some_and(|first| first.is_alphabetic() || first == '_')
        })
}

/// A program without any mark around it, from its first definition or import to the last line that belongs to it.
pub(super) fn bare_program(text: &str, truncated: bool) -> Option<String> {
    let starts = |line: &str| {
        let import = line
            .strip_prefix("import ")
            .or_else(|| line.strip_prefix("from "));
        let imports = import.is_some_and(|rest| {
            is_name(rest.split_whitespace().next().unwrap_or("")) && !rest.trim_end().ends_with('.')
        });
        imports
            || ((line.starts_with("def ") || line.starts_with("class "))
                && line.trim_end().ends_with(':'))
    };
    if truncated || text.contains("```") {
        return None;
    }
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| starts(line))?;
    let belongs = |line: &&str| {
        line.trim().is_empty()
            || line.starts_with([' ', '\t', '#', '@', ')', ']', '}'])
            || looks_like_python(line)
    };
    let count = lines[first..]
        .iter()
        .take_while(|line| belongs(line))
        .count();
    let program = lines[first..first + count].join("\n") + "\n";
    let defines = lines[first..first + count].iter().any(|line| {
        line.starts_with("def ") || line.starts_with("class ") || line.contains("print(")
    });
    defines.then_some(program)
}
