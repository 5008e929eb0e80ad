//! WASI preview 1, for core modules: <https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md>.

use wasmtime::{AsContextMut, Caller, Extern, ExternType, Linker, Memory, Module, Val, ValType};

use crate::engine::Engine;
use crate::error::SandboxError;
use crate::guest::{self, Guest, Output, Stop};

const MODULE: &str = "wasi_snapshot_preview1";
const UNSTABLE: &str = "wasi_unstable";

/// Error numbers of preview 1.
#[derive(Clone, Copy)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    Fault = 21,
    Invalid = 28,
    NotSupported = 52,
    SeekOnPipe = 70,
}

type Result<T> = std::result::Result<T, Errno>;

/// What a function of WASI gives back: a status, or the guest's end.
type Status = wasmtime::Result<u32>;

/// Takes fuel for a call that works on `bytes` bytes; every function below begins with it.
fn charge(caller: &mut Caller<'_, Guest>, bytes: u32) -> wasmtime::Result<()> {
    guest::charge(&mut caller.as_context_mut(), u64::from(bytes))
}

/// The memory that the guest exports, as bytes, with its state.
fn memory<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<(&'a mut [u8], &'a mut Guest)> {
    let memory: Memory = match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => memory,
        _ => return Err(Errno::Fault),
    };
    Ok(memory.data_and_store_mut(caller))
}

fn put(bytes: &mut [u8], at: u32, value: &[u8]) -> Result<()> {
    let at = at as usize;
    let end = at.checked_add(value.len()).ok_or(Errno::Fault)?;
    bytes
        .get_mut(at..end)
        .ok_or(Errno::Fault)?
        .copy_from_slice(value);
    Ok(())
}

fn slice(bytes: &[u8], at: u32, count: u32) -> Result<&[u8]> {
    let at = at as usize;
    let end = at.checked_add(count as usize).ok_or(Errno::Fault)?;
    bytes.get(at..end).ok_or(Errno::Fault)
}

fn word(bytes: &[u8], at: u32) -> Result<u32> {
    let found = slice(bytes, at, 4)?;
    Ok(u32::from_le_bytes(found.try_into().expect("four bytes")))
}

/// The buffers of a scattered read or write: address and length of each.
fn vectors(bytes: &[u8], at: u32, count: u32) -> Result<Vec<(u32, u32)>> {
    if count > 1024 {
        return Err(Errno::Invalid);
    }
    (0..count)
        .map(|index| {
            let entry = at.checked_add(index * 8).ok_or(Errno::Fault)?;
            let length_at = entry.checked_add(4).ok_or(Errno::Fault)?;
            Ok((word(bytes, entry)?, word(bytes, length_at)?))
        })
        .collect()
}

fn fd_write(
    mut caller: Caller<'_, Guest>,
    fd: u32,
    vectors_at: u32,
    count: u32,
    written_at: u32,
) -> Status {
    charge(&mut caller, vectors_fuel(count))?;
    let output = match fd {
        1 => Output::Stdout,
        2 => Output::Stderr,
        _ => return Ok(Errno::BadDescriptor as u32),
    };
    let mut stop = Ok(());
    let mut total = 0_u32;
    let mut write = || -> Result<()> {
        let (bytes, guest) = memory(&mut caller)?;
        for (at, length) in vectors(bytes, vectors_at, count)? {
            let text = slice(bytes, at, length)?;
            stop = guest.write(output, text);
            if stop.is_err() {
                return Ok(());
            }
            total = total.saturating_add(length);
        }
        put(bytes, written_at, &total.to_le_bytes())
    };
    let status = status(write());
    stop?;
    charge(&mut caller, total)?;
    Ok(status)
}

fn fd_read(
    mut caller: Caller<'_, Guest>,
    fd: u32,
    vectors_at: u32,
    count: u32,
    read_at: u32,
) -> Status {
    charge(&mut caller, vectors_fuel(count))?;
    if fd != 0 {
        return Ok(Errno::BadDescriptor as u32);
    }
    let mut total = 0_u32;
    let mut read = || -> Result<()> {
        let (bytes, guest) = memory(&mut caller)?;
        for (at, length) in vectors(bytes, vectors_at, count)? {
            slice(bytes, at, length)?;
            let text = guest.read(length as usize);
            put(bytes, at, &text)?;
            total = total.saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
            if text.len() < length as usize {
                break;
            }
        }
        put(bytes, read_at, &total.to_le_bytes())
    };
    let status = status(read());
    charge(&mut caller, total)?;
    Ok(status)
}

