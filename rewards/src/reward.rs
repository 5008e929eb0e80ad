//! The judge's interface.

use dunwu_datasets::Task;

use crate::vote::Answers;

/// One completion, with what a judge may know about it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The task that was posed.
    pub task: &'a Task,
    /// What the model wrote, without the prompt and without the end-of-sequence token.
    pub completion: &'a str,
    /// Whether the model was cut off before it ended.
    pub truncated: bool,
    /// Length of the completion in tokens, the end-of-sequence token included if there is one.
    pub completion_tokens: usize,
}

/// A score with what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The score itself.
    pub value: f64,
    /// Numbers that explain it, by name. They are logged and never added up.
    pub parts: Vec<(String, f64)>,
    /// A word for people, such as why a test failed.
    pub note: Option<String>,
}

/// A judge of completions.
pub trait Reward: Send + Sync {
    /// The name under which scores are logged and formulas speak of them.
    fn name(&self) -> &str;

    /// The score of `sample`; `None` if this judge has nothing to say about it.
    ///
    /// # Errors
    /// When the judge itself fails. A failure is never a score: not 0, not any other number.
    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError>;

    /// The score of `sample` with what it is made of, for judges that have more to say than a number.
    ///
    /// # Errors
    /// As for [`Reward::score`].
    fn score_in_parts(&self, sample: &Sample) -> Result<Option<Score>, RewardError> {
        Ok(self.score(sample)?.map(|value| Score {
            value,
            parts: Vec::new(),
            note: None,
        }))
    }

    /// The scores of several samples, in their order. Judges for which a batch is cheaper than its
    /// samples one by one take it as a whole.
    fn score_batch(&self, samples: &[Sample]) -> Vec<Result<Option<Score>, RewardError>> {
        samples
            .iter()
            .map(|sample| self.score_in_parts(sample))
            .collect()
    }

    /// Whether this judge takes a batch as a whole. Those that do not are asked by several threads.
    fn takes_batches(&self) -> bool {
        false
    }

    /// Does what takes long the first time, such as compiling a plugin, so that no judgement has to wait for it; tells `progress` in
    /// words, if there is something to do.
    ///
    /// # Errors
    /// [`PrepareError`] if this judge could not judge.
    fn prepare(&self, _progress: &mut dyn FnMut(&str)) -> Result<(), PrepareError> {
        Ok(())
    }

    /// What this judge knows of answers, if it compares them: [`crate::majority`] needs it.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }

    /// A low and a high score of this judge, typical of it. A rubric tries its formula on both.
    fn typical_scores(&self) -> [f64; 2] {
        [0.0, 1.0]
    }
}

/// Why a judge cannot be made ready.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct PrepareError {
    /// The judge's name.
    pub name: String,
    /// What went wrong.
    pub reason: String,
}

/// Why a completion has no reward. Such completions are counted, shown and left out of training.
#[derive(Debug, thiserror::Error)]
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
    /// A judge can tell neither right nor wrong. That is no fault of its own, and is counted apart.
    #[error("task {task}: {name} is undecided: {reason}")]
    Undecided {
        /// The task's id.
        task: String,
        /// The judge's name.
        name: String,
        /// Why it cannot tell.
        reason: String,
    },
    /// A judge failed for a reason of its own.
    #[error("task {task}: {name}: {reason}")]
    Judge {
        /// The task's id.
        task: String,
        /// The judge's name.
        name: String,
        /// What went wrong.
        reason: String,
    },
}

impl RewardError {
    /// Whether a judge could tell neither right nor wrong.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided { .. })
    }
}
