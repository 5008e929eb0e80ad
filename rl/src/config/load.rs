//! Reading a config: defaults < file < `--set key=value`, with errors that say where and what.

use std::path::{Path, PathBuf};

use dunwu_rewards::RubricConfig;
use regex::Regex;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    RunConfig,
    hints::{unknown_key, with_hint},
    strings::settle,
};

/// What is wrong with a config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or a key or value is not what it should be.
    #[error("{place}: {message}")]
    Invalid {
        /// File and line, or the override.
        place: String,
        /// What is wrong, and a hint.
        message: String,
    },
    /// An override that cannot be applied.
    #[error("--set {given}: {message}")]
    Override {
        /// The override.
        given: String,
        /// What is wrong.
        message: String,
    },
}

/// Reads a run's config and applies `overrides`, each `a.b=value`.
///
/// # Errors
/// [`ConfigError`] for anything that is not exactly as it should be.
pub fn load(path: &Path, overrides: &[String]) -> Result<RunConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    // As it stands, so that what is wrong can be told by its line.
    let written: Result<RunConfig, ConfigError> = parse(&text, path);
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut table: Table = parse(&text, path)?;
    let changed = settle_in(&mut table.clone(), dir, path)?;
    let mut config = match written {
        Ok(config) if !changed => config,
        // What is a variable in the file may be a number of another kind, or a name, when it is replaced.
        Err(error) if !changed || !text.contains("${") => return Err(error),
        _ => settled(&table, dir, path, |message| ConfigError::Invalid {
            place: match unknown_key(message).and_then(|key| line_of_key(&text, &key)) {
                Some(line) => format!("{}:{line}", path.display()),
                None => path.display().to_string(),
            },
            message: with_hint(message),
        })?,
    };
    for given in overrides {
        apply(&mut table, given)?;
        config = settled(&table, dir, path, |message| ConfigError::Override {
            given: given.clone(),
            message: with_hint(message),
        })?;
    }
    stand_beside(&mut config.reward.rubric, path);
    config.validate().map_err(|message| ConfigError::Invalid {
        place: path.display().to_string(),
        message,
    })?;
    Ok(config.resolved())
}

/// The config of a table, once what stands for something else in its strings is replaced.
fn settled(
    table: &Table,
    dir: &Path,
    path: &Path,
    wrong: impl Fn(&str) -> ConfigError,
) -> Result<RunConfig, ConfigError> {
    let mut table = table.clone();
    settle_in(&mut table, dir, path)?;
    let config: Result<RunConfig, toml::de::Error> = Value::Table(table).try_into();
    config.map_err(|error| wrong(error.message()))
}

fn settle_in(table: &mut Table, dir: &Path, path: &Path) -> Result<bool, ConfigError> {
    settle(table, dir).map_err(|message| ConfigError::Invalid {
        place: path.display().to_string(),
        message,
    })
}

/// A plugin stands beside the config that names it, wherever the run is started.
fn stand_beside(rubric: &mut RubricConfig, path: &Path) {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Ok(dir) = std::path::absolute(dir.unwrap_or(Path::new("."))) {
        rubric.resolve_paths(&dir);
    }
}

/// What a config says of its rubric, whatever else is in it.
#[derive(serde::Deserialize)]
struct RubricOnly {
    reward: RewardOnly,
}

#[derive(serde::Deserialize)]
struct RewardOnly {
    rubric: RubricConfig,
}

/// Reads the rubric of a config, which needs no other section, and applies `overrides`, each `reward.rubric.a=value`; those of
/// other sections change nothing. Files that it names stand beside the config, as for [`load`].
///
/// # Errors
/// [`ConfigError`] if there is no rubric, or anything in it is not what it should be.
pub fn load_rubric(path: &Path, overrides: &[String]) -> Result<RubricConfig, ConfigError> {
    let mut rubric = read_rubric(path, overrides)?;
    stand_beside(&mut rubric, path);
    Ok(rubric)
}

fn read_rubric(path: &Path, overrides: &[String]) -> Result<RubricConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut table: Table = parse(&text, path)?;
    let section = table.get("reward").and_then(|reward| reward.get("rubric"));
    if section.is_none() && overrides.is_empty() {
        return Err(ConfigError::Invalid {
            place: path.display().to_string(),
            message:
                "there is no [reward.rubric]\nhint: a config that judges needs one, with components"
                    .to_owned(),
        });
    }
    if overrides.is_empty() {
        return parse::<RubricOnly>(&text, path).map(|config| config.reward.rubric);
    }
    let mut last = String::new();
    for given in overrides {
        apply(&mut table, given)?;
        last.clone_from(given);
    }
    let config: Result<RubricOnly, toml::de::Error> = Value::Table(table).try_into();
    config
        .map(|config| config.reward.rubric)
        .map_err(|error| ConfigError::Override {
            given: last,
            message: with_hint(error.message()),
        })
}

