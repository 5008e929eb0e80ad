//! The rubric on its own threads, with a deadline: a judge that fails or hangs is a fault that is
//! counted, never a reward of 0, and never stops the run.
//!
//! A rubric with components that take batches is given whole groups, one after the other: all completions of a task at once
//! and in their order, when the last of them has ended. So no verdict depends on which completion ended first. A batch
//! that fails or takes too long says nothing about its members: each that got no verdict is then judged alone, with a
//! deadline of its own, unless a component compares the members.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dunwu_datasets::Task;
use dunwu_rewards::{Attempt, Fault, RewardError, RewardOutcome, Rubric, Sample};
use tokio::{
    runtime::Runtime,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};

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
    /// What an earlier sitting of the run was told.
    #[error("{message}")]
    Earlier {
        /// The message.
        message: String,
        /// Whether no judge failed, but one could tell neither right nor wrong.
        undecided: bool,
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
            Self::Earlier { .. } => None,
        }
    }
}

/// What a judge is shown; owned, since it crosses threads.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What was asked. All completions of a group share it.
    pub task: Arc<Task>,
    /// Its place in the group, from 0.
    pub place: usize,
    /// Completions of the group.
    pub group: usize,
    /// What was answered.
    pub text: String,
    /// Whether the answer was cut off.
    pub truncated: bool,
    /// Its length in tokens.
    pub tokens: usize,
}

/// Scores completions while the model goes on sampling.
pub struct Judge {
    rubric: Arc<Rubric>,
    deadline: Duration,
    runtime: Option<Runtime>,
    /// Where completions wait for the rest of their group; nothing if no component takes batches.
    groups: Option<Groups>,
}

/// Groups that are not complete, and where they go when they are.
struct Groups {
    /// By the address of the task that they share.
    gathering: Mutex<HashMap<usize, Vec<Option<Waiting>>>>,
    complete: UnboundedSender<Vec<Waiting>>,
}

/// A verdict that is on its way.
pub struct Pending(oneshot::Receiver<Verdict>);

type Verdict = Result<RewardOutcome, JudgeError>;

/// A completion without a verdict.
struct Waiting {
    submission: Arc<Submission>,
    reply: oneshot::Sender<Verdict>,
}

impl Judge {
    /// A judge with threads of its own.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(rubric: Rubric, deadline: Duration) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("judge")
            .enable_time()
            .build()?;
        let rubric = Arc::new(rubric);
        let groups = rubric.takes_batches().then(|| {
            let (complete, inbox) = unbounded_channel();
            runtime.spawn(judge_groups(rubric.clone(), deadline, inbox));
            Groups {
                gathering: Mutex::default(),
                complete,
            }
        });
        Ok(Self {
            rubric,
            deadline,
            runtime: Some(runtime),
            groups,
        })
    }

    /// The rubric in use.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// Starts scoring, or has it wait for the rest of its group, and returns at once.
    pub fn submit(&self, submission: Submission) -> Pending {
        let (reply, pending) = oneshot::channel();
        let submission = Arc::new(submission);
        let waiting = Waiting { submission, reply };
        match &self.groups {
            Some(groups) => groups.add(waiting),
            None => {
                let alone = judge_alone(self.rubric.clone(), self.deadline, waiting);
                self.runtime().spawn(alone);
            }
        }
        Pending(pending)
    }

    /// Waits for a verdict.
    pub fn verdict(&self, pending: Pending) -> Result<RewardOutcome, JudgeError> {
        match self.runtime().block_on(pending.0) {
            Ok(verdict) => verdict,
            Err(lost) => Err(JudgeError::Panic(lost.to_string())),
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only drop takes it away")
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // A judge that hangs must not keep the program from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Groups {
    /// Has `waiting` wait for its group, or sends the group on if it is the last.
    fn add(&self, waiting: Waiting) {
        let (place, size) = (waiting.submission.place, waiting.submission.group);
        let key = Arc::as_ptr(&waiting.submission.task) as usize;
        let mut gathering = self
            .gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let group = gathering.entry(key).or_default();
        group.resize_with(size.max(place + 1), || None);
        group[place] = Some(waiting);
        if group.iter().all(Option::is_some) {
            let group = gathering.remove(&key).unwrap_or_default();
            // Only when the judge ends is nobody there to take it, and then nobody waits for a verdict.
            let _ = self.complete.send(group.into_iter().flatten().collect());
        }
    }
}

/// Judges groups, one after the other, until no more can come.
async fn judge_groups(
    rubric: Arc<Rubric>,
    deadline: Duration,
    mut inbox: UnboundedReceiver<Vec<Waiting>>,
) {
    while let Some(group) = inbox.recv().await {
        let shown: Vec<_> = group.iter().map(|w| w.submission.clone()).collect();
        let judge = rubric.clone();
        let said = within(deadline, move |attempt| {
            let samples: Vec<Sample> = shown.iter().map(|s| sample(s)).collect();
            judge.score_group_within(&samples, attempt)
        });
        // Without a verdict of the group, each of its members has had none in time.
        let mut said = said.await.unwrap_or_default().into_iter();
        for waiting in group {
            let late = || {
                Err(JudgeError::Deadline {
                    seconds: deadline.as_secs_f64(),
                })
            };
            let verdict = said.next().map_or_else(late, |said| Ok(said?));
            let is_last = rubric.needs_groups()
                || verdict
                    .as_ref()
                    .map_or_else(JudgeError::is_undecided, |_| true);
            if is_last {
                tell(waiting, verdict);
            } else {
                tokio::spawn(judge_alone(rubric.clone(), deadline, waiting));
            }
        }
    }
}

/// Judges one completion on a thread of its own.
async fn judge_alone(rubric: Arc<Rubric>, deadline: Duration, waiting: Waiting) {
    let shown = waiting.submission.clone();
    let judged = within(deadline, move |attempt| {
        rubric.score_within(&sample(&shown), attempt)
    });
    let verdict = judged.await;
    tell(
        waiting,
        verdict.and_then(|verdict| verdict.map_err(JudgeError::from)),
    );
}

/// What `work` says, if it says it in time. Work that is late is told that nobody waits for it any more.
async fn within<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce(&Attempt) -> T + Send + 'static,
) -> Result<T, JudgeError> {
    let attempt = Attempt::within(deadline);
    let shown = attempt.clone();
    let working = tokio::task::spawn_blocking(move || work(&shown));
    match tokio::time::timeout(deadline, working).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(panic)) => Err(JudgeError::Panic(panic.to_string())),
        Err(_) => {
            attempt.cancel();
            Err(JudgeError::Deadline {
                seconds: deadline.as_secs_f64(),
            })
        }
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
