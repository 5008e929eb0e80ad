//! Models from the Hugging Face hub, by `owner/model`.
//!
//! Files land in the cache that all Hugging Face tools share (`HF_HOME`); the token is `HF_TOKEN` or the one that a
//! log-in has stored. `HF_ENDPOINT` names another server, and with `HF_HUB_OFFLINE=1` only the cache is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo};

use super::WeightError;
use super::safetensors::{INDEX_FILE, SINGLE_FILE, read_index};

/// Files that every model needs.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// Files that are fetched if the repository has them.
const OPTIONAL: [&str; 5] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// Tries after a first failure of one file.
const RETRIES: usize = 3;
const HINT: &str = "check the name; a gated model needs HF_TOKEN. Without access from this machine, download the \
    repository elsewhere and give the path of its directory instead of the name";

/// Whether a text has the form `owner/model` of the hub.
pub fn is_hub_name(text: &str) -> bool {
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    text.split_once('/')
        .is_some_and(|(owner, model)| part(owner) && part(model))
}

/// Makes sure that a model is in the cache and returns its directory.
///
/// Progress bars go to stderr. A model that is in the cache is used when the hub cannot be reached.
///
/// # Errors
/// [`WeightError::Hub`] says which file could not be fetched and why, with the way out.
pub fn fetch(name: &str) -> Result<PathBuf, WeightError> {
    let cache = Cache::from_env();
    let offline =
        std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    if offline {
        return cached(&cache, name).ok_or_else(|| {
            hub_error(
                name,
                "the model",
                "HF_HUB_OFFLINE is set and it is not in the cache".to_string(),
            )
        });
    }
    let token = std::env::var("HF_TOKEN")
        .ok()
        .filter(|token| !token.is_empty())
        .or_else(|| cache.token());
    let api = ApiBuilder::from_env()
        .with_token(token)
        .with_retries(RETRIES)
        .build()
        .map_err(|error| hub_error(name, "the model", error.to_string()))?;
    fetch_with(&api, &cache, name)
}

fn hub_error(name: &str, what: &str, reason: String) -> WeightError {
    WeightError::Hub {
        repository: name.to_string(),
        what: what.to_string(),
        reason,
        hint: HINT,
    }
}

fn fetch_with(api: &Api, cache: &Cache, name: &str) -> Result<PathBuf, WeightError> {
    let repo = api.model(name.to_string());
    let info = match repo.info() {
        Ok(info) => info,
        Err(error) => {
            let unreachable = || hub_error(name, "the list of files", error.to_string());
            return cached(cache, name).ok_or_else(unreachable);
        }
    };
    let files: BTreeSet<String> = info
        .siblings
        .into_iter()
        .map(|file| file.rfilename)
        .collect();
    let snapshot = snapshots(cache, name).join(&info.sha);
    let download = Download {
        name,
        repo,
        snapshot,
    };
    for file in REQUIRED {
        if !files.contains(file) {
            return Err(hub_error(
                name,
                file,
                "the repository does not have it".to_string(),
            ));
        }
        download.file(file)?;
    }
    for file in OPTIONAL.into_iter().filter(|file| files.contains(*file)) {
        download.file(file)?;
    }
    if files.contains(INDEX_FILE) {
        let index = download.file(INDEX_FILE)?;
        let shards: BTreeSet<String> = read_index(&index)?
            .into_iter()
            .map(|(_, shard)| shard)
            .collect();
        for shard in shards {
            download.file(&shard)?;
        }
    } else if files.contains(SINGLE_FILE) {
        download.file(SINGLE_FILE)?;
    } else {
        let reason = "the repository has neither model.safetensors nor its index".to_string();
        return Err(hub_error(name, "weights", reason));
    }
    Ok(download.snapshot)
}

/// Downloads into one snapshot, so that files of two revisions never mix.
struct Download<'a> {
    name: &'a str,
    repo: ApiRepo,
    snapshot: PathBuf,
}

impl Download<'_> {
    fn file(&self, file: &str) -> Result<PathBuf, WeightError> {
        let path = self.snapshot.join(file);
        if path.is_file() {
            return Ok(path);
        }
        let found = self
            .repo
            .download(file)
            .map_err(|error| hub_error(self.name, file, error.to_string()))?;
        if found != path {
            let reason =
                "the repository changed while it was being downloaded; try again".to_string();
            return Err(hub_error(self.name, file, reason));
        }
        Ok(found)
    }
}

fn snapshots(cache: &Cache, name: &str) -> PathBuf {
    cache
        .path()
        .join(Repo::model(name.to_string()).folder_name())
        .join("snapshots")
}

/// The directory of a model that is completely in the cache.
fn cached(cache: &Cache, name: &str) -> Option<PathBuf> {
    let dir = cache
        .model(name.to_string())
        .get("config.json")?
        .parent()?
        .to_path_buf();
    is_complete(&dir).then_some(dir)
}

fn is_complete(dir: &Path) -> bool {
    let index = dir.join(INDEX_FILE);
    let weights = match read_index(&index) {
        Ok(shards) => shards.iter().all(|(_, shard)| dir.join(shard).is_file()),
        Err(_) => dir.join(SINGLE_FILE).is_file(),
    };
    weights && REQUIRED.iter().all(|file| dir.join(file).is_file())
}

#[cfg(test)]
mod tests;
