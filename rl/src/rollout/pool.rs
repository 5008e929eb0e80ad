//! A bounded pool of threads for work that may hang: each job has a deadline, counted from when its work begins.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dunwu_rewards::Attempt;

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was still at work when its deadline passed.
    Deadline,
    /// It panicked, with this message.
    Panic(String),
}

/// Threads that work off a queue in order.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shared>);

/// Work, and what is done instead when it is late. One of them tells the result.
struct Job {
    run: Box<dyn FnOnce(&Attempt) + Send>,
    late: Box<dyn FnOnce() + Send>,
}

/// A job that a thread is at.
struct Running {
    until: Instant,
    late: Box<dyn FnOnce() + Send>,
    attempt: Attempt,
}

struct Shared {
    deadline: Duration,
    state: Mutex<State>,
    /// A job has come, or the pool has closed.
    ready: Condvar,
    /// A job has begun, or the pool has closed.
    begun: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// By the number of the thread.
    running: BTreeMap<u64, Running>,
    /// Threads that were ever started: the number of the next.
    started: u64,
    /// Threads to be started in the place of those that were given up.
    missing: usize,
    /// Threads whose job is late, and that are still at it.
    lost: usize,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, at least one, and another that watches deadlines.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(super) fn new(threads: usize, deadline: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            deadline,
            state: Mutex::new(State::default()),
            ready: Condvar::new(),
            begun: Condvar::new(),
        });
        let pool = Self(shared.clone());
        for _ in 0..threads.max(1) {
            start(&shared, &mut shared.lock())?;
        }
        let watcher = std::thread::Builder::new().name("judge watch".to_owned());
        watcher.spawn(move || watch(&shared))?;
        Ok(pool)
    }

    /// Queues `work`. `tell` gets its result, or why there is none, exactly once, unless the pool is dropped before.
    pub(super) fn submit<T: 'static>(
        &self,
        work: impl FnOnce(&Attempt) -> T + Send + 'static,
        tell: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) {
        let tell = Arc::new(Mutex::new(Some(tell)));
        let teller = tell.clone();
        let take =
            |tell: &Mutex<Option<_>>| tell.lock().unwrap_or_else(PoisonError::into_inner).take();
        let run = move |attempt: &Attempt| {
            let done = catch_unwind(AssertUnwindSafe(|| work(attempt)));
            if let Some(tell) = take(&teller) {
                tell(done.map_err(|panic| Failure::Panic(message(panic.as_ref()))));
            }
        };
        let late = move || {
            if let Some(tell) = take(&tell) {
                tell(Err(Failure::Deadline));
            }
        };
        let (run, late) = (Box::new(run), Box::new(late));
        self.0.lock().queue.push_back(Job { run, late });
        self.0.ready.notify_one();
    }

    /// Threads that are still at work whose deadline has passed. Others have taken their places.
    pub(super) fn lost(&self) -> usize {
        self.0.lock().lost
    }

    /// The time that each job has.
    pub(super) fn deadline(&self) -> Duration {
        self.0.deadline
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Work that hangs must not keep the program from ending: nobody waits for it.
        let mut state = self.0.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        state.running.values().for_each(|job| job.attempt.cancel());
        drop(state);
        drop(queue);
        self.0.ready.notify_all();
        self.0.begun.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread of the pool.
fn start(shared: &Arc<Shared>, state: &mut State) -> std::io::Result<()> {
    let (number, shared) = (state.started, shared.clone());
    let thread = std::thread::Builder::new().name("judge".to_owned());
    thread.spawn(move || work_off(&shared, number))?;
    state.started += 1;
    Ok(())
}

/// What a thread does: a job after the other, until the pool is closed or the thread was given up.
fn work_off(shared: &Shared, number: u64) {
    loop {
        let mut state = shared.lock();
        let job = loop {
            if state.closed {
                return;
            }
            if let Some(job) = state.queue.pop_front() {
                break job;
            }
            let woken = shared.ready.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        };
        let attempt = Attempt::within(shared.deadline);
        let running = Running {
            until: Instant::now() + shared.deadline,
            late: job.late,
            attempt: attempt.clone(),
        };
        state.running.insert(number, running);
        drop(state);
        shared.begun.notify_one();
        (job.run)(&attempt);
        let mut state = shared.lock();
        if state.running.remove(&number).is_none() {
            // Another thread has taken this one's place.
            state.lost -= 1;
            return;
        }
    }
}

/// Gives up threads whose job is late: tells its result, asks it to stop, and has another thread take its place.
fn watch(shared: &Arc<Shared>) {
    let mut state = shared.lock();
    while !state.closed {
        let now = Instant::now();
        let is_late = |_: &u64, job: &mut Running| job.until <= now;
        let late: Vec<(u64, Running)> = state.running.extract_if(.., is_late).collect();
        state.lost += late.len();
        state.missing += late.len();
        while state.missing > 0 && start(shared, &mut state).is_ok() {
            state.missing -= 1;
        }
        if !late.is_empty() {
            drop(state);
            for (_, job) in late {
                job.attempt.cancel();
                (job.late)();
            }
            state = shared.lock();
            continue;
        }
        let next = state.running.values().map(|job| job.until).min();
        // Where no thread could be started, it is tried again.
        let retry = (state.missing > 0).then(|| now + Duration::from_secs(1));
        state = match next.into_iter().chain(retry).min() {
            Some(until) => {
                let pause = until.saturating_duration_since(now);
                let woken = shared.begun.wait_timeout(state, pause);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let woken = shared.begun.wait(state);
                woken.unwrap_or_else(PoisonError::into_inner)
            }
        };
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "no message".to_owned())
}
