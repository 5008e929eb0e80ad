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
    group::{Completion, RolloutGroup},
    judge::{Judge, Pending, Submission},
    prompt::{PromptEncoder, PromptError},
};
use crate::{
    generation::{Finish, Generated, Generator, Hooks, Request, SamplingConfig},
    model::Transformer,
    policy::gradient::in_parallel,
    tokenizer::Tokenizer,
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

/// Samples and judges completions of tasks.
pub struct RolloutCollector<'a> {
    /// Renders and tokenises prompts.
    pub encoder: &'a PromptEncoder,
    /// Scores texts.
    pub judge: &'a Judge,
    /// Tokens that end a completion.
    pub eos: &'a [u32],
    /// Completions decoded at a time.
    pub batch_rows: usize,
    /// Threads that share the requests.
    pub workers: usize,
    /// Activations of at most so many tokens are kept for training, each worker's share of them.
    pub recorded_tokens: usize,
}

impl RolloutCollector<'_> {
    /// Samples `group` completions of every task. Completion `k` of task `t` is drawn with a seed
    /// derived from `(seed, t, k)` alone.
    ///
    /// # Errors
    /// When a prompt cannot be rendered or tokenised, or tokens cannot be turned into text.
    pub fn collect(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        tasks: Vec<Task>,
        group: usize,
        seed: u64,
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<Collected, PromptError> {
        let mut prompts = Vec::with_capacity(tasks.len());
        let context = model.config().max_position_embeddings;
        for task in &tasks {
            let (text, prompt) = self.encoder.encode(&task.prompt)?;
            if prompt.len() + sampling.max_tokens > context {
                return Err(PromptError::TooLong {
                    task: task.id.clone(),
                    tokens: prompt.len(),
                    max_tokens: sampling.max_tokens,
                    context,
                });
            }
            prompts.push((text, prompt));
        }
        let requests: Vec<Request> = prompts
            .iter()
            .enumerate()
            .map(|(t, (_, prompt))| Request {
                prompt: prompt.clone(),
                seeds: (0..group)
                    .map(|k| derive_seed(seed, &[t as u64, k as u64]))
                    .collect(),
            })
            .collect();
        let tasks: Vec<Arc<Task>> = tasks.into_iter().map(Arc::new).collect();

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
        let parts = in_parallel(requests.chunks(share).len().max(1), |worker| {
            let range = worker * share..((worker + 1) * share).min(requests.len());
            self.sample(
                model,
                sampling,
                &tasks[range.clone()],
                &requests[range],
                &count,
            )
        });
        let mut drafts = Vec::with_capacity(requests.len());
        for part in parts {
            drafts.extend(part?);
        }
        let generation_s = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let mut groups = Vec::with_capacity(tasks.len());
        for ((task, (prompt_text, prompt)), drafts) in tasks.into_iter().zip(prompts).zip(drafts) {
            let judged = |draft: Draft| Completion {
                outcome: self.judge.verdict(draft.pending),
                tokens: draft.output.tokens,
                sampling_logprobs: draft.output.logprobs,
                text: draft.text,
                finish: draft.output.finish,
                recorded: draft.output.recorded,
            };
            groups.push(RolloutGroup {
                completions: drafts.into_iter().map(judged).collect(),
                task: Arc::unwrap_or_clone(task),
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

    /// Decodes some requests; each completion goes to the judge as soon as it has ended.
    fn sample(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        tasks: &[Arc<Task>],
        requests: &[Request],
        count: &(dyn Fn() + Sync),
    ) -> Result<Vec<Vec<Draft>>, PromptError> {
        let tokenizer = &self.encoder.tokenizer;
        let generator = Generator {
            model,
            sampling,
            eos: self.eos,
            drawable: tokenizer.vocab_size(),
            batch_rows: self.batch_rows,
            recorded_tokens: self.recorded_tokens / self.workers.max(1),
        };
        let of: Vec<usize> = requests
            .iter()
            .enumerate()
            .flat_map(|(r, request)| request.seeds.iter().map(move |_| r))
            .collect();
        // The first completion of each request.
        let first: Vec<usize> = (0..requests.len())
            .map(|r| of.partition_point(|other| *other < r))
            .collect();
        let mut submitted: Vec<Option<Result<(String, Pending), PromptError>>> =
            of.iter().map(|_| None).collect();
        let mut on_end = |sample: usize, output: &Generated| {
            let text = tokenizer.decode(&output.tokens).map_err(PromptError::from);
            submitted[sample] = Some(text.map(|text| {
                let submission = Submission {
                    task: tasks[of[sample]].clone(),
                    place: sample - first[of[sample]],
                    group: requests[of[sample]].seeds.len(),
                    text: text.clone(),
                    truncated: output.finish == Finish::Length,
                    tokens: output.tokens.len(),
                };
                (text, self.judge.submit(submission))
            }));
            count();
        };
        let stop = stop_texts(tokenizer, &sampling.stop);
        let hooks = Hooks {
            stop: (!sampling.stop.is_empty()).then_some(&stop),
            on_end: Some(&mut on_end),
            ..Hooks::default()
        };
        let outputs = generator.generate(requests, hooks);
        let mut submitted = submitted.into_iter();
        let draft = |output| {
            let (text, pending) = submitted
                .next()
                .flatten()
                .expect("without a cancellation every completion ends")?;
            Ok(Draft {
                output,
                text,
                pending,
            })
        };
        let mut draft = draft;
        outputs
            .into_iter()
            .map(|group| group.into_iter().map(&mut draft).collect())
            .collect()
    }
}

/// A completion that is being judged.
struct Draft {
    output: Generated,
    text: String,
    pending: Pending,
}

/// Tells whether the text of some tokens has come to one of `stops`. Only the last few tokens are
/// looked at: a stop text is at most as many tokens long as it has bytes.
pub fn stop_texts(tokenizer: &Tokenizer, stops: &[String]) -> impl Fn(&[u32]) -> bool + Sync {
    let longest = stops.iter().map(String::len).max().unwrap_or(0);
    move |tokens: &[u32]| {
        let tail = &tokens[tokens.len().saturating_sub(longest + 1)..];
        let text = tokenizer.decode(tail).unwrap_or_default();
        stops.iter().any(|stop| text.contains(stop.as_str()))
    }
}
