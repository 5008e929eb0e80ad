//! Which files make a data set: one, those of a directory, or those of a repository on the hub.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;

/// How deep directories are searched for shards.
const DEPTH: usize = 4;
/// Names of files beside data that are no data.
const BESIDE: [&str; 6] = [
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "package.json",
    "config.json",
];
/// Words for a split in the names of files and directories.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];
/// The subset and the split of files that name none.
const DEFAULT: &str = "default";
const TRAIN: &str = "train";

/// A part of a data set with several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Part {
    /// One of several data sets in one place, which the hub calls a subset or a config, such as `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// A split, such as `train`, which is also what is taken of several when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

impl Part {
    /// This split of this subset; of the only one, or of that called `train`, where none is named.
    pub fn new(subset: Option<String>, split: Option<String>) -> Self {
        Self { subset, split }
    }

    /// Whether anything is named.
    pub fn is_named(&self) -> bool {
        self.subset.is_some() || self.split.is_some()
    }
}

/// The files of a data set, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFiles {
    origin: String,
    paths: Vec<PathBuf>,
}

impl DataFiles {
    /// These files, in this order, of what is called `origin` in messages.
    pub fn new(origin: impl Into<String>, paths: Vec<PathBuf>) -> Self {
        let origin = origin.into();
        Self { origin, paths }
    }

    /// One file.
    pub fn one(path: &Path) -> Self {
        Self::new(path.display().to_string(), vec![path.to_owned()])
    }

    /// The file at `path`, or the shards in the directory there, by name.
    ///
    /// # Errors
    /// [`DatasetError::Files`] if a directory has no files of data, or they are of several subsets or kinds and `part` does
    /// not choose; also if `part` names something of a single file, or something that is not there.
    pub fn find(path: &Path, part: &Part) -> Result<Self, DatasetError> {
        if !path.is_dir() {
            if part.is_named() && path.exists() {
                let reason = "is one file, of which no subset or split can be named; hint: name the file of the split";
                return Err(files_error(&path.display().to_string(), reason));
            }
            return Ok(Self::one(path));
        }
        let mut names = Vec::new();
        walk(path, "", DEPTH, &mut names).map_err(|error| DatasetError::Io {
            path: path.to_owned(),
            error,
        })?;
        let origin = path.display().to_string();
        let chosen = Self::choose(&origin, &names, part)?;
        let paths = chosen.iter().map(|name| path.join(name)).collect();
        Ok(Self::new(origin, paths))
    }

    /// The names among `names` that make the part of the data set `origin`, sorted. Names are paths with `/`, and say what they
    /// are as they do on the hub: `main/train-00000-of-00002.parquet`, `data/test.jsonl`.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn choose(
        origin: &str,
        names: &[String],
        part: &Part,
    ) -> Result<Vec<String>, DatasetError> {
        let mut data: Vec<Named> = names.iter().filter_map(|name| Named::of(name)).collect();
        if data.is_empty() {
            return Err(files_error(origin, &without_data(names)));
        }
        data.sort_by(|a, b| a.name.cmp(&b.name));
        let subsets: BTreeSet<String> = data.iter().map(|file| file.subset.clone()).collect();
        let subset = pick(origin, "subset", part.subset.as_deref(), &subsets, DEFAULT)?;
        data.retain(|file| file.subset == subset);
        let splits: BTreeSet<String> = data.iter().map(|file| file.split.clone()).collect();
        let split = pick(origin, "split", part.split.as_deref(), &splits, TRAIN)?;
        data.retain(|file| file.split == split);
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        for file in &data {
            kinds.entry(file.kind).or_insert(&file.name);
        }
        if kinds.len() > 1 {
            let examples: Vec<&str> = kinds.into_values().collect();
            let reason = format!(
                "has files of several kinds: {}; hint: name one file, or a directory with one kind",
                examples.join(", ")
            );
            return Err(files_error(origin, &reason));
        }
        check_shards(origin, &split, &data)?;
        Ok(data.into_iter().map(|file| file.name).collect())
    }

    /// What the data set is called in messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

/// A file of data and what its name says.
struct Named {
    name: String,
    kind: &'static str,
    subset: String,
    split: String,
    /// How many shards there are, if it is one of several.
    shards: Option<usize>,
}

