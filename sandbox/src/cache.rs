//! Compiled modules on disk.
//!
//! Loading machine code runs it unchecked, so it is only taken from a directory that belongs to this
//! user and that nobody else may write to, under a name that holds the hash of the WebAssembly, the
//! engine's version and its settings. Guests have no way to reach any file.

use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::{Engine, SandboxError};

/// The directory of everything that is slow to make. `DUNWU_CACHE_DIR`, or `dunwu` in the user's
/// cache directory.
///
/// # Errors
/// [`SandboxError::Install`] if no environment variable says where that is.
pub fn cache_dir() -> Result<PathBuf, SandboxError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(chosen) = set("DUNWU_CACHE_DIR") {
        return Ok(chosen.into());
    }
    if let Some(cache) = set("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache).join("dunwu"));
    }
    let home = set("HOME").or_else(|| set("USERPROFILE"));
    match home {
        Some(home) => Ok(PathBuf::from(home).join(".cache").join("dunwu")),
        None => Err(SandboxError::Install {
            reason: "neither DUNWU_CACHE_DIR nor HOME is set: there is no place to keep it"
                .to_owned(),
        }),
    }
}

/// The hash of `bytes` as 64 hexadecimal digits (SHA-256).
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory that only this user may write to, made if it is not there.
///
/// # Errors
/// [`SandboxError::CacheNotPrivate`] if it belongs to somebody else or others may write to it.
pub(crate) fn private_dir(path: &Path) -> Result<(), SandboxError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(SandboxError::io(path))?;
    }
    #[cfg(not(unix))]
    fs::create_dir_all(path).map_err(SandboxError::io(path))?;
    check_private(path)
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), SandboxError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path).map_err(SandboxError::io(path))?;
    let refuse = |reason: &str| {
        Err(SandboxError::CacheNotPrivate {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if metadata.file_type().is_symlink() {
        return refuse("it is a symbolic link");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others may write to it");
    }
    if effective_user(path)?.is_some_and(|user| user != metadata.uid()) {
        return refuse("it belongs to another user");
    }
    Ok(())
}

/// The user that this process runs as: /proc/self belongs to it. Where there is no /proc, nothing:
/// then permissions are checked and ownership is not.
#[cfg(unix)]
fn effective_user(path: &Path) -> Result<Option<u32>, SandboxError> {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata("/proc/self") {
        Ok(metadata) => Ok(Some(metadata.uid())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SandboxError::io(path)(error)),
    }
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> Result<(), SandboxError> {
    Ok(())
}

/// Writes `bytes` to `path` as a whole or not at all, readable by this user only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    use std::io::Write;
    // Several threads of several processes may write the same file at once.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_extension(format!("partial.{}.{write}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&partial);
        SandboxError::io(path)(error)
    })
}

struct HexHasher(Sha256);

impl Hasher for HexHasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The name under which the compiled form of `wasm` is kept: content, engine's version and settings.
fn key(engine: &Engine, wasm: &[u8]) -> String {
    let mut hasher = HexHasher(Sha256::new());
    hasher.write(digest(wasm).as_bytes());
    engine
        .wasmtime()
        .precompile_compatibility_hash()
        .hash(&mut hasher);
    let hash = hasher.0.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`ModuleCache`] has, or has made.
#[derive(Clone)]
pub(crate) enum Compiled {
    Module(wasmtime::Module),
    Component(Component),
}

/// Compiled modules in a private directory.
#[derive(Clone, Debug)]
pub struct ModuleCache {
    dir: PathBuf,
}

impl ModuleCache {
    /// The cache below `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`SandboxError::CacheNotPrivate`], or [`SandboxError::Io`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, SandboxError> {
        let dir = dir.join("compiled");
        private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Where the compiled form of `wasm` is or would be.
    pub fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key(engine, wasm)))
    }

    /// The compiled form of the module or component `wasm`, called `name` in errors: loaded if it is
    /// there and whole, made and kept otherwise.
    ///
    /// # Errors
    /// [`SandboxError::InvalidModule`] if it is neither; [`SandboxError::CacheNotPrivate`] and
    /// [`SandboxError::Io`] as for [`ModuleCache::open`].
    pub(crate) fn load(
        &self,
        engine: &Engine,
        wasm: &[u8],
        name: &str,
    ) -> Result<Compiled, SandboxError> {
        let is_component = wasmtime_kind(wasm, name)?;
        let path = self.path(engine, wasm);
        private_dir(&self.dir)?;
        if path.exists() {
            check_private(&path)?;
            if let Some(compiled) = deserialize(engine, &path, is_component) {
                return Ok(compiled);
            }
            // Left by a crash, or damaged: made again below.
        }
        let invalid = |error: wasmtime::Error| SandboxError::InvalidModule {
            name: name.to_owned(),
            reason: format!("{error:#}"),
        };
        let (bytes, compiled) = if is_component {
            let component = Component::from_binary(engine.wasmtime(), wasm).map_err(invalid)?;
            let bytes = component.serialize().map_err(invalid)?;
            (bytes, Compiled::Component(component))
        } else {
            let module = wasmtime::Module::from_binary(engine.wasmtime(), wasm).map_err(invalid)?;
            let bytes = module.serialize().map_err(invalid)?;
            (bytes, Compiled::Module(module))
        };
        write_private(&path, &sealed(bytes))?;
        // From the file it is mapped, and shared with other processes.
        Ok(deserialize(engine, &path, is_component).unwrap_or(compiled))
    }
}

/// Length of the hash that [`sealed`] appends, in bytes.
const SEAL_BYTES: usize = 32;

/// `bytes` with their hash behind them: a file that was cut short or damaged is noticed before it is
/// run. The engine ignores what stands behind its ELF image.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// Whether `wasm` is a component; an error if it is not WebAssembly at all.
fn wasmtime_kind(wasm: &[u8], name: &str) -> Result<bool, SandboxError> {
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Ok(false),
        Some([0, b'a', b's', b'm', _, 0, 1, 0]) => Ok(true),
        _ => Err(SandboxError::InvalidModule {
            name: name.to_owned(),
            reason: "it is neither a WebAssembly module nor a component".to_owned(),
        }),
    }
}

/// The compiled form in `path`; nothing if the file is damaged or of another engine.
fn deserialize(engine: &Engine, path: &Path, is_component: bool) -> Option<Compiled> {
    let bytes = fs::read(path).ok()?;
    let (code, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
    if Sha256::digest(code).as_slice() != seal {
        return None;
    }
    let engine = engine.wasmtime();
    // SAFETY: the file was written by `ModuleCache::load` from this engine's own output: the
    // directory and the file belong to this user and nobody else may write to them (checked by
    // `load`), the content carries the hash that was appended when it was written, and the engine
    // itself checks its version and settings.
    #[allow(unsafe_code)]
    let compiled = unsafe {
        if is_component {
            Component::deserialize_file(engine, path).map(Compiled::Component)
        } else {
            wasmtime::Module::deserialize_file(engine, path).map(Compiled::Module)
        }
    };
    compiled.ok()
}
