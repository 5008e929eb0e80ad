//! Why there is no verdict, and whose doing that is.

use std::fmt;

use crate::sample::Sample;

/// Whose doing it is that a completion has no reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The judge's, or that of the machine it runs on: another try may bring a verdict.
    Host,
    /// The task's: its answer, its tests or its columns cannot be used. No completion of it will get a verdict.
    Task,
    /// The completion's: it is such that the judge can tell neither right nor wrong.
    Completion,
}

impl Fault {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Host, Self::Task, Self::Completion];

    /// A word for logs: `host`, `task` or `completion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Task => "task",
            Self::Completion => "completion",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a completion has no reward. Such completions are counted, shown and left out of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewardError {
    /// A component or the total is no finite number.
    #[error("task {task}: {name} is {value}, not a finite number")]
    NotFinite {
        /// The task's id.
        task: String,
        /// The component, or `total`.
        name: String,
        /// The value, NaN or infinite.
        value: f64,
    },
    /// No component applies to the sample.
    #[error("task {task}: no component of the rubric applies")]
    NothingApplies {
        /// The task's id.
        task: String,
    },
    /// The total's formula reads a component that does not apply to the sample.
    #[error("task {task}: the total reads {component}, which does not apply")]
    NotApplicable {
        /// The task's id.
        task: String,
        /// The component.
        component: String,
    },
    /// The total's formula could not be evaluated.
    #[error("task {task}: total: {reason}")]
    Formula {
        /// The task's id.
        task: String,
        /// What went wrong.
        reason: String,
    },
    /// A component that compares the completions of a task with each other was shown less than all of them.
    #[error(
        "task {task}: {name} compares the completions of a task with each other and was not shown all of them; hint: have whole groups judged, by Rubric::score_group"
    )]
    NeedsGroup {
        /// The task's id.
        task: String,
        /// The component's name.
        name: String,
    },
    /// A judge can tell neither right nor wrong. That is no fault of its own, and is counted apart.
    #[error("task {task}: {name} is undecided: {reason}")]
    Undecided {
        /// The task's id.
        task: String,
        /// The judge's name.
        name: String,
        /// Why it cannot tell.
        reason: String,
        /// Whose doing it is.
        fault: Fault,
    },
    /// A judge failed.
    #[error("task {task}: {name}: {reason}")]
    Judge {
        /// The task's id.
        task: String,
        /// The judge's name.
        name: String,
        /// What went wrong.
        reason: String,
        /// Whose doing it is.
        fault: Fault,
    },
    /// A judge panicked: there is an error in its program.
    #[error("task {task}: {name} panicked: {message}")]
    Panicked {
        /// The task's id.
        task: String,
        /// The component's name.
        name: String,
        /// What it said.
        message: String,
    },
}

impl RewardError {
    /// The judge `name` failed on `sample`, for a reason of its own.
    pub fn judge(sample: &Sample, name: &str, reason: impl Into<String>) -> Self {
        Self::of(Fault::Host, sample, name, reason)
    }

    /// The judge `name` failed on `sample`, by the doing of `fault`.
    pub fn of(fault: Fault, sample: &Sample, name: &str, reason: impl Into<String>) -> Self {
        Self::Judge {
            task: sample.task.id.clone(),
            name: name.to_owned(),
            reason: reason.into(),
            fault,
        }
    }

    /// The judge `name` can tell neither right nor wrong, by the doing of `fault`.
    pub fn undecided(fault: Fault, sample: &Sample, name: &str, reason: impl Into<String>) -> Self {
        Self::Undecided {
            task: sample.task.id.clone(),
            name: name.to_owned(),
            reason: reason.into(),
            fault,
        }
    }

    /// Whether a judge could tell neither right nor wrong.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided { .. })
    }

    /// Whose doing it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Undecided { fault, .. } | Self::Judge { fault, .. } => *fault,
            Self::NothingApplies { .. } | Self::NotApplicable { .. } => Fault::Task,
            Self::NotFinite { .. }
            | Self::Formula { .. }
            | Self::NeedsGroup { .. }
            | Self::Panicked { .. } => Fault::Host,
        }
    }
}

/// What a judge needs could not be made.
#[derive(Debug, thiserror::Error)]
#[error("component {name} cannot be made ready: {reason}")]
pub struct PrepareError {
    /// The component's name.
    pub name: String,
    /// What went wrong.
    pub reason: String,
}

impl PrepareError {
    /// The judge `name` cannot be made ready.
    pub fn new(name: &str, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }
}
