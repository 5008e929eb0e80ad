//! Weights on disk: where they come from and where they go.
//!
//! | file | subject |
//! |---|---|
//! | [`safetensors`] | Hugging Face checkpoints, sharded or not |
//! | [`pickle`] | Hugging Face checkpoints of `torch.save` |
//! | [`gguf`] | GGUF files, quantised or not |
//! | `experts` | other names of experts, and experts in one tensor |
//! | [`writer`] | exports that transformers loads |
//! | [`hub`] | downloads by `owner/model` |
//!
//! Everything here speaks Hugging Face tensor names, shapes and row order in `f32`, and knows no device.

mod experts;
pub mod gguf;
pub mod hub;
mod mapped;
pub mod pickle;
pub mod safetensors;
mod staging;
pub mod writer;

use std::path::{Path, PathBuf};

use crate::formats::gguf::GgufError;
use crate::model::config::ModelConfig;
use crate::model::names::{EMBEDDING, HEAD};
use gguf::GgufFile;
use pickle::PickleDir;

pub(crate) use experts::written_name;
use safetensors::SafetensorsDir;

/// A tensor in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// A checkpoint that is open for reading. Reads take `&self` and may run on several threads.
#[derive(Debug)]
pub enum WeightSource {
    /// A Hugging Face directory.
    Safetensors(SafetensorsDir),
    /// A Hugging Face directory without safetensors.
    Pickle(PickleDir),
    /// A GGUF file.
    Gguf(GgufFile),
}

impl WeightSource {
    /// Opens the safetensors files of a Hugging Face directory, or where there are none its `pytorch_model.bin`.
    ///
    /// # Errors
    /// See [`SafetensorsDir::open`] and [`PickleDir::open`].
    pub fn open_dir(dir: impl AsRef<Path>) -> Result<Self, WeightError> {
        match SafetensorsDir::open(&dir) {
            Err(WeightError::NoWeights { .. }) => PickleDir::open(dir).map(Self::Pickle),
            opened => opened.map(Self::Safetensors),
        }
    }

    /// Opens a GGUF file.
    ///
    /// # Errors
    /// See [`GgufFile::open`].
    pub fn open_gguf(path: impl AsRef<Path>) -> Result<Self, WeightError> {
        GgufFile::open(path).map(Self::Gguf)
    }

