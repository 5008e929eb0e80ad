//! The rubric on its own threads, with a deadline: a judge that fails or hangs is a fault that is
//! counted, never a reward of 0, and never stops the run.
//!
//! As many completions are judged at a time as there are cores, and the deadline of each counts from when its work
//! begins: how long it waited does not matter. Where a component of the rubric takes several completions at once, it is
//! given whole groups, in their order, when the last member has ended, so that what it is shown does not depend on which
//! was faster. A group that fails, panics or takes too long says nothing about its members: each that got no verdict is
//! then judged alone, with a deadline of its own, unless a component compares the members.

use std::{sync::Arc, time::Duration};

use dunwu_datasets::Task;
use dunwu_rewards::{Attempt, Fault, RewardError, RewardOutcome, Rubric, Sample};
use tokio::sync::oneshot;

use super::pool::{Failure, Pool};

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A reward said so.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// No verdict before the deadline.
    #[error("no verdict within {seconds} s")]
    Deadline {
        /// The deadline.
        seconds: f64,
    },
    /// What an earlier session of the run was told.
    #[error("{message}")]
    Earlier {
        /// The message.
        message: String,
        /// Whether no judge failed, but one could tell neither right nor wrong.
        undecided: bool,
        /// Whose doing it was, if that was recorded.
        fault: Option<Fault>,
    },
    /// A reward panicked.
    #[error("the judge panicked: {0}")]
    Panic(String),
}

impl JudgeError {
    /// Whether no judge failed, but one could tell neither right nor wrong.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Reward(error) => error.is_undecided(),
            Self::Earlier { undecided, .. } => *undecided,
            Self::Deadline { .. } | Self::Panic(_) => false,
        }
    }
}

impl JudgeError {
    /// Whose doing it is; `None` if that was not recorded.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Reward(error) => Some(error.fault()),
            Self::Deadline { .. } | Self::Panic(_) => Some(Fault::Host),
            Self::Earlier { fault, .. } => *fault,
        }
    }
}

/// What a judge is shown; owned, since it crosses threads.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What was asked.
    pub task: Arc<Task>,
    /// What was answered: the last turn.
    pub text: String,
    /// Whether the answer was cut off.
    pub truncated: bool,
    /// Its length in tokens, of all turns of the model.
    pub tokens: usize,
}

/// Scores completions while the model goes on sampling.
#[derive(Debug)]
pub struct Judge(Arc<Court>);

/// The rubric and its threads; what is judged alone after its group failed is queued from there.
#[derive(Debug)]
struct Court {
    rubric: Arc<Rubric>,
    pool: Pool,
}

/// What became of a completion.
pub type Verdict = Result<RewardOutcome, JudgeError>;

/// A verdict that is on its way, or known.
#[derive(Debug)]
pub struct Pending(Awaited);

#[derive(Debug)]
enum Awaited {
    Later(oneshot::Receiver<Verdict>),
    Known(Box<Verdict>),
}

impl Pending {
    /// A verdict that needs no judge.
    pub fn known(verdict: Verdict) -> Self {
        Self(Awaited::Known(Box::new(verdict)))
    }
}

/// A completion without a verdict.
struct Waiting {
    submission: Arc<Submission>,
    reply: oneshot::Sender<Verdict>,
}

impl Judge {
    /// A judge with as many threads of its own as there are cores.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(rubric: Rubric, deadline: Duration) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(rubric, deadline, cores)
    }

    /// A judge with `threads` threads of its own, at least one.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn with_threads(
        rubric: Rubric,
        deadline: Duration,
        threads: usize,
    ) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Court {
            rubric: Arc::new(rubric),
            pool: Pool::new(threads, deadline)?,
        })))
    }

    /// The rubric in use.
    pub fn rubric(&self) -> &Rubric {
        &self.0.rubric
    }

    /// Whether completions are judged group by group: [`Self::submit_group`] then has to get each group whole.
    pub fn judges_groups(&self) -> bool {
        self.0.rubric.takes_batches()
    }

    /// Threads that are still at work whose deadline has passed: rewards that hang. Others have taken their places.
    pub fn lost_threads(&self) -> usize {
        self.0.pool.lost()
    }

    /// Starts scoring a completion by itself, and returns at once.
    pub fn submit(&self, submission: Submission) -> Pending {
        let (waiting, pending) = waiting(submission);
        judge_alone(&self.0, waiting);
        pending
    }

    /// Starts scoring the completions of one task, in their order, and returns at once. They are judged together where
    /// [`Self::judges_groups`].
    pub fn submit_group(&self, group: Vec<Submission>) -> Vec<Pending> {
        let (members, pending): (Vec<_>, Vec<_>) = group.into_iter().map(waiting).unzip();
        if self.judges_groups() {
            judge_together(&self.0, members);
        } else {
            members
                .into_iter()
                .for_each(|member| judge_alone(&self.0, member));
        }
        pending
    }

    /// Waits for a verdict.
    pub fn verdict(&self, pending: Pending) -> Verdict {
        match pending.0 {
            Awaited::Known(verdict) => *verdict,
            Awaited::Later(receiver) => receiver
                .blocking_recv()
                .unwrap_or_else(|lost| Err(JudgeError::Panic(lost.to_string()))),
        }
    }
}

