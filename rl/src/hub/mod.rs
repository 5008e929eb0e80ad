//! The Hugging Face hub: repositories of files by name, in the cache that all its tools share.
//!
//! | file | subject |
//! |---|---|
//! | this one | what is fetched, and what is wrong when it cannot be |
//! | [`environment`] | where the cache is, who asks, and whether anything may be asked |
//! | [`name`] | `owner/name@revision` |
//! | [`dataset`] | the files of a data set |
//!
//! A file is there whole or not at all: it is written beside the cache's blobs as `.part`, from which a later download goes on, and
//! gets its name when its size is that of the hub's, and its hash where the hub knows one.

pub mod dataset;
pub mod environment;
pub mod name;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiRepo};
use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

pub use environment::Environment;
pub use name::HubName;

/// Why something of the hub is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// No such repository, or none that may be read.
    #[error(
        "{repository}: the hub has no {kind} of this name and revision, or it is not open to you\n\
         hint: check the name and the revision; one that is private or gated needs HF_TOKEN"
    )]
    NotFound {
        /// What was asked for.
        repository: String,
        /// `data set` or `model`.
        kind: &'static str,
    },
    /// The hub cannot be asked, and the cache does not have it.
    #[error(
        "{repository}: the hub cannot be reached ({reason}), and the {kind} is not in the cache {}\n\
         hint: HF_ENDPOINT names another server. Without access from this machine, download the repository elsewhere and give the \
         path of its directory instead of the name", cache.display()
    )]
    Unreachable {
        /// What was asked for.
        repository: String,
        /// `data set` or `model`.
        kind: &'static str,
        /// Why.
        reason: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// Nothing may be asked, and the cache does not have it.
    #[error(
        "{repository}: HF_HUB_OFFLINE is set, and the {kind} is not in the cache {}\n\
         hint: fetch it once without HF_HUB_OFFLINE, or set HF_HUB_CACHE to where it is", cache.display()
    )]
    Offline {
        /// What was asked for.
        repository: String,
        /// `data set` or `model`.
        kind: &'static str,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// A file did not come.
    #[error(
        "{repository}: cannot fetch {file}: {reason}\n\
         hint: what has come so far is kept, and the next try goes on from there; HF_HUB_CACHE puts the cache on another disk"
    )]
    Download {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file came and is not what the hub said.
    #[error("{repository}: {file} has come damaged and was removed: {reason}\nhint: try again")]
    Damaged {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// What differs.
        reason: String,
    },
    /// The files of a data set cannot be told.
    #[error(transparent)]
    Files(#[from] dunwu_datasets::DatasetError),
}

/// A repository of the hub, as it is or as the cache has it.
pub(crate) struct Repository<'a> {
    environment: &'a Environment,
    name: &'a HubName,
    repo: Repo,
    kind: &'static str,
}

/// What a repository holds at one commit.
pub(crate) struct Listing {
    /// Where its files are, or will be.
    pub(crate) snapshot: PathBuf,
    /// Their names, with `/`.
    pub(crate) files: BTreeSet<String>,
    /// What fetches them; nothing when only the cache can be read.
    source: Option<(Api, ApiRepo)>,
}

impl<'a> Repository<'a> {
    /// The data set of that name.
    pub(crate) fn dataset(environment: &'a Environment, name: &'a HubName) -> Self {
        let repo = Repo::with_revision(
            name.repository.clone(),
            RepoType::Dataset,
            name.revision().to_owned(),
        );
        Self {
            environment,
            name,
            repo,
            kind: "data set",
        }
    }

    /// What the hub says it holds; what the cache holds of it where the hub cannot be asked.
    pub(crate) fn list(&self) -> Result<Listing, HubError> {
        let repository = self.name.to_string();
        let kind = self.kind;
        let cache = self.environment.cache.clone();
        if self.environment.offline {
            return self.cached().ok_or(HubError::Offline {
                repository,
                kind,
                cache,
            });
        }
        let unreachable = |reason: String| HubError::Unreachable {
            repository: repository.clone(),
            kind,
            reason,
            cache: cache.clone(),
        };
        let api = self
            .environment
            .api()
            .map_err(|error| unreachable(error.to_string()))?;
        let repo = api.repo(self.repo.clone());
        match repo.info() {
            Ok(info) => {
                let files = info.siblings.into_iter().map(|file| file.rfilename);
                Ok(Listing {
                    snapshot: self.snapshots().join(&info.sha),
                    files: files.collect(),
                    source: Some((api, repo)),
                })
            }
            Err(error) if is_refused(&error.to_string()) => {
                Err(HubError::NotFound { repository, kind })
            }
            Err(error) => self.cached().ok_or_else(|| unreachable(error.to_string())),
        }
    }

