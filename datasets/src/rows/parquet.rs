//! Parquet files, a row group after the other and a page after the other.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaDataReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Value};

use super::file_error;
use super::json::too_long;
use super::pages::AnyFile;
use super::row::Row;
use crate::error::DatasetError;
use crate::place::Place;

/// What the footer of a file ends with.
const MAGIC: &[u8] = b"PAR1";
/// A column of a row group that expands to more bytes than this, and more than so many times what it takes in the file, is no data.
const CHUNK_BYTES: i64 = 1 << 30;
const CHUNK_EXPANSION: i64 = 1000;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    path: Arc<Path>,
    records: RowIter<'static>,
    row_bytes: usize,
    rows: usize,
    ended: bool,
}

impl ParquetRows {
    /// Reads what the file says of itself.
    pub(super) fn new(
        file: File,
        path: &Arc<Path>,
        row_bytes: usize,
    ) -> Result<Self, DatasetError> {
        check_end(&file, path)?;
        let damaged = |error: String| {
            file_error(
                path,
                format!(
                    "is not readable as Parquet: {error}; hint: the file is damaged, fetch it again"
                ),
            )
        };
        let said = caught(|| ParquetMetaDataReader::new().parse_and_finish(&file));
        let metadata = said.map_err(damaged)?;
        for group in metadata.row_groups() {
            for column in group.columns() {
                let (packed, expanded) = (column.compressed_size(), column.uncompressed_size());
                if expanded > CHUNK_BYTES && expanded / CHUNK_EXPANSION > packed {
                    let name = column.column_path().string();
                    let reason = format!(
                        "column `{name}` says that {packed} bytes expand to {expanded}, which no data do"
                    );
                    return Err(file_error(path, reason));
                }
            }
        }
        Ok(Self {
            path: path.clone(),
            records: RowIter::from_file_into(Box::new(AnyFile::new(file, metadata))),
            row_bytes,
            rows: 0,
            ended: false,
        })
    }

    fn next_row(&mut self) -> Result<Option<Row>, DatasetError> {
        let place = Place::row(&self.path, self.rows + 1);
        let records = &mut self.records;
        let record = caught(|| records.next().transpose()).map_err(|error| DatasetError::Line {
            place: place.clone(),
            reason: format!("cannot be read: {error}; hint: the file is damaged, fetch it again"),
        })?;
        let Some(record) = record else {
            return Ok(None);
        };
        self.rows += 1;
        let mut left = self.row_bytes;
        let fields = object(&record, &mut left).map_err(|fault| match fault {
            Fault::TooLong => too_long(&place, self.row_bytes),
            Fault::NoText(name) => DatasetError::Field {
                place: place.clone(),
                field: name,
                reason: "is bytes that are no UTF-8".to_owned(),
            },
        })?;
        Ok(Some(Row { place, fields }))
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_row().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Sees to it that a file has its end, where everything about it stands.
fn check_end(file: &File, path: &Path) -> Result<(), DatasetError> {
    use std::io::{Read, Seek, SeekFrom};
    let io = |error| DatasetError::Io {
        path: path.to_owned(),
        error,
    };
    let mut file = file.try_clone().map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut end = [0; 4];
    if length >= 12 {
        file.seek(SeekFrom::End(-4)).map_err(io)?;
        file.read_exact(&mut end).map_err(io)?;
    }
    file.rewind().map_err(io)?;
    if end == MAGIC {
        return Ok(());
    }
    let reason = format!(
        "is a Parquet file without its end: it was cut short after {length} bytes; hint: fetch it again"
    );
    Err(file_error(path, reason))
}

/// What `read` returns; an error also where it panics, as the reader may on damaged files.
fn caught<T>(read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its pages do not hold together".to_owned()),
    }
}

/// Why a value is not taken.
enum Fault {
    TooLong,
    /// The field.
    NoText(String),
}

fn object(record: &Record, left: &mut usize) -> Result<Map<String, Value>, Fault> {
    let mut fields = Map::new();
    for (name, field) in record.get_column_iter() {
        let named = |fault| match fault {
            Fault::NoText(inner) if inner.is_empty() => Fault::NoText(name.clone()),
            Fault::NoText(inner) => Fault::NoText(format!("{name}.{inner}")),
            Fault::TooLong => fault,
        };
        fields.insert(name.clone(), value(field, left).map_err(named)?);
    }
    Ok(fields)
}

/// A value as JSON: times and decimals as texts, bytes as the text that they have to be.
fn value(field: &Field, left: &mut usize) -> Result<Value, Fault> {
    let size = match field {
        Field::Str(text) => text.len(),
        Field::Bytes(bytes) => bytes.len(),
        _ => 8,
    };
    *left = left.checked_sub(size).ok_or(Fault::TooLong)?;
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => Value::from(f64::from(*value)),
        Field::Float(value) => Value::from(shortest(*value)),
        Field::Double(value) => Value::from(*value),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::from(text),
            Err(_) => return Err(Fault::NoText(String::new())),
        },
        Field::Group(record) => Value::Object(object(record, left)?),
        Field::ListInternal(list) => {
            let values = list.elements().iter().map(|item| value(item, left));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let mut fields = Map::new();
            for (key, item) in map.entries() {
                let key = match value(key, left)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                fields.insert(key, value(item, left)?);
            }
            Value::Object(fields)
        }
        other => Value::from(other.to_string()),
    })
}

/// The number that is written as short as `value` is: 0.1 and not 0.10000000149011612.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
