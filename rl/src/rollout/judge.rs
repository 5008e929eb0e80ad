//! The rubric on its own threads, with a deadline: a judge that fails or hangs is a fault that is
//! counted, never a reward of 0, and never stops the run.
//!
//! A rubric with components that take batches is given all completions that wait, at once: the first alone, then
//! whatever ended while it was busy. A batch that fails, panics or takes too long says nothing about its members: each
//! that got no verdict is then judged alone, with a deadline of its own.

use std::{sync::Arc, time::Duration};

use dunwu_datasets::Task;
use dunwu_rewards::{RewardError, RewardOutcome, Rubric, Sample};
use tokio::{
    runtime::Runtime,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};

/// Completions that are judged at once, at most.
const LARGEST_BATCH: usize = 64;

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

/// What a judge is shown; owned, since it crosses threads.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What was asked.
    pub task: Arc<Task>,
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
    /// Where completions wait for the next batch; nothing if no component takes batches.
    waiting: Option<UnboundedSender<Waiting>>,
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
        let waiting = rubric.takes_batches().then(|| {
            let (waiting, inbox) = unbounded_channel();
            runtime.spawn(judge_batches(rubric.clone(), deadline, inbox));
            waiting
        });
        Ok(Self {
            rubric,
            deadline,
            runtime: Some(runtime),
            waiting,
        })
    }

    /// The rubric in use.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// Starts scoring, or has it wait for the next batch, and returns at once.
    pub fn submit(&self, submission: Submission) -> Pending {
        let (reply, pending) = oneshot::channel();
        let submission = Arc::new(submission);
        let waiting = Waiting { submission, reply };
        let alone = match &self.waiting {
            Some(batches) => batches.send(waiting).err().map(|refused| refused.0),
            None => Some(waiting),
        };
        if let Some(waiting) = alone {
            let alone = judge_alone(self.rubric.clone(), self.deadline, waiting);
            self.runtime().spawn(alone);
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

/// Judges what waits, a batch at a time, until no more can come.
async fn judge_batches(
    rubric: Arc<Rubric>,
    deadline: Duration,
    mut inbox: UnboundedReceiver<Waiting>,
) {
    let mut batch = Vec::new();
    while inbox.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        let batch = std::mem::take(&mut batch);
        if batch.len() == 1 {
            for waiting in batch {
                judge_alone(rubric.clone(), deadline, waiting).await;
            }
            continue;
        }
        let shown: Vec<_> = batch.iter().map(|w| w.submission.clone()).collect();
        let judge = rubric.clone();
        let said = within(deadline, move || {
            let samples: Vec<Sample> = shown.iter().map(|s| sample(s)).collect();
            judge.score_batch(&samples)
        });
        // Without a verdict of the batch, all are judged alone.
        let mut said = said.await.unwrap_or_default().into_iter();
        for waiting in batch {
            match said.next() {
                Some(Ok(outcome)) => tell(waiting, Ok(outcome)),
                Some(Err(error)) if error.is_undecided() => tell(waiting, Err(error.into())),
                Some(Err(_)) | None => {
                    tokio::spawn(judge_alone(rubric.clone(), deadline, waiting));
                }
            }
        }
    }
}

/// Judges one completion on a thread of its own.
async fn judge_alone(rubric: Arc<Rubric>, deadline: Duration, waiting: Waiting) {
    let shown = waiting.submission.clone();
    let verdict = within(deadline, move || rubric.score(&sample(&shown))).await;
    tell(
        waiting,
        verdict.and_then(|verdict| verdict.map_err(JudgeError::from)),
    );
}

/// What `work` says, if it says it in time.
async fn within<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JudgeError> {
    match tokio::time::timeout(deadline, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(panic)) => Err(JudgeError::Panic(panic.to_string())),
        Err(_) => Err(JudgeError::Deadline {
            seconds: deadline.as_secs_f64(),
        }),
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
