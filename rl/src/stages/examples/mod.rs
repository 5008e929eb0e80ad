//! Examples of text as tokens, for every stage that learns from given text.
//!
//! | file | subject |
//! |---|---|
//! | this one | which turns are learnt, and what becomes of what is too long |
//! | [`encode`](mod@encode) | an example as token ids, with a mark at each that is learnt |
//! | [`set`] | the examples of a stage: read, made to fit, divided, in order |

pub mod encode;
pub mod set;

use serde::{Deserialize, Serialize};

pub use encode::{EncodeError, Encoded, encode};
pub use set::{Epochs, ExampleError, ExampleSet, Limit};

/// Which of the assistant's turns in a conversation are learnt; all others are only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// Every one.
    #[default]
    All,
    /// The last.
    Last,
    /// Every one, each as the end of an example of its own: for templates that write earlier turns otherwise than the last,
    /// as those of reasoning models do, which drop earlier thoughts.
    Each,
}

/// What is done about an example that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// The run stops and names it.
    #[default]
    Error,
    /// It is left out, and counted.
    Drop,
    /// Its end is cut off; where nothing to learn is left of it, it is left out and counted.
    Truncate,
}
