//! What the tests of code rewards share.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dunwu_sandbox::Sandbox;
use serde_json::Value;

/// One sandbox for all tests of a binary.
pub(crate) fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    Arc::clone(SANDBOX.get_or_init(|| Arc::new(Sandbox::new(2).unwrap())))
}

/// Whether Python programs can be run; makes the runtime if it can be made. `DUNWU_TEST_PYTHON`
/// promises that it can.
pub(crate) fn python_is_there() -> bool {
    match sandbox().prepare_python(&mut |stage| eprintln!("{stage}")) {
        Ok(()) => true,
        Err(error) => {
            assert!(std::env::var_os("DUNWU_TEST_PYTHON").is_none(), "{error}");
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// The rows of a JSON-lines file among the shared data; nothing, and a word about it, if it is not
/// there.
pub(crate) fn rows(name: &str) -> Option<Vec<Value>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("DUNWU_SHARED_DATA").map_or_else(beside, PathBuf::from);
    let path = dir.join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {name} is not there; DUNWU_SHARED_DATA names its directory");
        return None;
    };
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}