    /// Makes sure that `file` is in the cache, and returns where.
    pub(crate) fn fetch(&self, listing: &Listing, file: &str) -> Result<PathBuf, HubError> {
        let path = listing.snapshot.join(file);
        let (repository, file) = (self.name.to_string(), file.to_owned());
        let failed = |reason: String| HubError::Download {
            repository: repository.clone(),
            file: file.clone(),
            reason,
        };
        if path.is_file() {
            return Ok(path);
        }
        let Some((api, repo)) = &listing.source else {
            return Err(failed("it is not in the cache".to_owned()));
        };
        let said = api
            .metadata(&repo.url(&file))
            .map_err(|e| failed(e.to_string()))?;
        let found = repo.download(&file).map_err(|e| failed(e.to_string()))?;
        if found != path {
            let reason = "the repository changed while it was being downloaded; try again";
            return Err(failed(reason.to_owned()));
        }
        let checked = check(&path, said.size() as u64, said.etag());
        if let Some(reason) = checked.map_err(|error| failed(error.to_string()))? {
            remove(&path);
            return Err(HubError::Damaged {
                repository,
                file,
                reason,
            });
        }
        Ok(path)
    }

    fn snapshots(&self) -> PathBuf {
        let folder = self.environment.cache.join(self.repo.folder_name());
        folder.join("snapshots")
    }

    /// What the cache holds of the revision.
    fn cached(&self) -> Option<Listing> {
        let snapshots = self.snapshots();
        let refs = snapshots.parent()?.join("refs").join(self.repo.revision());
        let commit = std::fs::read_to_string(refs).unwrap_or_default();
        let commit = match commit.trim() {
            "" => self.repo.revision(),
            commit => commit,
        };
        let mut snapshot = snapshots.join(commit);
        if !snapshot.is_dir() && self.name.revision.is_none() {
            snapshot = only_one(&snapshots)?;
        }
        let mut files = BTreeSet::new();
        names_below(&snapshot, "", &mut files).ok()?;
        (!files.is_empty()).then_some(Listing {
            snapshot,
            files,
            source: None,
        })
    }
}

/// Whether the hub said that there is nothing, or nothing for whoever asks.
fn is_refused(error: &str) -> bool {
    ["401", "403", "404"]
        .iter()
        .any(|status| error.contains(&format!("status: {status}")))
}

/// What is wrong with a file that should have `size` bytes and, where `etag` is one, this SHA-256.
fn check(path: &Path, size: u64, etag: &str) -> std::io::Result<Option<String>> {
    let found = path.metadata()?.len();
    if found != size {
        return Ok(Some(format!("it has {found} bytes of {size}")));
    }
    // The hub names large files by their hash, and others by git's, which is of another text.
    if etag.len() != 64 || !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut hash)?;
    let hash: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let differs = !hash.eq_ignore_ascii_case(etag);
    Ok(differs.then(|| format!("its SHA-256 is {hash}, and should be {etag}")))
}

/// Removes a file of the cache: the name in the snapshot and the blob that it leads to.
fn remove(path: &Path) {
    // What cannot be removed is found damaged again.
    if let Ok(blob) = path.canonicalize() {
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}

/// The only directory in `dir`.
fn only_one(dir: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let first = entries.next()?.path();
    (entries.next().is_none() && first.is_dir()).then_some(first)
}

/// The names of all files below `dir`, with `/`.
fn names_below(dir: &Path, prefix: &str, names: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        if path.is_dir() {
            names_below(&path, &format!("{name}/"), names)?;
        } else if path.is_file() {
            names.insert(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
