//! Hostile programs (`tests/hostile/*.py`) do no harm: each ends with a verdict in time, the same verdict each time, and
//! the worker goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use dunwu_sandbox::{Exit, Limits, Program};

/// What no program may bring about.
const MARK: &str = "dunwu-was-here";

/// A verdict may come this much after the deadline: a fifth, as promised.
const LATE: f64 = 1.2;

#[test]
fn hostile_programs_end_in_time_and_do_no_harm() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 40, "{}", files.len());
    let mark = std::env::temp_dir().join(MARK);
    assert!(
        !mark.exists(),
        "{} is left from something else",
        mark.display()
    );

    // So little fuel that fuel decides, and then so much that the deadline does.
    let by_fuel = Limits {
        fuel: 400_000_000,
        ..Limits::default()
    };
    let by_time = Limits {
        fuel: u64::MAX / 4,
        wall_time: Duration::from_secs(1),
        ..Limits::default()
    };
    let honest = Program::python("print(sum(range(10)))");
    let (mut late, mut worst) = (Vec::new(), 0.0_f64);
    for file in &files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let program = Program::python(std::fs::read_to_string(file).unwrap());

        let first = sandbox.run(&program, b"", &by_fuel).unwrap();
        let second = sandbox.run(&program, b"", &by_fuel).unwrap();
        assert_ne!(first.exit, Exit::Deadline, "{name}");
        assert_eq!(
            (&first.exit, &first.stdout, &first.stderr, first.fuel_used),
            (
                &second.exit,
                &second.stdout,
                &second.stderr,
                second.fuel_used
            ),
            "{name}"
        );
        assert!(
            first.stdout.len() <= 64 << 10 && first.stderr.len() <= 64 << 10,
            "{name}"
        );
        let words = String::from_utf8_lossy(&first.stdout).into_owned();
        assert!(
            !words.contains("root:") && !words.contains("/bin"),
            "{name}: {words}"
        );

        // Late on a machine that is busy with other things is not late: three times in a row is.
        let (mut share, mut timed) = (f64::INFINITY, None);
        for _ in 0..3 {
            let start = Instant::now();
            let run = sandbox.run(&program, b"", &by_time).unwrap();
            share = share.min(start.elapsed().as_secs_f64() / by_time.wall_time.as_secs_f64());
            timed = Some(run);
            if share <= LATE {
                break;
            }
        }
        let timed = timed.unwrap();
        worst = worst.max(share);
        if share > LATE {
            late.push(format!(
                "{name}: {share:.2} of the deadline, {}",
                timed.exit
            ));
        }
        eprintln!("{name}: {} | {} after {share:.2} s", first.exit, timed.exit);

        assert!(!mark.exists(), "{name} reached the file system");
        let after = sandbox.run(&honest, b"", &by_fuel).unwrap();
        assert_eq!(
            (after.exit, after.stdout.as_slice()),
            (Exit::Finished, b"45\n".as_slice()),
            "{name}"
        );
    }
    eprintln!(
        "{} programs, the latest verdict after {worst:.2} of the deadline",
        files.len()
    );
    assert!(late.is_empty(), "{late:#?}");
}
