//! Runs and measurements, read again from what they left behind.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::gain::RunCost;
use crate::{
    eval::{EvalReport, EvaluationLine, Verdicts, record::Detail},
    statistics::Item,
};

/// What something is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A run's directory.
    Run,
    /// What `dunwu eval` printed.
    Report,
    /// What it wrote by `--details`.
    Details,
}

/// A run or a measurement.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as it was given.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The run's config.
    pub config: Option<toml::Table>,
    /// The lines of `metrics.jsonl`.
    pub metrics: Vec<Map<String, Value>>,
    /// The lines of `evaluation.jsonl`.
    pub evaluations: Vec<EvaluationLine>,
    /// The last measurement; a run may have none.
    pub measured: Option<Measured>,
}

/// A measurement, problem by problem where that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Updates made before it, where it is a run's.
    pub step: Option<u64>,
    /// What was asked.
    pub asked: Asked,
    /// What each problem adds to the greedy accuracy.
    pub greedy: Vec<Item>,
    /// What it adds to the sampled accuracy; empty when nothing was sampled.
    pub sampled: Vec<Item>,
}

/// What is known of the problems of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Their name and answer, in order.
    Problems(Vec<(String, String)>),
    /// A name for all of them together: see [`crate::eval::record::problem_set`].
    Set(String),
    /// Nothing but how many there are; which verdict belongs to which problem is not known.
    Unknown,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such thing.
    #[error(
        "{}: neither a run's directory nor a file of dunwu eval; hint: give runs/<name>, what `dunwu eval` printed, or its --details file", path.display()
    )]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A directory that holds no run.
    #[error("{}: no run in this directory: it has no {file}", path.display())]
    NoRun {
        /// The directory.
        path: PathBuf,
        /// What it lacks.
        file: &'static str,
    },
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{place}: {reason}")]
    Invalid {
        /// The file, with its line where it has lines.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl Source {
    /// Reads what `path` is.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        match (path.is_dir(), path.is_file()) {
            (true, _) => Self::run(path),
            (_, true) => Self::file(path),
            _ => Err(SourceError::Missing {
                path: path.to_owned(),
            }),
        }
    }

    fn run(path: &Path) -> Result<Self, SourceError> {
        const CONFIG: &str = "config.toml";
        let file = path.join(CONFIG);
        if !file.is_file() {
            return Err(SourceError::NoRun {
                path: path.to_owned(),
                file: CONFIG,
            });
        }
        let config = toml::from_str(&text(&file)?)
            .map_err(|error| invalid(&file, None, error.message().to_owned()))?;
        let evaluations: Vec<EvaluationLine> = lines(&path.join("evaluation.jsonl"))?;
        let measured = match evaluations.iter().max_by_key(|line| line.step) {
            Some(last) => Some(Measured::of_line(last)),
            None => summary(&path.join("summary.json"))?,
        };
        Ok(Self {
            name: path.display().to_string(),
            kind: Kind::Run,
            config: Some(config),
            metrics: lines(&path.join("metrics.jsonl"))?,
            evaluations,
            measured,
        })
    }

    fn file(path: &Path) -> Result<Self, SourceError> {
        let whole = text(path)?;
        let first = whole.lines().find(|line| !line.trim().is_empty());
        let is_details = |line: &str| match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(fields) => fields.contains_key("id") && fields.contains_key("greedy"),
            Err(_) => false,
        };
        let (kind, measured) = if first.is_some_and(is_details) {
            (Kind::Details, Measured::of_details(&lines(path)?))
        } else {
            (Kind::Report, Measured::of_report(path, &whole)?)
        };
        Ok(Self {
            name: path.display().to_string(),
            kind,
            config: None,
            metrics: Vec::new(),
            evaluations: Vec::new(),
            measured: Some(measured),
        })
    }

    /// What the run cost.
    pub fn cost(&self) -> RunCost {
        let currency = self.config.as_ref().and_then(|config| {
            let currency = config.get("cost")?.get("currency")?.as_str()?;
            Some(currency.to_owned())
        });
        RunCost::of(&self.metrics, &self.evaluations, currency)
    }

    /// The values of `key`, a path such as `components.exact`, against the step: of the lines of `metrics.jsonl`, or, for
    /// what only a measurement knows, such as `cons_at.8`, of `evaluation.jsonl`.
    pub fn series(&self, key: &str) -> Vec<(u64, f64)> {
        let of_metrics = self.metrics.iter().filter_map(|line| {
            let value = at(line.get(key.split('.').next()?)?, key)?;
            Some((line.get("step")?.as_u64()?, value))
        });
        let found: Vec<(u64, f64)> = of_metrics.collect();
        if !found.is_empty() {
            return found;
        }
        let of_reports = self.evaluations.iter().filter_map(|line| {
            let report = serde_json::to_value(&line.report).ok()?;
            Some((line.step, at(report.get(key.split('.').next()?)?, key)?))
        });
        of_reports.collect()
    }

    /// The keys of `metrics.jsonl` that hold numbers.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for line in &self.metrics {
            for (key, value) in line {
                let mut add = |key: String, value: &Value| {
                    if value.is_number() && !keys.contains(&key) {
                        keys.push(key);
                    }
                };
                add(key.clone(), value);
                for (part, value) in value.as_object().into_iter().flatten() {
                    add(format!("{key}.{part}"), value);
                }
            }
        }
        keys
    }
}

