//! Measures the sandbox, and is the worker that its tests start.
//!
//!     dunwu-sandbox-bench PROGRAMS.jsonl [--workers N] [--repeat N]
//!     dunwu-sandbox-bench [--worker FILE] --one PROGRAM
//!     dunwu-sandbox-bench --endless FILE.wasm
//!     dunwu-sandbox-bench --confined read|write|start|connect|report CACHE_DIR TARGET
//!
//! Each line of the file is `{"program", "stdin"}`. Prints one JSON object: programs a second, how many ended well, and
//! the times of a trivial program on a warm worker, in milliseconds. `--confined` gives up what a worker gives up and then tries one thing;
//! `--endless` runs a WebAssembly program without limits of fuel; `--worker` names another program for the worker.
#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dunwu_sandbox::confine::confine;
use dunwu_sandbox::{Limits, Program, Sandbox, SandboxError, worker};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    program: String,
    #[serde(default)]
    stdin: String,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--worker"), Some(program)) => worker::serve_with(program.into()),
        _ => worker::serve_if_asked(),
    }
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// Confines this process as a worker is confined, tries one thing, and says how that ended.
fn reach_confined(mut arguments: impl Iterator<Item = String>) -> Result<String, &'static str> {
    let mut next = || arguments.next().ok_or("an argument is missing");
    let (kind, cache, target) = (next()?, next()?, next()?);
    let cache = std::path::Path::new(&cache);
    let confinement = confine(&[cache], &[&cache.join("programs")]);
    let result = match kind.as_str() {
        "read" => std::fs::read(target).map(drop),
        "write" => std::fs::write(target, "text"),
        "start" => std::process::Command::new(target).status().map(drop),
        "connect" => std::net::TcpStream::connect(target).map(drop),
        "report" => return Ok(format!("{:?}", confinement.files)),
        _ => return Err("read, write, start, connect or report"),
    };
    Ok(match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    })
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut path = None;
    let (mut workers, mut repeat) = (1, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<usize, Box<dyn std::error::Error>> {
            Ok(arguments.next().ok_or("a number is missing")?.parse()?)
        };
        match argument.as_str() {
            "--workers" => workers = number()?,
            "--repeat" => repeat = number()?,
            "--worker" => drop(arguments.next()),
            "--confined" => {
                println!("{}", reach_confined(arguments)?);
                return Ok(());
            }
            "--endless" => {
                let name = arguments.next().ok_or("a file is missing")?;
                let bytes = std::fs::read(&name)?;
                let limits = Limits {
                    fuel: u64::MAX / 4,
                    wall_time: std::time::Duration::from_secs(3600),
                    ..Limits::default()
                };
                Sandbox::new(1)?.run(&Program::Wasm { name, bytes }, b"", &limits)?;
                return Ok(());
            }
            "--one" => {
                let program = Program::python(arguments.next().ok_or("a program is missing")?);
                let run = Sandbox::new(1)?.run(&program, b"", &Limits::default())?;
                let (out, err) = (
                    String::from_utf8_lossy(&run.stdout),
                    String::from_utf8_lossy(&run.stderr),
                );
                println!(
                    "{:?} fuel {} {:?}\n{out}{err}",
                    run.exit, run.fuel_used, run.wall_time
                );
                return Ok(());
            }
            other => path = Some(other.to_owned()),
        }
    }
    let path =
        path.ok_or("usage: dunwu-sandbox-bench PROGRAMS.jsonl [--workers N] [--repeat N]")?;
    let rows: Vec<Row> = std::fs::read_to_string(path)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let sandbox = Sandbox::new(workers)?;
    sandbox.prepare_python(&mut |stage| eprintln!("{stage}"))?;
    let limits = Limits::default();
    let trivial = Program::python("print(sum(range(10)))");
    for _ in 0..2 * workers {
        sandbox.run(&trivial, b"", &limits)?;
    }

    let (next, good) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = rows.len() * repeat;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| -> Result<(), SandboxError> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return Ok(());
                        }
                        let row = &rows[index % rows.len()];
                        let program = Program::python(row.program.as_str());
                        let run = sandbox.run(&program, row.stdin.as_bytes(), &limits)?;
                        good.fetch_add(usize::from(run.exit.is_success()), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a thread does not panic"))
    })?;
    let seconds = start.elapsed().as_secs_f64();

    let mut times = Vec::new();
    for _ in 0..300 {
        // As a caller that does something else in between.
        std::thread::sleep(std::time::Duration::from_millis(3));
        let start = Instant::now();
        sandbox.run(&trivial, b"", &limits)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let mut busy = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        sandbox.run(&trivial, b"", &limits)?;
        busy.push(start.elapsed().as_secs_f64() * 1e3);
    }
    busy.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "workers": workers,
            "programs": count,
            "ended_well": good.into_inner(),
            "per_s": (count as f64 / seconds * 10.0).round() / 10.0,
            "trivial_p50_ms": times[150], "trivial_p99_ms": times[297],
            "trivial_back_to_back_p50_ms": busy[150],
        })
    );
    Ok(())
}
