//! What `dunwu data show` found, for people and for scripts.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use dunwu_datasets::DataFiles;
use serde::Serialize;

use super::super::Failure;

/// Bars of a histogram, and the longest of them.
const BARS: usize = 10;
const BAR_WIDTH: usize = 40;
/// Characters of a text that are shown of each end.
const SHOWN: usize = 600;

/// What a data set is.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Its files, in their order.
    files: Vec<PathBuf>,
    /// What the first of them holds.
    container: String,
    /// What its rows are taken for.
    form: String,
    /// Rows that were read.
    rows: usize,
    /// What the first rows have beside question and answer.
    columns: Vec<String>,
    /// The first rows.
    shown: Vec<Shown>,
    /// Of prompts, or of whole examples.
    lengths: Lengths,
    /// The longest that fits, where a model says so.
    limit: Option<Limit>,
    /// Rows that are longer.
    too_long: usize,
    /// What ended the reading.
    error: Option<String>,
}

/// A row as the model would see it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// The task's name, or the place of an example.
    pub(super) name: String,
    /// The prompt, or the whole example.
    pub(super) text: String,
    /// The right answer, or what is to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    /// In the unit of the lengths.
    pub(super) length: usize,
    /// Tokens of an example that are learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) learnt: Option<usize>,
}

/// The longest that fits.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Limit {
    tokens: usize,
    /// What sets it.
    by: &'static str,
    /// What becomes of longer ones.
    longer_are: &'static str,
}

impl Limit {
    pub(super) fn new(tokens: usize, by: &'static str, longer_are: &'static str) -> Self {
        Self {
            tokens,
            by,
            longer_are,
        }
    }
}

/// Lengths of prompts or examples.
#[derive(Debug, Default, Serialize)]
pub(super) struct Lengths {
    /// `tokens` or `characters`.
    unit: &'static str,
    least: usize,
    median: usize,
    most: usize,
    histogram: Vec<Bar>,
    #[serde(skip)]
    all: Vec<u32>,
}

/// How many lengths are in a range.
#[derive(Debug, Serialize)]
struct Bar {
    from: usize,
    /// Included.
    to: usize,
    count: usize,
}

impl Lengths {
    pub(super) fn of(tokens: bool) -> Self {
        let unit = if tokens { "tokens" } else { "characters" };
        Self {
            unit,
            ..Self::default()
        }
    }

    /// Works out what is said about all of them.
    fn finish(&mut self) {
        self.all.sort_unstable();
        let (Some(&least), Some(&most)) = (self.all.first(), self.all.last()) else {
            return;
        };
        self.least = least as usize;
        self.most = most as usize;
        self.median = self.all[self.all.len() / 2] as usize;
        let width = (self.most - self.least + 1).div_ceil(BARS);
        let mut from = self.least;
        while from <= self.most {
            let to = from + width - 1;
            let below = |limit: usize| {
                self.all
                    .partition_point(|&length| (length as usize) < limit)
            };
            let count = below(to + 1) - below(from);
            self.histogram.push(Bar { from, to, count });
            from = to + 1;
        }
    }
}

impl Report {
    /// What is known before a row is read.
    pub(super) fn new(
        files: &DataFiles,
        container: String,
        form: String,
        lengths: Lengths,
        limit: Option<Limit>,
    ) -> Self {
        Self {
            files: files.paths().to_vec(),
            container,
            form,
            lengths,
            limit,
            ..Self::default()
        }
    }