fn waiting(submission: Submission) -> (Waiting, Pending) {
    let (reply, pending) = oneshot::channel();
    let waiting = Waiting {
        submission: Arc::new(submission),
        reply,
    };
    (waiting, Pending(Awaited::Later(pending)))
}

/// Queues the completions of a group as one piece of work.
fn judge_together(court: &Arc<Court>, members: Vec<Waiting>) {
    let rubric = court.rubric.clone();
    let shown: Vec<Arc<Submission>> = members.iter().map(|m| m.submission.clone()).collect();
    // The threads must not keep the judge alive: who drops it wants it to end.
    let later = Arc::downgrade(court);
    let seconds = court.pool.deadline().as_secs_f64();
    let compared = rubric.needs_groups();
    let work = move |attempt: &Attempt| score(&rubric, &shown, attempt);
    court.pool.submit(work, move |said| {
        let (said, failure) = match said {
            Ok(said) => (said, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let mut said = said.into_iter();
        for member in members {
            let verdict = match (said.next(), &failure) {
                (Some(said), _) => said.map_err(JudgeError::from),
                (None, Some(failure)) => Err(failed(failure, seconds)),
                (None, None) => Err(JudgeError::Panic("the rubric gave no verdict".to_owned())),
            };
            let is_last = compared
                || verdict
                    .as_ref()
                    .map_or_else(JudgeError::is_undecided, |_| true);
            match later.upgrade().filter(|_| !is_last) {
                Some(court) => judge_alone(&court, member),
                None => tell(member, verdict),
            }
        }
    });
}

/// Queues one completion.
fn judge_alone(court: &Arc<Court>, waiting: Waiting) {
    let rubric = court.rubric.clone();
    let seconds = court.pool.deadline().as_secs_f64();
    let shown = waiting.submission.clone();
    let work = move |attempt: &Attempt| score(&rubric, &[shown], attempt).pop();
    court.pool.submit(work, move |said| {
        let verdict = match said {
            Ok(Some(verdict)) => verdict.map_err(JudgeError::from),
            Ok(None) => Err(JudgeError::Panic("the rubric gave no verdict".to_owned())),
            Err(failure) => Err(failed(&failure, seconds)),
        };
        tell(waiting, verdict);
    });
}

fn failed(failure: &Failure, seconds: f64) -> JudgeError {
    match failure {
        Failure::Deadline => JudgeError::Deadline { seconds },
        Failure::Panic(message) => JudgeError::Panic(message.clone()),
    }
}

/// What the rubric says of some completions of one task: the one place where rewards are asked.
fn score(
    rubric: &Rubric,
    shown: &[Arc<Submission>],
    attempt: &Attempt,
) -> Vec<Result<RewardOutcome, RewardError>> {
    let samples: Vec<Sample> = shown.iter().map(|shown| sample(shown)).collect();
    match &samples[..] {
        [only] if !rubric.needs_groups() => vec![rubric.score_within(only, attempt)],
        _ => rubric.score_group_within(&samples, attempt),
    }
}

fn tell(waiting: Waiting, verdict: Verdict) {
    // Nobody may be waiting any more, as after a cancelled step.
    let _ = waiting.reply.send(verdict);
}

fn sample(submission: &Submission) -> Sample<'_> {
    Sample::new(&submission.task, &submission.text)
        .truncated(submission.truncated)
        .tokens(submission.tokens)
}

#[cfg(test)]
mod tests;
