//! Parsing the header of a GGUF file. Every count and length is checked against the bytes that are left before anything
//! is allocated, so a corrupt file costs an error and never memory.

use std::collections::HashSet;

use super::cursor::Cursor;
use super::dequantize::BlockType;
use super::metadata::Metadata;

const MAGIC: &[u8; 4] = b"GGUF";
/// Versions 2 and 3 share one layout; version 1 had 32-bit lengths.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
const DEFAULT_ALIGNMENT: usize = 32;
/// ggml tensors have at most four dimensions.
const MAX_DIMENSIONS: u32 = 4;

/// What can be wrong with a GGUF file. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The first bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {found:?}")]
    BadMagic {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// A version that is not read.
    #[error("GGUF version {found} is not supported; supported: 2 and 3, little-endian")]
    UnsupportedVersion {
        /// The version as read in little-endian order.
        found: u32,
    },
    /// The file ends too early.
    #[error(
        "cut short at offset {offset}: {what} needs {needed} bytes, the file ends after {left}"
    )]
    Truncated {
        /// Where reading stopped.
        offset: usize,
        /// What was being read.
        what: String,
        /// Bytes needed, at least.
        needed: u64,
        /// Bytes left in the file.
        left: usize,
    },
    /// A value that makes no sense.
    #[error("corrupt at offset {offset}: {what}")]
    Corrupt {
        /// Where the value starts.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// A required metadata key is absent.
    #[error("metadata key {key} is missing")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata value has another type than expected.
    #[error("metadata key {key} is {found}, expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// The kind found.
        found: &'static str,
        /// The kind expected.
        expected: &'static str,
    },
}

/// A tensor's place in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorInfo {
    /// The file's own name.
    pub(crate) name: String,
    /// Rows first, the reverse of the file's order.
    pub(crate) shape: Vec<usize>,
    /// ggml's number for the type.
    pub(crate) type_id: u32,
    /// First byte. For types that are not implemented `start == end`, since their size is not known.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
}

/// A parsed header.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// Parses the header and places every tensor.
///
/// # Errors
/// Any damage is a [`GgufError`] with its offset, a tensor beyond the end of the file included.
pub(crate) fn parse(bytes: &[u8]) -> Result<Header, GgufError> {
    if !bytes.starts_with(MAGIC) {
        return Err(GgufError::BadMagic {
            found: bytes.iter().copied().take(MAGIC.len()).collect(),
        });
    }
    let mut cursor = Cursor::new(bytes, MAGIC.len());
    let version = cursor.u32("the version")?;
    if !VERSIONS.contains(&version) {
        return Err(GgufError::UnsupportedVersion { found: version });
    }
    let tensor_count = cursor.u64("the number of tensors")?;
    let pair_count = cursor.u64("the number of metadata pairs")?;
    let metadata = read_metadata(&mut cursor, pair_count)?;
    let tensors = read_tensors(&mut cursor, tensor_count)?;
    let alignment = match metadata.count("general.alignment")? {
        None => DEFAULT_ALIGNMENT,
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
        Some(alignment) => {
            return Err(GgufError::Corrupt {
                offset: 0,
                what: format!("general.alignment is {alignment}"),
            });
        }
    };
    let data_start = cursor.offset().next_multiple_of(alignment);
    let tensors = tensors
        .into_iter()
        .map(|tensor| place(tensor, data_start, alignment, bytes.len()))
        .collect::<Result<_, _>>()?;
    Ok(Header { metadata, tensors })
}

fn read_metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, GgufError> {
    // The shortest pair is an empty key, a type and one byte.
    cursor.expect_left(count, 8 + 4 + 1, "the metadata pairs")?;
    let mut pairs = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..count {
        let start = cursor.offset();
        let key = cursor.text("a metadata key")?;
        let kind = cursor.u32("a metadata type")?;
        let value = cursor.value(kind, &key)?;
        if !seen.insert(key.clone()) {
            return Err(GgufError::Corrupt {
                offset: start,
                what: format!("metadata key {key} appears twice"),
            });
        }
        pairs.push((key, value));
    }
    Ok(Metadata::new(pairs))
}

