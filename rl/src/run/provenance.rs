//! Where what a run was made of came from: models, teachers and data, each with the files that were there when the run began,
//! their hashes, and the licence that their cards name.
//!
//! Whether one may train on a thing is for people to say; this is so that they can see what it was.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::RunError;
use crate::{
    bundle::{checkpoints, expand},
    config::RunConfig,
    model::weights::{gguf::GgufFile, hub},
};

/// The file in a run's directory.
pub const FILE: &str = "provenance.json";
/// What is said of a licence that nothing names.
pub const UNKNOWN: &str = "unknown";

/// Where everything came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Provenance {
    /// The program that began the run.
    pub made_with: String,
    /// Models, teachers and data, in the order of the config.
    pub sources: Vec<Source>,
}

/// A model or a data set that the config names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Source {
    /// The setting that names it, such as `model.path`.
    pub key: String,
    /// Its value: a path, or a name on the hub.
    pub spec: String,
    /// The commit on the hub, where it is from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The licence as its card or its file names it, or `unknown`.
    pub license: String,
    /// Its files; a directory's are those of weights and tokenizer.
    pub files: Vec<FileRecord>,
}

/// A file as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FileRecord {
    /// Its name, without its directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Provenance {
    /// What a run of `config` is made of, as it is there now.
    ///
    /// # Errors
    /// When a file that is there cannot be read, or an environment variable is not set.
    pub fn of(config: &RunConfig) -> Result<Self, RunError> {
        let table = Table::try_from(config).unwrap_or_default();
        let mut named = Vec::new();
        for (key, value) in &table {
            texts(key, value, &mut named);
        }
        let mut sources = Vec::new();
        for (key, text) in named {
            sources.extend(Source::of(key, &text)?);
        }
        Ok(Self {
            made_with: format!("dunwu {}", env!("CARGO_PKG_VERSION")),
            sources,
        })
    }

    /// Reads what a run has written down; `None` for a run that has not.
    pub fn read(run: &Path) -> Option<Self> {
        let text = fs::read_to_string(run.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Every text in a config, by its dotted key.
fn texts(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((key.to_owned(), text.clone())),
        Value::Table(table) => {
            for (inner, value) in table {
                texts(&format!("{key}.{inner}"), value, found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                texts(&format!("{key}.{index}"), value, found);
            }
        }
        _ => {}
    }
}

impl Source {
    /// What a setting names, if it names a file, a model's directory, a run, or something on the hub.
    fn of(key: String, text: &str) -> Result<Option<Self>, RunError> {
        let last = key.rsplit('.').find(|part| part.parse::<usize>().is_err());
        let names_source = last.is_some_and(|last| {
            [
                "path", "file", "files", "model", "teacher", "dataset", "adapter", "url",
            ]
            .contains(&last)
                || last.ends_with("_file")
                || last.ends_with("_path")
                || last.ends_with("_model")
        });
        if !names_source {
            return Ok(None);
        }
        let spec = expand(&key, text)?;
        if key.ends_with(".teacher.url") {
            // What answers there is not ours to look into: its address is all that is known.
            return Ok(Some(Self {
                key,
                spec,
                license: UNKNOWN.to_owned(),
                ..Self::default()
            }));
        }
        let path = PathBuf::from(&spec);
        let mut source = Self {
            key,
            license: UNKNOWN.to_owned(),
            spec,
            ..Self::default()
        };
        if path.is_file() {
            source.files.push(FileRecord::of(&path)?);
            source.name_license(license_of_gguf(&path));
        } else if path.is_dir() {
            let last = checkpoints::latest(&path).ok().flatten();
            let model = last.map_or(path, |last| last.join(checkpoints::MODEL));
            source.add_directory(&model)?;
        } else if hub::is_hub_name(&source.spec) {
            if let Some(directory) = hub::located(&source.spec) {
                let commit = directory.file_name();
                source.revision = commit.map(|name| name.to_string_lossy().into_owned());
                source.add_directory(&directory)?;
            }
        } else {
            return Ok(None);
        }
        Ok(Some(source))
    }

    fn add_directory(&mut self, directory: &Path) -> Result<(), RunError> {
        let entries = fs::read_dir(directory).map_err(RunError::file(directory))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let kinds = [".safetensors", ".bin", ".model", ".jinja"];
            let described = ["config.json", "tokenizer.json", "tokenizer_config.json"];
            if kinds.iter().any(|kind| name.ends_with(kind)) || described.contains(&&*name) {
                self.files.push(FileRecord::of(&path)?);
            }
        }
        let card = fs::read_to_string(directory.join("README.md")).ok();
        self.name_license(card.and_then(|card| license_of_card(&card)));
        Ok(())
    }

    fn name_license(&mut self, license: Option<String>) {
        if let Some(license) = license {
            self.license = license;
        }
    }
}

impl FileRecord {
    fn of(path: &Path) -> Result<Self, RunError> {
        let failed = || RunError::file(path);
        let mut file = File::open(path).map_err(failed())?;
        let bytes = file.metadata().map_err(failed())?.len();
        let name = path.file_name().unwrap_or_default();
        // The hub's cache names large files by their hash.
        let sha256 = match fs::read_link(path)
            .ok()
            .and_then(|link| hash_in_name(&link))
        {
            Some(hash) => hash,
            None => {
                let mut hash = Sha256::new();
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let count = file.read(&mut buffer).map_err(failed())?;
                    if count == 0 {
                        break format!("{:x}", hash.finalize());
                    }
                    hash.update(&buffer[..count]);
                }
            }
        };
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            bytes,
            sha256,
        })
    }
}

