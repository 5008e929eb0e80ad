//! Strict readers of JSON-lines files: one JSON object per line, UTF-8.
//!
//! A byte order mark at the beginning is skipped, and so are blank lines. Everything else that is
//! not as expected is an error that names the file, the line and the field.

mod examples;
pub(crate) mod lines;
mod records;
mod source;

pub use examples::read_examples;
pub use records::{AnswerFormat, JsonlConfig, read_tasks};
pub use source::JsonlSource;
