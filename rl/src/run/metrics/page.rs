//! The glossary for people: the tables of `rl/docs/metrics.md`, and text for a terminal.
//!
//! What stands between `<!-- table: NAME -->` and `<!-- end -->` in the page is written by
//! [`render`]; the rest is written by hand. A test fails when the page is not what the code says,
//! and says how to write it anew.

use std::fmt::Write as _;

use serde_json::Value;

use super::{KIND, MetricsLine};
use crate::{
    alarms,
    glossary::{Metric, Table},
    stages::StageKind,
};

/// Every table, in the order of the page.
pub fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = MetricsLine::TABLES.to_vec();
    tables.push(Table {
        name: "kind",
        metrics: &[KIND],
    });
    for kind in StageKind::ALL {
        tables.extend(kind.tables());
    }
    tables
}

/// What a key of a line of `metrics.jsonl` means. Some keys are in lines of several kinds.
pub fn explain(kind: &str, key: &str) -> Option<Metric> {
    let of_kind = |table: &Table| match table.name {
        "step" | "kind" => true,
        name => {
            name == kind
                || name
                    .strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with('-'))
        }
    };
    let tables = tables().into_iter().filter(of_kind);
    let mut metrics = tables.flat_map(|table| table.metrics);
    metrics.find(|metric| metric.key == key).copied()
}

/// A table as Markdown.
pub fn markdown(table: &Table) -> String {
    let mut text =
        "| key | unit | formula | healthy | when not |\n|---|---|---|---|---|\n".to_owned();
    for metric in table.metrics {
        let key = format!("`{}`", metric.key);
        for cell in [
            key.as_str(),
            metric.unit,
            metric.formula,
            metric.healthy,
            metric.otherwise,
        ] {
            let space = if cell.is_empty() { "" } else { " " };
            let _ = write!(text, "|{space}{} ", cell.replace('|', "\\|"));
        }
        text.push_str("|\n");
    }
    text
}

/// Why a page cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A marker names no table.
    #[error("`<!-- table: {0} -->`: there is no such table")]
    Unknown(String),
    /// A table begins and does not end.
    #[error("`<!-- table: {0} -->` has no `<!-- end -->`")]
    Open(String),
    /// A table has no place in the page.
    #[error("the page has no `<!-- table: {0} -->`")]
    Missing(String),
}

/// The page with every table between its markers as the code has it.
///
/// # Errors
/// When a marker is wrong, or a table has none.
pub fn render(page: &str) -> Result<String, PageError> {
    let (begin, middle, end) = ("<!-- table: ", " -->\n", "<!-- end -->");
    let mut tables: Vec<(String, String)> = tables()
        .iter()
        .map(|table| (table.name.to_owned(), markdown(table)))
        .collect();
    tables.push(("alarms".to_owned(), alarms::markdown()));
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(begin) {
        let (name, after) = after.split_once(middle).unwrap_or((after, ""));
        let place = tables.iter().position(|(known, _)| known == name);
        let (name, table) = match place {
            Some(place) => tables.remove(place),
            None => return Err(PageError::Unknown(name.to_owned())),
        };
        let (_, after) = after
            .split_once(end)
            .ok_or_else(|| PageError::Open(name.clone()))?;
        let _ = write!(out, "{before}{begin}{name}{middle}\n{table}\n{end}");
        rest = after;
    }
    match tables.pop() {
        Some((name, _)) => Err(PageError::Missing(name)),
        None => Ok(out + rest),
    }
}

/// The glossary for a terminal: every key with its unit, and what there is to say of it.
pub fn plain() -> String {
    let mut text = String::new();
    for table in tables() {
        let _ = writeln!(text, "[{}]", table.name);
        for metric in table.metrics {
            text += &entry(metric, None);
        }
        text.push('\n');
    }
    text
}

/// A line of `metrics.jsonl`, each of its keys explained.
pub fn plain_line(line: &Value) -> String {
    let kind = line["kind"].as_str().unwrap_or("");
    let mut text = String::new();
    for (key, value) in line.as_object().into_iter().flatten() {
        match explain(kind, key) {
            Some(metric) => text += &entry(&metric, Some(value)),
            None => {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
    }
    text
}

fn entry(metric: &Metric, value: Option<&Value>) -> String {
    let mut text = metric.key.to_owned();
    if let Some(value) = value {
        let _ = write!(text, " = {value}");
    }
    if !metric.unit.is_empty() {
        let _ = write!(text, " ({})", metric.unit);
    }
    let _ = writeln!(text, "\n    {}", metric.formula);
    for (label, what) in [("healthy", metric.healthy), ("when not", metric.otherwise)] {
        if !what.is_empty() {
            let _ = writeln!(text, "    {label}: {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
