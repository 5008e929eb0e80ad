//! What a judge is shown.

use dunwu_datasets::Task;

/// One completion, with what a judge may know about it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sample<'a> {
    /// The task that was posed.
    pub task: &'a Task,
    /// What the model wrote, without the prompt and without the end-of-sequence token.
    pub completion: &'a str,
    /// Whether the model was cut off before it ended.
    pub truncated: bool,
    /// Length of the completion in tokens, the end-of-sequence token included if there is one; 0 where nobody counted.
    pub completion_tokens: usize,
}

impl<'a> Sample<'a> {
    /// A completion that the model ended by itself, of a length that nobody counted.
    pub fn new(task: &'a Task, completion: &'a str) -> Self {
        Self {
            task,
            completion,
            truncated: false,
            completion_tokens: 0,
        }
    }

    /// The same, cut off or not.
    #[must_use]
    pub fn truncated(self, truncated: bool) -> Self {
        Self { truncated, ..self }
    }

    /// The same, of so many tokens.
    #[must_use]
    pub fn tokens(self, completion_tokens: usize) -> Self {
        Self {
            completion_tokens,
            ..self
        }
    }
}
