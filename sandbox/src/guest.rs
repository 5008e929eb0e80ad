//! What a running guest has: its input, its outputs, a clock that is not real, and its limits.

use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, Store, Trap};

use crate::engine::epochs;
use crate::{Engine, Execution, Exit, Limits, SandboxError};

/// Seconds since 1970 that every guest believes it started at: 2025-01-01, midnight UTC.
const GUEST_EPOCH_S: u64 = 1_735_689_600;

/// What the guest's clock advances each time it is read, in nanoseconds: loops that wait for a time
/// to come end, and measured times are never zero.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// Entries that a table may have.
const TABLE_ELEMENTS: usize = 100_000;

/// The state of one guest instance.
pub(crate) struct Guest<T = ()> {
    pub(crate) stdin: Vec<u8>,
    pub(crate) stdin_read: usize,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Time since the guest's start as it sees it, in nanoseconds.
    clock_ns: u64,
    random: u64,
    limits: Limits,
    started: Instant,
    memory_refused: bool,
    /// What the host keeps beside it.
    pub(crate) host: T,
}

/// How a guest asks to end: raised by the host's functions, and turned into an [`Exit`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("exit {0}")]
    Exited(i32),
    #[error("output limit")]
    OutputLimit,
}

/// Which of a guest's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl<T> Guest<T> {
    pub(crate) fn new(stdin: Vec<u8>, limits: Limits, host: T) -> Self {
        Self {
            stdin,
            stdin_read: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            clock_ns: 0,
            random: 0,
            limits,
            started: Instant::now(),
            memory_refused: false,
            host,
        }
    }

    /// Takes what the guest writes.
    pub(crate) fn write(&mut self, output: Output, bytes: &[u8]) -> wasmtime::Result<()> {
        let limit = usize::try_from(self.limits.output_bytes).unwrap_or(usize::MAX);
        let kept = match output {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        };
        let room = limit - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(Stop::OutputLimit.into());
        }
        Ok(())
    }

    /// Gives up to `count` bytes of the input; none at its end.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let rest = &self.stdin[self.stdin_read..];
        let taken = rest[..rest.len().min(count)].to_vec();
        self.stdin_read += taken.len();
        taken
    }

    /// The guest's clock, in nanoseconds since its start.
    pub(crate) fn now_ns(&mut self) -> u64 {
        self.clock_ns = self.clock_ns.saturating_add(CLOCK_STEP_NS);
        self.clock_ns
    }

    /// The guest's calendar: seconds since 1970, and nanoseconds.
    pub(crate) fn calendar(&mut self) -> (u64, u32) {
        let now = Duration::from_nanos(self.now_ns());
        (GUEST_EPOCH_S + now.as_secs(), now.subsec_nanos())
    }

    /// A guest that waits has waited at once.
    pub(crate) fn sleep_until(&mut self, clock_ns: u64) {
        self.clock_ns = self.clock_ns.max(clock_ns);
    }

    /// See [`Guest::sleep_until`].
    pub(crate) fn sleep(&mut self, duration_ns: u64) {
        self.clock_ns = self.clock_ns.saturating_add(duration_ns);
    }

    /// The next number of a fixed sequence (SplitMix64 from 0): the same for every run.
    pub(crate) fn random_u64(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// `count` bytes of that sequence.
    pub(crate) fn random_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.random_u64().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

impl<T: Send> ResourceLimiter for Guest<T> {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired as u64 <= self.limits.memory_bytes;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    // The engine's pool bounds these: a component of many small modules is no attack.
    fn instances(&self) -> usize {
        1000
    }

    fn tables(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        16
    }
}

/// A store for `guest`, with its fuel, deadline and limits set. The wall clock starts now.
pub(crate) fn store<T: Send + 'static>(
    engine: &Engine,
    guest: Guest<T>,
) -> Result<Store<Guest<T>>, SandboxError> {
    let limits = guest.limits;
    let mut store = Store::new(engine.wasmtime(), guest);
    store.limiter(|guest| guest);
    rearm(&mut store, &limits)?;
    Ok(store)
}

/// Gives a store full fuel and a deadline that starts now.
pub(crate) fn rearm<T: 'static>(
    store: &mut Store<Guest<T>>,
    limits: &Limits,
) -> Result<(), SandboxError> {
    store
        .set_fuel(limits.fuel)
        .map_err(|error| SandboxError::engine(&error))?;
    store.set_epoch_deadline(epochs(limits.wall_time));
    store.data_mut().started = Instant::now();
    Ok(())
}

/// Fuel that a store has used since it was armed.
pub(crate) fn fuel_used<T: 'static>(store: &Store<Guest<T>>) -> u64 {
    let left = store.get_fuel().unwrap_or(0);
    store.data().limits.fuel.saturating_sub(left)
}

/// What became of a guest that ended with `exit`.
pub(crate) fn execution<T: 'static>(mut store: Store<Guest<T>>, exit: Exit) -> Execution {
    let fuel_used = match exit {
        Exit::OutOfFuel => store.data().limits.fuel,
        _ => fuel_used(&store),
    };
    let guest = store.data_mut();
    Execution {
        exit,
        stdout: std::mem::take(&mut guest.stdout),
        stderr: std::mem::take(&mut guest.stderr),
        fuel_used,
        wall_time: guest.started.elapsed(),
    }
}

/// How a guest ended whose call failed with `error`.
pub(crate) fn exit_of<T>(guest: &Guest<T>, error: &wasmtime::Error) -> Exit {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Exited(0) => Exit::Exited(0),
            Stop::Exited(status) => Exit::Exited(*status),
            Stop::OutputLimit => Exit::OutputLimit,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Exit::OutOfFuel,
        Some(Trap::Interrupt) => Exit::Deadline,
        Some(Trap::StackOverflow) => Exit::StackOverflow,
        _ if guest.memory_refused => Exit::OutOfMemory,
        Some(trap) => Exit::Trapped(trap.to_string()),
        None => Exit::Trapped(error.root_cause().to_string()),
    }
}

/// Whether the guest was refused memory: an exception that it ended with is then for want of it.
pub(crate) fn memory_was_refused<T>(guest: &Guest<T>) -> bool {
    guest.memory_refused
}