    /// Where the checkpoint lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Safetensors(dir) => dir.path(),
            Self::Pickle(dir) => dir.path(),
            Self::Gguf(file) => file.path(),
        }
    }

    /// The names of all tensors, in file order.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Safetensors(dir) => dir.names(),
            Self::Pickle(dir) => dir.names(),
            Self::Gguf(file) => file.names(),
        }
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// The shape of a tensor, if the file has one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(dir) => dir.shape(name),
            Self::Pickle(dir) => dir.shape(name),
            Self::Gguf(file) => file.shape(name),
        }
    }

    /// Reads one tensor as `f32` in Hugging Face row order, from wherever the file keeps it: experts may have other
    /// names there, or be parts of one tensor.
    ///
    /// # Shapes
    /// - returns: `expected_shape`; linear weights are `[out, in]`
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`] with both shapes, or
    /// [`WeightError::UnsupportedType`].
    pub fn read(&self, name: &str, expected_shape: &[usize]) -> Result<HostTensor, WeightError> {
        let missing = || WeightError::MissingTensor {
            file: self.path().to_path_buf(),
            tensor: name.to_string(),
        };
        let experts::Place {
            name: stored_as,
            part,
        } = experts::place(self, name).ok_or_else(missing)?;
        let stored = self.shape(&stored_as).unwrap_or_default().to_vec();
        let rows = part.map(|part| part.rows(expected_shape.first().copied().unwrap_or(0)));
        let shape = match rows {
            Some(_) => stored,
            None if experts::is_row(&stored, expected_shape) => stored,
            None => expected_shape.to_vec(),
        };
        let read = match self {
            Self::Safetensors(dir) => dir.read_rows(&stored_as, &shape, rows)?,
            Self::Pickle(dir) => {
                let mut whole = dir.read(&stored_as, &shape)?;
                if let Some(rows) = rows {
                    let width = shape.last().copied().unwrap_or(1);
                    let part = whole.values.get(rows.start * width..rows.end * width);
                    whole.values = part.ok_or_else(missing)?.to_vec();
                }
                whole
            }
            Self::Gguf(file) => file.read_rows(&stored_as, &shape, rows)?,
        };
        let shape = expected_shape.to_vec();
        if read.values.len() != shape.iter().product::<usize>() {
            check_shape(self.path(), &stored_as, &read.shape, &shape)?;
        }
        Ok(HostTensor { shape, ..read })
    }

    /// Whether there is a head that is another matrix than the embedding.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn has_own_head(&self, config: &ModelConfig) -> Result<bool, WeightError> {
        let shape = [config.vocab_size, config.hidden_size];
        match self.shape(HEAD) {
            None => Ok(false),
            Some(found) if found != shape => Ok(true),
            Some(_) => match self {
                Self::Safetensors(dir) if dir.same_bytes(HEAD, EMBEDDING) => Ok(false),
                _ => Ok(self.read(HEAD, &shape)?.values != self.read(EMBEDDING, &shape)?.values),
            },
        }
    }

    /// Compares the checkpoint with the tensors of a model (see [`ModelConfig::tensors`]) without reading any data.
    ///
    /// A tensor that the model does not use is an error, too: a bias that was silently left out would make every answer
    /// wrong. Tensors that repeat what the configuration says (`rotary_emb.inv_freq`, `rope_freqs.weight`, `rope_factors_*.weight`), the copy
    /// of a tied head and layers that predict further tokens are let through.
    ///
    /// [`ModelConfig::tensors`]: crate::model::config::ModelConfig::tensors
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`] or [`WeightError::UnexpectedTensors`].
    pub fn verify(&self, expected: &[(String, Vec<usize>)]) -> Result<(), WeightError> {
        self.verify_but(expected, |_| false)
    }

    /// The same, but tensors that `skips` says so of are let through.
    pub(crate) fn verify_but(
        &self,
        expected: &[(String, Vec<usize>)],
        skips: impl Fn(&str) -> bool,
    ) -> Result<(), WeightError> {
        let known = experts::places(self, expected)?;
        let layers = expected.iter().filter_map(|(name, _)| {
            let (layer, _) = name.strip_prefix("model.layers.")?.split_once('.')?;
            layer.parse::<usize>().ok()
        });
        let layers = layers.max().map_or(0, |last| last + 1);
        let harmless = |name: &str| {
            name == "lm_head.weight"
                || name == "rope_freqs.weight"
                || matches!(
                    name,
                    "rope_factors_long.weight" | "rope_factors_short.weight"
                )
                || name.ends_with("rotary_emb.inv_freq")
                || experts::predicts_further(self, layers, name)
                || skips(name)
        };
        let unexpected = self
            .names()
            .iter()
            .filter(|name| !known.contains(name.as_str()) && !harmless(name));
        let mut unexpected: Vec<String> = unexpected.cloned().collect();
        if unexpected.is_empty() {
            return Ok(());
        }
        let count = unexpected.len();
        unexpected.truncate(4);
        Err(WeightError::UnexpectedTensors {
            file: self.path().to_path_buf(),
            count,
            examples: unexpected,
        })
    }
}

/// The bytes of some rows of a tensor of this shape, whose rows have the same number of bytes; without rows, all.
fn some_rows<'a>(
    bytes: &'a [u8],
    shape: &[usize],
    rows: Option<std::ops::Range<usize>>,
) -> Option<&'a [u8]> {
    let Some(rows) = rows else {
        return Some(bytes);
    };
    let (_, outer) = shape.split_last()?;
    let size = bytes.len().checked_div(outer.iter().product())?;
    bytes.get(rows.start * size..rows.end * size)
}

