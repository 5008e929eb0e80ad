//! Prompts → ids → completions → judged groups.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use dunwu_datasets::{Task, derive_seed};

use super::{
    environment::{Environment, OneTurn},
    group::{Completion, RolloutGroup},
    judge::Judge,
    progress::{Asked, Draft, Progress},
    stop::StopTexts,
};
use crate::{
    bundle::{PromptEncoder, PromptError},
    generation::{Event, Generator, Room, SamplingConfig},
    model::Transformer,
    parallel::in_parallel,
};

/// Groups and what they cost.
#[derive(Debug, Default)]
pub struct Collected {
    /// One group a task, in order.
    pub groups: Vec<RolloutGroup>,
    /// Seconds of sampling.
    pub generation_s: f64,
    /// Seconds of waiting for the judge after the last token.
    pub reward_s: f64,
}

/// A prompt as text and as tokens.
type Encoded = (String, Arc<[u32]>);

/// Samples and judges completions of tasks.
#[derive(Clone, Copy)]
pub struct RolloutCollector<'a> {
    /// Renders and tokenises prompts.
    pub encoder: &'a PromptEncoder,
    /// Scores texts.
    pub judge: &'a Judge,
    /// Answers turns.
    pub environment: &'a dyn Environment,
    /// Tokens that end a turn.
    pub eos: &'a [u32],
    /// Completions decoded at a time.
    pub batch_rows: usize,
    /// Threads that share the requests.
    pub workers: usize,
    /// Activations of at most so many tokens are kept for training, each worker's share of them.
    pub recorded_tokens: usize,
    /// Whether the experts that tokens go to are kept for training (router replay).
    pub record_routes: bool,
    /// Is asked before each token whether to give up.
    pub cancelled: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl<'a> RolloutCollector<'a> {
    /// One that samples 64 completions of one turn at a time on one thread, and keeps nothing for training.
    pub fn new(encoder: &'a PromptEncoder, judge: &'a Judge, eos: &'a [u32]) -> Self {
        Self {
            encoder,
            judge,
            environment: &OneTurn,
            eos,
            batch_rows: 64,
            workers: 1,
            recorded_tokens: 0,
            record_routes: false,
            cancelled: None,
        }
    }
}

impl RolloutCollector<'_> {
    /// Samples `group` completions of every task. Completion `k` of task `t` is drawn with a seed
    /// derived from `(seed, t, k)` alone.
    ///
    /// # Errors
    /// When a prompt cannot be rendered or tokenised, or tokens cannot be turned into text; [`PromptError::Cancelled`] when
    /// it was asked to give up. Nothing of what was sampled is then left.
    pub fn collect(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        tasks: Vec<Task>,
        group: usize,
        seed: u64,
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<Collected, PromptError> {
        let prompts = self.prompts(&tasks, model, sampling)?;
        let requests: Vec<Asked> = tasks
            .into_iter()
            .zip(&prompts)
            .enumerate()
            .map(|(t, (task, (_, prompt)))| Asked {
                task: Arc::new(task),
                prompt: prompt.clone(),
                seeds: (0..group)
                    .map(|k| derive_seed(seed, &[t as u64, k as u64]))
                    .collect(),
            })
            .collect();

        let start = Instant::now();
        let share = requests.len().div_ceil(self.workers.max(1)).max(1);
        let progress = Mutex::new(&mut progress);
        let ended = AtomicUsize::new(0);
        let count = || {
            let ended = 1 + ended.fetch_add(1, Ordering::Relaxed);
            if group > 0 && ended.is_multiple_of(group) {
                let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                progress(ended / group);
            }
        };
        let parts = in_parallel(requests.len().div_ceil(share).max(1), |worker| {
            let range = worker * share..((worker + 1) * share).min(requests.len());
            self.sample(model, sampling, &requests[range], &count)
        });
        let mut drafts = Vec::with_capacity(requests.len());
        for part in parts {
            drafts.extend(part?);
        }
        let generation_s = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut groups = Vec::with_capacity(requests.len());
        for ((asked, (prompt_text, prompt)), drafts) in
            requests.into_iter().zip(prompts).zip(drafts)
        {
            let judged = |draft: Draft| Completion {
                outcome: self.judge.verdict(draft.pending),
                trajectory: draft.trajectory,
                recorded: draft.recorded,
            };
            groups.push(RolloutGroup {
                completions: drafts.into_iter().map(judged).collect(),
                task: Arc::unwrap_or_clone(asked.task),
                prompt_text,
                prompt,
            });
        }
        Ok(Collected {
            groups,
            generation_s,
            reward_s: start.elapsed().as_secs_f64(),
        })
    }

    /// The prompt of each task as text and as tokens.
    fn prompts(
        &self,
        tasks: &[Task],
        model: &Transformer,
        sampling: &SamplingConfig,
    ) -> Result<Vec<Encoded>, PromptError> {
        let context = model.config().context();
        let prompt = |task: &Task| {
            let (text, prompt) = self.encoder.encode(&task.prompt)?;
            if prompt.len() + sampling.max_tokens > context {
                return Err(PromptError::TooLong {
                    task: task.id.clone(),
                    tokens: prompt.len(),
                    max_tokens: sampling.max_tokens,
                    context,
                });
            }
            Ok((text, prompt.into()))
        };
        tasks.iter().map(prompt).collect()
    }

    /// Decodes some requests; each completion goes to the judge as soon as it has ended, or with its group.
    fn sample(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        requests: &[Asked],
        count: &(dyn Fn() + Sync),
    ) -> Result<Vec<Vec<Draft>>, PromptError> {
        let tokenizer = &self.encoder.tokenizer;
        let stops = StopTexts::new(tokenizer, &sampling.stop);
        let stop = |tokens: &[u32]| stops.end(tokens);
        let generator = Generator {
            model,
            sampling,
            eos: self.eos,
            drawable: tokenizer.vocab_size(),
            batch_rows: self.batch_rows,
            recorded_tokens: self.recorded_tokens / self.workers.max(1),
            record_routes: self.record_routes,
        };
        let room = Room {
            prompt: requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0),
            completions: requests.iter().map(|r| r.seeds.len()).sum(),
            turns: self.environment.turns(),
        };
        let mut session = generator.session(room, (!stops.is_empty()).then_some(&stop));
        let mut progress = Progress::new(
            tokenizer,
            self.judge,
            self.environment,
            sampling.max_tokens,
            requests,
        );
        for asked in requests {
            for &seed in &asked.seeds {
                session.submit(&asked.prompt, seed);
            }
        }
        loop {
            if self.cancelled.is_some_and(|cancelled| cancelled()) {
                return Err(PromptError::Cancelled);
            }
            let events = session.advance();
            if events.is_empty() {
                break;
            }
            for event in events {
                if let Event::TurnEnded { id, .. } = event
                    && progress.turn_ended(&mut session, id)?
                {
                    count();
                }
            }
        }
        Ok(progress.into_drafts(session.close()))
    }
}
