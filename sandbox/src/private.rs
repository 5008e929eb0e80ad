//! Directories and files that only this user may write to, for what is run once it is read: machine code, and the Python runtime.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::error::SandboxError;

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

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// `hash` as hexadecimal digits, two a byte.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of `bytes` as 64 hexadecimal digits (SHA-256).
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// A directory that only this user may write to, made (with mode 0700) if it is not there.
///
/// # Errors
/// [`SandboxError::CacheNotPrivate`] as for [`check_private_dir`].
pub(crate) fn private_dir(path: &Path) -> Result<(), SandboxError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(SandboxError::io(path))?;
    check_private_dir(path)
}

/// Checks that nobody but this user (and root) can change what stands in `path`, neither in it nor by renaming what it stands in: as
/// sshd does with `StrictModes`. On Windows nothing is checked: there a profile's directories are private by themselves.
///
/// # Errors
/// [`SandboxError::CacheNotPrivate`] naming the directory.
#[cfg(unix)]
pub(crate) fn check_private_dir(path: &Path) -> Result<(), SandboxError> {
    use std::os::unix::fs::MetadataExt;
    let real = fs::canonicalize(path).map_err(SandboxError::io(path))?;
    let user = nix::unistd::geteuid().as_raw();
    for (depth, dir) in real.ancestors().enumerate() {
        let metadata = fs::symlink_metadata(dir).map_err(SandboxError::io(dir))?;
        let owned = metadata.uid() == user || (depth > 0 && metadata.uid() == 0);
        if !owned {
            return Err(not_private(dir, "it belongs to another user"));
        }
        // In a sticky directory, such as /tmp, nobody can rename what is somebody else's.
        let sticky = depth > 0 && metadata.mode() & 0o1000 != 0;
        if metadata.mode() & 0o022 != 0 && !sticky {
            return Err(not_private(dir, "others may write to it"));
        }
    }
    Ok(())
}

/// See the Unix version.
#[cfg(not(unix))]
pub(crate) fn check_private_dir(_path: &Path) -> Result<(), SandboxError> {
    Ok(())
}

/// Opens `path`, which must be a file of this user's that nobody else may write to. What was checked is what the descriptor holds, not
/// what the name stands for later. Nothing if there is no such file.
///
/// # Errors
/// [`SandboxError::CacheNotPrivate`] if it is not, [`SandboxError::Io`] if it cannot be read.
pub(crate) fn open_private(path: &Path) -> Result<Option<File>, SandboxError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SandboxError::io(path)(error)),
    };
    let metadata = file.metadata().map_err(SandboxError::io(path))?;
    if !metadata.is_file() {
        return Err(not_private(path, "it is not a file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(not_private(path, "it belongs to another user"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(not_private(path, "others may write to it"));
        }
    }
    Ok(Some(file))
}

/// What stands in `file`, which was opened as `path`.
pub(crate) fn read_all(mut file: &File, path: &Path) -> Result<Vec<u8>, SandboxError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(SandboxError::io(path))?;
    Ok(bytes)
}

fn not_private(path: &Path, reason: &str) -> SandboxError {
    SandboxError::CacheNotPrivate {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Writes `bytes` to `path` as a whole or not at all, readable by this user only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    // Several threads of several processes may write the same file at once.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_extension(format!("partial.{}.{write}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&partial);
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn reason(result: Result<(), SandboxError>) -> (PathBuf, String) {
        match result {
            Err(SandboxError::CacheNotPrivate { path, reason }) => (path, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_is_private_with_all_that_it_stands_in() {
        let root = tempfile::tempdir().unwrap();
        let parent = fs::canonicalize(root.path()).unwrap().join("parent");
        let dir = parent.join("cache");
        private_dir(&dir).unwrap();
        assert_eq!(
            fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700
        );

        set_mode(&dir, 0o770);
        let expected = (dir.clone(), "others may write to it".to_owned());
        assert_eq!(reason(private_dir(&dir)), expected);
        set_mode(&dir, 0o755);
        check_private_dir(&dir).unwrap();

        // Who may write to the parent can put another directory in its place.
        set_mode(&parent, 0o777);
        let expected = (parent.clone(), "others may write to it".to_owned());
        assert_eq!(reason(private_dir(&dir)), expected);
        set_mode(&parent, 0o1777);
        check_private_dir(&dir).unwrap();

        // A link is followed: what it leads to is checked.
        let link = parent.join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        check_private_dir(&link).unwrap();
        set_mode(&dir, 0o777);
        assert_eq!(reason(check_private_dir(&link)).0, dir);
    }

    #[test]
    fn a_file_that_others_may_write_to_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("code");
        assert!(open_private(&path).unwrap().is_none());
        write_private(&path, b"code").unwrap();
        let file = open_private(&path).unwrap().unwrap();
        assert_eq!(read_all(&file, &path).unwrap(), b"code");
        set_mode(&path, 0o666);
        let (found, why) = reason(open_private(&path).map(|_| ()));
        assert_eq!(
            (found, why),
            (path.clone(), "others may write to it".to_owned())
        );
        assert_eq!(
            reason(open_private(root.path()).map(|_| ())).1,
            "it is not a file"
        );
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        private_dir(&dir).unwrap();
        let path = dir.join("code");
        write_private(&path, b"code").unwrap();
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        assert_eq!(
            reason(open_private(&path).map(|_| ())).1,
            "it belongs to another user"
        );
        std::os::unix::fs::chown(&dir, Some(12_345), None).unwrap();
        assert_eq!(
            reason(check_private_dir(&dir)).1,
            "it belongs to another user"
        );
    }
}
