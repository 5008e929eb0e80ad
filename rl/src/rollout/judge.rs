//! The rubric on its own threads, with a deadline: a judge that fails or hangs is a fault that is
//! counted, never a reward of 0, and never stops the run.

use std::{sync::Arc, time::Duration};

use dunwu_datasets::Task;
use dunwu_rewards::{RewardError, RewardOutcome, Rubric, Sample};
use tokio::{runtime::Runtime, task::JoinHandle};

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
}

/// A verdict that is on its way.
pub struct Pending(JoinHandle<Result<RewardOutcome, JudgeError>>);

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
        Ok(Self {
            rubric: Arc::new(rubric),
            deadline,
            runtime: Some(runtime),
        })
    }

    /// The rubric in use.
    pub fn rubric(&self) -> &Rubric {
        &self.rubric
    }

    /// Starts scoring and returns at once.
    pub fn submit(&self, submission: Submission) -> Pending {
        let (rubric, deadline) = (self.rubric.clone(), self.deadline);
        Pending(self.runtime().spawn(async move {
            let work = tokio::task::spawn_blocking(move || verdict(&rubric, &submission));
            match tokio::time::timeout(deadline, work).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(panic)) => Err(JudgeError::Panic(panic.to_string())),
                Err(_) => Err(JudgeError::Deadline {
                    seconds: deadline.as_secs_f64(),
                }),
            }
        }))
    }

    /// Waits for a verdict.
    pub fn verdict(&self, pending: Pending) -> Result<RewardOutcome, JudgeError> {
        match self.runtime().block_on(pending.0) {
            Ok(verdict) => verdict,
            Err(panic) => Err(JudgeError::Panic(panic.to_string())),
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

fn verdict(rubric: &Rubric, submission: &Submission) -> Result<RewardOutcome, JudgeError> {
    let sample = Sample {
        task: &submission.task,
        completion: &submission.text,
        truncated: submission.truncated,
        completion_tokens: submission.tokens,
    };
    Ok(rubric.score(&sample)?)
}
