//! A word to those who wait for a guest: it is not needed any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Gives up work that nobody waits for any more, such as a judgement that is late. Clones speak of the same work. Hand one to
/// [`crate::sandbox::Sandbox::run_cancellable`] or [`crate::sandbox::Sandbox::test_cancellable`] and keep another.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    started: OnceLock<Instant>,
    given_up: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("cancelled", &self.cancelled)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl Cancel {
    /// Work that goes on until somebody says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Work that is given up as soon as `given_up` says so, or as [`Cancel::cancel`] is called. It is asked some hundred times a second
    /// while the work waits or runs, from several threads, and must not take long.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let cancel = dunwu_sandbox::Cancel::when(move || Instant::now() >= deadline);
    /// assert!(!cancel.is_cancelled());
    /// ```
    pub fn when(given_up: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(State {
            given_up: Some(Box::new(given_up)),
            ..State::default()
        }))
    }

    /// Gives the work up: a guest that runs for it is killed, one that waits for a worker does not start, and the call fails with
    /// [`crate::error::SandboxError::Cancelled`]. Takes effect within some 10 ms.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether the work was given up.
    pub fn is_cancelled(&self) -> bool {
        let given_up = || self.0.given_up.as_ref().is_some_and(|ask| ask());
        self.0.cancelled.load(Ordering::Acquire) || given_up()
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
