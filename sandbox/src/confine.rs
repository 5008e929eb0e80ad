//! What a worker process gives up before it runs its first guest.
//!
//! A guest can reach nothing by itself. This is for the day that it breaks out of WebAssembly: then it stands in a process without
//! the user's variables, that may write to no file but the compiled forms of other guests, may open no network connection, and may
//! not gain rights by starting programs. What the system does not have is left out; [`Confinement`] says what is in force.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Address space of a worker, in bytes: pools of two engines (4 memories of 4 GiB each, of which next to nothing is ever touched), machine code and
/// stacks.
#[cfg(unix)]
const ADDRESS_SPACE_BYTES: u64 = 64 << 30;

/// Descriptors that a worker may have open.
#[cfg(unix)]
const OPEN_FILES: u64 = 64;

/// Variables that a worker gets, if they are set: what a program needs to start at all, and what its panics print. All others, tokens
/// and keys among them, stay behind.
pub(crate) const VARIABLES: [&str; 5] = [
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SystemRoot",
    "RUST_BACKTRACE",
    "RAYON_NUM_THREADS",
];

/// What holds a worker back, apart from WebAssembly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confinement {
    /// Programs that it starts gain no rights (Linux: `no_new_privs`).
    pub no_new_privileges: bool,
    /// Landlock keeps it from files and the network.
    pub files: FileConfinement,
    /// Address space, open files and core dumps are limited (Unix: `setrlimit`).
    pub resources: bool,
}

/// How far Landlock goes on this kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FileConfinement {
    /// Not there: another system, or a kernel without it.
    #[default]
    None,
    /// Files, as far as an older kernel knows how.
    Partial,
    /// Files, TCP, and signals to other processes.
    Full,
}

/// Confines this process for good. Call it before threads are started: those that run already are not confined on Linux.
///
/// `readable` and `writable` are directories that stay open for reading, and for writing too; nothing else does.
pub fn confine(readable: &[&Path], writable: &[&Path]) -> Confinement {
    // Opened once, and kept: afterwards it could not be.
    let _ = wasmtime::PoolingAllocationConfig::is_pagemap_scan_available();
    let resources = limit_resources();
    let (no_new_privileges, files) = confine_files(readable, writable);
    Confinement {
        no_new_privileges,
        files,
        resources,
    }
}

#[cfg(unix)]
fn limit_resources() -> bool {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, OPEN_FILES),
        (Resource::RLIMIT_AS, ADDRESS_SPACE_BYTES),
    ];
    limits.into_iter().all(|(resource, most)| {
        // A limit may only be lowered; one that is lower already stays.
        getrlimit(resource).is_ok_and(|(_, hard)| {
            let most = most.min(hard);
            setrlimit(resource, most, most).is_ok()
        })
    })
}

#[cfg(not(unix))]
fn limit_resources() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn confine_files(readable: &[&Path], writable: &[&Path]) -> (bool, FileConfinement) {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
        RulesetStatus, Scope, path_beneath_rules,
    };
    let no_new_privileges = nix::sys::prctl::set_no_new_privs().is_ok();
    // Asked for as a whole; the crate leaves out what the kernel does not know.
    let abi = ABI::V6;
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(
                writable,
                AccessFs::from_all(abi) & !AccessFs::Execute,
            ))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    let files = match restrict() {
        Ok(RulesetStatus::FullyEnforced) => FileConfinement::Full,
        Ok(RulesetStatus::PartiallyEnforced) => FileConfinement::Partial,
        Ok(RulesetStatus::NotEnforced) | Err(_) => FileConfinement::None,
    };
    (no_new_privileges, files)
}

#[cfg(not(target_os = "linux"))]
fn confine_files(_readable: &[&Path], _writable: &[&Path]) -> (bool, FileConfinement) {
    (false, FileConfinement::None)
}