/// Fails with both shapes unless they are equal.
fn check_shape(
    file: &Path,
    tensor: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), WeightError> {
    if found == expected {
        return Ok(());
    }
    Err(WeightError::ShapeMismatch {
        file: file.to_path_buf(),
        tensor: tensor.to_string(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    })
}

/// The directory of a file, for messages.
fn parent(file: &Path) -> String {
    let parent = file.parent().unwrap_or(file);
    parent.display().to_string()
}

/// Why weights could not be read, written or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The operating system refused; a full disk ends here, too.
    #[error("{action} {}: {source}", file.display())]
    Io {
        /// What was tried: "cannot read", "cannot write", …
        action: &'static str,
        /// The file or directory.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A directory without weights that can be read.
    #[error("{}: there is neither model.safetensors nor model.safetensors.index.json, nor pytorch_model.bin", dir.display())]
    NoWeights {
        /// The directory.
        dir: PathBuf,
    },
    /// A shard that the index names is not there.
    #[error("{} names a shard that is missing: {}", index.display(), shard.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The shard.
        shard: PathBuf,
    },
    /// A damaged index.
    #[error("{}: not a safetensors index: {what}", file.display())]
    BadIndex {
        /// The index.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A damaged or truncated safetensors file.
    #[error("{}: damaged safetensors file: {what}", file.display())]
    BadHeader {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What Git LFS leaves in the place of a file that it has not fetched.
    #[error("{}: a Git-LFS pointer, not the file itself{}\nhint: run git lfs pull in its repository, or download the file from the hub", file.display(), size.map(|bytes| format!(", which has {bytes} bytes")).unwrap_or_default())]
    LfsPointer {
        /// The file.
        file: PathBuf,
        /// The size of the file that it stands for, in bytes, if it says so.
        size: Option<u64>,
    },
    /// A file of `torch.save` that is damaged, or holds more than tensors.
    #[error("{}: {what}\nhint: python -c 'from transformers import AutoModelForCausalLM as M; M.from_pretrained(\"{}\").save_pretrained(\"{}\")' writes safetensors", file.display(), parent(file), parent(file))]
    BadPickle {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A damaged, truncated or unsupported GGUF file.
    #[error("{}: {source}", file.display())]
    Gguf {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: GgufError,
    },
    /// A tensor is not there.
    #[error("{}: there is no tensor {tensor}", file.display())]
    MissingTensor {
        /// The file or directory.
        file: PathBuf,
        /// The Hugging Face name.
        tensor: String,
    },
    /// Tensors that the model does not use.
    #[error("{}: {count} tensors do not belong to this architecture, such as {}", file.display(), examples.join(", "))]
    UnexpectedTensors {
        /// The file or directory.
        file: PathBuf,
        /// How many there are.
        count: usize,
        /// The first few.
        examples: Vec<String>,
    },
    /// A tensor of another shape than the model needs.
    #[error("{}: tensor {tensor} has the shape {found:?}, expected {expected:?}", file.display())]
    ShapeMismatch {
        /// The file.
        file: PathBuf,
        /// The Hugging Face name.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the model needs.
        expected: Vec<usize>,
    },
    /// A tensor in a type that is not read.
    #[error("{}: tensor {tensor} is of type {found}; supported: {supported}", file.display())]
    UnsupportedType {
        /// The file.
        file: PathBuf,
        /// The Hugging Face name.
        tensor: String,
        /// The type in the file.
        found: String,
        /// The types that are read.
        supported: &'static str,
    },
    /// An export would replace something.
    #[error("{} already exists and is not an empty directory; choose another path or remove it", dir.display())]
    TargetExists {
        /// The target.
        dir: PathBuf,
    },
    /// The tensors handed to an export are not those of its configuration.
    #[error("export to {}: {what}", dir.display())]
    WrongExport {
        /// The target.
        dir: PathBuf,
        /// Which tensor, and what about it.
        what: String,
    },
    /// A download failed.
    #[error("{repository}: cannot fetch {what}: {reason}\nhint: {hint}")]
    Hub {
        /// `owner/model`.
        repository: String,
        /// The file, or the list of files.
        what: String,
        /// The reason.
        reason: String,
        /// The way out.
        hint: &'static str,
    },
}
