//! `dunwu exec`.

use std::{
    collections::BTreeMap,
    io::BufRead,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use dunwu_sandbox::{Execution, Exit, Limits, Program, Sandbox, SandboxError};
use serde::{Deserialize, Serialize};

use super::{Failure, model::print_json, sandbox::prepare_python, usage};

/// Run a program in the sandbox and print how it ended, as a JSON object.
///
/// The program has its standard input and nothing else: no files, no network, no clock. The command
/// succeeds when the program could be run, however that ended.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// The program: Python source, or a WebAssembly module or component
    #[arg(required_unless_present = "jsonl", conflicts_with = "jsonl")]
    file: Option<PathBuf>,
    /// Read {"program", "stdin"} rows from standard input and write a result a line, in order, on all
    /// cores; with --lang wasm, "program" is a file's path
    #[arg(long)]
    jsonl: bool,
    /// What the program is; by default a file that ends in .wasm is WebAssembly
    #[arg(long, value_enum)]
    lang: Option<Language>,
    /// A file that the program reads as its standard input; - is this command's own
    #[arg(long, conflicts_with = "jsonl")]
    stdin: Option<PathBuf>,
    /// Instructions that the program may execute
    #[arg(long, default_value_t = Limits::default().fuel)]
    fuel: u64,
    /// Time that it may take, in milliseconds
    #[arg(long, default_value_t = Limits::default().wall_time.as_millis() as u64)]
    wall_ms: u64,
    /// Memory that it may have, in MiB
    #[arg(long, default_value_t = Limits::default().memory_bytes >> 20)]
    memory_mb: u64,
    /// Bytes kept of each of its outputs, in KiB
    #[arg(long, default_value_t = Limits::default().output_bytes >> 10)]
    output_kb: u64,
    /// Programs run at once; 0 is one on each core
    #[arg(long, default_value_t = 0, requires = "jsonl")]
    workers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Python,
    Wasm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    program: String,
    #[serde(default)]
    stdin: String,
}

/// An [`Execution`] as it is printed. Outputs that are not UTF-8 have their bad bytes replaced.
#[derive(Serialize)]
struct Report {
    exit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    stdout: String,
    stderr: String,
    fuel_used: u64,
    wall_time_s: f64,
}

/// What is printed for a row that could not be run.
#[derive(Serialize)]
struct Unrun {
    error: String,
}

impl From<Execution> for Report {
    fn from(execution: Execution) -> Self {
        let Execution {
            exit,
            stdout,
            stderr,
            fuel_used,
            wall_time,
        } = execution;
        let (exit, code, detail) = match exit {
            Exit::Finished => ("finished", None, None),
            Exit::Exited(code) => ("exited", Some(code), None),
            Exit::Uncaught(class) => ("uncaught", None, Some(class)),
            Exit::OutOfFuel => ("out-of-fuel", None, None),
            Exit::OutOfMemory => ("out-of-memory", None, None),
            Exit::StackOverflow => ("stack-overflow", None, None),
            Exit::OutputLimit => ("output-limit", None, None),
            Exit::Deadline => ("deadline", None, None),
            Exit::Trapped(reason) => ("trapped", None, Some(reason)),
        };
        Self {
            exit,
            code,
            detail,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            fuel_used,
            wall_time_s: wall_time.as_secs_f64(),
        }
    }
}

