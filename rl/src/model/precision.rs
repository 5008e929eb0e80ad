//! How weights that are not trained are stored.

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

/// How the weights of a frozen model are stored: the base of adapters, the reference of a KL
/// penalty. They are computed with in f32 all the same.
///
/// What is trained stays in f32: an update of a thousandth of a percent would be rounded away in
/// anything shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Four bytes, as they were read.
    #[default]
    F32,
    /// Two bytes, 8 bits of precision. Exact for checkpoints that come in bf16.
    Bf16,
    /// Two bytes, 11 bits of precision, up to 65504. Exact for checkpoints that come in f16.
    F16,
}

impl Precision {
    /// Bytes a weight.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// # Errors
    /// When `device` has no such type.
    pub fn supported(self, device: &Device) -> Result<(), PrecisionError> {
        if device.supports_dtype(self.dtype()) {
            return Ok(());
        }
        Err(PrecisionError {
            precision: self.name(),
        })
    }
}

/// A device that lacks a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory.frozen = {precision:?}: this device has no such type; hint: \"f32\" is had by all, \"f16\" by most GPUs"
)]
pub struct PrecisionError {
    /// The type's name.
    pub precision: &'static str,
}
