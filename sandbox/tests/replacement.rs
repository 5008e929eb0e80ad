//! A worker process is replaced after so many requests, whatever they were. A test program of its own: its only children
//! are the workers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use dunwu_sandbox::{Exit, Limits, Program, Sandbox, worker};

fn children() -> Vec<String> {
    let mut children = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let ids = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(ids.split_whitespace().map(str::to_owned));
    }
    children
}

#[test]
fn a_worker_is_replaced_after_so_many_requests_and_none_is_lost() {
    worker::serve_with(env!("CARGO_BIN_EXE_dunwu-sandbox-bench").into());
    let sandbox = Sandbox::new(1).unwrap();
    let program = Program::Wasm {
        name: "test.wasm".to_owned(),
        bytes: wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#)
            .unwrap(),
    };
    let run = || {
        let run = sandbox.run(&program, b"", &Limits::default()).unwrap();
        assert_eq!(run.exit, Exit::Finished);
    };
    run();
    let first = children();
    if first.is_empty() {
        eprintln!("skipped: this kernel does not list children");
        return;
    }
    assert_eq!(first.len(), 1);
    for _ in 2..worker::REQUESTS_OF_A_WORKER {
        run();
    }
    assert_eq!(children(), first);
    run();
    let second = children();
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    run();
    assert_eq!(children(), second);
}
