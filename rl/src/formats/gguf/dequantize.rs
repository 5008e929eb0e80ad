//! Blocks of ggml's quantised types to `f32`.
//!
//! A row is cut into blocks of 32 or 256 values that share scales. Layouts are those of `ggml-common.h` of the ggml
//! project; the arithmetic is in `f32` in the order of its reference code, so values agree bit for bit.

use half::{bf16, f16};

/// A tensor type that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq4Nl,
    Iq4Xs,
    Mxfp4,
}

impl BlockType {
    /// The supported types, for errors.
    pub(crate) const NAMES: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4";

    /// The numbers are those of `ggml_type`.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            20 => Self::Iq4Nl,
            23 => Self::Iq4Xs,
            30 => Self::Bf16,
            39 => Self::Mxfp4,
            _ => return None,
        })
    }

    pub(super) fn values_per_block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::Q8_0
            | Self::Iq4Nl
            | Self::Mxfp4 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
        }
    }

    pub(super) fn bytes_per_block(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Iq4Nl => 18,
            Self::Iq4Xs => 136,
            Self::Mxfp4 => 17,
        }
    }

    /// Turns one block into its values: `block` has `bytes_per_block`, `out` `values_per_block` elements.
    fn decoder(self) -> fn(&[u8], &mut [f32]) {
        match self {
            Self::F32 => {
                |block, out| out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]])
            }
            Self::F16 => |block, out| out[0] = half_at(block, 0),
            Self::Bf16 => |block, out| out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q2K => q2_k,
            Self::Q3K => q3_k,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
            Self::Iq4Nl => iq4_nl,
            Self::Iq4Xs => iq4_xs,
            Self::Mxfp4 => mxfp4,
        }
    }
}

/// The values of all whole blocks in `bytes`.
pub(crate) fn dequantize(block_type: BlockType, bytes: &[u8]) -> Vec<f32> {
    let decode = block_type.decoder();
    let blocks = bytes.chunks_exact(block_type.bytes_per_block());
    let mut values = vec![0.0; blocks.len() * block_type.values_per_block()];
    for (block, out) in blocks.zip(values.chunks_exact_mut(block_type.values_per_block())) {
        decode(block, out);
    }
    values
}

fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

/// Scale, 16 bytes: value `j` in the low half of byte `j`, value `j + 16` in the high half.
fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (j, &byte) in block[2..].iter().enumerate() {
        out[j] = scale * f32::from((byte & 0x0f) as i8 - 8);
        out[j + 16] = scale * f32::from((byte >> 4) as i8 - 8);
    }
}

/// Like `q4_0`, with a minimum in place of the fixed offset.
fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (j, &byte) in block[4..].iter().enumerate() {
        out[j] = scale * f32::from(byte & 0x0f) + minimum;
        out[j + 16] = scale * f32::from(byte >> 4) + minimum;
    }
}

/// The five-bit value pair of byte `j`; bit `j` of `high` is the fifth bit of value `j`.
fn five_bits(byte: u8, high: u32, j: usize) -> (u8, u8) {
    let bit = |n: usize| (((high >> n) & 1) as u8) << 4;
    ((byte & 0x0f) | bit(j), (byte >> 4) | bit(j + 16))
}

fn high_bits(block: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([
        block[offset],
        block[offset + 1],
        block[offset + 2],
        block[offset + 3],
    ])
}

/// Scale, 32 high bits, 16 bytes of low halves.
fn q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    let high = high_bits(block, 2);
    for (j, &byte) in block[6..].iter().enumerate() {
        let (low, upper) = five_bits(byte, high, j);
        out[j] = scale * f32::from(low as i8 - 16);
        out[j + 16] = scale * f32::from(upper as i8 - 16);
    }
}

/// Like `q5_0`, with a minimum in place of the fixed offset.
fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let high = high_bits(block, 4);
    for (j, &byte) in block[8..].iter().enumerate() {
        let (low, upper) = five_bits(byte, high, j);
        out[j] = scale * f32::from(low) + minimum;
        out[j + 16] = scale * f32::from(upper) + minimum;
    }
}

/// Scale, 32 signed bytes.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (value, &byte) in out.iter_mut().zip(&block[2..]) {
        *value = scale * f32::from(byte as i8);
    }
}

/// The six-bit scale and minimum of sub-block `j` (0 to 7), packed in 12 bytes.
fn scale_and_minimum(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, minimum) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            (packed[j + 4] & 0x0f) | ((packed[j - 4] >> 6) << 4),
            (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

/// Eight sub-blocks of 32; a pair of them shares 32 bytes, the even one in the low halves. `fifth_bit(sub, j)` is added
/// to value `j` of sub-block `sub`.
fn q4_or_q5_k(
    block: &[u8],
    nibbles: &[u8],
    out: &mut [f32],
    fifth_bit: impl Fn(usize, usize) -> u8,
) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    for (sub, values) in out.chunks_exact_mut(32).enumerate() {
        let (sub_scale, sub_minimum) = scale_and_minimum(&block[4..16], sub);
        let (sub_scale, sub_minimum) = (scale * sub_scale, minimum * sub_minimum);
        let shift = 4 * (sub % 2);
        for (j, value) in values.iter_mut().enumerate() {
            let quant = ((nibbles[32 * (sub / 2) + j] >> shift) & 0x0f) + fifth_bit(sub, j);
            *value = sub_scale * f32::from(quant) - sub_minimum;
        }
    }
}