/// What looking at `count` buffers costs, as so many bytes.
fn vectors_fuel(count: u32) -> u32 {
    count.min(1024) * 64
}

fn status(result: Result<()>) -> u32 {
    match result {
        Ok(()) => Errno::Success as u32,
        Err(errno) => errno as u32,
    }
}

/// Writes `values` to their addresses.
fn reply(mut caller: Caller<'_, Guest>, values: &[(u32, &[u8])]) -> Status {
    charge(&mut caller, 0)?;
    let mut write = || -> Result<()> {
        let (bytes, _) = memory(&mut caller)?;
        values
            .iter()
            .try_for_each(|(at, value)| put(bytes, *at, value))
    };
    Ok(status(write()))
}

/// File type "character device" and all rights, for the three standard streams.
fn fd_fdstat_get(mut caller: Caller<'_, Guest>, fd: u32, at: u32) -> Status {
    if fd > 2 {
        return plain(&mut caller, Errno::BadDescriptor);
    }
    let mut stat = [0_u8; 24];
    stat[0] = 2;
    stat[8..].fill(0xff);
    reply(caller, &[(at, &stat)])
}

fn fd_filestat_get(mut caller: Caller<'_, Guest>, fd: u32, at: u32) -> Status {
    if fd > 2 {
        return plain(&mut caller, Errno::BadDescriptor);
    }
    let mut stat = [0_u8; 64];
    stat[16] = 2;
    reply(caller, &[(at, &stat)])
}

fn clock_time_get(mut caller: Caller<'_, Guest>, clock: u32, _precision: u64, at: u32) -> Status {
    let now = match clock {
        0 => caller.data_mut().calendar_ns(),
        1..=3 => caller.data_mut().now_ns(),
        _ => return plain(&mut caller, Errno::Invalid),
    };
    reply(caller, &[(at, &now.to_le_bytes())])
}

/// Fills the guest's memory in place: the host needs none of its own for it.
fn random_get(mut caller: Caller<'_, Guest>, at: u32, count: u32) -> Status {
    charge(&mut caller, count)?;
    let mut stop = Ok(());
    let mut fill = || -> Result<()> {
        let (bytes, guest) = memory(&mut caller)?;
        let at = at as usize;
        let end = at.checked_add(count as usize).ok_or(Errno::Fault)?;
        stop = guest.fill_random(bytes.get_mut(at..end).ok_or(Errno::Fault)?);
        Ok(())
    };
    let status = status(fill());
    stop.map(|()| status)
}

/// A call that does nothing but to answer `errno`.
fn plain(caller: &mut Caller<'_, Guest>, errno: Errno) -> Status {
    charge(caller, 0)?;
    Ok(errno as u32)
}

/// Every subscription is ready at once; a wait for a time moves the guest's clock there.
fn poll_oneoff(
    mut caller: Caller<'_, Guest>,
    from: u32,
    to: u32,
    count: u32,
    events_at: u32,
) -> Status {
    charge(&mut caller, vectors_fuel(count))?;
    const SUBSCRIPTION: u32 = 48;
    const EVENT: u32 = 32;
    let mut poll = || -> Result<()> {
        let (bytes, guest) = memory(&mut caller)?;
        if count == 0 || count > 1024 {
            return Err(Errno::Invalid);
        }
        let mut latest = guest.clock_ns();
        for index in 0..count {
            let at = from.checked_add(index * SUBSCRIPTION).ok_or(Errno::Fault)?;
            let subscription = slice(bytes, at, SUBSCRIPTION)?;
            let user_data: [u8; 8] = subscription[..8].try_into().expect("eight bytes");
            let kind = subscription[8];
            let timeout = u64::from_le_bytes(subscription[24..32].try_into().expect("eight bytes"));
            let absolute = subscription[40] & 1 == 1;
            let mut event = [0_u8; EVENT as usize];
            event[..8].copy_from_slice(&user_data);
            event[10] = kind;
            if kind == 0 {
                let clock =
                    u32::from_le_bytes(subscription[16..20].try_into().expect("four bytes"));
                latest = latest.max(match (absolute, clock) {
                    (false, _) => guest.clock_after(timeout),
                    (true, 0) => Guest::<()>::clock_at(timeout),
                    (true, _) => timeout,
                });
            }
            put(
                bytes,
                to.checked_add(index * EVENT).ok_or(Errno::Fault)?,
                &event,
            )?;
        }
        guest.sleep_until(latest);
        put(bytes, events_at, &count.to_le_bytes())
    };
    Ok(status(poll()))
}