/// The number at `key` in `value`, which is what the key's first part names.
fn at(value: &Value, key: &str) -> Option<f64> {
    let rest = key.split('.').skip(1);
    rest.into_iter()
        .try_fold(value, |value, part| value.get(part))?
        .as_f64()
}

impl Measured {
    fn of_line(line: &EvaluationLine) -> Self {
        Self {
            step: Some(line.step),
            asked: Asked::Set(line.problem_set.clone()),
            greedy: line.greedy.items(),
            sampled: line.sampled.iter().map(Verdicts::item).collect(),
        }
    }

    fn of_details(details: &[Detail]) -> Self {
        let problem = |detail: &Detail| (detail.id.clone(), detail.answer.clone());
        let sampled = |detail: &Detail| {
            let verdicts: Verdicts = detail.sampled.iter().map(|answer| answer.right).collect();
            verdicts.item()
        };
        let has_samples = details.iter().any(|detail| !detail.sampled.is_empty());
        let greedy: Verdicts = details.iter().map(|detail| detail.greedy.right).collect();
        Self {
            step: None,
            asked: Asked::Problems(details.iter().map(problem).collect()),
            greedy: greedy.items(),
            sampled: if has_samples {
                details.iter().map(sampled).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// What `dunwu eval` printed: a report, and the verdicts beside it.
    fn of_report(path: &Path, whole: &str) -> Result<Self, SourceError> {
        let mut fields: Map<String, Value> = serde_json::from_str(whole).map_err(|error| {
            let reason =
                format!("neither one JSON object of dunwu eval nor lines of its details: {error}");
            invalid(path, None, reason)
        })?;
        let mut take = |key: &str| fields.remove(key).unwrap_or(Value::Null);
        let (set, greedy, sampled) = (take("problem_set"), take("greedy"), take("sampled"));
        let report: EvalReport = part(path, Value::Object(fields))?;
        if set.is_null() || greedy.is_null() {
            return Ok(Self::of_counts(&report, None));
        }
        let sampled: Option<Vec<Verdicts>> = part(path, sampled)?;
        Ok(Self {
            step: None,
            asked: Asked::Set(part(path, set)?),
            greedy: part::<Verdicts>(path, greedy)?.items(),
            sampled: sampled.iter().flatten().map(Verdicts::item).collect(),
        })
    }

    /// A report without verdicts: as many right answers as its accuracy says, of all problems.
    fn of_counts(report: &EvalReport, step: Option<u64>) -> Self {
        let accuracy = report.greedy_accuracy.unwrap_or(0.0);
        let judged = report.greedy_accuracy.map_or(0, |_| report.problems);
        let right = (accuracy * judged as f64).round() as usize;
        let verdicts: Verdicts = (0..judged).map(|index| Some(index < right)).collect();
        Self {
            step,
            asked: Asked::Unknown,
            greedy: verdicts.items(),
            sampled: Vec::new(),
        }
    }
}

/// The last measurement of a `summary.json`, for runs that kept no verdicts.
fn summary(path: &Path) -> Result<Option<Measured>, SourceError> {
    if !path.is_file() {
        return Ok(None);
    }
    let whole = text(path)?;
    let summary: Map<String, Value> =
        serde_json::from_str(&whole).map_err(|error| invalid(path, None, error.to_string()))?;
    let report = ["after", "before"]
        .iter()
        .filter_map(|key| summary.get(*key))
        .find(|report| !report.is_null());
    let Some(report) = report else {
        return Ok(None);
    };
    let report: EvalReport = part(path, report.clone())?;
    let step = summary.get("steps").and_then(Value::as_u64);
    Ok(Some(Measured::of_counts(&report, step)))
}

fn part<T: DeserializeOwned>(path: &Path, value: Value) -> Result<T, SourceError> {
    serde_json::from_value(value).map_err(|error| invalid(path, None, error.to_string()))
}

fn text(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|source| SourceError::File {
        path: path.to_owned(),
        source,
    })
}

/// The lines of a file that may not be there. A last line without an end is one that is being written.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, SourceError> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let whole = text(path)?;
    let mut found = Vec::new();
    for (index, line) in whole.split_inclusive('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(value) => found.push(value),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(invalid(path, Some(index + 1), error.to_string())),
        }
    }
    Ok(found)
}

fn invalid(path: &Path, line: Option<usize>, reason: String) -> SourceError {
    let place = match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    };
    SourceError::Invalid { place, reason }
}
