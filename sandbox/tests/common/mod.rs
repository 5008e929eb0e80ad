//! What the tests of the sandbox share.
#![allow(dead_code, clippy::unwrap_used)]

use dunwu_sandbox::{Sandbox, worker};

/// A sandbox of worker processes; nothing, and a word about it, where there is no Python runtime and
/// none can be made. `DUNWU_TEST_PYTHON` promises that one can.
pub(crate) fn sandbox(workers: usize) -> Option<Sandbox> {
    worker::serve_with(env!("CARGO_BIN_EXE_dunwu-sandbox-bench").into());
    let sandbox = Sandbox::new(workers).unwrap();
    match sandbox.prepare_python(&mut |stage| eprintln!("{stage}")) {
        Ok(()) => Some(sandbox),
        Err(error) => {
            assert!(std::env::var_os("DUNWU_TEST_PYTHON").is_none(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}