impl Exec {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let limits = Limits {
            fuel: self.fuel,
            wall_time: Duration::from_millis(self.wall_ms),
            memory_bytes: self.memory_mb << 20,
            output_bytes: self.output_kb << 10,
            ..Limits::default()
        };
        limits.validate().map_err(usage)?;
        match &self.file {
            Some(file) => self.one(file, &limits),
            None => self.many(&limits),
        }
    }

    fn one(&self, file: &Path, limits: &Limits) -> Result<(), Failure> {
        let by_name = match file
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            true => Language::Wasm,
            false => Language::Python,
        };
        let language = self.lang.unwrap_or(by_name);
        let program = read_program(file, language)?;
        let stdin = match &self.stdin {
            None => Vec::new(),
            Some(path) if path == Path::new("-") => {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)
                    .context("standard input")?;
                bytes
            }
            Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        };
        if language == Language::Python {
            prepare_python()?;
        }
        let sandbox = Sandbox::new(1)?;
        print_json(&Report::from(sandbox.run(&program, &stdin, limits)?))
    }

    /// Rows go to the workers as they come in and results out as soon as all before them are out. A
    /// row that cannot be run has its error in its place.
    fn many(&self, limits: &Limits) -> Result<(), Failure> {
        let language = self.lang.unwrap_or(Language::Python);
        if language == Language::Python {
            prepare_python()?;
        }
        let sandbox = match self.workers {
            0 => Sandbox::for_all_cores()?,
            count => Sandbox::new(count)?,
        };
        // Enough to keep the workers busy, and no more in memory.
        let (rows_in, rows) = mpsc::sync_channel(4 * sandbox.workers());
        let rows = Mutex::new(rows);
        let (results_in, results) = mpsc::channel();
        let failed = std::thread::scope(|scope| {
            for _ in 0..sandbox.workers() {
                let (results_in, rows, sandbox) = (results_in.clone(), &rows, &sandbox);
                scope.spawn(move || {
                    loop {
                        let next = rows.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((index, row)) = next else { return };
                        let result = run_row(sandbox, row, language, limits);
                        if results_in.send((index, result)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(results_in);
            scope.spawn(move || {
                let mut sent = 0;
                for (index, line) in std::io::stdin().lock().lines().enumerate() {
                    if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
                        continue;
                    }
                    if rows_in.send((sent, parse_row(index, line))).is_err() {
                        return;
                    }
                    sent += 1;
                }
            });
            print_in_order(&results).inspect_err(|_| {
                // Nobody reads on; the program ends here, with rows still waiting.
                std::process::exit(0);
            })
        })?;
        match failed {
            0 => Ok(()),
            count => {
                Err(anyhow::anyhow!("{count} rows could not be run; see their \"error\"").into())
            }
        }
    }
}

/// Prints results by their index; how many are errors.
fn print_in_order(
    results: &mpsc::Receiver<(usize, Result<Report, String>)>,
) -> Result<usize, Failure> {
    let mut waiting = BTreeMap::new();
    let (mut next, mut failed) = (0, 0);
    for (index, result) in results {
        waiting.insert(index, result);
        while let Some(result) = waiting.remove(&next) {
            next += 1;
            match result {
                Ok(report) => print_json(&report)?,
                Err(error) => {
                    failed += 1;
                    print_json(&Unrun { error })?;
                }
            }
        }
    }
    Ok(failed)
}

fn parse_row(index: usize, line: std::io::Result<String>) -> Result<Row, String> {
    let place = |reason: &dyn std::fmt::Display| format!("standard input:{}: {reason}", index + 1);
    let line = line.map_err(|error| place(&error))?;
    serde_json::from_str(&line).map_err(|error| place(&error))
}

fn run_row(
    sandbox: &Sandbox,
    row: Result<Row, String>,
    language: Language,
    limits: &Limits,
) -> Result<Report, String> {
    let Row { program, stdin } = row?;
    let program = match language {
        Language::Python => Program::Python(program),
        Language::Wasm => {
            read_program(Path::new(&program), language).map_err(|error| format!("{error:#}"))?
        }
    };
    let run: Result<Execution, SandboxError> = sandbox.run(&program, stdin.as_bytes(), limits);
    run.map(Report::from).map_err(|error| error.to_string())
}

fn read_program(file: &Path, language: Language) -> anyhow::Result<Program> {
    let name = || file.display().to_string();
    Ok(match language {
        Language::Python => Program::Python(std::fs::read_to_string(file).with_context(name)?),
        Language::Wasm => Program::Wasm {
            name: name(),
            bytes: std::fs::read(file).with_context(name)?,
        },
    })
}
