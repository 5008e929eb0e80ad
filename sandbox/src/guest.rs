//! What a running guest has: its input, its outputs, a clock that is not real, and its limits.

mod limiter;

use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use crate::engine::Engine;
use crate::engine::slice;
use crate::error::SandboxError;
use crate::execution::{Execution, Exit};
use crate::limits::Limits;

/// Seconds since 1970 that every guest believes it started at: 2025-01-01, midnight UTC.
const GUEST_EPOCH_S: u64 = 1_735_689_600;

/// What the guest's clock advances each time it is read, in nanoseconds: loops that wait for a time
/// to come end, and measured times are never zero.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// Handles, such as those to wait for something, that a guest may hold at once: each is memory of the host's.
const HANDLES: usize = 1024;

/// Fuel of a call of the host, whatever it does: about what it costs the machine, in instructions.
const CALL_FUEL: u64 = 200;

/// Bytes that the host reads, writes or makes for one unit of fuel.
const BYTES_PER_FUEL: u64 = 4;

/// Bytes that the host works on before it looks at the clock.
const WORK_BYTES: usize = 64 << 10;

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
    /// When its time is up; nothing if that is beyond all clocks.
    deadline: Option<Instant>,
    /// Linear memory of all its instances, in bytes.
    memory_bytes: u64,
    /// What the last growth added, in bytes, in case that it fails after all.
    last_growth_bytes: u64,
    memory_refused: bool,
    table_elements: usize,
    /// When each pollable is ready, in nanoseconds of the guest's clock; by number less one, nothing where it was dropped.
    timers: Vec<Option<u64>>,
    handles: usize,
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
    #[error("more than {HANDLES} handles at once")]
    Handles,
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
            deadline: None,
            memory_bytes: 0,
            last_growth_bytes: 0,
            memory_refused: false,
            table_elements: 0,
            timers: Vec::new(),
            handles: 0,
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

    /// Drops what the guest has written so far.
    pub(crate) fn forget_output(&mut self) {
        self.stdout.clear();
        self.stderr.clear();
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
        (
            GUEST_EPOCH_S.saturating_add(now.as_secs()),
            now.subsec_nanos(),
        )
    }

    /// The guest's calendar in nanoseconds since 1970; the last one that 64 bits hold, after that.
    pub(crate) fn calendar_ns(&mut self) -> u64 {
        (GUEST_EPOCH_S * 1_000_000_000).saturating_add(self.now_ns())
    }

    /// The guest's clock at `calendar_ns` nanoseconds since 1970.
    pub(crate) fn clock_at(calendar_ns: u64) -> u64 {
        calendar_ns.saturating_sub(GUEST_EPOCH_S * 1_000_000_000)
    }

    /// A guest that waits has waited at once.
    pub(crate) fn sleep_until(&mut self, clock_ns: u64) {
        self.clock_ns = self.clock_ns.max(clock_ns);
    }

    /// What the clock will be `duration_ns` from now.
    pub(crate) fn clock_after(&self, duration_ns: u64) -> u64 {
        self.clock_ns.saturating_add(duration_ns)
    }

    /// The number of a new pollable that is ready when the clock is `at_ns`.
    pub(crate) fn new_timer(&mut self, at_ns: u64) -> u32 {
        let free = self.timers.iter().position(Option::is_none);
        let at = free.unwrap_or(self.timers.len());
        if free.is_none() {
            self.timers.push(None);
        }
        self.timers[at] = Some(at_ns);
        u32::try_from(at + 1).expect("fewer than the handles that a guest may have")
    }

    /// When pollable `number` is ready. Those that are no timers are ready at once.
    pub(crate) fn timer(&self, number: u32) -> u64 {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| *self.timers.get(at)?).unwrap_or(0)
    }

    /// Pollable `number` was dropped.
    pub(crate) fn drop_timer(&mut self, number: u32) {
        let at = (number as usize).checked_sub(1);
        if let Some(timer) = at.and_then(|at| self.timers.get_mut(at)) {
            *timer = None;
        }
    }

    /// The guest's clock without moving it, in nanoseconds since its start.
    pub(crate) fn clock_ns(&self) -> u64 {
        self.clock_ns
    }

    /// One more handle that the guest holds.
    pub(crate) fn take_handle(&mut self) -> wasmtime::Result<()> {
        if self.handles == HANDLES {
            return Err(Stop::Handles.into());
        }
        self.handles += 1;
        Ok(())
    }

    /// One handle less.
    pub(crate) fn drop_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// Refuses `bytes` that the guest wants to be given at once if it could not hold them.
    pub(crate) fn check_room(&mut self, bytes: u64) -> wasmtime::Result<()> {
        if bytes <= self.limits.memory_bytes {
            return Ok(());
        }
        self.memory_refused = true;
        Err(wasmtime::Error::msg("more bytes than the guest may have"))
    }

    /// Ends the guest if its time is up, in work of the host's that takes long.
    fn check_time(&self) -> wasmtime::Result<()> {
        if self.is_late() {
            return Err(Trap::Interrupt.into());
        }
        Ok(())
    }

    /// Epochs until it is looked at again.
    fn slice(&self) -> u64 {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        slice(self.deadline.map_or(Duration::MAX, left))
    }

    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The next number of a fixed sequence (SplitMix64 from 0): the same for every run.
    pub(crate) fn random_u64(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Fills `bytes` from that sequence.
    ///
    /// # Errors
    /// The guest's end, if its time is up before they are full.
    pub(crate) fn fill_random(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        for part in bytes.chunks_mut(WORK_BYTES) {
            for word in part.chunks_mut(8) {
                let random = self.random_u64().to_le_bytes();
                word.copy_from_slice(&random[..word.len()]);
            }
            self.check_time()?;
        }
        Ok(())
    }
}

/// Takes fuel for a call of the host that works on `bytes` bytes, before it does.
///
/// # Errors
/// The guest's end, if it has not got that much.
pub(crate) fn charge<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    bytes: u64,
) -> wasmtime::Result<()> {
    let price = CALL_FUEL + bytes / BYTES_PER_FUEL;
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
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
    let engine = engine.clone();
    store.epoch_deadline_callback(move |store| {
        let guest = store.data();
        if guest.is_late() || engine.is_cancelled() {
            return Err(Trap::Interrupt.into());
        }
        Ok(UpdateDeadline::Continue(guest.slice()))
    });
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
    let guest = store.data_mut();
    guest.started = Instant::now();
    guest.deadline = guest.started.checked_add(limits.wall_time);
    let slice = guest.slice();
    store.set_epoch_deadline(slice);
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
            Stop::Exited(status) => Exit::Exited(*status),
            Stop::OutputLimit => Exit::OutputLimit,
            Stop::Handles => Exit::Trapped(stop.to_string()),
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
