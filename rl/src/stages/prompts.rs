//! Prompts that leave room for a completion, and what is done about the others.

use std::collections::BTreeMap;

use dunwu_datasets::{Task, TaskSource};
use rayon::prelude::*;

use super::{Context, StageError};
use crate::{
    bundle::{PromptEncoder, PromptError},
    generation::SamplingConfig,
    tasks::{LongPrompts, PromptRule},
};

/// Prompts in a row that may be too long before it is an error that none fits.
const MOST_SKIPPED: usize = 10_000;

/// How long a prompt may be, and what is done about a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptLimit {
    /// Tokens.
    pub tokens: usize,
    /// What is done about a longer one.
    pub too_long: LongPrompts,
    /// Longest completion, in tokens.
    max_tokens: usize,
    /// Longest sequence of the model, in tokens.
    context: usize,
}

/// Tasks that fit, and how many were drawn besides that do not.
#[derive(Debug, Default)]
pub struct Drawn {
    /// As many as were asked for.
    pub tasks: Vec<Task>,
    /// Skipped.
    pub skipped: usize,
}

impl PromptLimit {
    /// The limit of `[data]` for a model whose longest sequence has `context` tokens.
    pub fn new(rule: PromptRule, sampling: &SamplingConfig, context: usize) -> Self {
        let room = context.saturating_sub(sampling.max_tokens);
        Self {
            tokens: rule.longest.map_or(room, |longest| longest.min(room)),
            too_long: rule.too_long,
            max_tokens: sampling.max_tokens,
            context,
        }
    }

    /// Whether longer prompts are left out.
    pub fn drops(&self) -> bool {
        self.too_long == LongPrompts::Drop
    }

    /// What is said of a prompt of so many tokens.
    pub fn error(&self, task: &Task, tokens: usize) -> PromptError {
        let task = task.id.clone();
        if tokens + self.max_tokens > self.context {
            return PromptError::TooLong {
                task,
                tokens,
                max_tokens: self.max_tokens,
                context: self.context,
            };
        }
        PromptError::AboveLimit {
            task,
            tokens,
            limit: self.tokens,
        }
    }

    /// Whether the prompt of `task` fits.
    ///
    /// # Errors
    /// When it cannot be made into tokens, or does not fit and that is an error.
    pub fn admits(&self, encoder: &PromptEncoder, task: &Task) -> Result<bool, PromptError> {
        let (_, ids) = encoder.encode(&task.prompt)?;
        if ids.len() <= self.tokens {
            return Ok(true);
        }
        if self.drops() {
            return Ok(false);
        }
        Err(self.error(task, ids.len()))
    }

    /// The next `count` tasks of `source` that fit, when `progress` is the share of training done. What is skipped is part
    /// of the source's order: a source that is put back where it stood draws, and skips, the same again.
    ///
    /// # Errors
    /// When tasks cannot be had or made into tokens, one is too long and that is an error, or none of very many fits.
    pub fn draw(
        &self,
        encoder: &PromptEncoder,
        source: &mut dyn TaskSource,
        count: usize,
        progress: f64,
    ) -> Result<Drawn, StageError> {
        let mut drawn = Drawn::default();
        let mut in_a_row = 0;
        while drawn.tasks.len() < count {
            for task in source.next_batch(count - drawn.tasks.len(), progress)? {
                if self.admits(encoder, &task)? {
                    drawn.tasks.push(task);
                    in_a_row = 0;
                    continue;
                }
                drawn.skipped += 1;
                in_a_row += 1;
                if in_a_row >= MOST_SKIPPED {
                    let (_, ids) = encoder.encode(&task.prompt)?;
                    return Err(self.error(&task, ids.len()).into());
                }
            }
        }
        Ok(drawn)
    }
}

impl Context<'_> {
    /// How long prompts may be in this run.
    pub fn prompt_limit(&self) -> PromptLimit {
        let context = self.learner.model.config().max_position_embeddings;
        PromptLimit::new(self.tasks.prompts, self.sampling, context)
    }
}

/// How long the prompts of some tasks are.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PromptLengths {
    /// Prompts that were looked at.
    pub prompts: usize,
    /// Tokens of the one in the middle.
    pub median_tokens: usize,
    /// Tokens of the longest.
    pub longest_tokens: usize,
    /// Tokens of the longest that fits.
    pub longest_fitting_tokens: usize,
    /// Tokens that a prompt may have.
    pub limit_tokens: usize,
    /// How many have more.
    pub too_long: usize,
    /// The first of those, and its tokens.
    pub first_too_long: Option<(String, usize)>,
    /// What could not be made into tokens, by what was said: the first task, and how many.
    pub unusable: BTreeMap<String, (String, usize)>,
}

