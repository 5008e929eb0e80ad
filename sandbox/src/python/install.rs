//! Makes the Python runtime: a component out of `runtime/`, by componentize-py.
//!
//! The tool is fetched from PyPI at a pinned version into a virtual environment of its own; nothing
//! is installed anywhere else, and the environment is removed again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::SandboxError;
use crate::cache::{cache_dir, digest, private_dir, write_private};

/// The version of componentize-py that is fetched. It decides which CPython is inside.
pub const COMPONENTIZE_PY: &str = "0.25.1";

/// The files that run inside, by name.
const SOURCES: [(&str, &str); 11] = [
    ("harness.py", include_str!("runtime/harness.py")),
    ("crossing.py", include_str!("runtime/crossing.py")),
    ("solution_side.py", include_str!("runtime/solution_side.py")),
    ("test_side.py", include_str!("runtime/test_side.py")),
    ("remote.py", include_str!("runtime/remote.py")),
    ("analysis.py", include_str!("runtime/analysis.py")),
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

/// A stage of making the runtime, for those who show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A virtual environment is made and the tool fetched into it.
    Fetch,
    /// The component is made.
    Build,
    /// It is compiled to machine code.
    Compile,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 3] = [Self::Fetch, Self::Build, Self::Compile];
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetch => "fetching componentize-py from PyPI (about 40 MB)",
            Self::Build => "building the Python runtime (about 15 s)",
            Self::Compile => "compiling it to machine code (about 30 s)",
        })
    }
}

/// Where the component is kept: the name holds the hash of everything that it is made from.
///
/// # Errors
/// As for [`cache_dir`].
pub fn component_path() -> Result<PathBuf, SandboxError> {
    let sources = SOURCES.iter().flat_map(|(name, text)| [*name, *text]);
    let recipe: Vec<&str> = sources.chain([MAKE, COMPONENTIZE_PY]).collect();
    let recipe = recipe.join("\0");
    let key = &digest(recipe.as_bytes())[..16];
    Ok(cache_dir()?
        .join("python")
        .join(format!("cpython-{key}.wasm")))
}

/// Whether the component is there.
pub fn is_installed() -> bool {
    component_path().is_ok_and(|path| path.is_file())
}

/// The component's bytes; made first if it is not there. `progress` is told of every stage.
///
/// # Errors
/// [`SandboxError::Install`] saying what is missing, in one line.
pub fn component(progress: &mut dyn FnMut(Stage)) -> Result<Vec<u8>, SandboxError> {
    let path = component_path()?;
    let dir = path.parent().expect("a file in a directory");
    private_dir(dir)?;
    if !path.is_file() {
        build(dir, &path, progress)?;
    }
    fs::read(&path).map_err(SandboxError::io(&path))
}

pub(super) fn missing(reason: impl Into<String>) -> SandboxError {
    SandboxError::Install {
        reason: reason.into(),
    }
}

/// Makes the component in a directory of its own, beside where it goes.
fn build(dir: &Path, path: &Path, progress: &mut dyn FnMut(Stage)) -> Result<(), SandboxError> {
    let python = find_python()?;
    let work = dir.join(format!("build.{}", std::process::id()));
    let result = private_dir(&work).and_then(|()| build_in(&work, &python, progress));
    let outcome = result.and_then(|wasm| write_private(path, &wasm));
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
    let inner = match cfg!(windows) {
        true => environment.join("Scripts").join("python.exe"),
        false => environment.join("bin").join("python"),
    };
    let requirement = format!("componentize-py=={COMPONENTIZE_PY}");
    run(
        Command::new(&inner).args([
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "--no-input",
            "--only-binary=:all:",
            &requirement,
        ]),
        &format!("{requirement} cannot be fetched from PyPI"),
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
pub(super) fn find_python() -> Result<String, SandboxError> {
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
