//! The circumstances of a judgement: until when, and whether anybody still waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One attempt at a verdict. Judges that take long look at it now and then, and stop where nobody waits any more; quick ones
/// need not know of it.
///
/// A clone is the same attempt: to cancel one cancels all.
///
/// ```
/// use dunwu_rewards::Attempt;
///
/// let attempt = Attempt::unlimited();
/// let seen_by_the_judge = attempt.clone();
/// assert!(!seen_by_the_judge.is_over());
/// attempt.cancel();
/// assert!(seen_by_the_judge.is_over());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Attempt {
    /// An attempt without a deadline.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// An attempt that ends at `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..Self::default()
        }
    }

    /// An attempt that ends when `time` has passed from now on.
    pub fn within(time: Duration) -> Self {
        Self {
            deadline: Instant::now().checked_add(time),
            ..Self::default()
        }
    }

    /// When it ends; `None` if never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time left, 0 after the deadline; `None` if there is no deadline.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// `limit`, or the time left if that is less.
    pub fn at_most(&self, limit: Duration) -> Duration {
        self.time_left().map_or(limit, |left| left.min(limit))
    }

    /// Says that nobody waits for the verdict any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more: it was cancelled, or the deadline has passed.
    pub fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.time_left() == Some(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_bounds_what_is_asked_for() {
        let minute = Duration::from_secs(60);
        assert_eq!(Attempt::unlimited().at_most(minute), minute);
        assert!(Attempt::within(minute / 2).at_most(minute) <= minute / 2);
        let past = Attempt::until(Instant::now());
        assert!(past.is_over());
        assert_eq!(past.at_most(minute), Duration::ZERO);
        // A time that no clock can reach is no deadline.
        assert_eq!(Attempt::within(Duration::MAX).time_left(), None);
    }
}
