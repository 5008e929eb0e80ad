//! What the environment says about the hub, in the variables that `huggingface_hub` reads, and as it reads them (its
//! `constants.py`).
//!
//! | variable | what |
//! |---|---|
//! | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` | the cache; `hub` in `HF_HOME` without them |
//! | `HF_HOME` | `huggingface` in `XDG_CACHE_HOME`, or in `~/.cache`, without it |
//! | `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN` | who asks; else what is in the file `HF_TOKEN_PATH`, or `token` in `HF_HOME`, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` |
//! | `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE` | `1`, `true`, `yes` or `on`: only the cache is read |
//! | `HF_ENDPOINT` | another server |

use std::path::PathBuf;

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};

/// Tries after a first failure of one file.
const RETRIES: usize = 3;

/// Where the cache is, who asks, whom, and whether anything may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The directory with `models--…` and `datasets--…`.
    pub cache: PathBuf,
    /// Another server than the public one.
    pub endpoint: Option<String>,
    /// Who asks.
    pub token: Option<String>,
    /// Whether only the cache may be read.
    pub offline: bool,
    /// Whether bars show how far a download is.
    pub progress: bool,
}

impl Environment {
    /// What the process's environment says.
    pub fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// What `variable` says, by name.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user = set("HOME").or_else(|| set("USERPROFILE"));
        let user = user.unwrap_or_else(|| ".".to_owned());
        let path = |text: String| PathBuf::from(expanded(&text, &user, &variable));
        let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| "~/.cache".to_owned());
        let home = set("HF_HOME").unwrap_or_else(|| format!("{caches}/huggingface"));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let offline = set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE"));
        let token_file = set("HF_TOKEN_PATH").unwrap_or_else(|| format!("{home}/token"));
        let stored = || {
            let kept = is_true(set("HF_HUB_DISABLE_IMPLICIT_TOKEN").as_deref());
            let read = || std::fs::read_to_string(path(token_file)).ok();
            if kept { None } else { read() }
        };
        let token = set("HF_TOKEN")
            .or_else(|| set("HUGGING_FACE_HUB_TOKEN"))
            .or_else(stored);
        Self {
            cache: path(cache.unwrap_or_else(|| format!("{home}/hub"))),
            endpoint: set("HF_ENDPOINT").map(|text| text.trim_end_matches('/').to_owned()),
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: is_true(offline.as_deref()),
            progress: true,
        }
    }

    /// Speaks to the hub.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn api(&self) -> Result<Api, ApiError> {
        let mut builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_token(self.token.clone())
            .with_progress(self.progress)
            .with_retries(RETRIES);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder.build()
    }
}

/// `1`, `on`, `yes` and `true` in any case; everything else is off.
fn is_true(value: Option<&str>) -> bool {
    let value = value.unwrap_or_default().to_uppercase();
    matches!(value.as_str(), "1" | "ON" | "YES" | "TRUE")
}

/// A path with `~` at its beginning and `$NAME` or `${NAME}` replaced; variables that are not set stay as they are.
fn expanded(text: &str, home: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        let (name, tail) = braced.unwrap_or_else(|| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            after.split_at(after.find(|c| !word(c)).unwrap_or(after.len()))
        });
        match lookup(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => {
                out.push('$');
                out.push_str(&after[..after.len() - tail.len()]);
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Environment {
        Environment::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_looks() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[("HOME", "/u")], "/u/.cache/huggingface/hub"),
            (
                &[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
            ),
            (&[("HOME", "/u"), ("HF_HOME", "~/hf")], "/u/hf/hub"),
            (
                &[("HOME", "/u"), ("HF_HOME", "$HOME/m/${NONE}")],
                "/u/m/${NONE}/hub",
            ),
            (
                &[("HOME", "/u"), ("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")],
                "/c",
            ),
            (&[("HOME", "/u"), ("HUGGINGFACE_HUB_CACHE", "/d")], "/d"),
            (
                &[("HOME", "/u"), ("HF_HUB_CACHE", "")],
                "/u/.cache/huggingface/hub",
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(
                of(variables).cache,
                PathBuf::from(expected),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn words_for_yes_are_those_of_huggingface_hub() {
        for (value, offline) in [
            ("1", true),
            ("true", true),
            ("Yes", true),
            ("ON", true),
            ("0", false),
            ("false", false),
            ("no", false),
            ("", false),
            ("2", false),
        ] {
            assert_eq!(of(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
            assert_eq!(
                of(&[("TRANSFORMERS_OFFLINE", value)]).offline,
                offline,
                "{value}"
            );
        }
        let both = [("TRANSFORMERS_OFFLINE", "1"), ("HF_HUB_OFFLINE", "0")];
        assert!(!of(&both).offline);
    }

    #[test]
    fn a_token_may_be_stored() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "stored\n").unwrap();
        let home = dir.path().to_str().unwrap();
        assert_eq!(of(&[("HF_HOME", home)]).token.as_deref(), Some("stored"));
        let named = of(&[("HF_HOME", home), ("HF_TOKEN", "named")]);
        assert_eq!(named.token.as_deref(), Some("named"));
        let disabled = [("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(of(&disabled).token, None);
        assert_eq!(of(&[("HF_HOME", "/nowhere")]).token, None);
    }
}
