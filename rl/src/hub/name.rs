//! Names of repositories.

use std::fmt;

/// The revision that a name without one means.
const MAIN: &str = "main";

/// `owner/name`, perhaps with `@revision`: a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `owner/name`.
    pub repository: String,
    /// What follows `@`.
    pub revision: Option<String>,
}

impl HubName {
    /// The name that `text` is, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        let (owner, name) = repository.split_once('/')?;
        let usable = |revision: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            !revision.is_empty() && !revision.contains("..") && revision.chars().all(allowed)
        };
        let is_name = part(owner) && part(name) && revision.is_none_or(usable);
        is_name.then(|| Self {
            repository: repository.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// The revision, `main` unless another is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.repository),
            None => f.write_str(&self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_two_parts_and_perhaps_a_revision() {
        for (text, repository, revision) in [
            ("openai/gsm8k", "openai/gsm8k", "main"),
            ("a/b_c.d@v1.0", "a/b_c.d", "v1.0"),
            ("a/b@refs/convert/parquet", "a/b", "refs/convert/parquet"),
        ] {
            let name = HubName::parse(text).unwrap();
            assert_eq!((&*name.repository, name.revision()), (repository, revision));
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "gsm8k", "a/b/c", "./b", "../b", "/b", "a/", "a b/c", "a/b@", "a/b@../x", "",
        ] {
            assert_eq!(HubName::parse(text), None, "{text}");
        }
    }
}