/// Measures the prompts of `tasks`, on all cores.
pub fn measure(encoder: &PromptEncoder, limit: &PromptLimit, tasks: &[Task]) -> PromptLengths {
    let lengths: Vec<Result<usize, String>> = tasks
        .par_iter()
        .map(|task| match encoder.encode(&task.prompt) {
            Ok((_, ids)) => Ok(ids.len()),
            Err(error) => Err(error.to_string()),
        })
        .collect();
    let mut found = PromptLengths {
        prompts: tasks.len(),
        limit_tokens: limit.tokens,
        ..PromptLengths::default()
    };
    let mut known: Vec<usize> = Vec::with_capacity(tasks.len());
    for (task, length) in tasks.iter().zip(lengths) {
        let tokens = match length {
            Ok(tokens) => tokens,
            Err(message) => {
                let first = || (task.id.clone(), 0);
                found.unusable.entry(message).or_insert_with(first).1 += 1;
                continue;
            }
        };
        known.push(tokens);
        found.longest_tokens = found.longest_tokens.max(tokens);
        if tokens <= limit.tokens {
            found.longest_fitting_tokens = found.longest_fitting_tokens.max(tokens);
            continue;
        }
        found.too_long += 1;
        let first = || (task.id.clone(), tokens);
        found.first_too_long.get_or_insert_with(first);
    }
    known.sort_unstable();
    found.median_tokens = known.get(known.len() / 2).copied().unwrap_or(0);
    found
}

#[cfg(test)]
mod tests {

    use dunwu_datasets::{JsonlSource, Prompt};

    use super::*;
    use crate::tokenizer::Tokenizer;

    fn encoder() -> PromptEncoder {
        PromptEncoder {
            tokenizer: Tokenizer::characters("0123456789+=", &["<eos>"]).unwrap(),
            template: None,
            origin: "digits".to_owned(),
        }
    }

    fn task(number: usize, tokens: usize) -> Task {
        Task::new(number.to_string(), Prompt::Text("1".repeat(tokens)), "1")
    }

    fn limit(too_long: LongPrompts, longest: Option<usize>) -> PromptLimit {
        let sampling = SamplingConfig {
            max_tokens: 20,
            ..SamplingConfig::default()
        };
        PromptLimit::new(PromptRule { longest, too_long }, &sampling, 30)
    }

    /// Every third prompt has 11 tokens, the others 5, and 10 are left of a context of 30.
    fn source() -> JsonlSource {
        let length = |number: usize| if number.is_multiple_of(3) { 11 } else { 5 };
        let tasks: Vec<Task> = (0..30).map(|n| task(n, length(n))).collect();
        JsonlSource::new(tasks, 7).unwrap()
    }

    #[test]
    fn what_is_skipped_is_skipped_again_after_a_resume() {
        let (encoder, limit) = (encoder(), limit(LongPrompts::Drop, None));
        let draw = |source: &mut JsonlSource| {
            let drawn = limit.draw(&encoder, source, 7, 0.0).unwrap();
            let ids: Vec<String> = drawn.tasks.into_iter().map(|task| task.id).collect();
            (ids, drawn.skipped)
        };
        let mut whole = source();
        let expected: Vec<_> = (0..9).map(|_| draw(&mut whole)).collect();
        assert!(expected.iter().any(|(_, skipped)| *skipped > 0));
        for (ids, _) in &expected {
            assert_eq!(ids.len(), 7);
            assert!(ids.iter().all(|id| id.parse::<usize>().unwrap() % 3 != 0));
        }
        for stop in [1, 4, 8] {
            let mut first = source();
            let mut got: Vec<_> = (0..stop).map(|_| draw(&mut first)).collect();
            let mut second = source();
            second.restore(&first.cursor()).unwrap();
            got.extend((stop..9).map(|_| draw(&mut second)));
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_long_prompt_is_named_with_the_way_out() {
        let encoder = encoder();
        let error = |limit: PromptLimit, tokens| {
            let error = limit.admits(&encoder, &task(4, tokens)).unwrap_err();
            error.to_string()
        };
        let message = error(limit(LongPrompts::Error, None), 11);
        for part in [
            "task 4",
            "11 tokens",
            "context of 30",
            "data.too_long = \"drop\"",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let message = error(limit(LongPrompts::Error, Some(4)), 5);
        for part in ["5 tokens", "data.max_prompt_tokens = 4", "hint:"] {
            assert!(message.contains(part), "{message}");
        }
        // Where none fits it ends all the same.
        let mut source = JsonlSource::new(vec![task(1, 29)], 1).unwrap();
        let limit = limit(LongPrompts::Drop, None);
        let error = limit.draw(&encoder, &mut source, 2, 0.0).unwrap_err();
        assert!(error.to_string().contains("29 tokens"), "{error}");
    }

    #[test]
    fn lengths_are_counted() {
        let tasks = [task(1, 3), task(2, 12), task(3, 10), task(4, 14)];
        let mut odd = task(5, 1);
        odd.prompt = Prompt::Text("one".to_owned());
        let tasks: Vec<Task> = tasks.into_iter().chain([odd]).collect();
        let found = measure(&encoder(), &limit(LongPrompts::Drop, None), &tasks);
        assert_eq!((found.prompts, found.too_long), (5, 2));
        assert_eq!(
            (found.longest_tokens, found.longest_fitting_tokens),
            (14, 10)
        );
        assert_eq!(found.first_too_long, Some(("2".to_owned(), 12)));
        let unusable: Vec<_> = found.unusable.values().collect();
        assert_eq!(unusable, [&("5".to_owned(), 1)]);
    }
}
