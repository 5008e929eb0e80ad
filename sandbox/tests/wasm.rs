//! WebAssembly programs that are not Python.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dunwu_sandbox::{Exit, Limits, Program, Sandbox};

fn run(body: &str, stdin: &str, limits: &Limits) -> Result<(Exit, Vec<u8>), String> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") {body}))"#
    );
    let program = Program::Wasm {
        name: "test.wasm".to_owned(),
        bytes: wat::parse_str(text).unwrap(),
    };
    let run = Sandbox::new(1)
        .unwrap()
        .run(&program, stdin.as_bytes(), limits);
    run.map(|run| (run.exit, run.stdout))
        .map_err(|error| error.to_string())
}

#[test]
fn wasi_programs_read_write_and_exit() {
    let limits = Limits::default();
    let echo = r#"
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"#;
    let expected = (Exit::Finished, b"hello".to_vec());
    assert_eq!(run(echo, "hello", &limits).unwrap(), expected);
    let exit = "(call $exit (i32.const 7))";
    assert_eq!(run(exit, "", &limits).unwrap().0, Exit::Exited(7));
    let trap = Exit::Trapped("wasm trap: wasm `unreachable` instruction executed".to_owned());
    assert_eq!(run("unreachable", "", &limits).unwrap().0, trap);
}

#[test]
fn limits_hold() {
    let endless = "(loop $again (br $again))";
    let fuel = Limits {
        fuel: 1_000_000,
        ..Limits::default()
    };
    assert_eq!(run(endless, "", &fuel).unwrap().0, Exit::OutOfFuel);
    let time = Limits {
        fuel: u64::MAX / 4,
        wall_time: Duration::from_millis(300),
        ..Limits::default()
    };
    assert_eq!(run(endless, "", &time).unwrap().0, Exit::Deadline);
    let flood = r#"(i32.store (i32.const 4) (i32.const 60000))
        (loop $again (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))"#;
    let (exit, stdout) = run(flood, "", &Limits::default()).unwrap();
    assert_eq!((exit, stdout.len()), (Exit::OutputLimit, 64 << 10));
    let greedy = "(if (i32.eq (memory.grow (i32.const 5000)) (i32.const -1)) (then unreachable))";
    assert_eq!(
        run(greedy, "", &Limits::default()).unwrap().0,
        Exit::OutOfMemory
    );
}

#[test]
fn what_wasi_offers_beyond_the_streams_is_refused_politely() {
    // path_open answers 52, "not supported", and the program exits with that.
    let open = "(call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))";
    assert_eq!(
        run(open, "", &Limits::default()).unwrap().0,
        Exit::Exited(52)
    );
}

#[test]
fn what_cannot_run_is_an_error() {
    let sandbox = Sandbox::new(1).unwrap();
    for (text, expected) in [
        ("(module)", "exports no function _start"),
        (
            r#"(module (import "env" "evil" (func)) (func (export "_start")))"#,
            "imports env::evil",
        ),
        ("(component)", "exports no wasi:cli/run"),
    ] {
        let program = Program::Wasm {
            name: "x.wasm".to_owned(),
            bytes: wat::parse_str(text).unwrap(),
        };
        let error = sandbox.run(&program, b"", &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
