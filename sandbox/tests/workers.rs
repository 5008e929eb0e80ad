//! Worker processes: what they are left with, how their work is given up, and which programs may be one.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dunwu_sandbox::confine::FileConfinement;
use dunwu_sandbox::{Cancel, Exit, Limits, Program, Sandbox, SandboxError, worker};

const BENCH: &str = env!("CARGO_BIN_EXE_dunwu-sandbox-bench");

fn sandbox() -> Sandbox {
    worker::serve_with(BENCH.into());
    Sandbox::new(1).unwrap()
}

fn wasm(body: &str) -> Program {
    let text = format!(r#"(module (memory (export "memory") 1) (func (export "_start") {body}))"#);
    Program::Wasm {
        name: "test.wasm".to_owned(),
        bytes: wat::parse_str(text).unwrap(),
    }
}

fn endless() -> (Program, Limits) {
    let limits = Limits {
        fuel: u64::MAX / 4,
        wall_time: Duration::from_secs(600),
        ..Limits::default()
    };
    (wasm("(loop $again (br $again))"), limits)
}

/// An endless program in a file in `dir`.
fn endless_file(dir: &Path) -> PathBuf {
    let path = dir.join("endless.wasm");
    if let (Program::Wasm { bytes, .. }, _) = endless() {
        std::fs::write(&path, bytes).unwrap();
    }
    path
}

/// The process that a worker of this test program is, by `/proc`.
#[cfg(target_os = "linux")]
fn children() -> Vec<u32> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let ids = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(ids.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
    }
    children
}

/// One test, since workers are told apart by being children of this process.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_has_nothing_but_what_it_needs_and_dies_with_its_work() {
    assert!(
        std::env::var_os("PATH").is_some(),
        "there is something to leave behind"
    );
    let sandbox = sandbox();
    let confinement = sandbox.confinement().unwrap().unwrap();
    assert!(
        confinement.no_new_privileges && confinement.resources,
        "{confinement:?}"
    );
    let [worker] = children()[..] else {
        eprintln!("skipped: this kernel does not list children");
        return;
    };
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{worker}/{name}")).unwrap();
    let environment = read("environ");
    let names: Vec<&str> = environment
        .split('\0')
        .filter_map(|variable| variable.split('=').next())
        .filter(|name| !name.is_empty())
        .collect();
    let allowed = [
        "DUNWU_CACHE_DIR",
        "LD_LIBRARY_PATH",
        "RUST_BACKTRACE",
        "RAYON_NUM_THREADS",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(
        read("status").contains("NoNewPrivs:\t1"),
        "{}",
        read("status")
    );
    let limits = read("limits");
    let limit = |name: &str| -> String {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[26..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max open files"), "64");
    assert_eq!(limit("Max address space"), (64_u64 << 30).to_string());

    // Work that is given up is killed: the process is gone, and another one answers.
    let (program, limits) = endless();
    let cancel = Cancel::new();
    let canceller = cancel.clone();
    let start = Instant::now();
    let helper = std::thread::spawn(move || {
        while canceller.started().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(200));
        canceller.cancel();
    });
    let result = sandbox.run_cancellable(&program, b"", &limits, &cancel);
    assert!(matches!(result, Err(SandboxError::Cancelled)), "{result:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
    helper.join().unwrap();
    assert_eq!(children(), [0_u32; 0]);
    let run = sandbox.run(&wasm(""), b"", &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::Finished);
    let [second] = children()[..] else {
        panic!("{:?}", children());
    };
    assert_ne!(second, worker);
    drop(sandbox);
    assert_eq!(children(), [0_u32; 0]);
}

/// Asks a confined process to reach for `target`, and returns what it says.
fn reach(kind: &str, cache: &Path, target: &str) -> String {
    let output = Command::new(BENCH)
        .args(["--confined", kind])
        .arg(cache)
        .arg(target)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn who_is_confined_reaches_the_cache_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    std::fs::create_dir_all(cache.join("programs")).unwrap();
    let inside = cache.join("inside");
    let outside = dir.path().join("outside");
    for path in [&inside, &outside] {
        std::fs::write(path, "text").unwrap();
    }
    let text = |path: &PathBuf| path.display().to_string();
    assert_eq!(reach("read", &cache, &text(&inside)), "done");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let files = match reach("report", &cache, "").as_str() {
        "Full" => FileConfinement::Full,
        "Partial" => FileConfinement::Partial,
        "None" => {
            eprintln!("skipped: this system has no Landlock");
            return;
        }
        other => panic!("{other}"),
    };
    assert_eq!(reach("read", &cache, &text(&outside)), "PermissionDenied");
    assert_eq!(
        reach("write", &cache, &text(&cache.join("new"))),
        "PermissionDenied"
    );
    assert_eq!(reach("write", &cache, &text(&outside)), "PermissionDenied");
    let program = cache.join("programs").join("new");
    assert_eq!(reach("write", &cache, &text(&program)), "done");
    assert_eq!(reach("start", &cache, "/bin/true"), "PermissionDenied");
    if files == FileConfinement::Full {
        assert_eq!(reach("connect", &cache, &address), "PermissionDenied");
    }
}

/// A program that serves, but was not built with this one.
#[test]
fn another_build_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("other");
    // Introduces itself with another build's number, in the form of this protocol.
    let hello = r#"printf '\004\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\001\0\0\0'; cat >/dev/null"#;
    std::fs::write(&program, format!("#!/bin/sh\n{hello}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(BENCH)
        .args(["--worker", program.to_str().unwrap(), "--endless"])
        .arg(endless_file(dir.path()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        words.contains("is another build than the program that runs"),
        "{words}"
    );
}

/// The worker of a program that was killed ends, whatever its guest does.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_whose_parent_was_killed_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(BENCH)
        .arg("--endless")
        .arg(endless_file(dir.path()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let children = |id: u32| -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) {
            for thread in threads.flatten() {
                let ids = std::fs::read_to_string(thread.path().join("children"));
                found.extend(
                    ids.unwrap_or_default()
                        .split_whitespace()
                        .map(str::to_owned),
                );
            }
        }
        found
    };
    let start = Instant::now();
    let worker = loop {
        if let Some(worker) = children(parent.id()).first() {
            break worker.clone();
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    };
    // Long enough for the guest to run.
    std::thread::sleep(Duration::from_millis(700));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let start = Instant::now();
    while runs() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "worker {worker} goes on"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
