//! Writing GGUF files: a header that lists every tensor, and tensors in any order behind it.

use half::{bf16, f16};

use super::metadata::{MetadataArray, MetadataValue};

/// What every tensor begins at a multiple of, in bytes.
const ALIGNMENT: u64 = 32;
/// Values of a block of `Q8_0`.
const BLOCK: usize = 32;

/// How the values of a tensor are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// 32 bits.
    F32,
    /// 16 bits, IEEE 754.
    F16,
    /// The upper 16 bits of `F32`, rounded.
    Bf16,
    /// 8 bits, and a scale for 32 values.
    Q8_0,
}

impl Stored {
    /// The number of `ggml_type`.
    fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 30,
            Self::Q8_0 => 8,
        }
    }

    /// The number of `llama_ftype`, which files say of most of their tensors.
    pub(crate) fn file_type(self) -> u64 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 32,
            Self::Q8_0 => 7,
        }
    }

    /// The same for a tensor of that shape: norms and biases stay as they are, and what is not a multiple of a block has
    /// none.
    pub(crate) fn of(self, shape: &[usize]) -> Self {
        match shape {
            [_, .., inner] if self == Self::Q8_0 && !inner.is_multiple_of(BLOCK) => Self::F16,
            [_, _, ..] => self,
            _ => Self::F32,
        }
    }

    /// Bytes of so many values.
    pub(crate) fn bytes(self, count: usize) -> u64 {
        match self {
            Self::F32 => 4 * count as u64,
            Self::F16 | Self::Bf16 => 2 * count as u64,
            Self::Q8_0 => (count / BLOCK * (BLOCK + 2)) as u64,
        }
    }

    /// The bytes of values.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => values
                .iter()
                .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .iter()
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect(),
            Self::Q8_0 => {
                let mut out = Vec::with_capacity(self.bytes(values.len()) as usize);
                for block in values.chunks_exact(BLOCK) {
                    let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
                    let scale = largest / 127.0;
                    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                    out.extend(f16::from_f32(scale).to_le_bytes());
                    out.extend(block.iter().map(|x| (x * inverse).round() as i8 as u8));
                }
                out
            }
        }
    }
}

/// A tensor of a file to be written.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The file's name for it.
    pub(crate) name: String,
    /// Rows first.
    pub(crate) shape: Vec<usize>,
    /// How it is written.
    pub(crate) stored: Stored,
}

/// The header of a file, padded to where tensors begin, and where each begins from the start of the file.
pub(crate) fn header(pairs: &[(String, MetadataValue)], tensors: &[Listed]) -> (Vec<u8>, Vec<u64>) {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        text(&mut out, key);
        write(&mut out, value);
    }
    let mut relative = 0u64;
    let mut starts = Vec::with_capacity(tensors.len());
    for Listed {
        name,
        shape,
        stored,
    } in tensors
    {
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            out.extend((*size as u64).to_le_bytes());
        }
        out.extend(stored.id().to_le_bytes());
        out.extend(relative.to_le_bytes());
        starts.push(relative);
        let bytes = stored.bytes(shape.iter().product());
        relative = (relative + bytes).next_multiple_of(ALIGNMENT);
    }
    let data = (out.len() as u64).next_multiple_of(ALIGNMENT);
    out.resize(data as usize, 0);
    let starts = starts.into_iter().map(|start| data + start).collect();
    (out, starts)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A value with the number of its type before it: integers in 32 bits where they fit, floats in 32 bits.
fn write(out: &mut Vec<u8>, value: &MetadataValue) {
    const U32: u32 = 4;
    const I32: u32 = 5;
    const F32: u32 = 6;
    const BOOL: u32 = 7;
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    let kind = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
    match value {
        MetadataValue::Unsigned(number) => match u32::try_from(*number) {
            Ok(number) => {
                kind(out, U32);
                out.extend(number.to_le_bytes());
            }
            Err(_) => {
                kind(out, 10);
                out.extend(number.to_le_bytes());
            }
        },
        MetadataValue::Signed(number) => {
            kind(out, 11);
            out.extend(number.to_le_bytes());
        }
        MetadataValue::Float(number) => {
            kind(out, F32);
            out.extend((*number as f32).to_le_bytes());
        }
        MetadataValue::Bool(flag) => {
            kind(out, BOOL);
            out.push(u8::from(*flag));
        }
        MetadataValue::Text(value) => {
            kind(out, TEXT);
            text(out, value);
        }
        MetadataValue::Array(array) => {
            kind(out, ARRAY);
            let start = |out: &mut Vec<u8>, element: u32, count: usize| {
                out.extend(element.to_le_bytes());
                out.extend((count as u64).to_le_bytes());
            };
            match array {
                MetadataArray::Unsigned(items) => {
                    start(out, U32, items.len());
                    out.extend(items.iter().flat_map(|&x| (x as u32).to_le_bytes()));
                }
                MetadataArray::Signed(items) => {
                    start(out, I32, items.len());
                    out.extend(items.iter().flat_map(|&x| (x as i32).to_le_bytes()));
                }
                MetadataArray::Float(items) => {
                    start(out, F32, items.len());
                    out.extend(items.iter().flat_map(|&x| (x as f32).to_le_bytes()));
                }
                MetadataArray::Bool(items) => {
                    start(out, BOOL, items.len());
                    out.extend(items.iter().map(|&x| u8::from(x)));
                }
                MetadataArray::Text(items) => {
                    start(out, TEXT, items.len());
                    items.iter().for_each(|item| text(out, item));
                }
            }
        }
    }
}
