//! What chat templates expect of Python: `json.dumps`, `strftime`, and how values print.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, Output, State};
use serde::Serialize;
use serde_json::ser::Formatter;

use super::methods::repr;

/// Prints a value as Python's `str` does where that differs from Jinja's spelling: `True`, `False`, `None`, lists and
/// dictionaries.
pub(super) fn print(
    out: &mut Output<'_>,
    state: &State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => out
            .write_str(if value.is_true() { "True" } else { "False" })
            .map_err(Error::from),
        ValueKind::None => out.write_str("None").map_err(Error::from),
        ValueKind::Seq | ValueKind::Map => out.write_str(&repr(value)).map_err(Error::from),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// The filter `string`: Python's `str`.
pub(super) fn string(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Undefined => String::new(),
        _ => repr(value),
    }
}

/// The test `is iterable` as in Python: `none` is not, which templates rely on to find out whether there are tools.
pub(super) fn is_iterable(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Undefined
            | ValueKind::String
            | ValueKind::Seq
            | ValueKind::Map
            | ValueKind::Iterable
    )
}

/// The `tojson` filter of transformers: `json.dumps` with `ensure_ascii=False` and without HTML escapes.
///
/// Keyword arguments: `indent` (spaces), `ensure_ascii`, `sort_keys`, `separators` (a pair).
pub(super) fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: separators must be a pair",
            ));
        }
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
    };
    let wrap =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut json = serde_json::to_value(value).map_err(wrap)?;
    if sorted.unwrap_or(false) {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let style = PythonJson {
        item,
        key,
        indent,
        depth: 0,
        has_value: false,
        ascii: ascii.unwrap_or(false),
    };
    json.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, style,
    ))
    .map_err(wrap)?;
    String::from_utf8(bytes)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// The layout of Python's `json.dumps`.
struct PythonJson {
    item: String,
    key: String,
    indent: Option<usize>,
    depth: usize,
    has_value: bool,
    ascii: bool,
}

impl PythonJson {
    fn open<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        bracket: &[u8],
    ) -> std::io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        bracket: &[u8],
    ) -> std::io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.new_line(out)?;
        }
        self.has_value = true;
        out.write_all(bracket)
    }

    fn next_item<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if !first {
            out.write_all(self.item.as_bytes())?;
        }
        self.new_line(out)
    }

    fn new_line<W: ?Sized + std::io::Write>(&self, out: &mut W) -> std::io::Result<()> {
        match self.indent {
            Some(indent) => write!(out, "\n{}", " ".repeat(indent * self.depth)),
            None => Ok(()),
        }
    }
}

impl Formatter for PythonJson {
    fn begin_array<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next_item(out, first)
    }

    fn end_array_value<W: ?Sized + std::io::Write>(&mut self, _out: &mut W) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next_item(out, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
    ) -> std::io::Result<()> {
        out.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        _out: &mut W,
    ) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> std::io::Result<()> {
        if !self.ascii {
            return out.write_all(text.as_bytes());
        }
        let mut units = [0; 2];
        for character in text.chars() {
            if character.is_ascii() {
                write!(out, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// The `strftime_now` function of transformers, in UTC, since the standard library knows no time zones.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    strftime(format, since_epoch.as_secs())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Formats seconds since 1970 as Python's `strftime` does in the C locale.
fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let weekday = ((days + 4) % 7) as usize; // 1970-01-01 was a Thursday
    let month_name = MONTHS[month as usize - 1];
    let hour12 = if hour.is_multiple_of(12) {
        12
    } else {
        hour % 12
    };
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('Y') => out += &year.to_string(),
            Some('y') => out += &format!("{:02}", year % 100),
            Some('m') => out += &format!("{month:02}"),
            Some('B') => out += month_name,
            Some('b' | 'h') => out += &month_name[..3],
            Some('d') => out += &format!("{day:02}"),
            Some('e') => out += &format!("{day:2}"),
            Some('A') => out += DAYS[weekday],
            Some('a') => out += &DAYS[weekday][..3],
            Some('H') => out += &format!("{hour:02}"),
            Some('I') => out += &format!("{hour12:02}"),
            Some('p') => out += if hour < 12 { "AM" } else { "PM" },
            Some('M') => out += &format!("{minute:02}"),
            Some('S') => out += &format!("{second:02}"),
            Some('F') => out += &format!("{year}-{month:02}-{day:02}"),
            Some('T') => out += &format!("{hour:02}:{minute:02}:{second:02}"),
            Some('Z') => out += "UTC",
            Some('z') => out += "+0000",
            Some('%') => out.push('%'),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                let message = format!("strftime_now: the code %{code} is not supported");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
    }
    Ok(out)
}

/// Year, month and day of a count of days since 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    // python 3.11: datetime.fromtimestamp(1709214305, timezone.utc).strftime("%d %b %Y, %A %H:%M:%S %I %p %y %e %%")
    #[test]
    fn dates_print_as_in_python() {
        let printed = strftime("%d %b %Y, %A %H:%M:%S %I %p %y %e %%", 1_709_214_305).unwrap();
        assert_eq!(printed, "29 Feb 2024, Thursday 13:45:05 01 PM 24 29 %");
        assert!(strftime("%Q", 0).unwrap_err().to_string().contains("%Q"));
    }

    // python 3.11: json.dumps({"b": [1, 2.5, True, None], "a": {"k": "<é\"\n>"}, "e": [], "o": {}}, ensure_ascii=False)
    // and the same with indent=2, and with ensure_ascii=True, sort_keys=True
    #[test]
    fn json_prints_as_in_python() {
        let json: serde_json::Value = serde_json::from_str(
            r#"{"b": [1, 2.5, true, null], "a": {"k": "<é\"\n>"}, "e": [], "o": {}}"#,
        )
        .unwrap();
        let value = Value::from_serialize(&json);
        let dumps =
            |options: Vec<(&str, Value)>| to_json(&value, Kwargs::from_iter(options)).unwrap();
        assert_eq!(
            dumps(vec![]),
            r#"{"b": [1, 2.5, true, null], "a": {"k": "<é\"\n>"}, "e": [], "o": {}}"#
        );
        assert_eq!(
            dumps(vec![("indent", Value::from(2))]),
            "{\n  \"b\": [\n    1,\n    2.5,\n    true,\n    null\n  ],\n  \"a\": {\n    \"k\": \"<é\\\"\\n>\"\n  },\n  \
             \"e\": [],\n  \"o\": {}\n}"
        );
        assert_eq!(
            dumps(vec![
                ("ensure_ascii", Value::from(true)),
                ("sort_keys", Value::from(true))
            ]),
            r#"{"a": {"k": "<\u00e9\"\n>"}, "b": [1, 2.5, true, null], "e": [], "o": {}}"#
        );
    }
}