/// Reads a small table written in the program, with overrides.
///
/// # Errors
/// [`ConfigError`] that names the override, or the table.
pub fn table<T: DeserializeOwned>(text: &str, overrides: &[String]) -> Result<T, ConfigError> {
    let place = Path::new("the command line");
    let mut table: Table = parse(text, place)?;
    for given in overrides {
        apply(&mut table, given)?;
    }
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::Invalid {
            place: place.display().to_string(),
            message: with_hint(error.message()),
        })
}

pub(super) fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error
            .span()
            .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let key = unknown_key(error.message());
        // Inside a tagged section the span is that of the section: then look for the key itself.
        let names_key = |line: usize| {
            let shown = text.lines().nth(line - 1).unwrap_or("");
            key.as_ref().is_none_or(|key| shown.contains(key.as_str()))
        };
        let line = at
            .filter(|&line| names_key(line))
            .or_else(|| line_of_key(text, key.as_deref()?))
            .or(at);
        let place = match line {
            Some(line) => format!("{}:{line}", path.display()),
            None => path.display().to_string(),
        };
        ConfigError::Invalid {
            place,
            message: with_hint(error.message()),
        }
    })
}

fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let pattern = format!(
        r#"(^|[\s{{,.\[])"?{}"?\s*(=|\]|\.)|=\s*"{}""#,
        regex::escape(key),
        regex::escape(key)
    );
    let pattern = Regex::new(&pattern).ok()?;
    let uncommented = |line: &str| line.split('#').next().unwrap_or("").to_owned();
    text.lines()
        .position(|line| pattern.is_match(&uncommented(line)))
        .map(|index| index + 1)
}

/// Applies `a.b=value` to a table; a list is entered by index, or, where its entries have a
/// `kind`, by that.
fn apply(table: &mut Table, given: &str) -> Result<(), ConfigError> {
    let fail = |message: String| ConfigError::Override {
        given: given.to_owned(),
        message,
    };
    let (path, text) = given
        .split_once('=')
        .ok_or_else(|| fail("expected key=value, such as sampling.temperature=0.7".to_owned()))?;
    // What is no TOML value is taken as text, so that quotes need not survive a shell.
    let value = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty());
    let last = last.ok_or_else(|| fail("the key is empty".to_owned()))?;
    let mut whole = Value::Table(std::mem::take(table));
    let result = keys
        .iter()
        .try_fold(&mut whole, |value, key| enter(value, key))
        .and_then(|parent| match parent {
            Value::Table(table) => {
                table.insert(last.to_owned(), value);
                Ok(())
            }
            list => enter(list, last).map(|entry| *entry = value),
        });
    if let Value::Table(back) = whole {
        *table = back;
    }
    result.map_err(fail)
}

fn enter<'a>(value: &'a mut Value, key: &str) -> Result<&'a mut Value, String> {
    match value {
        Value::Table(table) => Ok(table
            .entry(key)
            .or_insert_with(|| Value::Table(Table::new()))),
        Value::Array(list) => {
            let count = list.len();
            let index = key.parse().ok().or_else(|| {
                let kind = |entry: &Value| entry.get("kind").and_then(Value::as_str) == Some(key);
                list.iter().position(kind)
            });
            index
                .and_then(|index: usize| list.get_mut(index))
                .ok_or_else(|| {
                    format!(
                        "`{key}` is no entry of a list of {count}: use an index from 0, or a kind"
                    )
                })
        }
        _ => Err(format!("`{key}` is below a value that has no keys")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn overrides_reach_tables_and_lists() {
        let mut table: Table =
            toml::from_str("a = 1\n[[stages]]\nkind = \"sft\"\nsteps = 3\n").unwrap();
        for given in [
            "a=2",
            "stages.0.steps=5",
            "stages.sft.rate=0.5",
            "b.c=text",
            "l=[1,2]",
        ] {
            apply(&mut table, given).unwrap();
        }
        let expected: Table = toml::from_str(
            "a = 2\nl = [1, 2]\n[[stages]]\nkind = \"sft\"\nsteps = 5\nrate = 0.5\n[b]\nc = \"text\"\n",
        )
        .unwrap();
        assert_eq!(table, expected);
        for given in ["a", "=1", "stages.7.steps=1", "a.b=1"] {
            assert!(apply(&mut table, given).is_err(), "{given}");
        }
    }

    #[cfg(feature = "code")]
    #[test]
    fn a_plugin_stands_beside_the_config_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rubric.toml");
        let text = r#"
[reward.rubric]
components = [{ kind = "wasm", name = "judge", path = "judges/a.wasm" }]
"#;
        std::fs::write(&path, text).unwrap();
        let resolved = |overrides: &[String]| {
            let rubric = load_rubric(&path, overrides).unwrap();
            serde_json::to_value(&rubric.components[0]).unwrap()["path"].clone()
        };
        let beside = |file: &str| serde_json::to_value(dir.path().join(file)).unwrap();
        assert_eq!(resolved(&[]), beside("judges/a.wasm"));
        let given = "reward.rubric.components.0.path=b.wasm".to_owned();
        assert_eq!(resolved(&[given]), beside("b.wasm"));
    }
}
