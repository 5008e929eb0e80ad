//! Safetensors checkpoints: one file, or shards behind an index.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use super::mapped::MappedFile;
use super::{HostTensor, WeightError, check_shape};

/// The file of an unsharded checkpoint.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The index of a sharded checkpoint.
pub const INDEX_FILE: &str = "model.safetensors.index.json";
/// The types that are read.
const SUPPORTED: &str = "F32, F16, BF16";

/// The open shards of a checkpoint directory.
#[derive(Debug)]
pub struct SafetensorsDir {
    dir: PathBuf,
    shards: Vec<Shard>,
    /// The shard of each tensor.
    places: HashMap<String, usize>,
    order: Vec<String>,
}

#[derive(Debug)]
struct Shard {
    file: MappedFile,
    metadata: Metadata,
    /// Where the data section starts.
    data_start: usize,
}

impl SafetensorsDir {
    /// Opens `model.safetensors.index.json` with its shards, or else `model.safetensors`, and checks every header.
    ///
    /// # Errors
    /// [`WeightError::NoWeights`] when neither file is there, [`WeightError::MissingShard`], [`WeightError::BadIndex`],
    /// [`WeightError::BadHeader`] for a damaged or truncated file, [`WeightError::MissingTensor`] for a shard without a
    /// tensor that the index promises.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, WeightError> {
        let dir = dir.as_ref();
        let index = dir.join(INDEX_FILE);
        if index.is_file() {
            return Self::open_sharded(dir, &index);
        }
        let single = dir.join(SINGLE_FILE);
        if !single.is_file() {
            return Err(WeightError::NoWeights {
                dir: dir.to_path_buf(),
            });
        }
        let shard = Shard::open(&single)?;
        let order = shard.metadata.offset_keys();
        let places = order.iter().map(|name| (name.clone(), 0)).collect();
        Ok(Self {
            dir: dir.to_path_buf(),
            shards: vec![shard],
            places,
            order,
        })
    }

    fn open_sharded(dir: &Path, index: &Path) -> Result<Self, WeightError> {
        let weight_map = read_index(index)?;
        let files: BTreeSet<&String> = weight_map.iter().map(|(_, file)| file).collect();
        let mut shards = Vec::new();
        let mut numbers = HashMap::new();
        for file in files {
            let path = dir.join(file);
            if !path.is_file() {
                return Err(WeightError::MissingShard {
                    index: index.to_path_buf(),
                    shard: path,
                });
            }
            numbers.insert(file.clone(), shards.len());
            shards.push(Shard::open(&path)?);
        }
        let mut places = HashMap::new();
        let mut order = Vec::new();
        for (tensor, file) in &weight_map {
            let number = numbers[file];
            if shards[number].metadata.info(tensor).is_none() {
                return Err(WeightError::MissingTensor {
                    file: dir.join(file),
                    tensor: tensor.clone(),
                });
            }
            places.insert(tensor.clone(), number);
            order.push(tensor.clone());
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            shards,
            places,
            order,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Tensor names, in the order of the file or of the index.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let shard = &self.shards[*self.places.get(name)?];
        shard.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// Whether two tensors have the same type and shape, and the same bytes.
    pub(super) fn same_bytes(&self, a: &str, b: &str) -> bool {
        let raw = |name: &str| {
            let shard = &self.shards[*self.places.get(name)?];
            let info = shard.metadata.info(name)?;
            let (start, end) = info.data_offsets;
            let data = &shard.file.bytes()[shard.data_start..];
            Some((info.dtype, &info.shape, data.get(start..end)?))
        };
        raw(a).is_some_and(|a| raw(b) == Some(a))
    }

    /// Reads one tensor as `f32`.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::ShapeMismatch`], or [`WeightError::UnsupportedType`] for anything
    /// but F32, F16 and BF16.
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
        let missing = || WeightError::MissingTensor {
            file: self.dir.clone(),
            tensor: name.to_string(),
        };
        let shard = &self.shards[*self.places.get(name).ok_or_else(missing)?];
        let path = shard.file.path();
        let info = shard.metadata.info(name).ok_or_else(missing)?;
        check_shape(path, name, &info.shape, expected_shape)?;
        let (start, end) = info.data_offsets;
        let data = &shard.file.bytes()[shard.data_start..];
        let bytes = data.get(start..end).ok_or_else(missing)?; // the header check makes this impossible
        let bytes = super::some_rows(bytes, &info.shape, rows).ok_or_else(missing)?;
        let values = match info.dtype {
            Dtype::F32 => convert(bytes, |&b: &[u8; 4]| f32::from_le_bytes(b)),
            Dtype::F16 => convert(bytes, |&b: &[u8; 2]| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => convert(bytes, |&b: &[u8; 2]| bf16::from_le_bytes(b).to_f32()),
            other => {
                return Err(WeightError::UnsupportedType {
                    file: path.to_path_buf(),
                    tensor: name.to_string(),
                    found: format!("{other:?}"),
                    supported: SUPPORTED,
                });
            }
        };
        Ok(HostTensor {
            shape: info.shape.clone(),
            values,
        })
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self, WeightError> {
        let file = MappedFile::open(path)?;
        // `read_metadata` checks offsets against shapes and types; the length of the data section is checked here.
        let bad = |what: String| WeightError::BadHeader {
            file: path.to_path_buf(),
            what,
        };
        let (header_bytes, metadata) =
            SafeTensors::read_metadata(file.bytes()).map_err(|error| bad(error.to_string()))?;
        let data_start = header_bytes + size_of::<u64>();
        let expected = data_start.saturating_add(metadata.data_len());
        if file.bytes().len() != expected {
            let found = file.bytes().len();
            return Err(bad(format!(
                "the file has {found} bytes, its header describes {expected}"
            )));
        }
        Ok(Self {
            file,
            metadata,
            data_start,
        })
    }
}

/// Converts little-endian values of `N` bytes.
fn convert<const N: usize>(bytes: &[u8], value: impl Fn(&[u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(value).collect()
}

/// The pairs (tensor, shard file) of an index, in file order.
///
/// # Errors
/// [`WeightError::BadIndex`] for anything but plain file names, so an index cannot point out of its directory.
pub(super) fn read_index(index: &Path) -> Result<Vec<(String, String)>, WeightError> {
    let bad = |what: String| WeightError::BadIndex {
        file: index.to_path_buf(),
        what,
    };
    let wrap = |source| WeightError::Io {
        action: "cannot read",
        file: index.to_path_buf(),
        source,
    };
    let text = std::fs::read_to_string(index).map_err(wrap)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let map = json
        .get("weight_map")
        .and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| bad("there is no object \"weight_map\"".to_string()))?;
    map.iter()
        .map(|(tensor, shard)| {
            let name = shard
                .as_str()
                .ok_or_else(|| bad(format!("the shard of {tensor} is not a string: {shard}")))?;
            if Path::new(name).file_name().and_then(|file| file.to_str()) != Some(name) {
                return Err(bad(format!(
                    "the shard of {tensor} is {name:?}, not a plain file name"
                )));
            }
            Ok((tensor.clone(), name.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a header and as many bytes of data.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn sample() -> Vec<u8> {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]},"c":{"dtype":"BF16","shape":[],"data_offsets":[12,14]},"d":{"dtype":"I16","shape":[1],"data_offsets":[14,16]}}"#;
        let mut data: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        data.extend(
            [0.5, -8.0]
                .iter()
                .flat_map(|&value| f16::from_f32(value).to_le_bytes()),
        );
        data.extend(bf16::from_f32(3.0).to_le_bytes());
        data.extend([0, 0]);
        file(header, &data)
    }

    fn dir(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    fn error(files: &[(&str, &[u8])]) -> String {
        SafetensorsDir::open(dir(files).path())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn three_types_are_read_and_others_named() {
        let dir = dir(&[(SINGLE_FILE, &sample())]);
        let source = SafetensorsDir::open(dir.path()).unwrap();
        assert_eq!(source.names(), ["a", "b", "c", "d"]);
        assert_eq!(source.read("a", &[2]).unwrap().values, [1.5, -2.0]);
        assert_eq!(source.read("b", &[1, 2]).unwrap().values, [0.5, -8.0]);
        assert_eq!(source.read("c", &[]).unwrap().values, [3.0]);
        let message =
            |name: &str, shape: &[usize]| source.read(name, shape).unwrap_err().to_string();
        assert!(
            message("d", &[1])
                .ends_with("model.safetensors: tensor d is of type I16; supported: F32, F16, BF16")
        );
        assert!(message("a", &[1, 2]).ends_with("tensor a has the shape [2], expected [1, 2]"));
        assert!(message("e", &[]).ends_with("there is no tensor e"));
    }

    #[test]
    fn shards_are_found_through_the_index() {
        let index = br#"{"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}"#;
        let whole = dir(&[
            (INDEX_FILE, index),
            ("one.safetensors", &sample()),
            ("two.safetensors", &sample()),
        ]);
        let source = SafetensorsDir::open(whole.path()).unwrap();
        assert_eq!(source.names(), ["b", "a"]);
        assert_eq!(source.read("a", &[2]).unwrap().values, [1.5, -2.0]);
        let missing = error(&[(INDEX_FILE, index), ("one.safetensors", &sample())]);
        assert!(
            missing.contains("names a shard that is missing")
                && missing.ends_with("two.safetensors"),
            "{missing}"
        );
        let promised = br#"{"weight_map":{"x":"one.safetensors"}}"#;
        let promised = error(&[(INDEX_FILE, promised), ("one.safetensors", &sample())]);
        assert!(
            promised.ends_with("one.safetensors: there is no tensor x"),
            "{promised}"
        );
    }

    #[test]
    fn an_index_cannot_point_out_of_its_directory() {
        for shard in [
            "../other.safetensors",
            "/etc/passwd",
            "sub/one.safetensors",
            "..",
            "",
        ] {
            let index = format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#);
            let message = error(&[(INDEX_FILE, index.as_bytes())]);
            assert!(
                message.ends_with(&format!(
                    "the shard of a is {shard:?}, not a plain file name"
                )),
                "{message}"
            );
        }
        assert!(error(&[(INDEX_FILE, b"{}")]).ends_with("there is no object \"weight_map\""));
        assert!(error(&[]).contains("neither model.safetensors nor model.safetensors.index.json"));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            let message = error(&[(SINGLE_FILE, &whole[..length])]);
            assert!(message.contains("model.safetensors"), "{length}: {message}");
        }
        let mut longer = whole;
        longer.push(0);
        assert!(error(&[(SINGLE_FILE, &longer)]).contains("damaged safetensors file"));
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let whole = sample();
        for at in 0..whole.len() {
            for flip in [0x01, 0x10, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let dir = dir(&[(SINGLE_FILE, &damaged)]);
                let Ok(source) = SafetensorsDir::open(dir.path()) else {
                    continue;
                };
                for name in source.names() {
                    let shape = source.shape(name).unwrap().to_vec();
                    // A flipped type may still read; what counts is that nothing panics.
                    let _ = source.read(name, &shape);
                }
            }
        }
    }
}
