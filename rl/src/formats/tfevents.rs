//! Event files as TensorBoard reads them: records with checksums, each a protobuf message of a few fields.
//!
//! A record is the length of its data (`u64`, little-endian), the masked CRC-32C of these eight bytes, the data, and its masked
//! CRC-32C (TFRecord). The data is an `Event` of `tensorboard/compat/proto/event.proto`: `wall_time` (1), `step` (2),
//! `file_version` (3), `summary` (5) and `session_log` (7). A `Value` of a summary has a `tag` (1) and a `simple_value` (2), which
//! is a 32-bit float.

use std::io::{self, Write};

/// What the first record of a file says.
pub const VERSION: &str = "brain.Event:2";

/// One record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// The step.
    pub step: i64,
    /// What follows.
    pub what: What,
}

/// What a record holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum What {
    /// Nothing that is known here.
    #[default]
    Nothing,
    /// The version of the file.
    Version(String),
    /// Figures by their tag.
    Scalars(Vec<(String, f32)>),
    /// A session starts: what other files of the directory have from this step on counts no more.
    SessionStart,
}

/// Writes one record.
///
/// # Errors
/// Those of the writer.
pub fn write(to: &mut impl Write, record: &Record) -> io::Result<()> {
    let data = encode(record);
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(crc32c(&length)).to_le_bytes());
    let checksum = masked(crc32c(&data));
    bytes.extend(data);
    bytes.extend(checksum.to_le_bytes());
    to.write_all(&bytes)
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// A checksum does not fit what it was made of.
    #[error("byte {at}: the checksum does not fit")]
    Checksum {
        /// Where the record begins.
        at: usize,
    },
    /// A message that is none.
    #[error("byte {at}: no event")]
    Message {
        /// Where the record begins.
        at: usize,
    },
}

/// Reads the records of a file. One that is cut off at the end is left out.
///
/// # Errors
/// See [`EventError`].
pub fn read(bytes: &[u8]) -> Result<Vec<Record>, EventError> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some((length, sum)) = bytes.get(at..at + 12).map(|head| head.split_at(8)) {
        if word(sum) != masked(crc32c(length)) {
            return Err(EventError::Checksum { at });
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let data = usize::try_from(length).ok().and_then(|length| {
            let end = at.checked_add(12)?.checked_add(length)?;
            Some((
                bytes.get(at + 12..end)?,
                bytes.get(end..end.checked_add(4)?)?,
            ))
        });
        let Some((data, sum)) = data else { break };
        if word(sum) != masked(crc32c(data)) {
            return Err(EventError::Checksum { at });
        }
        records.push(decode(data).ok_or(EventError::Message { at })?);
        at += 16 + data.len();
    }
    Ok(records)
}

/// An event as protobuf.
fn encode(record: &Record) -> Vec<u8> {
    let mut data = vec![tag(1, FIXED64)];
    data.extend(record.wall_time.to_le_bytes());
    if record.step != 0 {
        data.push(tag(2, VARINT));
        varint(&mut data, record.step as u64);
    }
    match &record.what {
        What::Nothing => {}
        What::Version(version) => block(&mut data, 3, version.as_bytes()),
        What::Scalars(values) => {
            let mut summary = Vec::new();
            for (name, value) in values {
                let mut scalar = Vec::new();
                block(&mut scalar, 1, name.as_bytes());
                scalar.push(tag(2, FIXED32));
                scalar.extend(value.to_le_bytes());
                block(&mut summary, 1, &scalar);
            }
            block(&mut data, 5, &summary);
        }
        // SessionLog.status = START
        What::SessionStart => block(&mut data, 7, &[tag(1, VARINT), 1]),
    }
    data
}

fn decode(data: &[u8]) -> Option<Record> {
    let mut record = Record::default();
    for field in fields(data)? {
        match field {
            (1, Field::Fixed64(bits)) => record.wall_time = f64::from_bits(bits),
            (2, Field::Varint(step)) => record.step = step as i64,
            (3, Field::Block(text)) => {
                record.what = What::Version(String::from_utf8(text.to_vec()).ok()?);
            }
            (5, Field::Block(summary)) => record.what = What::Scalars(scalars(summary)?),
            (7, Field::Block(_)) => record.what = What::SessionStart,
            _ => {}
        }
    }
    Some(record)
}

fn scalars(summary: &[u8]) -> Option<Vec<(String, f32)>> {
    let mut values = Vec::new();
    for field in fields(summary)? {
        let (1, Field::Block(value)) = field else {
            continue;
        };
        let (mut name, mut number) = (String::new(), None);
        for field in fields(value)? {
            match field {
                (1, Field::Block(text)) => name = String::from_utf8(text.to_vec()).ok()?,
                (2, Field::Fixed32(bits)) => number = Some(f32::from_bits(bits)),
                _ => {}
            }
        }
        values.extend(number.map(|number| (name, number)));
    }
    Some(values)
}

/// Wire types of protobuf.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BLOCK: u8 = 2;
const FIXED32: u8 = 5;

enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Block(&'a [u8]),
    Fixed32(u32),
}

const fn tag(number: u8, wire: u8) -> u8 {
    number << 3 | wire
}

fn varint(data: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        data.push(value as u8 | 0x80);
        value >>= 7;
    }
    data.push(value as u8);
}

fn block(data: &mut Vec<u8>, number: u8, content: &[u8]) {
    data.push(tag(number, BLOCK));
    varint(data, content.len() as u64);
    data.extend(content);
}

/// The fields of a message with their numbers; `None` where it is none.
fn fields(mut data: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = take_varint(&mut data)?;
        let field = match key as u8 & 7 {
            VARINT => Field::Varint(take_varint(&mut data)?),
            FIXED64 => Field::Fixed64(u64::from_le_bytes(take(&mut data, 8)?.try_into().ok()?)),
            BLOCK => {
                let length = usize::try_from(take_varint(&mut data)?).ok()?;
                Field::Block(take(&mut data, length)?)
            }
            FIXED32 => Field::Fixed32(u32::from_le_bytes(take(&mut data, 4)?.try_into().ok()?)),
            _ => return None,
        };
        found.push((key >> 3, field));
    }
    Some(found)
}

fn take<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(taken)
}

fn take_varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(data, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// As TFRecord stores a checksum, so that one of data that holds checksums is no trivial one.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected: RFC 3720, B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8;
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x82f6_3b78;
            }
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 3720, B.4.
    #[test]
    fn checksums_are_those_of_the_standard() {
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    fn some() -> Vec<Record> {
        let figures = [("a", 0.25), ("grpo/loss", -1.5), ("é", f32::MAX)];
        let figures = figures.map(|(name, value)| (name.to_owned(), value));
        let whats = [
            What::Version(VERSION.to_owned()),
            What::SessionStart,
            What::Scalars(figures.to_vec()),
        ];
        let records = whats.into_iter().zip([0, 1, 300]);
        records
            .map(|(what, step)| Record {
                wall_time: 1.75e9 + step as f64,
                step,
                what,
            })
            .collect()
    }

    fn written(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            write(&mut bytes, record).unwrap();
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written(&some())), Ok(some()));
    }

    #[test]
    fn a_file_cut_anywhere_has_its_whole_records_and_a_changed_byte_is_seen() {
        let bytes = written(&some());
        for end in 0..bytes.len() {
            let cut = read(&bytes[..end]).unwrap();
            assert_eq!(cut, some()[..cut.len()]);
            assert!(cut.len() < some().len());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "byte {at}");
        }
    }
}
