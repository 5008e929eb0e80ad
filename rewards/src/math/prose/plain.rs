//! A text as it would be read aloud: without what only concerns its looks.

use std::borrow::Cow;

/// A text without what only concerns looks around it: bold type, quotation marks, ticks, full stops.
pub(in crate::math) fn bare(text: &str) -> &str {
    let looks = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '`' | '"'
                    | '“'
                    | '”'
                    | '。'
                    | '✅'
                    | '✓'
                    | '✔'
                    | '☑'
                    | '🎉'
                    | '\u{fe0f}'
                    | '■'
                    | '□'
                    | '∎'
                    | '👍'
                    | '！'
            )
    };
    let mut text = text;
    loop {
        let before = text.len();
        text = text.trim_matches(looks);
        for mark in ["**", "__"] {
            text = text.strip_prefix(mark).unwrap_or(text);
            text = text.strip_suffix(mark).unwrap_or(text);
        }
        if let Some(rest) = text.strip_suffix('!')
            && rest.ends_with("**")
        {
            text = rest;
        }
        for end in [".**", ".__", "*"] {
            if let Some(rest) = text.strip_suffix(end)
                && !rest.ends_with('*')
            {
                text = rest;
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Words out of `\text{…}`, without dollar signs, bold marks and list bullets: as the sentence would be read aloud.
pub(in crate::math) fn flat(text: &str) -> Cow<'_, str> {
    let text = bare(text);
    // Commands, bold marks, ties and line breaks are all there is to take away.
    let needs = text
        .bytes()
        .any(|byte| matches!(byte, b'\\' | b'*' | b'~' | b'\n'));
    if !needs {
        return Cow::Borrowed(text);
    }
    let mut flat = String::with_capacity(text.len());
    let mut rest = text;
    // For every open brace, whether it was one of a command for words and is left out.
    let mut open: Vec<bool> = Vec::new();
    while let Some(character) = rest.chars().next() {
        let command = [
            "\\textbf{",
            "\\textit{",
            "\\textrm{",
            "\\text{",
            "\\mbox{",
            "\\mathrm{",
            "\\mathbf{",
        ]
        .iter()
        .find(|command| rest.starts_with(**command));
        if let Some(command) = command {
            open.push(true);
            rest = &rest[command.len()..];
            continue;
        }
        let skipped = ["\\qquad", "\\quad", "\\ ", "\\,", "\\;", "\\\n", "~"]
            .iter()
            .find(|space| rest.starts_with(**space));
        if let Some(space) = skipped {
            flat.push(' ');
            rest = &rest[space.len()..];
            continue;
        }
        let power = flat.ends_with(|c: char| c.is_alphanumeric() || c == ')')
            && rest
                .strip_prefix("**")
                .is_some_and(|after| after.starts_with(|c: char| c.is_alphanumeric() || c == '('));
        if rest.starts_with("**") && !power {
            rest = &rest[2..];
            continue;
        }
        match character {
            '{' => {
                open.push(false);
                flat.push('{');
            }
            '}' => {
                if open.pop() != Some(true) {
                    flat.push('}');
                }
            }
            '\n' => {
                let next = rest[1..].trim_start();
                let bullet = ["- ", "* ", "• "]
                    .iter()
                    .find(|mark| next.starts_with(**mark));
                match bullet {
                    Some(bullet) => {
                        flat.push_str(", ");
                        rest = &next[bullet.len()..];
                        continue;
                    }
                    None => flat.push(' '),
                }
            }
            other => flat.push(other),
        }
        rest = &rest[character.len_utf8()..];
    }
    let trimmed = bare(&flat);
    let trimmed = ["- ", "* ", "• "]
        .iter()
        .find_map(|mark| trimmed.strip_prefix(mark))
        .filter(|_| text.contains('\n'))
        .unwrap_or(trimmed);
    Cow::Owned(trimmed.split_whitespace().collect::<Vec<_>>().join(" "))
}
