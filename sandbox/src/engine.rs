//! WebAssembly's engine, set up for many short runs of guests that nobody trusts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::cancel::Cancel;
use crate::error::SandboxError;

/// Length of an epoch: how exactly the wall-clock deadline is kept.
pub(crate) const EPOCH: Duration = Duration::from_millis(5);

/// Bytes of a memory that stay mapped between two runs. Pages that a guest wrote are put back by
/// copying, which is cheaper than a page fault for each of them.
const KEEP_RESIDENT_BYTES: usize = 64 << 20;

/// Guests that may be alive at once on one engine: a test has two, and a third is made ahead. Each reserves 4 GiB of address space.
const LIVE_GUESTS: u32 = 4;

/// Epochs after which a running guest is asked whether it is still wanted.
const SLICE_EPOCHS: u64 = 4;

/// An engine and the clock that drives its epochs. Cheap to clone; the clock stops with the last
/// clone.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    stack_bytes: u64,
    work: Arc<Mutex<Cancel>>,
    _clock: Arc<Clock>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("stack_bytes", &self.stack_bytes)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose guests may use `stack_bytes` of native stack.
    ///
    /// # Errors
    /// [`SandboxError::Engine`] if the machine has no way to run it.
    pub fn new(stack_bytes: u64) -> Result<Self, SandboxError> {
        let inner = wasmtime::Engine::new(&config(stack_bytes))
            .map_err(|error| SandboxError::engine(&error))?;
        let clock = Arc::new(Clock::start(inner.clone())?);
        Ok(Self {
            inner,
            stack_bytes,
            work: Arc::default(),
            _clock: clock,
        })
    }

    /// The stack that a thread needs on which guests of this engine run: twice the guest's, since a
    /// test calls its solution while it runs, and room for the host.
    pub fn thread_stack_bytes(&self) -> usize {
        thread_stack_bytes(self.stack_bytes)
    }

    /// From now on guests run for this work: they are interrupted when it is cancelled.
    pub(crate) fn work_for(&self, cancel: &Cancel) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
    }

    /// Whether guests run for nobody.
    pub(crate) fn is_cancelled(&self) -> bool {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.is_cancelled()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

/// See [`Engine::thread_stack_bytes`].
pub(crate) fn thread_stack_bytes(stack_bytes: u64) -> usize {
    2 * usize::try_from(stack_bytes).expect("checked by Limits::validate") + (4 << 20)
}

/// Epochs until a guest is interrupted, or asked whether it is still wanted, if `left` is what it has.
pub(crate) fn slice(left: Duration) -> u64 {
    let epochs = left.as_nanos().div_ceil(EPOCH.as_nanos()) + 1;
    u64::try_from(epochs).unwrap_or(u64::MAX).min(SLICE_EPOCHS)
}

fn config(stack_bytes: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // A CPython component is some thirty core instances that share one memory and one table. A component of several memories is the
    // only guest of its engine.
    pool.total_component_instances(LIVE_GUESTS)
        .total_core_instances(LIVE_GUESTS * 128)
        .max_core_instances_per_component(128)
        .max_memories_per_component(LIVE_GUESTS)
        .max_tables_per_component(64)
        .total_memories(LIVE_GUESTS)
        .total_tables(LIVE_GUESTS * 64)
        .table_elements(100_000)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    let stack = usize::try_from(stack_bytes).expect("checked by Limits::validate");
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        // What neither the interpreter nor plugins need is refused, and with it whatever is wrong with it.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .max_wasm_stack(stack)
        // Nothing here is asynchronous, but the engine insists that this is not the smaller one.
        .async_stack_size(stack)
        .memory_init_cow(true)
        .memory_guaranteed_dense_image_size(256 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// A thread that advances the epoch by the time that has passed, not by the times it woke up: on a
/// busy machine a sleep of 5 ms can take 50.
struct Clock {
    stop: Arc<AtomicBool>,
}

impl Clock {
    fn start(engine: wasmtime::Engine) -> Result<Self, SandboxError> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("sandbox-clock".to_owned())
            .spawn(move || {
                let start = Instant::now();
                let mut ticks = 0;
                while !seen.load(Ordering::Relaxed) {
                    std::thread::sleep(EPOCH);
                    let due = start.elapsed().as_nanos() / EPOCH.as_nanos();
                    while ticks < due {
                        engine.increment_epoch();
                        ticks += 1;
                    }
                }
            })
            .map_err(|error| SandboxError::Engine {
                reason: format!("its clock does not start: {error}"),
            })?;
        Ok(Self { stop })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
