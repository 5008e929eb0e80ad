//! The weights of a GGUF file (see [`formats::gguf`](crate::formats::gguf)) by their Hugging Face names, in Hugging Face
//! row order, which `names` knows.

mod names;
mod writer;

use std::collections::HashMap;
use std::path::Path;

use super::mapped::MappedFile;
use super::{HostTensor, WeightError, check_shape};
use crate::formats::gguf::{
    BlockType, GgufError, Header, Metadata, TensorInfo, dequantize, parse, type_name,
};
use crate::model::module::RowOrder;

pub use writer::save_gguf;

/// An open GGUF file: metadata in memory, tensors read from the mapped file on demand.
#[derive(Debug)]
pub struct GgufFile {
    file: MappedFile,
    metadata: Metadata,
    tensors: HashMap<String, TensorInfo>,
    order: Vec<String>,
    /// Query and key heads, for the architectures whose converter permutes their rows.
    permuted: Option<Heads>,
}

/// Head counts, needed to undo the row permutation of Llama files.
#[derive(Debug, Clone, Copy)]
struct Heads {
    queries: usize,
    keys: usize,
}

impl GgufFile {
    /// Opens a file and checks its header and that every tensor lies within it.
    ///
    /// # Errors
    /// [`WeightError::Io`] when the file cannot be read, [`WeightError::Gguf`] when it is not GGUF, is cut short or is
    /// corrupt.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightError> {
        let path = path.as_ref();
        let file = MappedFile::open(path)?;
        let wrap = |source| WeightError::Gguf {
            file: path.to_path_buf(),
            source,
        };
        let Header { metadata, tensors } = parse(file.bytes()).map_err(wrap)?;
        let permuted = llama_heads(&metadata).map_err(wrap)?;
        let order = tensors
            .iter()
            .map(|tensor| names::to_hf(&tensor.name))
            .collect();
        let tensors = tensors
            .into_iter()
            .map(|tensor| (names::to_hf(&tensor.name), tensor))
            .collect();
        Ok(Self {
            file,
            metadata,
            tensors,
            order,
            permuted,
        })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The key-value section.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Tensor names in file order, Hugging Face names where there is one and the file's own otherwise.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// The shape of a tensor in Hugging Face order (`[out, in]`), if the file holds it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Reads one tensor as `f32`, in Hugging Face row order.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`], or [`WeightError::UnsupportedType`] for a
    /// quantisation that is not implemented.
    pub fn read(&self, name: &str, expected_shape: &[usize]) -> Result<HostTensor, WeightError> {
        self.read_rows(name, expected_shape, None)
    }

    /// The same of some rows alone, where there are some: runs of as many values as the last size says.
    pub(super) fn read_rows(
        &self,
        name: &str,
        expected_shape: &[usize],
        rows: Option<std::ops::Range<usize>>,
    ) -> Result<HostTensor, WeightError> {
        let path = self.file.path();
        let missing = || WeightError::MissingTensor {
            file: path.to_path_buf(),
            tensor: name.to_string(),
        };
        let info = self.tensors.get(name).ok_or_else(missing)?;
        check_shape(path, name, &info.shape, expected_shape)?;
        let unsupported = || WeightError::UnsupportedType {
            file: path.to_path_buf(),
            tensor: name.to_string(),
            found: type_name(info.type_id),
            supported: BlockType::NAMES,
        };
        let block_type = BlockType::from_id(info.type_id).ok_or_else(unsupported)?;
        let bytes = &self.file.bytes()[info.start..info.end];
        let bytes = super::some_rows(bytes, &info.shape, rows).ok_or_else(missing)?;
        let mut values = dequantize(block_type, bytes);
        if let Some(heads) = self.permuted {
            let row_width = info.shape.get(1).copied().unwrap_or(1);
            let heads = match names::row_order(name) {
                RowOrder::Plain => None,
                RowOrder::Queries => Some(heads.queries),
                RowOrder::Keys => Some(heads.keys),
            };
            if let Some(heads) = heads {
                values = names::undo_permutation(&values, heads, row_width);
            }
        }
        Ok(HostTensor {
            shape: info.shape.clone(),
            values,
        })
    }
}

/// Head counts if the architecture is one whose query and key rows the converter interleaves (only `llama`).
fn llama_heads(metadata: &Metadata) -> Result<Option<Heads>, GgufError> {
    if metadata.text("general.architecture")? != Some("llama") {
        return Ok(None);
    }
    let queries = metadata.required_count("llama.attention.head_count")?;
    let keys = metadata
        .uniform_count("llama.attention.head_count_kv")?
        .unwrap_or(queries);
    Ok(Some(Heads { queries, keys }))
}

#[cfg(test)]
mod tests;
