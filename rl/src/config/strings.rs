//! What stands for something else in the strings of a config: `${NAME}`, `~`, and files that lie beside it.

use std::path::Path;

use toml::{Table, Value};

use crate::bundle::{at_home, expand};

/// Keys below which texts stand that the model reads or is judged by: nothing is replaced in them. `$` is written there in
/// formulas.
const TEXTS: [&str; 8] = [
    "template",
    "text",
    "system",
    "alphabet",
    "special_tokens",
    "stop",
    "total",
    "pattern",
];

/// Keys whose values are paths.
const PATHS: [&str; 4] = ["file", "heldout_file", "path", "adapter"];

/// Replaces `${NAME}` and `${NAME:-default}` in every string, `~` in front of paths by the home directory, and paths by those
/// of files that lie beside the config, in `dir`. Where there is no such file a path is taken as it is, from the directory
/// in which the program was started. Returns whether anything was replaced.
///
/// `model.path` keeps its variables: they are looked up when the model is opened, so that a run's own config can be used
/// where the model lies elsewhere.
///
/// # Errors
/// A variable that is not set and has no default, with its key.
pub(super) fn settle(table: &mut Table, dir: &Path) -> Result<bool, String> {
    let mut keys = Vec::new();
    let mut changed = false;
    for (key, value) in table.iter_mut() {
        keys.push(key.clone());
        changed |= walk(&mut keys, value, dir)?;
        keys.pop();
    }
    Ok(changed)
}

fn walk(keys: &mut Vec<String>, value: &mut Value, dir: &Path) -> Result<bool, String> {
    let mut changed = false;
    match value {
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                keys.push(key.clone());
                changed |= walk(keys, value, dir)?;
                keys.pop();
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                keys.push(index.to_string());
                changed |= walk(keys, value, dir)?;
                keys.pop();
            }
        }
        Value::String(text) => {
            let settled = string(keys, text, dir)?;
            changed = settled != *text;
            *text = settled;
        }
        _ => {}
    }
    Ok(changed)
}

fn string(keys: &[String], text: &str, dir: &Path) -> Result<String, String> {
    let is_text = |key: &String| TEXTS.contains(&key.as_str());
    let of_model = keys.len() == 2 && keys[0] == "model" && keys[1] == "path";
    let keeps = keys.iter().any(is_text) || (of_model && text.contains("${"));
    if keeps {
        return Ok(text.to_owned());
    }
    let key = keys.join(".");
    let text = expand(&key, text).map_err(|error| error.to_string())?;
    let is_path = keys.last().is_some_and(|key| PATHS.contains(&key.as_str()));
    if !is_path {
        return Ok(text);
    }
    let path = at_home(&text).unwrap_or(text);
    // A rubric finds its files by itself: they lie beside the config or nowhere.
    if keys[0] == "reward" || Path::new(&path).is_absolute() || dir.as_os_str().is_empty() {
        return Ok(path);
    }
    let beside = dir.join(&path);
    Ok(match beside.to_str() {
        Some(beside_text) if !path.is_empty() && beside.exists() => beside_text.to_owned(),
        _ => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str, dir: &Path) -> Result<Table, String> {
        let mut table: Table = text.parse().unwrap();
        settle(&mut table, dir)?;
        Ok(table)
    }

    #[test]
    fn variables_are_replaced_where_no_text_stands() {
        let text = r#"
            name = "run-${DUNWU_NO_SUCH_VARIABLE:-7}"
            [model]
            path = "${DUNWU_NO_SUCH_VARIABLE}/m"
            [data.template]
            text = "Solve ${question}$."
            [[stages]]
            file = "${DUNWU_NO_SUCH_VARIABLE:-a}/b.jsonl"
        "#;
        let table = settled(text, Path::new("")).unwrap();
        assert_eq!(table["name"].as_str(), Some("run-7"));
        assert_eq!(table["stages"][0]["file"].as_str(), Some("a/b.jsonl"));
        // These stay.
        let path = table["model"]["path"].as_str();
        assert_eq!(path, Some("${DUNWU_NO_SUCH_VARIABLE}/m"));
        let template = table["data"]["template"]["text"].as_str();
        assert_eq!(template, Some("Solve ${question}$."));
        let error = settled(
            "[data]\nfile = \"${DUNWU_NO_SUCH_VARIABLE}\"",
            Path::new(""),
        );
        let error = error.unwrap_err();
        assert!(error.contains("data.file") && error.contains("DUNWU_NO_SUCH_VARIABLE"));
        assert!(error.contains("hint:"), "{error}");
    }

    #[test]
    fn a_file_beside_the_config_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here.jsonl"), "").unwrap();
        let table = settled("[data]\nfile = \"here.jsonl\"", dir.path()).unwrap();
        let text = "[[stages]]\nref_model = { path = \"here.jsonl\" }";
        let reference = settled(text, dir.path()).unwrap();
        let reference = reference["stages"][0]["ref_model"]["path"].as_str();
        let here = dir.path().join("here.jsonl");
        assert_eq!(reference, here.to_str());
        assert_eq!(table["data"]["file"].as_str(), here.to_str());
        let table = settled("[data]\nfile = \"there.jsonl\"", dir.path()).unwrap();
        assert_eq!(table["data"]["file"].as_str(), Some("there.jsonl"));
        // Other strings are no paths.
        let table = settled("name = \"here.jsonl\"", dir.path()).unwrap();
        assert_eq!(table["name"].as_str(), Some("here.jsonl"));
    }

    #[test]
    fn home_is_written_out() {
        let Some(home) = std::env::home_dir() else {
            return;
        };
        let table = settled(
            "[model]\npath = \"~/models/a\"\nname = \"~/b\"",
            Path::new(""),
        )
        .unwrap();
        let expected = home.join("models/a");
        assert_eq!(table["model"]["path"].as_str(), expected.to_str());
        assert_eq!(table["model"]["name"].as_str(), Some("~/b"));
    }
}
