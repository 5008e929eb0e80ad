//! Tables as text: RFC 4180, strictly.
//!
//! A quote that is opened and not closed, or stands where none may, is an error with its line and column: a lenient reader would
//! make one value of everything up to the next quote. Values are texts, as they are written.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::json::{broken, too_long};
use super::row::Row;
use crate::error::DatasetError;
use crate::place::Place;

/// The rows of a table whose first line has the names of its columns.
pub(super) struct CsvRows<R> {
    reader: R,
    path: Arc<Path>,
    delimiter: u8,
    row_bytes: usize,
    names: Vec<String>,
    /// Of the next byte, from 1.
    line: usize,
    /// Of the next byte, from 1, in bytes.
    column: usize,
    rows: usize,
}

/// The values of a row, and where it begins.
type Record = (Place, Vec<Vec<u8>>);

/// Where a reader is within a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its first byte.
    Begin,
    /// In one without quotes.
    Plain,
    /// Between quotes; the line and column of the first.
    Quoted(usize, usize),
    /// Behind a quote that closes, or is the first of two.
    Closed(usize, usize),
}

impl<R: BufRead> CsvRows<R> {
    /// Reads the names of the columns.
    pub(super) fn new(
        reader: R,
        path: &Arc<Path>,
        delimiter: u8,
        row_bytes: usize,
    ) -> Result<Self, DatasetError> {
        let mut rows = Self {
            reader,
            path: path.clone(),
            delimiter,
            row_bytes,
            names: Vec::new(),
            line: 1,
            column: 1,
            rows: 0,
        };
        let place = rows.here();
        let fail = |reason| DatasetError::Line {
            place: place.clone(),
            reason,
        };
        let Some((place, names)) = rows.record()? else {
            return Err(DatasetError::Empty {
                path: path.to_path_buf(),
            });
        };
        rows.names = names
            .into_iter()
            .map(|name| text(name, &place, "the header"))
            .collect::<Result<_, _>>()?;
        for (index, name) in rows.names.iter().enumerate() {
            if !name.is_empty() && rows.names[..index].contains(name) {
                return Err(fail(format!("two columns are called {name:?}")));
            }
        }
        Ok(rows)
    }

    fn next_row(&mut self) -> Result<Option<Row>, DatasetError> {
        let Some((place, values)) = self.record()? else {
            return Ok(None);
        };
        self.rows += 1;
        if values.len() != self.names.len() {
            let (has, named) = (values.len(), self.names.len());
            let reason = format!("has {has} values, and the header names {named} columns");
            return Err(DatasetError::Line { place, reason });
        }
        let mut fields = Map::new();
        for (name, value) in self.names.iter().zip(values) {
            // A column without a name is the row's number that some tools write; nobody could ask for it.
            if !name.is_empty() {
                let column = format!("field `{name}`");
                fields.insert(name.clone(), Value::String(text(value, &place, &column)?));
            }
        }
        Ok(Some(Row { place, fields }))
    }

    /// The values of the next line that is not blank, and of those that belong to it.
    fn record(&mut self) -> Result<Option<Record>, DatasetError> {
        loop {
            let place = Place::row_at(&self.path, self.rows + 1, self.line);
            let Some(values) = self.values(&place)? else {
                return Ok(None);
            };
            if values.len() > 1 || !values[0].is_empty() {
                return Ok(Some((place, values)));
            }
        }
    }

    fn values(&mut self, place: &Place) -> Result<Option<Vec<Vec<u8>>>, DatasetError> {
        let (mut values, mut value) = (Vec::new(), Vec::new());
        let (mut state, mut bytes) = (State::Begin, 0);
        loop {
            let Some(byte) = self.peek(place)? else {
                if let State::Quoted(line, column) = state {
                    return Err(self.unclosed(place, line, column));
                }
                if bytes == 0 {
                    return Ok(None);
                }
                values.push(value);
                return Ok(Some(values));
            };
            let here = (self.line, self.column);
            self.take(byte);
            bytes += 1;
            if bytes > self.row_bytes {
                return Err(too_long(place, self.row_bytes));
            }
            if !matches!(state, State::Quoted(..)) && (byte == self.delimiter || byte == b'\n') {
                if byte == b'\n'
                    && !matches!(state, State::Closed(..))
                    && value.last() == Some(&b'\r')
                {
                    value.pop();
                }
                values.push(std::mem::take(&mut value));
                state = State::Begin;
                if byte == b'\n' {
                    return Ok(Some(values));
                }
                continue;
            }
            state = match (state, byte) {
                (State::Begin, b'"') => State::Quoted(here.0, here.1),
                (State::Plain, b'"') => {
                    let reason = "a quote within a value that does not begin with one; hint: put the value in quotes, and write those within it twice";
                    return Err(self.error(place, here, reason));
                }
                (State::Begin | State::Plain, _) => {
                    value.push(byte);
                    State::Plain
                }
                (State::Quoted(line, column), b'"') => State::Closed(line, column),
                (State::Quoted(..), _) => {
                    value.push(byte);
                    state
                }
                (State::Closed(line, column), b'"') => {
                    value.push(b'"');
                    State::Quoted(line, column)
                }
                // The line ends with both.
                (State::Closed(..), b'\r') => state,
                (State::Closed(..), _) => {
                    let reason = "something follows the quote that closes a value; hint: a quote within quotes is written twice";
                    return Err(self.error(place, here, reason));
                }
            };
        }
    }

    fn unclosed(&self, place: &Place, line: usize, column: usize) -> DatasetError {
        let reason = "the quote that opens here is never closed; hint: a quote within quotes is written twice";
        self.error(place, (line, column), reason)
    }

    fn error(&self, place: &Place, (line, column): (usize, usize), reason: &str) -> DatasetError {
        DatasetError::Line {
            place: place.clone().at_line(line),
            reason: format!("column {column}: {reason}"),
        }
    }

    fn here(&self) -> Place {
        Place::line(&self.path, self.line)
    }

    fn peek(&mut self, place: &Place) -> Result<Option<u8>, DatasetError> {
        let buffer = self.reader.fill_buf();
        let buffer = buffer.map_err(|error| broken(place, &error))?;
        Ok(buffer.first().copied())
    }

    fn take(&mut self, byte: u8) {
        self.reader.consume(1);
        self.column += 1;
        if byte == b'\n' {
            (self.line, self.column) = (self.line + 1, 1);
        }
    }
}

impl<R: BufRead> Iterator for CsvRows<R> {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

fn text(bytes: Vec<u8>, place: &Place, what: &str) -> Result<String, DatasetError> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        DatasetError::Line {
            place: place.clone(),
            reason: format!("{what}: invalid UTF-8 after {at} bytes"),
        }
    })
}
