//! What may be asked of a run while it is under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How often a run that is paused looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(50);

/// Asks a run to stop, pause, save or measure. Clones ask the same run; what is asked is done after the step under way, but
/// for a measurement, which a stop breaks off.
#[derive(Debug, Clone, Default)]
pub struct Controls(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    stop: AtomicBool,
    pause: AtomicBool,
    save: AtomicBool,
    measure: AtomicBool,
}

impl Controls {
    /// Asks the run to save and end after the step under way. Returns whether that had been asked before.
    pub fn stop(&self) -> bool {
        self.0.stop.swap(true, Ordering::SeqCst)
    }

    /// Asks the run to wait after the step under way, until [`Self::resume`] or [`Self::stop`].
    pub fn pause(&self) {
        self.0.pause.store(true, Ordering::SeqCst);
    }

    /// Lets a run that was paused go on.
    pub fn resume(&self) {
        self.0.pause.store(false, Ordering::SeqCst);
    }

    /// Asks for a checkpoint after the step under way.
    pub fn save(&self) {
        self.0.save.store(true, Ordering::SeqCst);
    }

    /// Asks for a measurement of held-out problems after the step under way.
    pub fn measure(&self) {
        self.0.measure.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to stop.
    pub fn stops(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Whether a checkpoint was asked for since the last call.
    pub(super) fn take_save(&self) -> bool {
        self.0.save.swap(false, Ordering::SeqCst)
    }

    /// Whether a measurement was asked for since the last call.
    pub(super) fn take_measure(&self) -> bool {
        self.0.measure.swap(false, Ordering::SeqCst)
    }

    /// Whether the run is to wait.
    pub fn pauses(&self) -> bool {
        self.0.pause.load(Ordering::SeqCst) && !self.stops()
    }

    /// Waits while the run is paused; returns whether it was. `meanwhile` is called each time it has looked.
    pub(super) fn wait_while_paused(&self, mut meanwhile: impl FnMut()) -> bool {
        let was = self.pauses();
        while self.pauses() {
            thread::sleep(LOOK);
            meanwhile();
        }
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_once_is_done_once() {
        let controls = Controls::default();
        let other = controls.clone();
        other.save();
        other.measure();
        assert!(controls.take_save() && !controls.take_save());
        assert!(controls.take_measure() && !controls.take_measure());
        assert!(!other.stop() && controls.stops() && controls.stop());
    }

    #[test]
    fn a_pause_ends_by_a_word_or_a_stop() {
        let stop = |controls: &Controls| {
            controls.stop();
        };
        for end in [Controls::resume as fn(&Controls), stop] {
            let controls = Controls::default();
            controls.pause();
            let other = controls.clone();
            let waiting = thread::spawn(move || other.wait_while_paused(|| {}));
            end(&controls);
            // It may have ended before the thread looked; either way it must return.
            let _ = waiting.join().unwrap();
            assert!(!controls.wait_while_paused(|| {}));
        }
    }
}
