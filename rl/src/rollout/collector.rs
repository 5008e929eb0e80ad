//! Prompts → ids → completions → judged groups.

use std::{sync::Arc, time::Instant};

use dunwu_datasets::{Task, derive_seed};

use super::{
    group::{Completion, RolloutGroup},
    judge::{Judge, Submission},
    prompt::{PromptEncoder, PromptError},
};
use crate::{
    generation::{Generated, Generator, Hooks, Request, SamplingConfig},
    model::Transformer,
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
    /// Threads that decode a batch each.
    pub workers: usize,
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
        mut progress: impl FnMut(usize),
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

        let mut collected = Collected::default();
        let mut waiting = Vec::with_capacity(tasks.len());
        let per_batch = (self.batch_rows / group.max(1)).max(1);
        let per_wave = per_batch * self.workers.max(1);
        for (wave, requests) in requests.chunks(per_wave).enumerate() {
            let start = Instant::now();
            let outputs = self.sample_wave(model, sampling, requests, per_batch);
            for (at, outputs) in outputs.into_iter().enumerate() {
                let task = &tasks[wave * per_wave + at];
                let drafts = self.drafts(outputs)?;
                let pending = self.judge.submit(submissions(task, &drafts));
                waiting.push((drafts, pending));
            }
            collected.generation_s += start.elapsed().as_secs_f64();
            progress(waiting.len());
        }

        let start = Instant::now();
        let parts = tasks.into_iter().zip(prompts).zip(waiting);
        for ((task, (prompt_text, prompt)), (drafts, pending)) in parts {
            let verdicts = self.judge.verdicts(pending);
            let completions = drafts
                .into_iter()
                .zip(verdicts)
                .map(|((output, text), outcome)| Completion {
                    tokens: output.tokens,
                    sampling_logprobs: output.logprobs,
                    text,
                    finish: output.finish,
                    outcome,
                })
                .collect();
            collected.groups.push(RolloutGroup {
                task: Arc::unwrap_or_clone(task),
                prompt_text,
                prompt,
                completions,
            });
        }
        collected.reward_s = start.elapsed().as_secs_f64();
        Ok(collected)
    }

    /// Decodes batches of `per_batch` requests at the same time, one on each thread.
    fn sample_wave(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        requests: &[Request],
        per_batch: usize,
    ) -> Vec<Vec<Generated>> {
        if requests.len() <= per_batch {
            return self.sample(model, sampling, requests);
        }
        std::thread::scope(|scope| {
            let batches = requests.chunks(per_batch);
            let threads: Vec<_> = batches
                .map(|batch| scope.spawn(move || self.sample(model, sampling, batch)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(outputs) => outputs,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().flat_map(join).collect()
        })
    }

    fn sample(
        &self,
        model: &Transformer,
        sampling: &SamplingConfig,
        requests: &[Request],
    ) -> Vec<Vec<Generated>> {
        let generator = Generator {
            model,
            sampling,
            eos: self.eos,
            drawable: self.encoder.tokenizer.vocab_size(),
            batch_rows: self.batch_rows,
        };
        let stop = stop_texts(&self.encoder.tokenizer, &sampling.stop);
        let hooks = Hooks {
            stop: (!sampling.stop.is_empty()).then_some(&stop),
            ..Hooks::default()
        };
        generator.generate(requests, hooks)
    }

    fn drafts(&self, outputs: Vec<Generated>) -> Result<Vec<(Generated, String)>, PromptError> {
        outputs
            .into_iter()
            .map(|output| {
                let text = self.encoder.tokenizer.decode(&output.tokens)?;
                Ok((output, text))
            })
            .collect()
    }
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

fn submissions(task: &Arc<Task>, drafts: &[(Generated, String)]) -> Vec<Submission> {
    drafts
        .iter()
        .map(|(output, text)| Submission {
            task: task.clone(),
            text: text.clone(),
            truncated: output.finish == crate::generation::Finish::Length,
            tokens: output.tokens.len(),
        })
        .collect()
}
