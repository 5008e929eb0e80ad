//! The weights of a GGUF file (see [`formats::gguf`](crate::formats::gguf)) by their Hugging Face names, in Hugging Face
//! row order, which `names` knows.

mod latent;
mod names;
mod writer;

use std::collections::HashMap;
use std::path::Path;

use self::latent::Split;
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
    /// Matrices that the file has in two parts.
    split: HashMap<String, Split>,
    /// Query and key heads, for the architectures whose converter permutes their rows.
    permuted: Option<Heads>,
    /// What norm weights have had added to them by the converter.
    norm_offset: f32,
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
        let architecture = metadata.text("general.architecture").map_err(wrap)?;
        let architecture = architecture.unwrap_or_default();
        let named = |tensor: &TensorInfo| names::to_hf(architecture, &tensor.name);
        let mut order: Vec<String> = tensors.iter().map(named).collect();
        let mut tensors: HashMap<String, TensorInfo> = tensors
            .into_iter()
            .map(|tensor| (named(&tensor), tensor))
            .collect();
        let split = latent::take_split(&mut tensors, &mut order);
        // The converter of Gemma adds the 1 that its norms add.
        let norm_offset = if architecture == "gemma3" { 1.0 } else { 0.0 };
        Ok(Self {
            file,
            metadata,
            tensors,
            order,
            split,
            permuted,
            norm_offset,
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
        match self.split.get(name) {
            Some(split) => Some(&split.shape),
            None => self.tensors.get(name).map(|tensor| tensor.shape.as_slice()),
        }
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
        if let Some(split) = self.split.get(name) {
            check_shape(path, name, &split.shape, expected_shape)?;
            let part = |info| self.values(name, info, None);
            return Ok(split.joined(&part(&split.key)?, &part(&split.value)?));
        }
        let info = self.tensors.get(name).ok_or_else(missing)?;
        check_shape(path, name, &info.shape, expected_shape)?;
        let mut values = self.values(name, info, rows)?;
        if self.norm_offset != 0.0 && name.ends_with("norm.weight") {
            values.iter_mut().for_each(|x| *x -= self.norm_offset);
        }
        Ok(HostTensor {
            shape: info.shape.clone(),
            values: self.in_order(name, info, values),
        })
    }

    /// The values of a tensor, or of some of its rows, as the file has them.
    fn values(
        &self,
        name: &str,
        info: &TensorInfo,
        rows: Option<std::ops::Range<usize>>,
    ) -> Result<Vec<f32>, WeightError> {
        let path = self.file.path();
        let unsupported = || WeightError::UnsupportedType {
            file: path.to_path_buf(),
            tensor: name.to_string(),
            found: type_name(info.type_id),
            supported: BlockType::NAMES,
        };
        let block_type = BlockType::from_id(info.type_id).ok_or_else(unsupported)?;
        let bytes = &self.file.bytes()[info.start..info.end];
        let bytes = super::some_rows(bytes, &info.shape, rows).ok_or_else(|| {
            WeightError::MissingTensor {
                file: path.to_path_buf(),
                tensor: name.to_string(),
            }
        })?;
        Ok(dequantize(block_type, bytes))
    }

    /// Rows in Hugging Face order.
    fn in_order(&self, name: &str, info: &TensorInfo, values: Vec<f32>) -> Vec<f32> {
        let Some(heads) = self.permuted else {
            return values;
        };
        let row_width = info.shape.get(1).copied().unwrap_or(1);
        match names::row_order(name) {
            RowOrder::Plain => values,
            RowOrder::Queries => names::undo_permutation(&values, heads.queries, row_width),
            RowOrder::Keys => names::undo_permutation(&values, heads.keys, row_width),
        }
    }
}

/// The architectures whose query and key rows the converter interleaves.
const INTERLEAVED: [&str; 4] = ["llama", "granite", "granitemoe", "smollm3"];

/// Head counts if the architecture is one of these.
fn llama_heads(metadata: &Metadata) -> Result<Option<Heads>, GgufError> {
    let architecture = metadata.text("general.architecture")?;
    let Some(architecture) = architecture.filter(|name| INTERLEAVED.contains(name)) else {
        return Ok(None);
    };
    let queries = metadata.required_count(&format!("{architecture}.attention.head_count"))?;
    let keys = metadata
        .uniform_count(&format!("{architecture}.attention.head_count_kv"))?
        .unwrap_or(queries);
    Ok(Some(Heads { queries, keys }))
}

#[cfg(test)]
mod tests;
