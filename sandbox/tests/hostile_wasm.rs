//! Hostile WebAssembly: what asks the host for much work by one cheap call, or for much of its memory.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use dunwu_sandbox::{Execution, Exit, Limits, Program, Sandbox};

/// A verdict may come this much after the deadline, and after what starting takes on a busy machine.
const LATE: Duration = Duration::from_millis(1500);

fn run(text: &str, limits: &Limits) -> Result<Execution, String> {
    let program = Program::Wasm {
        name: "hostile.wasm".to_owned(),
        bytes: wat::parse_str(text).unwrap(),
    };
    Sandbox::new(1)
        .unwrap()
        .run(&program, b"", limits)
        .map_err(|error| error.to_string())
}

fn module(pages: u32, body: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") {pages})
        (func $check (param i32) (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 1)))))
        (func (export "_start") {body}))"#
    )
}

#[test]
fn random_bytes_cost_fuel_before_they_are_made() {
    // 4 GiB less a page, of which the guest has none: nothing is filled, and the fuel is gone all the same.
    let body = "(loop $again (drop (call $random (i32.const 0) (i32.const -65536))) (br $again))";
    let start = Instant::now();
    let run = run(&module(1, body), &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::OutOfFuel);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn random_bytes_stop_at_the_deadline() {
    let limits = Limits {
        fuel: u64::MAX / 4,
        memory_bytes: 1 << 30,
        wall_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let body =
        "(loop $again (drop (call $random (i32.const 0) (i32.const 0x10000000))) (br $again))";
    let run = run(&module(4096, body), &limits).unwrap();
    assert_eq!(run.exit, Exit::Deadline);
    assert!(
        run.wall_time < limits.wall_time + LATE,
        "{:?}",
        run.wall_time
    );
}

#[test]
fn a_wait_of_all_time_ends_at_once_and_the_clock_stays_a_number() {
    // A subscription at 0: user data, kind 0 (clock), clock 1, a timeout of 2^64 - 1 nanoseconds; then the same again, and the calendar.
    let wait = "(call $check (i32.eqz (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))";
    let body = format!(
        "(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const -1)) {wait} {wait}
        (call $check (i32.eqz (call $clock (i32.const 0) (i64.const 1) (i32.const 200))))
        (call $check (i64.eq (i64.load (i32.const 200)) (i64.const -1)))
        (call $check (i32.eqz (call $clock (i32.const 1) (i64.const 1) (i32.const 200))))
        (call $check (i64.eq (i64.load (i32.const 200)) (i64.const -1)))"
    );
    let run = run(&module(1, &body), &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::Finished);
}

#[test]
fn a_wait_until_a_time_moves_the_clock_there() {
    // Clock 0, absolutely, 2025-01-01 and 100 s; the calendar is not before that afterwards, and not long after it.
    let body = "(i64.store (i32.const 24) (i64.const 1735689700000000000)) (i32.store16 (i32.const 40) (i32.const 1))
        (call $check (i32.eqz (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
        (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 200)))
        (call $check (i64.ge_u (i64.load (i32.const 200)) (i64.const 1735689700000000000)))
        (call $check (i64.lt_u (i64.load (i32.const 200)) (i64.const 1735689701000000000)))";
    let run = run(&module(1, body), &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::Finished);
}

#[test]
fn calls_of_the_host_cost_fuel() {
    // 1024 buffers of no length each; addresses at the end of what 32 bits can say; reads where there is nothing to read.
    for call in [
        "(call $write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 16384))",
        "(call $write (i32.const 1) (i32.const -4) (i32.const 1) (i32.const 0))",
        "(call $read (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 16384))",
        "(call $poll (i32.const 0) (i32.const 65536) (i32.const 1024) (i32.const 0))",
        "(call $poll (i32.const -8) (i32.const -8) (i32.const 1000) (i32.const 0))",
        "(call $clock (i32.const 9) (i64.const 0) (i32.const -1))",
    ] {
        let body = format!("(loop $again (drop {call}) (br $again))");
        let limits = Limits {
            fuel: 400_000_000,
            ..Limits::default()
        };
        let start = Instant::now();
        let run = run(&module(4, &body), &limits).unwrap();
        assert_eq!(run.exit, Exit::OutOfFuel, "{call}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{call}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn what_no_plugin_needs_is_refused() {
    for (text, what) in [
        (
            r#"(module (memory (export "memory") i64 1) (func (export "_start")))"#,
            "memory64",
        ),
        (
            r#"(module (memory 1) (memory 1) (func (export "_start")))"#,
            "several memories",
        ),
        (
            r#"(module (func $f (export "_start") (return_call $f)))"#,
            "tail calls",
        ),
    ] {
        let error = run(text, &Limits::default()).unwrap_err();
        assert!(
            error.contains("hostile.wasm cannot be run"),
            "{what}: {error}"
        );
    }
}

/// A component whose function `run` is `body`, beside `memories` other memories of 96 MiB each.
fn component(memories: usize, body: &str) -> String {
    let large = "(core instance (instantiate $large))".repeat(memories);
    format!(
        r#"(component $c
        (import "wasi:io/poll@0.2.0" (instance $poll
          (export "pollable" (type $p (sub resource)))
          (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
          (alias outer $c $pollable (type $p0))
          (export "pollable" (type $p (eq $p0)))
          (export "now" (func (result u64)))
          (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (import "wasi:random/random@0.2.0" (instance $random
          (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $large (memory 1536))
        {large}
        (core module $libc
          (memory (export "memory") 1)
          (global $top (mut i32) (i32.const 4096))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $top))
            ;; Room for a few results at a time; older ones are written over.
            (global.set $top (i32.and (i32.add (global.get $top) (i32.const 64)) (i32.const 0x7fff)))
            (local.get $at)))
        (core instance $libc (instantiate $libc))
        (core func $poll (canon lower (func $poll "poll") (memory $libc "memory") (realloc (func $libc "realloc"))))
        (core func $now (canon lower (func $clock "now")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core func $random (canon lower (func $random "get-random-bytes") (memory $libc "memory") (realloc (func $libc "realloc"))))
        (core func $drop (canon resource.drop $pollable))
        (core module $main
          (import "host" "poll" (func $poll (param i32 i32 i32)))
          (import "host" "now" (func $now (result i64)))
          (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
          (import "host" "random" (func $random (param i64 i32)))
          (import "host" "drop" (func $drop (param i32)))
          (import "libc" "memory" (memory 1))
          (func (export "run") (result i32) (local $i i32) {body}))
        (core instance $host
          (export "poll" (func $poll)) (export "now" (func $now)) (export "subscribe" (func $subscribe))
          (export "random" (func $random)) (export "drop" (func $drop)))
        (core instance $main (instantiate $main (with "host" (instance $host)) (with "libc" (instance $libc))))
        (func $run (result (result)) (canon lift (core func $main "run")))
        (instance $cli (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    )
}

#[test]
fn a_list_of_handles_is_polled_and_given_back() {
    // One is ready after 5 s and one after 1 s: the wait ends with the second, at its time, and again with the first.
    let body = "
        (i32.store (i32.const 0) (call $subscribe (i64.const 5000000000)))
        (i32.store (i32.const 4) (call $subscribe (i64.const 1000000000)))
        (call $poll (i32.const 0) (i32.const 2) (i32.const 16))
        (if (i32.ne (i32.load (i32.const 20)) (i32.const 1)) (then (return (i32.const 1))))
        (if (i32.ne (i32.load (i32.load (i32.const 16))) (i32.const 1)) (then (return (i32.const 1))))
        (if (i64.gt_u (call $now) (i64.const 1100000000)) (then (return (i32.const 1))))
        (call $drop (i32.load (i32.const 4)))
        (call $poll (i32.const 0) (i32.const 1) (i32.const 16))
        (if (i64.lt_u (call $now) (i64.const 5000000000)) (then (return (i32.const 1))))
        (call $drop (i32.load (i32.const 0)))
        (i32.const 0)";
    let run = run(&component(0, body), &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::Finished);
}

#[test]
fn handles_that_are_never_dropped_have_an_end() {
    let hoard = "(loop $again (drop (call $subscribe (i64.const 7))) (br $again)) unreachable";
    let run_hoard = run(&component(0, hoard), &Limits::default()).unwrap();
    assert_eq!(
        run_hoard.exit,
        Exit::Trapped("more than 1024 handles at once".to_owned())
    );
    // Who drops them may have as many as it likes.
    let tidy = "(loop $again
        (call $drop (call $subscribe (i64.const 7)))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
        (i32.const 0)";
    let run_tidy = run(&component(0, tidy), &Limits::default()).unwrap();
    assert_eq!(run_tidy.exit, Exit::Finished);
}

#[test]
fn the_memories_of_a_guest_are_counted_together() {
    let fine = run(&component(2, "(i32.const 0)"), &Limits::default()).unwrap();
    assert_eq!(fine.exit, Exit::Finished);
    // Each is below the limit of 256 MiB; three of them are not.
    let greedy = run(&component(3, "(i32.const 0)"), &Limits::default()).unwrap();
    assert_eq!(greedy.exit, Exit::OutOfMemory);
    // Two, and growth to where their sum would be above it.
    let grow = "(if (i32.eq (memory.grow (i32.const 1100)) (i32.const -1)) (then unreachable)) (i32.const 0)";
    let grown = run(&component(2, grow), &Limits::default()).unwrap();
    assert_eq!(grown.exit, Exit::OutOfMemory);
    let alone = run(&component(0, grow), &Limits::default()).unwrap();
    assert_eq!(alone.exit, Exit::Finished);
}

#[test]
fn more_random_bytes_than_the_guest_could_hold_are_not_made() {
    let body = "(call $random (i64.const -1) (i32.const 16)) (i32.const 0)";
    let run = run(&component(0, body), &Limits::default()).unwrap();
    assert_eq!(run.exit, Exit::OutOfMemory);
}
