//! SECURITY.md names the test that holds each promise: files and tests of these names are there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What stands between backticks in `text`, line breaks included.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A path of a file of this repository, such as `sandbox/tests/python.rs`, or of a folder, with a slash at its end.
fn is_path(word: &str) -> bool {
    let known = ["datasets/", "rewards/", "rl/", "sandbox/", "tests/"];
    known.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*'])
}

/// The name of a test: words in lower case with at least three underscores between them, as no variable or key of the page has.
fn is_test(word: &str) -> bool {
    !word.starts_with('_')
        && word.matches('_').count() >= 3
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// What `document` names and is not there: files below `root`, and tests in the files named before them.
fn missing(document: &str, root: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    let mut sources: Vec<(PathBuf, String)> = Vec::new();
    for word in quoted(document) {
        if is_path(word) {
            let path = root.join(word);
            match fs::read_to_string(&path) {
                Ok(text) => sources.push((path, text)),
                Err(_) if path.is_dir() => {}
                Err(_) => missing.push(format!("there is no file {word}")),
            }
        } else if is_test(word) {
            let test = format!("#[test]\nfn {word}()");
            let unindented =
                |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
            if !sources
                .iter()
                .any(|(_, text)| unindented(text).contains(&test))
            {
                missing.push(format!("no file named before it has the test {word}"));
            }
        }
    }
    missing
}

#[test]
fn what_security_md_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let tests = quoted(&document).filter(|word| is_test(word)).count();
    assert!(tests >= 30, "only {tests} tests are named");
    let missing = missing(&document, &root);
    assert!(missing.is_empty(), "SECURITY.md: {}", missing.join("\n"));
}

#[test]
fn a_test_or_file_that_is_gone_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = "`tests/all/security.rs`, `what_security_md_names_is_there`, `a_test_that_never_was`; \
                    `tests/all/gone.rs`; `tests/all/`, `a_variable`, `target/release/dunwu`";
    assert_eq!(
        missing(document, &root),
        [
            "no file named before it has the test a_test_that_never_was",
            "there is no file tests/all/gone.rs",
        ]
    );
}
