//! A template's text, put into the form that minijinja reads as jinja2 reads the original.
//!
//! | in jinja2 | here |
//! |---|---|
//! | a string that goes on behind a backslash at the end of a line | one line |
//! | the escapes `\a`, `\v`, `\U0001f600`, and `\/`, which is none | what they stand for |
//! | `'%d of %d' % (a, b)` | `'%d of %d' \| format(a, b)` |
//! | `{% generation %}` … `{% endgeneration %}`, a tag of transformers | a block that prints its content |

/// Rewrites a template.
pub(super) fn prepare(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut raw = false;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let kind = rest.as_bytes().get(1).copied();
        let end = match kind {
            Some(b'#') if !raw => rest.find("#}").map(|end| end + 2),
            Some(b'%') => tag_end(rest, "%}"),
            Some(b'{') if !raw => tag_end(rest, "}}"),
            _ => {
                out.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let Some(end) = end else {
            break;
        };
        let tag = &rest[..end];
        rest = &rest[end..];
        let word = word(tag);
        match (kind, word) {
            (Some(b'#'), _) => out.push_str(tag),
            (_, "raw") if kind == Some(b'%') => {
                raw = true;
                out.push_str(tag);
            }
            (_, "endraw") if kind == Some(b'%') => {
                raw = false;
                out.push_str(tag);
            }
            _ if raw => out.push_str(tag),
            (Some(b'%'), "generation") => out.push_str(&tag.replacen("generation", "if true", 1)),
            (Some(b'%'), "endgeneration") => {
                out.push_str(&tag.replacen("endgeneration", "endif", 1));
            }
            _ => out.push_str(&expression(tag)),
        }
    }
    out.push_str(rest);
    out
}

/// What a tag says if it says one word.
fn word(tag: &str) -> &str {
    tag.get(2..tag.len() - 2)
        .unwrap_or_default()
        .trim_matches(['-', '+'])
        .trim()
}

/// Where a tag ends, strings in it left alone.
fn tag_end(tag: &str, close: &str) -> Option<usize> {
    let mut at = 2;
    while at < tag.len() {
        let rest = &tag[at..];
        if rest.starts_with(close) {
            return Some(at + close.len());
        }
        at += match literal(rest) {
            Some(length) => length,
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// The length of the string literal that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(at + 1);
        }
    }
    None
}

/// A tag with its strings rewritten.
fn expression(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len());
    let mut rest = tag;
    while let Some(first) = rest.chars().next() {
        let Some(length) = literal(rest) else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.push_str(&unescaped(&rest[..length]));
        rest = &rest[length..];
        if let Some((arguments, length)) = percent(rest) {
            out.push_str("|format(");
            out.push_str(&expression(arguments));
            out.push(')');
            rest = &rest[length..];
        }
    }
    out
}

/// A string literal in minijinja's escapes.
fn unescaped(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    let mut characters = literal.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('\n') => {}
            Some('\r') => {
                let mut after = characters.clone();
                if after.next() == Some('\n') {
                    characters = after;
                }
            }
            Some('a') => out.push('\u{7}'),
            Some('v') => out.push('\u{b}'),
            Some('/') => out.push_str("\\\\/"),
            Some('U') => {
                let digits: String = characters.clone().take(8).collect();
                let code = u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                match code.filter(|_| digits.len() == 8) {
                    Some(code) => {
                        characters.nth(7);
                        out.push(code);
                    }
                    None => out.push_str("\\U"),
                }
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// What stands behind a string's `%`, and how long all of that is, if `text` begins with it: one operand, or several in
/// brackets.
fn percent(text: &str) -> Option<(&str, usize)> {
    let operator = text.trim_start();
    let operand = operator.strip_prefix('%')?;
    if operand.starts_with('}') {
        return None;
    }
    let start = text.len() - operand.trim_start().len();
    let operand = &text[start..];
    if operand.starts_with('(') {
        let length = balanced(operand)?;
        let inner = operand[1..length - 1].trim_end().trim_end_matches(',');
        return Some((inner, start + length));
    }
    let mut length = literal(operand).unwrap_or(0);
    loop {
        let rest = &operand[length..];
        let next = rest.chars().next();
        length += match next {
            Some('(' | '[') if length > 0 => balanced(rest)?,
            Some(c) if c.is_alphanumeric() || matches!(c, '_' | '.') => c.len_utf8(),
            _ => break,
        };
    }
    (length > 0).then(|| (&operand[..length], start + length))
}

/// The length of what `text` begins with in brackets, both included.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        at += literal(rest).unwrap_or(first.len_utf8());
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_rewritten_and_all_else_stays() {
        for (source, expected) in [
            ("{{ 'a\\\nb' }}", "{{ 'ab' }}"),
            ("{{ 'a\\\r\nb' }}", "{{ 'ab' }}"),
            ("{{ 'a\\nb\\'c' }} \\\n x", "{{ 'a\\nb\\'c' }} \\\n x"),
            ("{{ '\\U0001f600\\/' }}", "{{ '😀\\\\/' }}"),
            (
                "{{ '%}' }}{% if x == '%}' %}",
                "{{ '%}' }}{% if x == '%}' %}",
            ),
            ("{# 'a\\\nb' #}{{ '}}' }}", "{# 'a\\\nb' #}{{ '}}' }}"),
            (
                "{% raw %}{{ 'a\\\nb' }}{% endraw %}",
                "{% raw %}{{ 'a\\\nb' }}{% endraw %}",
            ),
            (
                "{%- generation -%}x{% endgeneration %}",
                "{%- if true -%}x{% endif %}",
            ),
            ("{% if '\\\n' %}", "{% if '' %}"),
            ("{{ '%s!' % m.content }}", "{{ '%s!'|format(m.content) }}"),
            (
                "{{ '%s %d' % (a, f(1, 2)) ~ b }}",
                "{{ '%s %d'|format(a, f(1, 2)) ~ b }}",
            ),
            (
                "{{ '%s' % m['x'][0].y() + c }}",
                "{{ '%s'|format(m['x'][0].y()) + c }}",
            ),
            ("{% set x = 'a' %}", "{% set x = 'a' %}"),
            ("{{ 7 % 2 }} { { it's }", "{{ 7 % 2 }} { { it's }"),
            ("{{ 'open", "{{ 'open"),
        ] {
            assert_eq!(prepare(source), expected, "{source:?}");
        }
    }
}