    /// Notes what ended the reading.
    pub(super) fn stop(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// Notes columns that were not met before in the first rows.
    pub(super) fn add_columns(&mut self, columns: Vec<String>) {
        if self.rows >= 100 {
            return;
        }
        for name in columns {
            if !self.columns.contains(&name) {
                self.columns.push(name);
            }
        }
    }

    /// Counts a row, and keeps it if it is one of the first.
    pub(super) fn add(&mut self, row: Shown, keep: usize) {
        self.rows += 1;
        self.lengths
            .all
            .push(u32::try_from(row.length).unwrap_or(u32::MAX));
        let limit = self.limit.as_ref();
        self.too_long += usize::from(limit.is_some_and(|limit| row.length > limit.tokens));
        if self.shown.len() < keep {
            self.shown.push(row);
        }
    }

    /// Works out what is said about all rows together.
    pub(super) fn finish(&mut self) {
        self.lengths.finish();
    }

    /// Writes it for people.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(self.text().as_bytes())
            .and_then(|()| out.flush())
            .context("standard output")?;
        Ok(())
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        let file = |path: &PathBuf| path.display().to_string();
        match &self.files[..] {
            [only] => lines.push(format!("file     {}: {}", file(only), self.container)),
            [first, .., last] => lines.push(format!(
                "files    {}, {} to {}: {}",
                self.files.len(),
                file(first),
                file(last),
                self.container
            )),
            [] => {}
        }
        lines.push(format!("rows     {}", self.form));
        if !self.columns.is_empty() {
            lines.push(format!("columns  {}", self.columns.join(", ")));
        }
        lines.push(format!("read     {} rows", self.rows));
        if let Some(error) = &self.error {
            lines.push(format!("stopped  {error}"));
        }
        for row in &self.shown {
            let learnt = match row.learnt {
                Some(learnt) => format!(", of which {learnt} are learnt"),
                None => String::new(),
            };
            let (length, unit) = (row.length, self.lengths.unit);
            lines.push(format!("\n--- {}: {length} {unit}{learnt}", row.name));
            lines.push(shortened(&row.text));
            if let Some(answer) = &row.answer {
                lines.push(format!("=== {}", shortened(answer)));
            }
        }
        if self.rows > 0 {
            lines.push(String::new());
            self.describe_lengths(&mut lines);
        }
        lines.join("\n") + "\n"
    }

    fn describe_lengths(&self, lines: &mut Vec<String>) {
        let Lengths {
            unit,
            least,
            median,
            most,
            histogram,
            ..
        } = &self.lengths;
        lines.push(format!(
            "lengths  {least} to {most} {unit}, half of them at most {median}"
        ));
        let tallest = histogram
            .iter()
            .map(|bar| bar.count)
            .max()
            .unwrap_or(1)
            .max(1);
        for Bar { from, to, count } in histogram {
            let bar = "#".repeat((count * BAR_WIDTH).div_ceil(tallest));
            lines.push(format!("  {from:>8} to {to:>8} {count:>9} {bar}"));
        }
        if let Some(limit) = &self.limit {
            let Limit {
                tokens,
                by,
                longer_are,
            } = limit;
            let too_long = self.too_long;
            lines.push(format!(
                "too long {too_long} of {}: {by} leaves {tokens} tokens; longer ones are {longer_are}",
                self.rows
            ));
        }
    }
}

/// A text, without its middle where it is long.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= 2 * SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN).collect();
    let tail: String = text.chars().skip(count - SHOWN).collect();
    format!("{head}\n[… {} characters …]\n{tail}", count - 2 * SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lengths: &[usize]) -> Report {
        let mut report = Report {
            lengths: Lengths::of(true),
            limit: Some(Limit::new(50, "max_length", "left out")),
            ..Report::default()
        };
        for &length in lengths {
            let row = Shown {
                name: String::new(),
                text: String::new(),
                answer: None,
                length,
                learnt: None,
            };
            report.add(row, 1);
        }
        report.finish();
        report
    }

    #[test]
    fn a_histogram_counts_every_row_once() {
        for lengths in [
            (1..=100).collect::<Vec<_>>(),
            vec![7],
            vec![3, 3, 1000],
            (0..7).collect(),
        ] {
            let report = report(&lengths);
            let counted: usize = report.lengths.histogram.iter().map(|bar| bar.count).sum();
            assert_eq!(counted, lengths.len());
            assert!(report.lengths.histogram.len() <= BARS);
            let longer = lengths.iter().filter(|&&length| length > 50).count();
            assert_eq!(report.too_long, longer);
        }
        let report = report(&(1..=100).collect::<Vec<_>>());
        assert_eq!(
            (
                report.lengths.least,
                report.lengths.median,
                report.lengths.most
            ),
            (1, 51, 100)
        );
        assert!(
            report.text().contains(
                "too long 50 of 100: max_length leaves 50 tokens; longer ones are left out"
            )
        );
    }

    #[test]
    fn long_texts_are_shown_by_their_ends() {
        let text = format!("a{}z", "é".repeat(5000));
        let shown = shortened(&text);
        assert!(
            shown.starts_with('a')
                && shown.ends_with('z')
                && shown.contains("[… 3802 characters …]")
        );
        assert_eq!(shortened("short"), "short");
    }
}
