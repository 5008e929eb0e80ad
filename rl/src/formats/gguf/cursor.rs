//! Typed reads from the header of a GGUF file, each checked against the bytes that are left.

use super::GgufError;
use super::metadata::{MetadataArray, MetadataValue};

/// Longest accepted array: the largest vocabularies have 262 144 tokens and about twice as many merges.
const MAX_ARRAY_LENGTH: u64 = 1 << 22;

/// A position in the file; every read is checked.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at `offset`, which must not be beyond the end.
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Bytes from the start of the file.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    fn truncated(&self, what: &str, needed: u64) -> GgufError {
        GgufError::Truncated {
            offset: self.offset,
            what: what.to_string(),
            needed,
            left: self.left(),
        }
    }

    /// Fails unless `count` items of at least `minimum` bytes can still follow.
    pub(super) fn expect_left(
        &self,
        count: u64,
        minimum: u64,
        what: &str,
    ) -> Result<(), GgufError> {
        let needed = count.saturating_mul(minimum);
        if needed > self.left() as u64 {
            Err(self.truncated(what, needed))
        } else {
            Ok(())
        }
    }

    fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], GgufError> {
        let short = self.truncated(what, length);
        let length = usize::try_from(length)
            .ok()
            .filter(|&length| length <= self.left())
            .ok_or(short)?;
        let taken = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, GgufError> {
        let length = self.u64(what)?;
        let offset = self.offset;
        let bytes = self.take(length, what)?;
        let text = str::from_utf8(bytes).map_err(|error| GgufError::Corrupt {
            offset,
            what: format!("{what} is not UTF-8: {error}"),
        })?;
        Ok(text.to_string())
    }

    fn unsigned(&mut self, kind: ScalarKind, key: &str) -> Result<u64, GgufError> {
        let mut wide = [0; 8];
        let width = kind.width();
        wide[..width].copy_from_slice(self.take(width as u64, key)?);
        Ok(u64::from_le_bytes(wide))
    }

    fn signed(&mut self, kind: ScalarKind, key: &str) -> Result<i64, GgufError> {
        // Shifting up and back down again copies the sign bit of the narrow value.
        let shift = 64 - 8 * kind.width() as u32;
        Ok(((self.unsigned(kind, key)? << shift) as i64) >> shift)
    }

    fn float(&mut self, kind: ScalarKind, key: &str) -> Result<f64, GgufError> {
        if kind == ScalarKind::F64 {
            return Ok(f64::from_le_bytes(self.array(key)?));
        }
        let narrow = f32::from_le_bytes(self.array(key)?);
        // The shortest decimal that reads back as the same f32 is what was written in the model's config.json.
        Ok(narrow
            .to_string()
            .parse()
            .unwrap_or_else(|_| f64::from(narrow)))
    }

    fn bool(&mut self, key: &str) -> Result<bool, GgufError> {
        let offset = self.offset;
        match self.array::<1>(key)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(GgufError::Corrupt {
                offset,
                what: format!("{key} is a bool with the value {other}"),
            }),
        }
    }

    fn kind(&self, id: u32, offset: usize, key: &str) -> Result<ScalarKind, GgufError> {
        ScalarKind::from_id(id).ok_or_else(|| GgufError::Corrupt {
            offset,
            what: format!("{key} has the unknown type {id}"),
        })
    }

    /// A value of the type `id`, whose number ended just before the cursor.
    pub(super) fn value(&mut self, id: u32, key: &str) -> Result<MetadataValue, GgufError> {
        const ARRAY: u32 = 9;
        if id == ARRAY {
            return self.elements(key).map(MetadataValue::Array);
        }
        let kind = self.kind(id, self.offset - 4, key)?;
        Ok(match kind.class() {
            ScalarClass::Unsigned => MetadataValue::Unsigned(self.unsigned(kind, key)?),
            ScalarClass::Signed => MetadataValue::Signed(self.signed(kind, key)?),
            ScalarClass::Float => MetadataValue::Float(self.float(kind, key)?),
            ScalarClass::Bool => MetadataValue::Bool(self.bool(key)?),
            ScalarClass::Text => MetadataValue::Text(self.text(key)?),
        })
    }

    fn elements(&mut self, key: &str) -> Result<MetadataArray, GgufError> {
        let offset = self.offset;
        let id = self.u32(key)?;
        let kind = self.kind(id, offset, key)?; // an array of arrays ends here, too
        let count = self.u64(key)?;
        if count > MAX_ARRAY_LENGTH {
            let what = format!("{key} has {count} elements; at most {MAX_ARRAY_LENGTH} are read");
            return Err(GgufError::Corrupt { offset, what });
        }
        self.expect_left(count, kind.width() as u64, key)?;
        Ok(match kind.class() {
            ScalarClass::Unsigned => MetadataArray::Unsigned(
                (0..count)
                    .map(|_| self.unsigned(kind, key))
                    .collect::<Result<_, _>>()?,
            ),
            ScalarClass::Signed => MetadataArray::Signed(
                (0..count)
                    .map(|_| self.signed(kind, key))
                    .collect::<Result<_, _>>()?,
            ),
            ScalarClass::Float => MetadataArray::Float(
                (0..count)
                    .map(|_| self.float(kind, key))
                    .collect::<Result<_, _>>()?,
            ),
            ScalarClass::Bool => MetadataArray::Bool(
                (0..count)
                    .map(|_| self.bool(key))
                    .collect::<Result<_, _>>()?,
            ),
            ScalarClass::Text => MetadataArray::Text(
                (0..count)
                    .map(|_| self.text(key))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }
}

/// The scalar types of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScalarKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    U64,
    I64,
    F64,
}

/// What a scalar type widens to.
enum ScalarClass {
    Unsigned,
    Signed,
    Float,
    Bool,
    Text,
}

impl ScalarKind {
    /// The numbers are those of `gguf_metadata_value_type`.
    fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one value; of a string, the bytes of its length.
    fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
        }
    }

    fn class(self) -> ScalarClass {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => ScalarClass::Unsigned,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => ScalarClass::Signed,
            Self::F32 | Self::F64 => ScalarClass::Float,
            Self::Bool => ScalarClass::Bool,
            Self::Text => ScalarClass::Text,
        }
    }
}
