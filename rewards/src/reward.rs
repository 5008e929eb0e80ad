//! The judges' interfaces.

use crate::attempt::Attempt;
use crate::error::{PrepareError, RewardError};
use crate::sample::Sample;
use crate::seat::ModelSeat;
use crate::vote::Answers;

/// A score with what it is made of.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The score itself.
    pub value: f64,
    /// Numbers that explain it, by name. They are logged and never added up.
    pub parts: Vec<(String, f64)>,
    /// A word for people, such as why a test failed.
    pub note: Option<String>,
}

impl Score {
    /// A score that needs no explanation.
    pub fn new(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }

    /// The same with one more number that explains it.
    #[must_use]
    pub fn with_part(mut self, name: &str, value: f64) -> Self {
        self.parts.push((name.to_owned(), value));
        self
    }

    /// The same with a word for people.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// What a judge says of a sample: a score, that it has nothing to say, or why there is no verdict.
pub type Verdict = Result<Option<Score>, RewardError>;

/// How far a preparation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preparation {
    /// What is being done.
    pub what: String,
    /// The step, counted from 0.
    pub step: usize,
    /// How many steps there are.
    pub steps: usize,
}

impl Preparation {
    /// `what`, as step `step` of `steps`.
    pub fn new(what: impl Into<String>, step: usize, steps: usize) -> Self {
        Self {
            what: what.into(),
            step,
            steps,
        }
    }
}

/// A judge of completions, one by one.
///
/// A name and a score are enough:
///
/// ```
/// use dunwu_rewards::{Reward, RewardError, Sample};
///
/// struct Polite;
///
/// impl Reward for Polite {
///     fn name(&self) -> &str {
///         "polite"
///     }
///
///     fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
///         Ok(Some(f64::from(u8::from(sample.completion.contains("please")))))
///     }
/// }
/// ```
pub trait Reward: Send + Sync {
    /// The name under which scores are logged and formulas speak of them.
    fn name(&self) -> &str;

    /// The score of `sample`; `None` if this judge has nothing to say about it.
    ///
    /// # Errors
    /// When the judge itself fails. A failure is never a score: not 0, not any other number.
    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError>;

    /// The score of `sample` with what it is made of, for judges that have more to say than a number, or that take so long
    /// that they should stop when `attempt` is over.
    ///
    /// # Errors
    /// As for [`Reward::score`].
    fn score_in_parts(&self, sample: &Sample, _attempt: &Attempt) -> Verdict {
        Ok(self.score(sample)?.map(Score::new))
    }

    /// The scores of several samples, in their order and as many. Judges for which a batch is cheaper than its samples one
    /// by one take it as a whole.
    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        samples
            .iter()
            .map(|sample| self.score_in_parts(sample, attempt))
            .collect()
    }

    /// Whether this judge takes a batch as a whole. Those that do not are asked by several threads.
    fn takes_batches(&self) -> bool {
        false
    }

    /// Makes what the judge needs and what takes longer than a verdict may, such as a runtime. It is called before a run and
    /// not under a deadline; what is there already costs nothing.
    ///
    /// # Errors
    /// [`PrepareError`] if it cannot be made.
    fn prepare(&self, _report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        Ok(())
    }

    /// What this judge knows of answers, if it compares them: [`crate::majority`] needs it.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }

    /// The seats of the models that this judge asks: who has tensors fills them before it is asked.
    fn seats(&self) -> Vec<&ModelSeat> {
        Vec::new()
    }

    /// A low and a high score of this judge, typical of it. A rubric tries its formula on both.
    fn typical_scores(&self) -> [f64; 2] {
        [0.0, 1.0]
    }
}

/// A judge of groups: it is shown all completions of one task at once and in their order, and may compare them.
pub trait GroupReward: Send + Sync {
    /// The name under which scores are logged and formulas speak of them.
    fn name(&self) -> &str;

    /// The scores of a task's completions, in their order and as many. Completions that other judges failed on are among
    /// them.
    fn score_group(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict>;

    /// As [`Reward::prepare`].
    ///
    /// # Errors
    /// [`PrepareError`] if what it needs cannot be made.
    fn prepare(&self, _report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        Ok(())
    }

    /// As [`Reward::typical_scores`].
    fn typical_scores(&self) -> [f64; 2] {
        [0.0, 1.0]
    }
}