/// A tensor as listed, its data offset relative to the data section.
struct ListedTensor {
    name: String,
    shape: Vec<usize>,
    type_id: u32,
    relative: u64,
    listed_at: usize,
}

fn read_tensors(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<ListedTensor>, GgufError> {
    // The shortest entry is an empty name, no dimensions, a type and an offset.
    cursor.expect_left(count, 8 + 4 + 4 + 8, "the tensor list")?;
    let mut tensors = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..count {
        let listed_at = cursor.offset();
        let name = cursor.text("a tensor name")?;
        let corrupt = |what: String| GgufError::Corrupt {
            offset: listed_at,
            what,
        };
        if !seen.insert(name.clone()) {
            return Err(corrupt(format!("tensor {name} is listed twice")));
        }
        let dimensions = cursor.u32("a number of dimensions")?;
        if dimensions > MAX_DIMENSIONS {
            return Err(corrupt(format!(
                "tensor {name} has {dimensions} dimensions; at most {MAX_DIMENSIONS} exist"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = cursor.u64("a dimension")?;
            let fits = usize::try_from(size).ok().filter(|&size| size > 0);
            shape.push(
                fits.ok_or_else(|| corrupt(format!("tensor {name} has a dimension of {size}")))?,
            );
        }
        shape.reverse();
        let type_id = cursor.u32("a tensor type")?;
        let relative = cursor.u64("a tensor offset")?;
        tensors.push(ListedTensor {
            name,
            shape,
            type_id,
            relative,
            listed_at,
        });
    }
    Ok(tensors)
}

/// Turns a relative offset into a checked byte range.
fn place(
    tensor: ListedTensor,
    data_start: usize,
    alignment: usize,
    length: usize,
) -> Result<TensorInfo, GgufError> {
    let ListedTensor {
        name,
        shape,
        type_id,
        relative,
        listed_at,
    } = tensor;
    let corrupt = |what: String| GgufError::Corrupt {
        offset: listed_at,
        what,
    };
    if !relative.is_multiple_of(alignment as u64) {
        return Err(corrupt(format!(
            "tensor {name} starts at {relative}, not a multiple of {alignment}"
        )));
    }
    let overflow = || {
        corrupt(format!(
            "tensor {name} of shape {shape:?} is larger than any file"
        ))
    };
    let size = match BlockType::from_id(type_id) {
        None => 0,
        Some(block_type) => {
            let row = shape.last().copied().unwrap_or(1);
            let block = block_type.values_per_block();
            if !row.is_multiple_of(block) {
                return Err(corrupt(format!(
                    "tensor {name} has rows of {row} values, not a multiple of {block}"
                )));
            }
            let count = shape
                .iter()
                .try_fold(1usize, |product, &size| product.checked_mul(size))
                .ok_or_else(overflow)?;
            (count / block)
                .checked_mul(block_type.bytes_per_block())
                .ok_or_else(overflow)?
        }
    };
    let relative = usize::try_from(relative).map_err(|_| overflow())?;
    let start = data_start.checked_add(relative).ok_or_else(overflow)?;
    let end = start.checked_add(size).ok_or_else(overflow)?;
    if end > length {
        return Err(GgufError::Truncated {
            offset: start,
            what: format!("tensor {name}"),
            needed: size as u64,
            left: length.saturating_sub(start),
        });
    }
    Ok(TensorInfo {
        name,
        shape,
        type_id,
        start,
        end,
    })
}

/// The name of a ggml type, for errors; the numbers are those of `ggml_type` in ggml.h.
pub(crate) fn type_name(type_id: u32) -> String {
    let name = match type_id {
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        40 => "NVFP4",
        other => return format!("ggml type {other}"),
    };
    name.to_string()
}
