//! Weights on disk: where they come from and where they go.
//!
//! | file | subject |
//! |---|---|
//! | [`safetensors`] | Hugging Face checkpoints, sharded or not |
//! | [`gguf`] | GGUF files, quantised or not |
//! | [`writer`] | exports that transformers loads |
//! | [`hub`] | downloads by `owner/model` |
//!
//! Everything here speaks Hugging Face tensor names, shapes and row order in `f32`, and knows no device.

pub mod gguf;
pub mod hub;
mod mapped;
pub mod safetensors;
mod staging;
pub mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::formats::gguf::GgufError;
use gguf::GgufFile;
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
    /// A GGUF file.
    Gguf(GgufFile),
}

impl WeightSource {
    /// Opens the safetensors files of a Hugging Face directory.
    ///
    /// # Errors
    /// See [`SafetensorsDir::open`].
    pub fn open_dir(dir: impl AsRef<Path>) -> Result<Self, WeightError> {
        SafetensorsDir::open(dir).map(Self::Safetensors)
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
            Self::Gguf(file) => file.path(),
        }
    }

    /// The names of all tensors, in file order.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Safetensors(dir) => dir.names(),
            Self::Gguf(file) => file.names(),
        }
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(dir) => dir.shape(name),
            Self::Gguf(file) => file.shape(name),
        }
    }

    /// Reads one tensor as `f32` in Hugging Face row order.
    ///
    /// # Shapes
    /// - returns: `expected_shape`; linear weights are `[out, in]`
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`] with both shapes, or
    /// [`WeightError::UnsupportedType`].
    pub fn read(&self, name: &str, expected_shape: &[usize]) -> Result<HostTensor, WeightError> {
        match self {
            Self::Safetensors(dir) => dir.read(name, expected_shape),
            Self::Gguf(file) => file.read(name, expected_shape),
        }
    }

    /// Compares the checkpoint with the tensors of a model (see [`ModelConfig::tensors`]) without reading any data.
    ///
    /// A tensor that the model does not use is an error, too: a bias that was silently left out would make every answer
    /// wrong. Tensors that repeat what the configuration says (`rotary_emb.inv_freq`, `rope_freqs.weight`, `rope_factors_*.weight`) and the copy
    /// of a tied head are let through.
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
        for (name, shape) in expected {
            let missing = || WeightError::MissingTensor {
                file: self.path().to_path_buf(),
                tensor: name.clone(),
            };
            check_shape(
                self.path(),
                name,
                self.shape(name).ok_or_else(missing)?,
                shape,
            )?;
        }
        let known: HashSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let harmless = |name: &str| {
            name == "lm_head.weight"
                || name == "rope_freqs.weight"
                || matches!(
                    name,
                    "rope_factors_long.weight" | "rope_factors_short.weight"
                )
                || name.ends_with("rotary_emb.inv_freq")
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
    #[error("{}: there is neither model.safetensors nor model.safetensors.index.json", dir.display())]
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