impl Named {
    fn of(name: &str) -> Option<Self> {
        let (dirs, file) = match name.rsplit_once('/') {
            Some((dirs, file)) => (dirs.split('/').collect(), file),
            None => (Vec::new(), name),
        };
        let hidden = |part: &&str| part.starts_with(['.', '_']);
        if hidden(&file) || dirs.iter().any(hidden) || BESIDE.contains(&file) {
            return None;
        }
        let lower = file.to_lowercase();
        let (stem, kind) = stem_and_kind(&lower)?;
        // The hub has names as they are written, such as `train_sft`.
        let stem = &file[..stem.len()];
        let by_dir = |dir: &&str| split_word(dir);
        let (by_stem, shards) = split_of_stem(stem);
        let split = by_stem
            .or_else(|| dirs.iter().rev().find_map(by_dir).map(str::to_owned))
            .unwrap_or_else(|| TRAIN.to_owned());
        let subset: Vec<&str> = dirs
            .into_iter()
            .filter(|dir| *dir != "data" && by_dir(dir).is_none())
            .collect();
        let subset = if subset.is_empty() {
            DEFAULT.to_owned()
        } else {
            subset.join("/")
        };
        Some(Self {
            name: name.to_owned(),
            kind,
            subset,
            split,
            shards,
        })
    }
}

/// Sees to it that all shards are there that the files' names speak of.
fn check_shards(origin: &str, split: &str, files: &[Named]) -> Result<(), DatasetError> {
    let count = |shards: usize| {
        files
            .iter()
            .filter(|file| file.shards == Some(shards))
            .count()
    };
    let said: BTreeSet<usize> = files.iter().filter_map(|file| file.shards).collect();
    match said.into_iter().find(|&shards| count(shards) < shards) {
        None => Ok(()),
        Some(shards) => {
            let there = count(shards);
            let reason = format!(
                "has {there} of {shards} shards of the split {split}; hint: fetch the others too"
            );
            Err(files_error(origin, &reason))
        }
    }
}

/// The name of a file without its endings, and its kind, if it is one of data.
fn stem_and_kind(name: &str) -> Option<(&str, &'static str)> {
    let name = [".gz", ".gzip", ".zst", ".zstd"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    let (stem, ending) = name.rsplit_once('.')?;
    let kind = match ending {
        "jsonl" | "json" | "ndjson" => "JSON",
        "csv" | "tsv" => "CSV",
        "parquet" | "pq" => "Parquet",
        _ => return None,
    };
    Some((stem, kind))
}

/// The split that a file's name says, and of how many shards it is one: what stands before the numbers of a shard, as the hub has
/// it, or a word for a split.
fn split_of_stem(stem: &str) -> (Option<String>, Option<usize>) {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = stem.split('-').collect();
    let shard = parts
        .windows(3)
        .position(|three| digits(three[0]) && three[1] == "of" && digits(three[2]));
    let Some(at) = shard else {
        return (split_word(stem).map(str::to_owned), None);
    };
    let name = (at > 0).then(|| parts[..at].join("-"));
    (name, parts[at + 2].parse().ok())
}

/// The split that a name is of, if one of its words is one.
fn split_word(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .collect();
    let found = SPLITS
        .iter()
        .find(|(_, known)| words.iter().any(|word| known.contains(word)));
    found.map(|(split, _)| *split)
}

/// The one that is wanted of `there`.
fn pick(
    origin: &str,
    what: &str,
    wanted: Option<&str>,
    there: &BTreeSet<String>,
    preferred: &str,
) -> Result<String, DatasetError> {
    let names = || there.iter().cloned().collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        if there.contains(wanted) {
            return Ok(wanted.to_owned());
        }
        let reason = format!("has no {what} {wanted:?}; there are: {}", names());
        return Err(files_error(origin, &reason));
    }
    if let (Some(only), 1) = (there.first(), there.len()) {
        return Ok(only.clone());
    }
    if there.contains(preferred) {
        return Ok(preferred.to_owned());
    }
    let reason = format!(
        "has several {what}s: {}; hint: name one with {what} = \"…\", or --{what}",
        names()
    );
    Err(files_error(origin, &reason))
}

/// What is said of a place without files of data.
fn without_data(names: &[String]) -> String {
    let ends = |ending: &str| names.iter().any(|name| name.ends_with(ending));
    if ends(".arrow") {
        return "has Arrow files, as save_to_disk() of the library datasets writes them; hint: write them with to_parquet() or to_json()".to_owned();
    }
    let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    let there = if shown.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("there are: {}", shown.join(", "))
    };
    format!(
        "has no file of data (.jsonl, .json, .csv, .tsv, .parquet, also with .gz or .zst); {there}; hint: the hub keeps most data sets as Parquet too, under revision = \"refs/convert/parquet\""
    )
}

fn files_error(origin: &str, reason: &str) -> DatasetError {
    DatasetError::Files {
        origin: origin.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The names of the files below `dir`, with `/`.
fn walk(dir: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        if path.is_file() {
            names.push(name);
        } else if path.is_dir() && depth > 0 {
            walk(&path, &format!("{name}/"), depth - 1, names)?;
        }
    }
    Ok(())
}
