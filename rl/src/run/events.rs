//! What happens in a run, told to whoever wants to know.

use std::{error::Error, path::Path};

use serde_json::{Map, Value};

use super::{StageReport, Summary, metrics::MetricsLine};
use crate::{
    alarms::Alarm,
    eval::{EvalReport, Moment},
    stages::{Notes, StageKind, StepMetrics},
};

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something that a person should know: a topic of one word, and a line about it.
    Note {
        /// What it is about.
        topic: &'a str,
        /// The line.
        text: &'a str,
    },
    /// A stage begins, or goes on after a resume.
    StageBegan {
        /// Its index, from 0.
        stage: usize,
        /// What it does.
        kind: StageKind,
        /// Its steps.
        steps: u64,
        /// Those made already.
        done: u64,
    },
    /// Completions were sampled and judged for a step: the lines of `completions.jsonl`.
    Completions {
        /// The step of the run that they are for, from 1.
        step: u64,
        /// A line each.
        lines: &'a [Map<String, Value>],
    },
    /// A step was made and logged.
    Step {
        /// The line of `metrics.jsonl`.
        line: &'a MetricsLine,
        /// The stage's own figures, typed.
        metrics: &'a dyn StepMetrics,
        /// Steps of the stage made so far, this one included.
        done: u64,
        /// Steps of the stage.
        steps: u64,
    },
    /// Held-out problems begin to be answered.
    MeasurementBegan {
        /// What is measured, in words.
        label: &'a str,
        /// Answers to be given.
        answers: usize,
    },
    /// So many answers are given.
    Measuring {
        /// Answers given so far.
        done: usize,
    },
    /// Held-out problems were answered.
    Measured {
        /// What was measured, in words.
        label: &'a str,
        /// When.
        moment: Moment,
        /// Steps of the run made before.
        step: u64,
        /// What was found.
        report: &'a EvalReport,
    },
    /// Something went bad.
    Alarm {
        /// The step of the run.
        step: u64,
        /// What.
        alarm: &'a Alarm,
    },
    /// The run is on the disk up to a step.
    Saved {
        /// The step of the run.
        step: u64,
        /// The checkpoint.
        checkpoint: &'a Path,
    },
    /// A stage has ended.
    StageEnded {
        /// What is kept of it.
        report: &'a StageReport,
    },
    /// The run is over, or stopped.
    Ended {
        /// What it came to.
        summary: &'a Summary,
        /// Its directory.
        directory: &'a Path,
    },
}

/// Is told what happens in a run. Nothing that an observer does can end the run: one that fails is told nothing more, and the
/// others are told why.
pub trait Observer: Send {
    /// Is told of an event, on the run's own thread: what takes long delays the next step.
    ///
    /// # Errors
    /// When it cannot do what it is there for.
    fn observe(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl<F: FnMut(&Event) + Send> Observer for F {
    fn observe(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>> {
        self(event);
        Ok(())
    }
}

/// The observers of a run.
#[derive(Default)]
pub(super) struct Observers(Vec<Box<dyn Observer>>);

impl Observers {
    pub(super) fn add(&mut self, observer: Box<dyn Observer>) {
        self.0.push(observer);
    }

    /// Tells all of them. One that fails or panics is left out from then on.
    pub(super) fn tell(&mut self, event: &Event) {
        let mut failures = Vec::new();
        self.0
            .retain_mut(|observer| match show(observer.as_mut(), event) {
                Ok(()) => true,
                Err(reason) => {
                    failures.push(reason);
                    false
                }
            });
        for reason in failures {
            let text = format!("an observer failed and is told nothing more: {reason}");
            self.tell(&Event::Note {
                topic: "observer",
                text: &text,
            });
        }
    }
}

impl Notes for Observers {
    fn note(&mut self, topic: &str, text: &str) {
        self.tell(&Event::Note { topic, text });
    }
}

/// Shows an event to an observer; the reason where that failed or panicked.
fn show(observer: &mut dyn Observer, event: &Event) -> Result<(), String> {
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observer.observe(event)));
    match shown {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(match panic.downcast_ref::<&str>() {
            Some(text) => format!("it panicked: {text}"),
            None => "it panicked".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Broken(fn() -> Result<(), Box<dyn Error + Send + Sync>>);

    impl Observer for Broken {
        fn observe(&mut self, _event: &Event) -> Result<(), Box<dyn Error + Send + Sync>> {
            (self.0)()
        }
    }

    #[test]
    fn an_observer_that_fails_is_left_out_and_the_others_are_told_why() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let mut observers = Observers::default();
        observers.add(Box::new(Broken(|| Err("the disk is full".into()))));
        observers.add(Box::new(Broken(|| panic!("no such luck"))));
        observers.add(Box::new(move |event: &Event| {
            if let Event::Note { topic, text } = event {
                ear.lock().unwrap().push(format!("{topic}: {text}"));
            }
        }));
        for text in ["one", "two"] {
            observers.tell(&Event::Note {
                topic: "count",
                text,
            });
        }
        let failed = "observer: an observer failed and is told nothing more: ";
        assert_eq!(
            *heard.lock().unwrap(),
            [
                "count: one".to_owned(),
                format!("{failed}the disk is full"),
                format!("{failed}it panicked: no such luck"),
                "count: two".to_owned()
            ]
        );
    }
}
