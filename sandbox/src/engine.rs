//! WebAssembly's engine, set up for many short runs of guests that nobody trusts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::SandboxError;

/// Length of an epoch: how exactly the wall-clock deadline is kept.
pub(crate) const EPOCH: Duration = Duration::from_millis(5);

/// Bytes of a memory that stay mapped between two runs. Pages that a guest wrote are put back by
/// copying, which is cheaper than a page fault for each of them.
const KEEP_RESIDENT_BYTES: usize = 64 << 20;

/// Guests that may be alive at once in one process: a test has two.
const LIVE_GUESTS: u32 = 64;

/// An engine and the clock that drives its epochs. Cheap to clone; the clock stops with the last
/// clone.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    stack_bytes: u64,
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
            _clock: clock,
        })
    }

    /// The stack that a thread needs on which guests of this engine run: twice the guest's, since a
    /// test calls its solution while it runs, and room for the host.
    pub fn thread_stack_bytes(&self) -> usize {
        thread_stack_bytes(self.stack_bytes)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

/// See [`Engine::thread_stack_bytes`].
pub(crate) fn thread_stack_bytes(stack_bytes: u64) -> usize {
    2 * usize::try_from(stack_bytes).expect("checked by Limits::validate") + (4 << 20)
}

/// Epochs that pass before `wall_time` is over.
pub(crate) fn epochs(wall_time: Duration) -> u64 {
    let epochs = wall_time.as_nanos().div_ceil(EPOCH.as_nanos());
    u64::try_from(epochs).unwrap_or(u64::MAX / 2).max(1) + 1
}

fn config(stack_bytes: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // A CPython component is some thirty core instances that share one memory and one table.
    pool.total_component_instances(LIVE_GUESTS)
        .total_core_instances(LIVE_GUESTS * 64)
        .max_core_instances_per_component(128)
        .max_memories_per_component(8)
        .max_tables_per_component(64)
        .total_memories(LIVE_GUESTS)
        .total_tables(LIVE_GUESTS * 8)
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
        .relaxed_simd_deterministic(true)
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