/// A linker with what `module` imports of WASI. What has no meaning here answers "not supported".
///
/// # Errors
/// [`SandboxError::InvalidModule`] if it imports anything else.
pub(crate) fn linker(
    engine: &Engine,
    module: &Module,
    name: &str,
) -> std::result::Result<Linker<Guest>, SandboxError> {
    let mut linker = Linker::new(engine.wasmtime());
    for library in [MODULE, UNSTABLE] {
        define(&mut linker, library).map_err(|error| SandboxError::engine(&error))?;
    }
    for import in module.imports() {
        let known = [MODULE, UNSTABLE].contains(&import.module());
        let ExternType::Func(signature) = import.ty() else {
            return Err(foreign(name, import.module(), import.name()));
        };
        if !known {
            return Err(foreign(name, import.module(), import.name()));
        }
        let absent = linker
            .get(
                &mut store_for_lookup(engine),
                import.module(),
                import.name(),
            )
            .is_err();
        let returns_status = signature.results().len() == 1
            && signature
                .results()
                .all(|result| matches!(result, ValType::I32));
        if absent && returns_status {
            linker
                .func_new(
                    import.module(),
                    import.name(),
                    signature,
                    |mut caller, _, results| {
                        charge(&mut caller, 0)?;
                        results[0] = Val::I32(Errno::NotSupported as i32);
                        Ok(())
                    },
                )
                .map_err(|error| SandboxError::engine(&error))?;
        }
    }
    Ok(linker)
}

fn store_for_lookup(engine: &Engine) -> wasmtime::Store<Guest> {
    wasmtime::Store::new(
        engine.wasmtime(),
        Guest::new(Vec::new(), crate::limits::Limits::default(), ()),
    )
}

fn foreign(name: &str, module: &str, import: &str) -> SandboxError {
    SandboxError::InvalidModule {
        name: name.to_owned(),
        reason: format!("it imports {module}::{import}, and the sandbox offers nothing but WASI"),
    }
}

fn define(linker: &mut Linker<Guest>, library: &str) -> wasmtime::Result<()> {
    linker
        .func_wrap(library, "fd_write", fd_write)?
        .func_wrap(library, "fd_read", fd_read)?
        .func_wrap(library, "fd_fdstat_get", fd_fdstat_get)?
        .func_wrap(library, "fd_filestat_get", fd_filestat_get)?
        .func_wrap(library, "clock_time_get", clock_time_get)?
        .func_wrap(library, "random_get", random_get)?
        .func_wrap(library, "poll_oneoff", poll_oneoff)?
        .func_wrap(
            library,
            "clock_res_get",
            |caller: Caller<'_, Guest>, _: u32, at: u32| {
                reply(caller, &[(at, &1_u64.to_le_bytes())])
            },
        )?
        .func_wrap(library, "args_sizes_get", no_strings)?
        .func_wrap(library, "environ_sizes_get", no_strings)?
        .func_wrap(library, "args_get", nothing_there)?
        .func_wrap(library, "environ_get", nothing_there)?
        .func_wrap(
            library,
            "fd_prestat_get",
            |mut caller: Caller<'_, Guest>, _: u32, _: u32| {
                plain(&mut caller, Errno::BadDescriptor)
            },
        )?
        .func_wrap(
            library,
            "fd_close",
            |mut caller: Caller<'_, Guest>, fd: u32| {
                plain(&mut caller, for_stream(fd, Errno::Success))
            },
        )?
        .func_wrap(
            library,
            "fd_seek",
            |mut caller: Caller<'_, Guest>, fd: u32, _: u64, _: u32, _: u32| {
                plain(&mut caller, for_stream(fd, Errno::SeekOnPipe))
            },
        )?
        .func_wrap(library, "sched_yield", |mut caller: Caller<'_, Guest>| {
            plain(&mut caller, Errno::Success)
        })?
        .func_wrap(
            library,
            "proc_exit",
            |status: u32| -> wasmtime::Result<()> { Err(Stop::Exited(status as i32).into()) },
        )?;
    Ok(())
}

/// `errno` where `fd` is one of the three streams.
fn for_stream(fd: u32, errno: Errno) -> Errno {
    if fd <= 2 { errno } else { Errno::BadDescriptor }
}

/// None of the arguments or variables.
fn nothing_there(mut caller: Caller<'_, Guest>, _: u32, _: u32) -> Status {
    plain(&mut caller, Errno::Success)
}

/// There are no arguments and no variables: none of them, in no bytes.
fn no_strings(caller: Caller<'_, Guest>, count_at: u32, bytes_at: u32) -> Status {
    let zero = 0_u32.to_le_bytes();
    reply(caller, &[(count_at, &zero), (bytes_at, &zero)])
}
