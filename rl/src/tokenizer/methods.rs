//! Python's methods that chat templates call and minijinja's own set lacks, and how Python prints lists and dictionaries.

use minijinja::value::{Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Calls a method of a value: those of minijinja's set, and behind them those of this file.
pub(super) fn call(
    state: &State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => match of_text(text, method, arguments) {
            Some(result) => result,
            None => unknown_method_callback(state, value, method, arguments),
        },
        None if value.kind() == ValueKind::Seq && method == "index" => {
            let (wanted,): (Value,) = from_args(arguments)?;
            let place = value.try_iter()?.position(|item| item == wanted);
            place
                .map(Value::from)
                .ok_or_else(|| failed(format!("{} is not in the list", repr(&wanted))))
        }
        None => unknown_method_callback(state, value, method, arguments),
    }
}

fn failed(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// Methods of `str`.
fn of_text(text: &str, method: &str, arguments: &[Value]) -> Option<Result<Value, Error>> {
    let result = match method {
        "removeprefix" => from_args(arguments)
            .map(|(part,): (&str,)| text.strip_prefix(part).unwrap_or(text).into()),
        "removesuffix" => from_args(arguments)
            .map(|(part,): (&str,)| text.strip_suffix(part).unwrap_or(text).into()),
        "index" => from_args(arguments).and_then(|(part,): (&str,)| place(text, text.find(part))),
        "rindex" => from_args(arguments).and_then(|(part,): (&str,)| place(text, text.rfind(part))),
        "partition" => from_args(arguments).map(|(part,): (&str,)| {
            let (before, after) = text.split_once(part).unwrap_or((text, ""));
            let found = text.contains(part);
            list(&[before, if found { part } else { "" }, after])
        }),
        "rpartition" => from_args(arguments).map(|(part,): (&str,)| match text.rsplit_once(part) {
            Some((before, after)) => list(&[before, part, after]),
            None => list(&["", "", text]),
        }),
        "rsplit" => from_args(arguments).map(|(part, most): (Option<&str>, Option<i64>)| {
            rsplit(text, part, most.and_then(|most| usize::try_from(most).ok()))
        }),
        "swapcase" => from_args(arguments).map(|()| swapcase(text).into()),
        "casefold" => from_args(arguments).map(|()| text.to_lowercase().into()),
        "zfill" => from_args(arguments).map(|(width,): (usize,)| zfill(text, width).into()),
        "ljust" | "rjust" | "center" => {
            from_args(arguments).map(|(width, fill): (usize, Option<char>)| {
                padded(text, method, width, fill.unwrap_or(' ')).into()
            })
        }
        _ => return None,
    };
    Some(result)
}

/// A place in bytes as one in characters.
fn place(text: &str, at: Option<usize>) -> Result<Value, Error> {
    at.map(|at| text[..at].chars().count().into())
        .ok_or_else(|| failed("substring not found"))
}

fn rsplit(text: &str, part: Option<&str>, most: Option<usize>) -> Value {
    let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
    let mut pieces: Vec<&str> = match part {
        Some(part) => text.rsplitn(most, part).collect(),
        None => {
            let mut pieces = Vec::new();
            let mut rest = text.trim();
            while pieces.len() + 1 < most {
                let Some((before, last)) = rest.rsplit_once(char::is_whitespace) else {
                    break;
                };
                pieces.push(last);
                rest = before.trim_end();
            }
            pieces.extend((!rest.is_empty()).then_some(rest));
            pieces
        }
    };
    pieces.reverse();
    list(&pieces)
}

fn list(texts: &[&str]) -> Value {
    texts.iter().map(|text| Value::from(*text)).collect()
}

fn swapcase(text: &str) -> String {
    let swapped = text.chars().flat_map(|character| {
        let swapped: Vec<char> = if character.is_uppercase() {
            character.to_lowercase().collect()
        } else {
            character.to_uppercase().collect()
        };
        swapped
    });
    swapped.collect()
}

fn zfill(text: &str, width: usize) -> String {
    let zeros = "0".repeat(width.saturating_sub(text.chars().count()));
    match text.strip_prefix(['+', '-']) {
        Some(digits) => format!("{}{zeros}{digits}", &text[..1]),
        None => zeros + text,
    }
}

fn padded(text: &str, method: &str, width: usize, fill: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = match method {
        "rjust" => missing,
        // As CPython: of an odd number the larger half goes left where the width is odd.
        "center" => missing / 2 + (missing & width & 1),
        _ => 0,
    };
    let fill = |count: usize| fill.to_string().repeat(count);
    format!("{}{text}{}", fill(left), fill(missing - left))
}

/// A value as Python's `repr` writes it.
pub(super) fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "None".to_owned(),
        ValueKind::Undefined => "Undefined".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            let items = value.try_iter().into_iter().flatten();
            let items: Vec<String> = items.map(|item| repr(&item)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let pairs: Vec<String> = keys
                .map(|key| {
                    let item = value.get_item(&key).unwrap_or(Value::UNDEFINED);
                    format!("{}: {}", repr(&key), repr(&item))
                })
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => value.to_string(),
    }
}

/// A string in Python's quotes: single ones, unless it has such and no double ones.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}
