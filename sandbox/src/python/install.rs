//! Makes the Python runtime: a component out of `runtime/`, by componentize-py.
//!
//! The tool is fetched from PyPI at a pinned version into a virtual environment of its own, and taken only if it is one of the files
//! whose hashes stand in `runtime/requirements.txt`, whatever index pip is set up with. Nothing is installed anywhere else, and the
//! environment is removed again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::SandboxError;
use crate::private::{
    cache_dir, digest, open_private, private_dir, read_all, sha256, write_private,
};

/// The version of componentize-py that is fetched. It decides which CPython is inside.
pub const COMPONENTIZE_PY: &str = "0.25.1";

/// The files that run inside, by name.
const SOURCES: [(&str, &str); 12] = [
    ("harness.py", include_str!("runtime/harness.py")),
    ("crossing.py", include_str!("runtime/crossing.py")),
    ("solution_side.py", include_str!("runtime/solution_side.py")),
    ("test_side.py", include_str!("runtime/test_side.py")),
    ("remote.py", include_str!("runtime/remote.py")),
    ("analysis.py", include_str!("runtime/analysis.py")),
    ("self_judging.py", include_str!("runtime/self_judging.py")),
    (
        "pytest_standin.py",
        include_str!("runtime/pytest_standin.py"),
    ),
    ("files.py", include_str!("runtime/files.py")),
    ("standins.py", include_str!("runtime/standins.py")),
    ("snapshot.py", include_str!("runtime/snapshot.py")),
    ("world.wit", include_str!("runtime/world.wit")),
];
const MAKE: &str = include_str!("runtime/make_runtime.py");
/// What pip may install, a hash for each platform's file.
const REQUIREMENTS: &str = include_str!("runtime/requirements.txt");

/// A stage of making the runtime, for those who show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A virtual environment is made and the tool fetched into it.
    Fetch,
    /// The component is made.
    Build,
    /// It is compiled to machine code.
    Compile,
    /// What a second of CPython is worth is measured; see `calibrate`.
    Measure,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 4] = [Self::Fetch, Self::Build, Self::Compile, Self::Measure];
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetch => "fetching componentize-py from PyPI (about 40 MB)",
            Self::Build => "building the Python runtime (about 15 s)",
            Self::Compile => "compiling it to machine code (about 30 s)",
            Self::Measure => "measuring what a second of CPython is worth (about 5 s)",
        })
    }
}

/// Where the component is kept: the name holds the hash of everything that it is made from.
///
/// # Errors
/// As for [`cache_dir`].
pub fn component_path() -> Result<PathBuf, SandboxError> {
    let key = recipe_key();
    Ok(cache_dir()?
        .join("python")
        .join(format!("cpython-{key}.wasm")))
}

/// Sixteen hexadecimal digits of the hash of everything that the component is made from.
pub(crate) fn recipe_key() -> String {
    let sources = SOURCES.iter().flat_map(|(name, text)| [*name, *text]);
    let recipe: Vec<&str> = sources.chain([MAKE, REQUIREMENTS]).collect();
    let mut key = digest(recipe.join("\0").as_bytes());
    key.truncate(16);
    key
}

/// Whether the component is there.
pub fn is_installed() -> bool {
    component_path().is_ok_and(|path| path.is_file())
}

/// The component's bytes; made first if it is not there, or damaged. `progress` is told of every stage.
///
/// # Errors
/// [`SandboxError::Install`] saying what is missing, in one line; [`SandboxError::CacheNotPrivate`] if others may change it.
pub fn component(progress: &mut dyn FnMut(Stage)) -> Result<Vec<u8>, SandboxError> {
    // One at a time in this process; another process makes its own, and the later one stays.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = component_path()?;
    let dir = path.parent().expect("a file in a directory");
    private_dir(dir)?;
    if let Some(wasm) = read_component(&path)? {
        return Ok(wasm);
    }
    build(dir, &path, progress)?;
    read_component(&path)?.ok_or_else(|| missing("the component was damaged as it was written"))
}

/// The component's bytes, for those who may not make it.
///
/// # Errors
/// [`SandboxError::Install`] if it is not there; [`SandboxError::CacheNotPrivate`] if others may change it.
pub(crate) fn installed() -> Result<Vec<u8>, SandboxError> {
    read_component(&component_path()?)?
        .ok_or_else(|| missing("it is gone from the cache; hint: dunwu sandbox install"))
}

/// The component in `path`, whole and private; nothing if there is none, or a damaged one. Whoever can replace it decides every verdict,
/// so it is held to what compiled code is held to.
pub(super) fn read_component(path: &Path) -> Result<Option<Vec<u8>>, SandboxError> {
    let Some(file) = open_private(path)? else {
        return Ok(None);
    };
    let wasm = read_all(&file, path)?;
    Ok(Some(wasm).filter(|wasm| is_whole(wasm)))
}

/// What stands before the hash in the section that [`sealed`] adds: a custom section (0) of 45 bytes, called `dunwu-sha256`.
const SEAL: &[u8] = b"\x00\x2d\x0cdunwu-sha256";

/// `wasm` with its hash in a section of its own at the end, which WebAssembly ignores.
fn sealed(mut wasm: Vec<u8>) -> Vec<u8> {
    let hash = sha256(&wasm);
    wasm.extend_from_slice(SEAL);
    wasm.extend_from_slice(&hash);
    wasm
}

