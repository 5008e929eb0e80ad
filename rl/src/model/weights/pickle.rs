//! Checkpoints of `torch.save`: `pytorch_model.bin`, one file or shards behind an index.
//!
//! | file | subject |
//! |---|---|
//! | this one | the tensors of a checkpoint |
//! | `archive` | the zip file that holds them |
//! | `machine` | the pickle that says which tensor lies where |
//!
//! Nothing of a pickle is executed: a reader that knows dictionaries, lists, numbers, texts and tensors goes over it, and
//! anything else that it calls for is an error.

mod archive;
mod machine;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use super::mapped::MappedFile;
use super::safetensors::read_index;
use super::{HostTensor, WeightError, check_shape};
use archive::{Archive, Place};
use machine::{Number, TensorView};

/// The file of an unsharded checkpoint.
pub const SINGLE_FILE: &str = "pytorch_model.bin";
/// The index of a sharded checkpoint.
pub const INDEX_FILE: &str = "pytorch_model.bin.index.json";
/// The types that are read.
const SUPPORTED: &str = "F32, F16, BF16, F64";

/// The open files of a checkpoint directory.
#[derive(Debug)]
pub struct PickleDir {
    dir: PathBuf,
    files: Vec<MappedFile>,
    /// The file of each tensor, and where its storage lies in it.
    tensors: HashMap<String, (usize, Place, TensorView)>,
    order: Vec<String>,
}

impl PickleDir {
    /// Opens `pytorch_model.bin.index.json` with its shards, or else `pytorch_model.bin`.
    ///
    /// # Errors
    /// [`WeightError::NoWeights`] when neither file is there, [`WeightError::MissingShard`], [`WeightError::BadIndex`],
    /// [`WeightError::BadPickle`] for a damaged or cut file, and for one that holds more than tensors.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, WeightError> {
        let dir = dir.as_ref();
        let index = dir.join(INDEX_FILE);
        let single = dir.join(SINGLE_FILE);
        let paths: BTreeSet<PathBuf> = if index.is_file() {
            let map = read_index(&index)?;
            map.into_iter().map(|(_, file)| dir.join(file)).collect()
        } else if single.is_file() {
            [single].into()
        } else {
            return Err(WeightError::NoWeights {
                dir: dir.to_path_buf(),
            });
        };
        let mut found = Self {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            tensors: HashMap::new(),
            order: Vec::new(),
        };
        for path in paths {
            if !path.is_file() {
                return Err(WeightError::MissingShard { index, shard: path });
            }
            let file = MappedFile::open(&path)?;
            let bad = |what: String| WeightError::BadPickle {
                file: path.clone(),
                what,
            };
            let number = found.files.len();
            for (name, place, view) in tensors(file.bytes()).map_err(bad)? {
                found.order.push(name.clone());
                found.tensors.insert(name, (number, place, view));
            }
            found.files.push(file);
        }
        Ok(found)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Tensor names, in the order of the files.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, _, view)| &view.shape[..])
    }

    /// Reads one tensor as `f32`.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`], or [`WeightError::UnsupportedType`] for anything but
    /// F32, F16, BF16 and F64.
    pub fn read(&self, name: &str, expected_shape: &[usize]) -> Result<HostTensor, WeightError> {
        let missing = || WeightError::MissingTensor {
            file: self.dir.clone(),
            tensor: name.to_string(),
        };
        let (file, place, view) = self.tensors.get(name).ok_or_else(missing)?;
        let file = &self.files[*file];
        check_shape(file.path(), name, &view.shape, expected_shape)?;
        let bytes = &file.bytes()[place.start..place.end];
        let values = match &view.number {
            Number::F32 => gather(view, bytes, |&b: &[u8; 4]| f32::from_le_bytes(b)),
            Number::F16 => gather(view, bytes, |&b: &[u8; 2]| f16::from_le_bytes(b).to_f32()),
            Number::Bf16 => gather(view, bytes, |&b: &[u8; 2]| bf16::from_le_bytes(b).to_f32()),
            Number::F64 => gather(view, bytes, |&b: &[u8; 8]| f64::from_le_bytes(b) as f32),
            Number::Other(kind) => {
                return Err(WeightError::UnsupportedType {
                    file: file.path().to_path_buf(),
                    tensor: name.to_string(),
                    found: kind.clone(),
                    supported: SUPPORTED,
                });
            }
        };
        let values = values.ok_or_else(|| WeightError::BadPickle {
            file: file.path().to_path_buf(),
            what: format!("tensor {name} reaches beyond its storage"),
        })?;
        Ok(HostTensor {
            shape: view.shape.clone(),
            values,
        })
    }
}

/// The tensors of a file: name, where the storage lies, and what of it.
fn tensors(bytes: &[u8]) -> Result<Vec<(String, Place, TensorView)>, String> {
    let archive = Archive::open(bytes)?;
    let order = archive
        .find("byteorder")
        .map(|place| &bytes[place.start..place.end]);
    if order.is_some_and(|order| order != b"little") {
        return Err("its numbers are big-endian, which is not read".to_owned());
    }
    let pickle = archive
        .find("data.pkl")
        .ok_or_else(|| "there is no data.pkl in it".to_owned())?;
    let named = machine::tensors(&bytes[pickle.start..pickle.end])?;
    named
        .into_iter()
        .map(|(name, view)| {
            let place = archive.find(&format!("data/{}", view.storage));
            let place = place.ok_or_else(|| format!("the storage of {name} is missing"))?;
            Ok((name, place, view))
        })
        .collect()
}

/// The values of a tensor in row-major order; `None` if one is outside of the storage.
fn gather<const N: usize>(
    view: &TensorView,
    bytes: &[u8],
    value: impl Fn(&[u8; N]) -> f32,
) -> Option<Vec<f32>> {
    let stored = bytes.as_chunks::<N>().0;
    let TensorView {
        shape,
        strides,
        offset,
        ..
    } = view;
    let count = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size))?;
    if count == 0 {
        return Some(Vec::new());
    }
    let mut contiguous = 1;
    let rows = shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == contiguous;
        contiguous *= size;
        fits
    });
    if rows {
        let all = stored.get(*offset..offset.checked_add(count)?)?;
        return Some(all.iter().map(value).collect());
    }
    // A storage is never shorter than what is seen of it, but for repeated rows, which are few in a model.
    if count > stored.len().checked_mul(1 << 10)? {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    let mut place = vec![0; shape.len()];
    for _ in 0..count {
        let steps = place.iter().zip(strides);
        let at = steps.fold(0usize, |at, (&index, &stride): (&usize, &usize)| {
            at.saturating_add(index.saturating_mul(stride))
        });
        values.push(value(stored.get(offset.checked_add(at)?)?));
        for (index, &size) in place.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests;
