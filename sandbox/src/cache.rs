//! Compiled modules on disk.
//!
//! Loading machine code runs it unchecked, so it is only taken from a directory that belongs to this
//! user and that nobody else may change (see [`crate::private`]), under a name that holds the hash of the WebAssembly, the
//! engine's version and its settings. Guests have no way to reach any file.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::error::SandboxError;
use crate::private::{
    check_private_dir, digest, hex, open_private, private_dir, read_all, sha256, write_private,
};

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
    hex(&hasher.0.finalize())
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
    keeps: bool,
}

impl ModuleCache {
    /// The cache below `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`SandboxError::CacheNotPrivate`], or [`SandboxError::Io`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, SandboxError> {
        let dir = dir.join("compiled");
        private_dir(&dir)?;
        Ok(Self { dir, keeps: true })
    }

    /// The cache below `dir` for those who may not write there: what is not in it is compiled and not kept.
    pub(crate) fn read_only(dir: &Path) -> Self {
        Self {
            dir: dir.join("compiled"),
            keeps: false,
        }
    }

    /// Where the compiled form of `wasm` is or would be.
    pub fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key(engine, wasm)))
    }

    /// Whether the compiled form of `wasm` is there.
    pub fn holds(&self, engine: &Engine, wasm: &[u8]) -> bool {
        self.path(engine, wasm).is_file()
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
        let is_component = is_component(wasm, name)?;
        let path = self.path(engine, wasm);
        if self.keeps {
            private_dir(&self.dir)?;
        } else if self.dir.is_dir() {
            check_private_dir(&self.dir)?;
        }
        // What was left by a crash, or damaged, is made again below.
        if let Some(file) = open_private(&path)?
            && let Some(compiled) = deserialize(engine, file, &path, is_component)?
        {
            return Ok(compiled);
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
        if !self.keeps {
            return Ok(compiled);
        }
        write_private(&path, &sealed(bytes))?;
        // From the file it is mapped, and shared with other processes.
        let mapped = match open_private(&path)? {
            Some(file) => deserialize(engine, file, &path, is_component)?,
            None => None,
        };
        Ok(mapped.unwrap_or(compiled))
    }
}

/// Length of the hash that [`sealed`] appends, in bytes.
const SEAL_BYTES: usize = 32;

/// `bytes` with their hash behind them: a file that was cut short or damaged is noticed before it is
/// run. The engine ignores what stands behind its ELF image. The hash is not keyed: it says that the file is whole, not where it
/// comes from, which owner and mode say.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = sha256(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// Whether `wasm` is a component; an error if it is not WebAssembly at all.
fn is_component(wasm: &[u8], name: &str) -> Result<bool, SandboxError> {
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Ok(false),
        Some([0, b'a', b's', b'm', _, 0, 1, 0]) => Ok(true),
        _ => Err(SandboxError::InvalidModule {
            name: name.to_owned(),
            reason: "it is neither a WebAssembly module nor a component".to_owned(),
        }),
    }
}

/// The compiled form in `file`, which was opened as `path` and found private; nothing if it is damaged or of another engine.
///
/// The bytes that are hashed and those that are mapped come from one descriptor: nobody can put another file under the name between
/// the two.
fn deserialize(
    engine: &Engine,
    file: File,
    path: &Path,
    is_component: bool,
) -> Result<Option<Compiled>, SandboxError> {
    let bytes = read_all(&file, path)?;
    let code = bytes.len().checked_sub(SEAL_BYTES);
    let Some((code, seal)) = code.map(|at| bytes.split_at(at)) else {
        return Ok(None);
    };
    if sha256(code) != seal {
        return Ok(None);
    }
    let engine = engine.wasmtime();
    // SAFETY: what is loaded was written by `ModuleCache::load` from this engine's own output. `open_private` found that this very
    // descriptor belongs to this user and that nobody else may write to it, `check_private_dir` that nobody else could have put it
    // under its name; so whoever made or can change it could as well change this program. The hash behind the content excludes
    // damage, and the engine itself checks its version and settings.
    #[allow(unsafe_code)]
    let compiled = unsafe {
        if !is_component {
            wasmtime::Module::deserialize_open_file(engine, file).map(Compiled::Module)
        } else if let Some(same_file) = reopenable(&file) {
            Component::deserialize_file(engine, same_file).map(Compiled::Component)
        } else {
            Component::deserialize(engine, code).map(Compiled::Component)
        }
    };
    Ok(compiled.ok())
}

/// A path that opens the file behind `file` again, whatever its name stands for by now. The engine maps components by path only.
fn reopenable(file: &File) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        Some(PathBuf::from(path)).filter(|path| path.exists())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    const TEXT: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

    fn engine() -> Engine {
        Engine::new(Limits::default().stack_bytes).unwrap()
    }

    #[test]
    fn compiled_code_is_kept_and_loaded_from_one_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ModuleCache::open(dir.path()).unwrap();
        let engine = engine();
        for text in [TEXT, "(component)"] {
            let wasm = wat::parse_str(text).unwrap();
            assert!(!cache.holds(&engine, &wasm), "{text}");
            cache.load(&engine, &wasm, "test").unwrap();
            let path = cache.path(&engine, &wasm);
            let file = open_private(&path).unwrap().unwrap();
            // Replaced between the check and the use: what was opened is what is loaded.
            std::fs::rename(&path, path.with_extension("moved")).unwrap();
            std::fs::write(&path, "something else").unwrap();
            let loaded = deserialize(&engine, file, &path, text == "(component)").unwrap();
            assert!(loaded.is_some(), "{text}");
        }
    }

    #[test]
    fn damaged_code_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ModuleCache::open(dir.path()).unwrap();
        let engine = engine();
        let wasm = wat::parse_str(TEXT).unwrap();
        cache.load(&engine, &wasm, "test").unwrap();
        let path = cache.path(&engine, &wasm);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..7], &flipped[..], &[]] {
            write_private(&path, damaged).unwrap();
            let file = open_private(&path).unwrap().unwrap();
            assert!(deserialize(&engine, file, &path, false).unwrap().is_none());
            cache.load(&engine, &wasm, "test").unwrap();
            assert_eq!(std::fs::read(&path).unwrap().len(), whole.len());
        }
    }

    #[cfg(unix)]
    #[test]
    fn code_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let cache = ModuleCache::open(dir.path()).unwrap();
        let engine = engine();
        let wasm = wat::parse_str(TEXT).unwrap();
        cache.load(&engine, &wasm, "test").unwrap();
        let path = cache.path(&engine, &wasm);
        for (path, mode) in [(path.as_path(), 0o660), (dir.path(), 0o707)] {
            let before = std::fs::metadata(path).unwrap().permissions();
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            let refused = cache.load(&engine, &wasm, "test").err().unwrap();
            assert!(
                matches!(refused, SandboxError::CacheNotPrivate { .. }),
                "{refused}"
            );
            assert!(refused.to_string().contains("DUNWU_CACHE_DIR"), "{refused}");
            std::fs::set_permissions(path, before).unwrap();
        }
        cache.load(&engine, &wasm, "test").unwrap();
    }

    #[test]
    fn who_may_not_write_compiles_and_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ModuleCache::read_only(dir.path());
        let wasm = wat::parse_str(TEXT).unwrap();
        cache.load(&engine(), &wasm, "test").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
