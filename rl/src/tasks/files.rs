//! The files that a config or a command names: here, or on the hub.

use std::path::Path;

use dunwu_datasets::{DataFiles, DatasetError, Part};

use crate::hub::{Environment, HubError, HubName, dataset};

/// Endings of names that are those of files, not of data sets.
const ENDINGS: [&str; 9] = [
    "jsonl", "json", "ndjson", "csv", "tsv", "parquet", "gz", "zst", "toml",
];

/// Why the files of a data set are not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// They are here, and cannot be told or read.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// They are on the hub.
    #[error("there is no file or directory {here}, and as a data set of the hub: {source}")]
    Hub {
        /// What was asked for.
        here: String,
        /// Why the hub's are not there.
        source: Box<HubError>,
    },
}

/// The files of the data set `name`: a file, a directory of shards, or `owner/name` on the hub, perhaps with `@revision`.
///
/// # Errors
/// [`FilesError`] if there are none, or `part` does not tell which.
pub fn find(name: &Path, part: &Part) -> Result<DataFiles, FilesError> {
    find_with(&Environment::of_process(), name, part)
}

/// The same, with a hub as `environment` says.
///
/// # Errors
/// As for [`find`].
pub fn find_with(
    environment: &Environment,
    name: &Path,
    part: &Part,
) -> Result<DataFiles, FilesError> {
    match on_hub(name) {
        Some(hub_name) => {
            dataset::fetch(environment, &hub_name, part).map_err(|source| FilesError::Hub {
                here: name.display().to_string(),
                source: Box::new(source),
            })
        }
        None => Ok(DataFiles::find(name, part)?),
    }
}

/// The name on the hub that `name` is, if there is no such file and it has the form of one.
pub fn on_hub(name: &Path) -> Option<HubName> {
    if name.exists() {
        return None;
    }
    let ending = name.extension().and_then(|ending| ending.to_str());
    if ending.is_some_and(|ending| ENDINGS.contains(&ending.to_lowercase().as_str())) {
        return None;
    }
    HubName::parse(name.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_or_has_a_files_name_is_not_on_the_hub() {
        for here in [
            "data/train.jsonl",
            "a/b.parquet",
            "a/b.jsonl.gz",
            "a",
            "/a/b",
            "src/hub",
        ] {
            assert_eq!(on_hub(Path::new(here)), None, "{here}");
        }
        let name = on_hub(Path::new("openai/gsm8k@main")).unwrap();
        assert_eq!(name.repository, "openai/gsm8k");
    }
}