fn hash_in_name(link: &Path) -> Option<String> {
    let name = link.file_name()?.to_str()?;
    let is_hash = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| name.to_owned())
}

/// `license: …` of a model card's front matter; `license_name` where that is `other`.
fn license_of_card(card: &str) -> Option<String> {
    let front = card.strip_prefix("---")?.split_once("\n---")?.0;
    let field = |name: &str| {
        let value = front.lines().find_map(|line| line.strip_prefix(name))?;
        let value = value.trim_matches([' ', '\t', '\r', '"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    let license = field("license:")?;
    match field("license_name:") {
        Some(name) if license == "other" => Some(name),
        _ => Some(license),
    }
}

fn license_of_gguf(path: &Path) -> Option<String> {
    if path.extension()? != "gguf" {
        return None;
    }
    let file = GgufFile::open(path).ok()?;
    let license = file.metadata().text("general.license").ok().flatten()?;
    Some(license.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recorded_with_its_hash_and_a_directory_with_its_licence() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data.jsonl");
        fs::write(&data, "abc").unwrap();
        let source = Source::of("data.file".to_owned(), data.to_str().unwrap())
            .unwrap()
            .unwrap();
        // sha256sum of "abc" (FIPS 180-2, appendix B.1)
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected = FileRecord {
            name: "data.jsonl".to_owned(),
            bytes: 3,
            sha256: hash.to_owned(),
        };
        assert_eq!(
            (source.files, source.license.as_str()),
            (vec![expected], UNKNOWN)
        );

        let model = dir.path().join("model");
        fs::create_dir(&model).unwrap();
        fs::write(model.join("config.json"), "{}").unwrap();
        fs::write(model.join("notes.txt"), "no part of it").unwrap();
        fs::write(
            model.join("README.md"),
            "---\nlicense: \"apache-2.0\"\ntags: [a]\n---\n# A model\n",
        )
        .unwrap();
        let source = Source::of("model.path".to_owned(), model.to_str().unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(source.license, "apache-2.0");
        assert_eq!(source.files.len(), 1);

        let url = "http://localhost:8000".to_owned();
        let source = Source::of("stages.1.teacher.url".to_owned(), &url);
        let source = source.unwrap().unwrap();
        assert_eq!((source.spec, source.license.as_str()), (url, UNKNOWN));

        for (key, text) in [
            ("reward.rubric.0.kind", "file"),
            ("model.source", "pretrained"),
            ("data.file", "no/such/file.jsonl"),
        ] {
            assert_eq!(Source::of(key.to_owned(), text).unwrap(), None, "{key}");
        }
    }

    #[test]
    fn licences_are_those_that_cards_name() {
        for (card, expected) in [
            ("---\nlicense: mit\n---\n", Some("mit")),
            ("---\r\nlicense: mit\r\n---\r\n", Some("mit")),
            (
                "---\nlicense: other\nlicense_name: llama3.2\n---\n",
                Some("llama3.2"),
            ),
            ("---\nlicense:\n---\n", None),
            ("# No front matter\nlicense: mit\n", None),
        ] {
            assert_eq!(license_of_card(card).as_deref(), expected, "{card:?}");
        }
    }
}
