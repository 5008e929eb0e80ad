//! The harness's own tests (`tests/harness/`), under the Python of the host: its two sides in two processes, without WebAssembly.
//!
//! They need a `python3` of 3.11 or newer on Linux; without one this says so and skips.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_harness_pays_what_is_right_and_refuses_what_is_not() {
    let python = std::env::var("DUNWU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let check = "import sys; sys.exit(sys.version_info < (3, 11))";
    let status = Command::new(&python).args(["-I", "-c", check]).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no {python} of 3.11 or newer");
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness");
    let run = Command::new(&python)
        .args(["-B", "-m", "unittest", "test_harness"])
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("Ran 8 tests"), "{said}");
}
