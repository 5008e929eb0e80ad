//! The figures of a run as event files, for TensorBoard and for what imports them.
//!
//! `metrics.jsonl` and `evaluation.jsonl` stay the truth: a session writes one file anew from what they hold, and goes on with each
//! line that it logs. So nothing has to be cut when a run goes back to its checkpoint. Tags are `KIND/KEY` for the figures of a stage,
//! `run/KEY` for those of every line, and `evaluation/KEY` for measurements; what is in an object has `/` between the names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    directory::{EVALUATIONS, METRICS},
    heartbeat,
    metrics::{KIND, MetricsLine},
};
use crate::formats::tfevents::{self, Record, VERSION, What};

/// The folder in a run's directory.
pub const FOLDER: &str = "tensorboard";

/// How the files of this program begin, and end.
const BEGINS: &str = "events.out.tfevents.";
const ENDS: &str = ".dunwu";

/// The event file of a session.
#[derive(Debug)]
pub(super) struct TensorBoard {
    path: PathBuf,
    file: File,
}

impl TensorBoard {
    /// Makes a file in the run's folder that has all that was logged so far, in place of those of earlier sessions.
    ///
    /// # Errors
    /// When the logs cannot be read, or the disk does not take it.
    pub(super) fn begin(run: &Path) -> io::Result<Self> {
        let folder = run.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let earlier = ours(&folder)?;
        let times = wall_times(&earlier);
        let (path, file) = write(run, &folder, &times)?;
        for old in earlier.iter().filter(|old| **old != path) {
            fs::remove_file(old)?;
        }
        Ok(Self { path, file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line of `metrics.jsonl`.
    pub(super) fn step(&mut self, line: &MetricsLine) -> io::Result<()> {
        let step = line.step;
        self.add(step, of_step(&object(line)?))
    }

    /// Adds a line of `evaluation.jsonl`.
    pub(super) fn measured(&mut self, step: u64, report: &impl Serialize) -> io::Result<()> {
        let figures = of_report(&object(report)?);
        self.add(step, figures)
    }

    fn add(&mut self, step: u64, figures: Vec<(String, f32)>) -> io::Result<()> {
        let record = Record {
            wall_time: heartbeat::now(),
            step: step as i64,
            what: What::Scalars(figures),
        };
        tfevents::write(&mut self.file, &record)
    }
}

/// Writes the figures of the run in `run` as one event file in `folder`, and says where.
///
/// # Errors
/// When the logs cannot be read, or the disk does not take it.
pub fn export(run: &Path, folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let own = run.join(FOLDER);
    let earlier = if own.is_dir() {
        ours(&own)?
    } else {
        Vec::new()
    };
    write(run, folder, &wall_times(&earlier)).map(|(path, _)| path)
}

/// One file with all that was logged.
fn write(run: &Path, folder: &Path, times: &BTreeMap<i64, f64>) -> io::Result<(PathBuf, File)> {
    let now = heartbeat::now();
    let (host, pid) = (heartbeat::host(), std::process::id());
    let host = host.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "-");
    let name = format!("{BEGINS}{:010}.{host}.{pid}{ENDS}", now as u64);
    let path = folder.join(name);
    let mut bytes = Vec::new();
    let records = logged(run, times)?;
    let first = records.first().map_or(now, |record| record.wall_time);
    let head = [What::Version(VERSION.to_owned()), What::SessionStart];
    let head = head.map(|what| Record {
        wall_time: first,
        step: 0,
        what,
    });
    for record in head.iter().chain(&records) {
        tfevents::write(&mut bytes, record)?;
    }
    let mut file = File::create(&path)?;
    file.write_all(&bytes)?;
    Ok((path, file))
}

/// A record for each line of the logs, by step.
fn logged(run: &Path, times: &BTreeMap<i64, f64>) -> io::Result<Vec<Record>> {
    let metrics = lines(&run.join(METRICS))?;
    let evaluations = lines(&run.join(EVALUATIONS))?;
    let ended = fs::metadata(run.join(METRICS)).and_then(|file| file.modified());
    let ended = ended.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let ended = ended.map_or_else(heartbeat::now, |at| at.as_secs_f64());
    let seconds = |line: &Map<String, Value>| line.get("step_s").and_then(Value::as_f64);
    let all: f64 = metrics.iter().filter_map(seconds).sum();
    let mut clock = ended - all;
    // Where no earlier event file says when a step was, it is told by the seconds that steps took.
    let mut guessed = BTreeMap::from([(0, clock)]);
    let mut records = Vec::new();
    for line in &metrics {
        clock += seconds(line).unwrap_or(0.0);
        let step = number(line, "step");
        guessed.insert(step, clock);
        records.push((step, of_step(line)));
    }
    for line in &evaluations {
        if let Some(report) = line.get("report").and_then(Value::as_object) {
            records.push((number(line, "step"), of_report(report)));
        }
    }
    records.sort_by_key(|(step, _)| *step);
    let record = |(step, figures)| {
        let at = times.get(&step).or_else(|| guessed.get(&step));
        Record {
            wall_time: at.copied().unwrap_or(ended),
            step,
            what: What::Scalars(figures),
        }
    };
    Ok(records.into_iter().map(record).collect())
}

fn number(line: &Map<String, Value>, key: &str) -> i64 {
    line.get(key).and_then(Value::as_i64).unwrap_or(0)
}

/// The figures of a line of `metrics.jsonl` by their tags.
fn of_step(line: &Map<String, Value>) -> Vec<(String, f32)> {
    let kind = line.get(KIND.key).and_then(Value::as_str).unwrap_or("run");
    let shared: Vec<&str> = MetricsLine::TABLES
        .iter()
        .flat_map(|table| table.metrics)
        .map(|metric| metric.key)
        .collect();
    let mut figures = Vec::new();
    for (key, value) in line.iter().filter(|(key, _)| *key != "step") {
        let group = if shared.contains(&key.as_str()) {
            "run"
        } else {
            kind
        };
        flatten(format!("{group}/{key}"), value, &mut figures);
    }
    figures
}

fn of_report(report: &Map<String, Value>) -> Vec<(String, f32)> {
    let mut figures = Vec::new();
    for (key, value) in report {
        flatten(format!("evaluation/{key}"), value, &mut figures);
    }
    figures
}

/// Numbers, also those in objects; what is null has no figure.
fn flatten(tag: String, value: &Value, figures: &mut Vec<(String, f32)>) {
    if let Value::Object(parts) = value {
        for (key, value) in parts {
            flatten(format!("{tag}/{key}"), value, figures);
        }
    } else if let Some(number) = value.as_f64() {
        figures.push((tag, number as f32));
    }
}

/// The event files of this program in a folder, in the order of their names.
fn ours(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(BEGINS) && name.ends_with(ENDS) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// When each step was logged, as far as earlier files say.
fn wall_times(files: &[PathBuf]) -> BTreeMap<i64, f64> {
    let mut times = BTreeMap::new();
    for path in files {
        // One that is damaged knows nothing.
        let records = fs::read(path).ok().and_then(|b| tfevents::read(&b).ok());
        for record in records.unwrap_or_default() {
            if matches!(record.what, What::Scalars(_)) {
                times.insert(record.step, record.wall_time);
            }
        }
    }
    times
}

/// The objects of a log; a line that was cut off is left out.
fn lines(path: &Path) -> io::Result<Vec<Map<String, Value>>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        found.extend(serde_json::from_slice::<Map<String, Value>>(&line?).ok());
    }
    Ok(found)
}

fn object(value: &impl Serialize) -> io::Result<Map<String, Value>> {
    match serde_json::to_value(value)? {
        Value::Object(fields) => Ok(fields),
        other => Err(io::Error::other(format!("{other} is no object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "{\"step\":1,\"stage\":0,\"heldout_accuracy\":0.5,\"heldout_accuracy_interval\":{\"low\":0.25,\"high\":0.75},\"kind\":\"grpo\",\"loss\":null,\"reward_mean\":0.125,\"step_s\":2.0,\"components\":{\"exact\":1.0}}\n{\"step\":2,\"stage\":0,\"kind\":\"grpo\",\"reward_mean\":0.25,\"step_s\":3.0}\n{\"step\":3,\"cut o";

    fn run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(METRICS), LINES).unwrap();
        let report = "{\"step\":0,\"report\":{\"greedy_accuracy\":0.5,\"pass_at\":{\"8\":0.75}}}\n";
        fs::write(dir.path().join(EVALUATIONS), report).unwrap();
        dir
    }

    fn figures(path: &Path) -> Vec<(i64, String, f32)> {
        let records = tfevents::read(&fs::read(path).unwrap()).unwrap();
        assert_eq!(records[0].what, What::Version(VERSION.to_owned()));
        let mut found = Vec::new();
        for record in records {
            if let What::Scalars(values) = record.what {
                found.extend(values.into_iter().map(|(tag, v)| (record.step, tag, v)));
            }
        }
        found
    }

    #[test]
    fn a_run_is_exported_with_its_numbers() {
        let run = run();
        let to = tempfile::tempdir().unwrap();
        let path = export(run.path(), &to.path().join("new/folder")).unwrap();
        let expected = [
            (0, "evaluation/greedy_accuracy", 0.5),
            (0, "evaluation/pass_at/8", 0.75),
            (1, "run/stage", 0.0),
            (1, "run/heldout_accuracy", 0.5),
            (1, "run/heldout_accuracy_interval/low", 0.25),
            (1, "run/heldout_accuracy_interval/high", 0.75),
            (1, "grpo/reward_mean", 0.125),
            (1, "grpo/step_s", 2.0),
            (1, "grpo/components/exact", 1.0),
            (2, "run/stage", 0.0),
            (2, "grpo/reward_mean", 0.25),
            (2, "grpo/step_s", 3.0),
        ];
        let expected = expected.map(|(step, tag, value)| (step, tag.to_owned(), value));
        assert_eq!(figures(&path), expected);
    }

    #[test]
    fn a_session_replaces_the_file_of_the_one_before_and_keeps_its_times() {
        let run = run();
        let folder = run.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        let old = folder.join("events.out.tfevents.0000000001.there.1.dunwu");
        let mut bytes = Vec::new();
        let figure = vec![("grpo/reward_mean".to_owned(), 9.0)];
        // Of a step that is made again, too.
        for step in [1, 7] {
            let record = Record {
                wall_time: 100.0 + step as f64,
                step,
                what: What::Scalars(figure.clone()),
            };
            tfevents::write(&mut bytes, &record).unwrap();
        }
        fs::write(&old, bytes).unwrap();
        fs::write(folder.join("events.out.tfevents.of.others"), "").unwrap();
        let mut board = TensorBoard::begin(run.path()).unwrap();
        assert!(!old.exists() && board.path().exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        board
            .measured(2, &Map::from_iter([("problems".to_owned(), 5.into())]))
            .unwrap();
        let all = figures(board.path());
        assert!(all.iter().all(|(step, _, value)| *step < 3 && *value < 9.0));
        assert_eq!(
            all.last(),
            Some(&(2, "evaluation/problems".to_owned(), 5.0))
        );
        let records = tfevents::read(&fs::read(board.path()).unwrap()).unwrap();
        let first = records.iter().find(|record| record.step == 1).unwrap();
        assert_eq!(first.wall_time, 101.0);
    }
}
