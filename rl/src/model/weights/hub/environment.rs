//! Where Hugging Face's tools keep things and what they may do, by the environment variables that `huggingface_hub` reads
//! (its `constants.py`).

use std::path::PathBuf;

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    /// The cache of all repositories: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`, which is
    /// `huggingface` in `XDG_CACHE_HOME` or `~/.cache` unless it is set.
    pub(super) cache: PathBuf,
    /// Whether only the cache may be used: `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`.
    pub(super) offline: bool,
    /// The server: `HF_ENDPOINT`.
    pub(super) endpoint: String,
    /// `HF_TOKEN`.
    given_token: Option<String>,
    /// The file of the token that a log-in has stored: `HF_TOKEN_PATH`, else `token` in `HF_HOME`.
    token_file: PathBuf,
    /// Whether that file is left alone: `HF_HUB_DISABLE_IMPLICIT_TOKEN`.
    only_given_token: bool,
}

impl Environment {
    /// Reads the variables through `lookup`.
    pub(super) fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home = set("HOME").or_else(|| set("USERPROFILE"));
        let home = home.unwrap_or_default();
        let path = |text: String| PathBuf::from(expanded(&text, &home, &lookup));
        let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| "~/.cache".to_owned());
        let hub_home = set("HF_HOME").unwrap_or_else(|| format!("{caches}/huggingface"));
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let offline = set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            cache: path(cache.unwrap_or_else(|| format!("{hub_home}/hub"))),
            offline: is_true(offline.as_deref()),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            given_token: set("HF_TOKEN"),
            token_file: path(set("HF_TOKEN_PATH").unwrap_or_else(|| format!("{hub_home}/token"))),
            only_given_token: is_true(set("HF_HUB_DISABLE_IMPLICIT_TOKEN").as_deref()),
        }
    }

    /// The token to show, if there is one.
    pub(super) fn token(&self) -> Option<String> {
        let stored = || {
            let token = std::fs::read_to_string(&self.token_file).ok()?;
            Some(token.trim().to_owned())
        };
        let token = match &self.given_token {
            Some(token) => Some(token.trim().to_owned()),
            None if self.only_given_token => None,
            None => stored(),
        };
        token.filter(|token| !token.is_empty())
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

    fn read(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Environment::read(|name| find(name).or_else(|| (name == "HOME").then(|| "/h".to_owned())))
    }

    // python: HOME=/h HF_HOME=... -c "from huggingface_hub import constants as c; print(c.HF_HUB_CACHE, c.HF_TOKEN_PATH)",
    // huggingface_hub 2.4.0
    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        for (variables, cache, token) in [
            (
                &[][..],
                "/h/.cache/huggingface/hub",
                "/h/.cache/huggingface/token",
            ),
            (
                &[("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
                "/x/huggingface/token",
            ),
            (&[("HF_HOME", "~/m")], "/h/m/hub", "/h/m/token"),
            (
                &[("HF_HOME", "$HOME/m/${NONE}")],
                "/h/m/${NONE}/hub",
                "/h/m/${NONE}/token",
            ),
            (
                &[("HF_HOME", "/m"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/old",
                "/m/token",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "~/new")],
                "/h/new",
                "/h/.cache/huggingface/token",
            ),
            (
                &[("HF_TOKEN_PATH", "/t")],
                "/h/.cache/huggingface/hub",
                "/t",
            ),
        ] {
            let found = read(variables);
            assert_eq!(found.cache, PathBuf::from(cache), "{variables:?}");
            assert_eq!(found.token_file, PathBuf::from(token), "{variables:?}");
        }
    }

    #[test]
    fn flags_are_on_for_four_words_only() {
        for (value, on) in [
            ("1", true),
            ("on", true),
            ("Yes", true),
            ("TRUE", true),
            ("0", false),
            ("false", false),
            ("no", false),
            ("2", false),
            ("", false),
            ("y", false),
        ] {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).offline, on, "{value:?}");
        }
        assert!(read(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(!read(&[("TRANSFORMERS_OFFLINE", "1"), ("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_is_that_of_the_environment_or_of_the_log_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "stored\n").unwrap();
        let path = ("HF_TOKEN_PATH", file.to_str().unwrap());
        assert_eq!(read(&[path]).token().as_deref(), Some("stored"));
        assert_eq!(
            read(&[path, ("HF_TOKEN", "given")]).token().as_deref(),
            Some("given")
        );
        assert_eq!(
            read(&[path, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token(),
            None
        );
    }
}