/// Scale, minimum scale, 12 bytes of scales, 128 bytes.
fn q4_k(block: &[u8], out: &mut [f32]) {
    q4_or_q5_k(block, &block[16..], out, |_, _| 0);
}

/// Like `q4_k`, with 32 bytes of fifth bits before the low halves: bit `sub` of byte `j`.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let high = &block[16..48];
    q4_or_q5_k(block, &block[48..], out, |sub, j| {
        ((high[j] >> sub) & 1) << 4
    });
}

/// 128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales, one scale of them.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (index, value) in out.iter_mut().enumerate() {
        let (half, within) = (index / 128, index % 128);
        let (group, j) = (within / 32, within % 32);
        let low_byte = low[64 * half + 32 * (group % 2) + j];
        let low_bits = if group < 2 {
            low_byte & 0x0f
        } else {
            low_byte >> 4
        };
        let high_bits = (high[32 * half + j] >> (2 * group)) & 3;
        let quant = (low_bits | (high_bits << 4)) as i8 - 32;
        *value = scale * f32::from(scales[index / 16] as i8) * f32::from(quant);
    }
}

/// Value `index` of 256 in two bits: a byte holds four values that are 32 apart.
fn two_bits(bytes: &[u8], index: usize) -> u8 {
    let (half, within) = (index / 128, index % 128);
    (bytes[32 * half + within % 32] >> (2 * (within / 32))) & 3
}

/// 16 bytes with a scale in the low half and a minimum in the high one, 64 bytes of two bits, scales of both.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, bits) = (&block[..16], &block[16..80]);
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    for (index, value) in out.iter_mut().enumerate() {
        let sub = scales[index / 16];
        let (sub_scale, sub_minimum) = (f32::from(sub & 0x0f), f32::from(sub >> 4));
        let quant = f32::from(two_bits(bits, index));
        *value = scale * sub_scale * quant - minimum * sub_minimum;
    }
}

/// 32 bytes of third bits, of which a missing one takes four off; 64 bytes of two bits; 12 bytes of scales; one scale of them.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (third, bits, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (index, value) in out.iter_mut().enumerate() {
        let sub = index / 16;
        let low = if sub < 8 {
            scales[sub] & 0x0f
        } else {
            scales[sub - 8] >> 4
        };
        let high = (scales[8 + sub % 4] >> (2 * (sub / 4))) & 3;
        let sub_scale = f32::from((low | (high << 4)) as i8 - 32);
        let missing = (third[index % 32] >> (index / 32)) & 1 ^ 1;
        let quant = two_bits(bits, index) as i8 - 4 * missing as i8;
        *value = scale * sub_scale * f32::from(quant);
    }
}

/// What the codes of IQ4 stand for.
const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/// What the codes of MXFP4 stand for, doubled.
const FP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 16 bytes of codes: value `j` in the low half of byte `j`, value `j + 16` in the high half.
fn codes(table: [i8; 16], scale: f32, bytes: &[u8], out: &mut [f32]) {
    for (j, &byte) in bytes.iter().enumerate() {
        out[j] = scale * f32::from(table[usize::from(byte & 0x0f)]);
        out[j + 16] = scale * f32::from(table[usize::from(byte >> 4)]);
    }
}

/// Scale, 16 bytes of codes.
fn iq4_nl(block: &[u8], out: &mut [f32]) {
    codes(IQ4_VALUES, half_at(block, 0), &block[2..], out);
}

/// Scale, two high bits of eight scales, four low bits of them, 128 bytes of codes.
fn iq4_xs(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (sub, values) in out.chunks_exact_mut(32).enumerate() {
        let low = (block[4 + sub / 2] >> (4 * (sub % 2))) & 0x0f;
        let sub_scale = i16::from(low) | (((high >> (2 * sub)) & 3) << 4) as i16;
        let scale = scale * f32::from(sub_scale - 32);
        codes(
            IQ4_VALUES,
            scale,
            &block[8 + 16 * sub..24 + 16 * sub],
            values,
        );
    }
}

/// An exponent of two, 16 bytes of codes. Half of the power, since the table is doubled.
fn mxfp4(block: &[u8], out: &mut [f32]) {
    let exponent = u32::from(block[0]);
    let bits = if exponent < 2 {
        0x0020_0000 << exponent
    } else {
        (exponent - 1) << 23
    };
    codes(FP4_VALUES, f32::from_bits(bits), &block[1..], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by tests/golden/make_gguf_golden.py with the gguf package.
    #[test]
    fn every_type_gives_the_values_of_the_gguf_package() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/gguf_blocks.json"
        );
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), BlockType::NAMES.split(", ").count());
        for case in cases {
            let name = case["type"].as_str().unwrap();
            let block_type = BlockType::from_id(case["type_id"].as_u64().unwrap() as u32).unwrap();
            assert_eq!(case["block_size"], block_type.values_per_block(), "{name}");
            assert_eq!(case["type_size"], block_type.bytes_per_block(), "{name}");
            let hex = case["bytes"].as_str().unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            let expected: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
            assert_eq!(dequantize(block_type, &bytes), expected, "{name}");
        }
    }
}
