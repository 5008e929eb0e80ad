//! From rows to tasks and demonstrations, strictly.
//!
//! Everything that is not as expected is an error that names the file, the row and the field.

mod examples;
mod ids;
mod records;
mod source;

pub use examples::{ExampleForm, Examples, read_examples};
pub(crate) use ids::Ids;
pub use records::{AnswerFormat, JsonlConfig, Tasks, read_tasks};
pub use source::JsonlSource;