/// Whether `wasm` is what [`sealed`] made.
fn is_whole(wasm: &[u8]) -> bool {
    let Some((rest, hash)) = wasm.split_last_chunk::<32>() else {
        return false;
    };
    rest.strip_suffix(SEAL)
        .is_some_and(|content| sha256(content) == *hash)
}

pub(crate) fn missing(reason: impl Into<String>) -> SandboxError {
    SandboxError::Install {
        reason: reason.into(),
    }
}

/// Makes the component in a directory of its own, beside where it goes.
fn build(dir: &Path, path: &Path, progress: &mut dyn FnMut(Stage)) -> Result<(), SandboxError> {
    let python = find_python()?;
    let work = dir.join(format!("build.{}", std::process::id()));
    let result = private_dir(&work).and_then(|()| build_in(&work, &python, progress));
    let outcome = result.and_then(|wasm| write_private(path, &sealed(wasm)));
    let _ = fs::remove_dir_all(&work);
    outcome
}

fn build_in(
    work: &Path,
    python: &str,
    progress: &mut dyn FnMut(Stage),
) -> Result<Vec<u8>, SandboxError> {
    progress(Stage::Fetch);
    let environment = work.join("venv");
    run(
        Command::new(python).args(["-m", "venv"]).arg(&environment),
        "python3 cannot make a virtual environment (on Debian: apt-get install python3-venv)",
    )?;
    let inner = if cfg!(windows) {
        environment.join("Scripts").join("python.exe")
    } else {
        environment.join("bin").join("python")
    };
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(SandboxError::io(&requirements))?;
    run(
        Command::new(&inner)
            .args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "install",
                "--quiet",
                "--no-input",
                "--only-binary=:all:",
                "--no-deps",
                "--require-hashes",
                "-r",
            ])
            .arg(&requirements),
        &format!("componentize-py {COMPONENTIZE_PY} cannot be fetched from PyPI"),
    )?;
    progress(Stage::Build);
    let source = work.join("source");
    private_dir(&source)?;
    for (name, text) in SOURCES.iter().chain(&[("make_runtime.py", MAKE)]) {
        let file = source.join(name);
        fs::write(&file, text).map_err(SandboxError::io(&file))?;
    }
    let output = work.join("python.wasm");
    // In the directory itself and with relative names, so that no path of this machine gets into it.
    run(
        Command::new(&inner)
            .current_dir(&source)
            .env_remove("VIRTUAL_ENV")
            .env_remove("PYTHONPATH")
            .args(["-I", "make_runtime.py", "world.wit", "interpreter", "."])
            .args(["harness", "../python.wasm"]),
        "componentize-py failed",
    )?;
    fs::read(&output).map_err(SandboxError::io(&output))
}

/// Runs a step; its last words become the error's reason if it fails.
fn run(command: &mut Command, otherwise: &str) -> Result<(), SandboxError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(format!("{otherwise}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let last = words
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !line.starts_with("[notice]"))
        .unwrap_or("no message");
    Err(missing(format!("{otherwise}: {last}")))
}

/// A Python that can run the tool: `DUNWU_PYTHON`, `python3` or `python`, at least 3.10.
pub(crate) fn find_python() -> Result<String, SandboxError> {
    let chosen = std::env::var("DUNWU_PYTHON").ok();
    let names: Vec<String> = match chosen {
        Some(name) => vec![name],
        None => vec!["python3".to_owned(), "python".to_owned()],
    };
    for name in &names {
        let check = "import sys; sys.exit(sys.version_info < (3, 10))";
        let status = Command::new(name)
            .args(["-I", "-c", check])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Ok(name.clone());
        }
    }
    Err(missing(format!(
        "no Python 3.10 or newer was found as {}; hint: install python3 with venv and pip, or name one with DUNWU_PYTHON",
        names.join(" or ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_may_install_one_version_of_one_package_by_its_hashes() {
        let lines: Vec<&str> = REQUIREMENTS
            .lines()
            .map(|line| line.trim_end_matches('\\').trim())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        assert_eq!(lines[0], format!("componentize-py=={COMPONENTIZE_PY}"));
        assert!(lines.len() > 4, "a hash for each platform");
        for hash in &lines[1..] {
            let digits = hash.strip_prefix("--hash=sha256:").unwrap();
            let is_hex = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
            assert!(digits.len() == 64 && digits.chars().all(is_hex), "{hash}");
        }
    }

    #[test]
    fn a_damaged_component_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("component.wasm");
        assert_eq!(read_component(&path).unwrap(), None);
        let wasm = sealed(wat::parse_str("(component)").unwrap());
        // It is WebAssembly still.
        wasmparser::validate(&wasm).unwrap();
        write_private(&path, &wasm).unwrap();
        assert_eq!(read_component(&path).unwrap().as_deref(), Some(&wasm[..]));
        for at in 0..wasm.len() {
            let mut changed = wasm.clone();
            changed[at] ^= 1;
            write_private(&path, &changed).unwrap();
            assert_eq!(read_component(&path).unwrap(), None, "byte {at}");
        }
        write_private(&path, &wasm[..wasm.len() - 1]).unwrap();
        assert_eq!(read_component(&path).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_component_that_others_may_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("component.wasm");
        write_private(&path, &sealed(Vec::new())).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        let error = read_component(&path).unwrap_err();
        assert!(
            matches!(error, SandboxError::CacheNotPrivate { .. }),
            "{error}"
        );
    }
}
