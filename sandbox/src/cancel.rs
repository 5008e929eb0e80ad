//! A word to those who wait for a guest: it is not needed any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Gives up work that nobody waits for any more, such as a judgement that is late. Clones speak of the same work. Hand one to
/// [`crate::sandbox::Sandbox::run_cancellable`] or [`crate::sandbox::Sandbox::test_cancellable`] and keep another.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    started: OnceLock<Instant>,
}

impl Cancel {
    /// Work that goes on until somebody says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the work up: a guest that runs for it is killed, one that waits for a worker does not start, and the call fails with
    /// [`crate::error::SandboxError::Cancelled`]. Takes effect within some 10 ms.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether the work was given up.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// When a worker first took the work up: time before that was spent in the queue, and is not the guest's.
    pub fn started(&self) -> Option<Instant> {
        self.0.started.get().copied()
    }

    /// A worker is there.
    pub(crate) fn note_start(&self) {
        let _ = self.0.started.set(Instant::now());
    }
}
