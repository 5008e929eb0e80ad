//! Models from the Hugging Face hub, by `owner/model` or `owner/model@revision`.
//!
//! Files land in the cache that all Hugging Face tools share; [`crate::hub::environment`] has the variables that say where it
//! is, who asks, and whether anything may be asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::WeightError;
use super::pickle;
use super::safetensors::{INDEX_FILE, SINGLE_FILE, read_index};
use crate::hub::Environment;

/// The file that every model needs.
const CONFIG: &str = "config.json";
/// A model needs one of these.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "tokenizer.model"];
/// Files that are fetched if the repository has them.
const OPTIONAL: [&str; 6] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    // What the model card says of licences.
    "README.md",
];
const HINT: &str = "check the name; a gated model needs HF_TOKEN. Without access from this machine, download the \
    repository elsewhere and give the path of its directory instead of the name";

/// Whether a text has the form `owner/model` or `owner/model@revision` of the hub.
pub fn is_hub_name(text: &str) -> bool {
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    let name = HubName::parse(text);
    let revision = name.revision.split('/').all(part);
    let name = name.repository.split_once('/');
    revision && name.is_some_and(|(owner, model)| part(owner) && part(model))
}

/// A repository at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HubName<'a> {
    repository: &'a str,
    /// A branch, a tag or a commit.
    revision: &'a str,
}

impl<'a> HubName<'a> {
    fn parse(text: &'a str) -> Self {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        Self {
            repository,
            revision,
        }
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(
            self.repository.to_owned(),
            RepoType::Model,
            self.revision.to_owned(),
        )
    }

    fn directory(&self, cache: &Cache) -> PathBuf {
        cache.path().join(self.repo().folder_name())
    }
}

/// Where a model lies in the cache, if all of it does; nothing is fetched.
pub fn located(name: &str) -> Option<PathBuf> {
    let environment = Environment::of_process();
    cached(&Cache::new(environment.cache), name)
}

/// Makes sure that a model is in the cache and returns its directory.
///
/// Progress bars go to stderr. A model that is in the cache is used when the hub cannot be reached.
///
/// # Errors
/// [`WeightError::Hub`] says which file could not be fetched and why, with the way out.
pub fn fetch(name: &str) -> Result<PathBuf, WeightError> {
    let environment = Environment::of_process();
    let cache = Cache::new(environment.cache.clone());
    if environment.offline {
        return cached(&cache, name).ok_or_else(|| {
            let place = HubName::parse(name).directory(&cache);
            let reason = format!(
                "HF_HUB_OFFLINE is set and it is not in the cache, in {}",
                place.display()
            );
            hub_error(name, "the model", reason)
        });
    }
    let api = environment
        .api()
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
    let parsed = HubName::parse(name);
    let repo = api.repo(parsed.repo());
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
    let snapshot = parsed.directory(cache).join("snapshots").join(&info.sha);
    let download = Download {
        name,
        repo,
        snapshot,
    };
    let missing = |what: &str| hub_error(name, what, "the repository does not have it".to_string());
    if !files.contains(CONFIG) {
        return Err(missing(CONFIG));
    }
    download.file(CONFIG)?;
    let tokenizer = TOKENIZERS.into_iter().find(|file| files.contains(*file));
    download.file(tokenizer.ok_or_else(|| missing(TOKENIZERS[0]))?)?;
    for file in OPTIONAL.into_iter().filter(|file| files.contains(*file)) {
        download.file(file)?;
    }
    let has = |file: &str| files.contains(file);
    if let Some(index) = [INDEX_FILE, pickle::INDEX_FILE]
        .into_iter()
        .find(|file| has(file) && (*file == INDEX_FILE || !has(SINGLE_FILE)))
    {
        let index = download.file(index)?;
        let shards: BTreeSet<String> = read_index(&index)?
            .into_iter()
            .map(|(_, shard)| shard)
            .collect();
        for shard in shards {
            download.file(&shard)?;
        }
    } else if let Some(single) = [SINGLE_FILE, pickle::SINGLE_FILE]
        .into_iter()
        .find(|file| has(file))
    {
        download.file(single)?;
    } else {
        let reason = "the repository has neither safetensors nor pytorch_model.bin".to_string();
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

/// The directory of a model that is completely in the cache: that which `refs/REVISION` names, that of the commit if the
/// revision is one, or where the cache does not say which commit a branch is, the only one there is.
fn cached(cache: &Cache, name: &str) -> Option<PathBuf> {
    let parsed = HubName::parse(name);
    let directory = parsed.directory(cache);
    let snapshots = directory.join("snapshots");
    let named = std::fs::read_to_string(directory.join("refs").join(parsed.revision));
    let snapshot = match named {
        Ok(commit) => snapshots.join(commit.trim()),
        Err(_) if snapshots.join(parsed.revision).is_dir() => snapshots.join(parsed.revision),
        Err(_) if parsed.revision == "main" => {
            let entries = std::fs::read_dir(&snapshots).ok()?;
            let complete = entries.filter_map(Result::ok).map(|entry| entry.path());
            let mut complete = complete.filter(|path| is_complete(path));
            let only = complete.next()?;
            complete.next().is_none().then_some(only)?
        }
        Err(_) => return None,
    };
    is_complete(&snapshot).then_some(snapshot)
}

fn is_complete(dir: &Path) -> bool {
    let has = |file: &str| dir.join(file).is_file();
    let sharded = |index: &str| {
        let shards = read_index(&dir.join(index));
        shards.is_ok_and(|shards| shards.iter().all(|(_, shard)| has(shard)))
    };
    let weights = if has(INDEX_FILE) {
        sharded(INDEX_FILE)
    } else {
        has(SINGLE_FILE) || sharded(pickle::INDEX_FILE) || has(pickle::SINGLE_FILE)
    };
    weights && has(CONFIG) && TOKENIZERS.into_iter().any(has)
}

#[cfg(test)]
mod tests;
