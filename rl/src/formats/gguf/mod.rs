//! GGUF files: one model in one file, often quantised.
//!
//! | file | subject |
//! |---|---|
//! | [`metadata`] | the key-value section |
//! | `reader` | parsing, with every length checked against the file |
//! | `cursor` | the checked reads |
//! | `dequantize` | blocks to `f32` |
//! | `writer` | files that are written |
//!
//! The layout follows the specification in `docs/gguf.md` of the ggml project. Versions 2 and 3, little-endian. What the
//! tensors of a model are called here, and the order of their rows, is the business of
//! [`model::weights::gguf`](crate::model::weights::gguf).

mod cursor;
mod dequantize;
pub mod metadata;
mod reader;
mod writer;

pub use metadata::{Metadata, MetadataArray, MetadataValue};
pub use reader::GgufError;
pub use writer::Stored;

pub(crate) use dequantize::{BlockType, dequantize};
pub(crate) use reader::{Header, TensorInfo, parse, type_name};
pub(crate) use writer::{Listed, header};
