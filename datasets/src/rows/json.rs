//! JSON lines and JSON arrays, a row at a time.
//!
//! The text of a row is found first, by counting braces outside of strings, and then parsed: so a row's error has its line and
//! column in the file, and only one row is in memory.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::digits;
use super::row::{Row, kind};
use crate::error::DatasetError;
use crate::place::Place;

/// The rows of a file that is an object a line, or one list of objects.
pub(super) struct JsonRows<R> {
    reader: R,
    path: Arc<Path>,
    shape: Shape,
    row_bytes: usize,
    /// Of the next byte, from 1.
    line: usize,
    /// Of the next byte, from 1, in bytes.
    column: usize,
    /// Rows of a list that have been read.
    rows: usize,
    text: Vec<u8>,
}

/// How rows stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object a line.
    Lines,
    /// Objects in one list; whether the list has begun, and whether it has ended.
    List(List),
}

/// How far a list has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Before,
    Within,
    After,
}

impl<R: BufRead> JsonRows<R> {
    /// The rows of `reader`, from which a byte order mark has been taken.
    pub(super) fn new(reader: R, path: &Arc<Path>, shape: Shape, row_bytes: usize) -> Self {
        Self {
            reader,
            path: path.clone(),
            shape,
            row_bytes,
            line: 1,
            column: 1,
            rows: 0,
            text: Vec::new(),
        }
    }

    fn next_line(&mut self) -> Result<Option<Row>, DatasetError> {
        loop {
            let place = Place::line(&self.path, self.line);
            if !self.read_line(&place)? {
                return Ok(None);
            }
            self.line += 1;
            if self.text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let fields = parse(&place, &self.text, 1, "line")?;
            return Ok(Some(Row { place, fields }));
        }
    }

    /// Reads a line, without its end; whether there was one.
    fn read_line(&mut self, place: &Place) -> Result<bool, DatasetError> {
        self.text.clear();
        loop {
            let buffer = fill(&mut self.reader, place)?;
            if buffer.is_empty() {
                return Ok(!self.text.is_empty());
            }
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if self.text.len() + part.len() > self.row_bytes {
                return Err(too_long(place, self.row_bytes));
            }
            self.text.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    fn next_item(&mut self, list: List) -> Result<Option<Row>, DatasetError> {
        let mut first = false;
        if list == List::Before {
            // The caller has seen the bracket.
            self.skip_blank()?;
            self.bump()?;
            self.shape = Shape::List(List::Within);
            first = true;
        }
        if list == List::After {
            return Ok(None);
        }
        match (self.skip_blank()?, first) {
            (Some(b']'), _) => return self.close(),
            (Some(_), true) => {}
            (Some(b','), false) => {
                self.bump()?;
                self.skip_blank()?;
            }
            (Some(_), false) => return Err(self.error("expected `,` or `]` after a row")),
            (None, _) => return Err(self.error("the file ends within its list; it was cut short")),
        }
        let place = Place::row_at(&self.path, self.rows + 1, self.line);
        let column = self.column;
        self.read_item(&place)?;
        self.rows += 1;
        let fields = parse(&place, &self.text, column, "row")?;
        Ok(Some(Row { place, fields }))
    }

    /// Takes the end of the list and sees to it that nothing follows.
    fn close(&mut self) -> Result<Option<Row>, DatasetError> {
        self.bump()?;
        self.shape = Shape::List(List::After);
        match self.skip_blank()? {
            None => Ok(None),
            Some(_) => Err(self.error("something follows the end of the list")),
        }
    }

    /// Reads the text of a value, up to the comma or bracket behind it.
    fn read_item(&mut self, place: &Place) -> Result<(), DatasetError> {
        self.text.clear();
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        loop {
            let Some(byte) = self.peek(place)? else {
                return Err(self.error("the file ends within a row; it was cut short"));
            };
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b',' | b']' if depth == 0 => return Ok(()),
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            if self.text.len() == self.row_bytes {
                return Err(too_long(place, self.row_bytes));
            }
            self.text.push(byte);
            self.take(byte);
        }
    }

    /// The next byte that is no white space.
    fn skip_blank(&mut self) -> Result<Option<u8>, DatasetError> {
        let place = self.here();
        while let Some(byte) = self.peek(&place)? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.take(byte);
        }
        Ok(None)
    }

    fn peek(&mut self, place: &Place) -> Result<Option<u8>, DatasetError> {
        Ok(fill(&mut self.reader, place)?.first().copied())
    }

    fn bump(&mut self) -> Result<(), DatasetError> {
        let place = self.here();
        if let Some(byte) = self.peek(&place)? {
            self.take(byte);
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) {
        self.reader.consume(1);
        self.column += 1;
        if byte == b'\n' {
            (self.line, self.column) = (self.line + 1, 1);
        }
    }

    fn here(&self) -> Place {
        Place::line(&self.path, self.line)
    }

    fn error(&self, reason: &str) -> DatasetError {
        DatasetError::Line {
            place: self.here(),
            reason: format!("column {}: {reason}", self.column),
        }
    }
}

impl<R: BufRead> Iterator for JsonRows<R> {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.shape {
            Shape::Lines => self.next_line().transpose(),
            Shape::List(list) => self.next_item(list).transpose(),
        }
    }
}

/// The bytes at hand; none at the end of the file.
pub(super) fn fill<'a>(
    reader: &'a mut impl BufRead,
    place: &Place,
) -> Result<&'a [u8], DatasetError> {
    reader.fill_buf().map_err(|error| broken(place, &error))
}

/// A file that cannot be read on, or not be expanded.
pub(super) fn broken(place: &Place, error: &io::Error) -> DatasetError {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the compressed data end here; hint: the file was cut short, fetch it again".to_owned()
        }
        _ => format!(
            "cannot be read on: {error}; hint: the file is damaged or was cut short, fetch it again"
        ),
    };
    DatasetError::Line {
        place: place.clone(),
        reason,
    }
}

/// A row with more bytes than rows may have.
pub(super) fn too_long(place: &Place, row_bytes: usize) -> DatasetError {
    DatasetError::Line {
        place: place.clone(),
        reason: format!("the {} has more than {row_bytes} bytes", place.unit()),
    }
}

fn memchr(wanted: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// The object in `text`, which begins at `column` of the line of `place`.
fn parse(
    place: &Place,
    text: &[u8],
    column: usize,
    unit: &str,
) -> Result<Map<String, Value>, DatasetError> {
    let fail = |place: Place, reason: String| DatasetError::Line { place, reason };
    let text = std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        fail(
            place.clone(),
            format!("invalid UTF-8 after {at} bytes of the {unit}"),
        )
    })?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(digits::kept(text, fields)),
        Ok(other) => Err(fail(
            place.clone(),
            format!("expected an object, got {}", kind(&other)),
        )),
        Err(error) => {
            let whole = error.to_string();
            let what = whole.split(" at line ").next().unwrap_or(&whole);
            // The parser counts from where the row begins.
            let (lines, columns) = (error.line().saturating_sub(1), error.column());
            let (place, column) = match lines {
                0 => (place.clone(), column - 1 + columns),
                _ => (place.clone().at_line(place.line_number() + lines), columns),
            };
            Err(fail(
                place,
                format!("column {column}: {what}{}", hint(text, &error)),
            ))
        }
    }
}

/// What helps with a line that is a part of something.
fn hint(text: &str, error: &serde_json::Error) -> &'static str {
    if error.is_eof() && text.trim_end().len() < 3 {
        return "; hint: a file of JSON lines has a whole object on each line; one object over several lines is not read";
    }
    ""
}
