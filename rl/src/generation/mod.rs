//! Batched decoding with a key-value cache. Token ids only: it knows no text and no reward.
//!
//! | file | subject |
//! |---|---|
//! | [`sampling`] | which token comes next: temperature, top-k, top-p, min-p, seeds |
//! | [`session`] | continuous batching: submit, advance, extend, finish |
//! | [`completion`] | a completion in tokens, and why it ended |
//! | [`generator`] | completions of given prompts, as a session of one turn each |
//! | `decoder` | drawing the next tokens of all slots, by any arithmetic |
//! | [`recorded`] | activations of sampled tokens, kept for training |

pub mod completion;
mod decoder;
pub mod generator;
pub mod recorded;
pub mod sampling;
pub mod session;

pub use completion::{Finish, Generated};
pub use generator::{Generator, Hooks, Request, Room};
pub use recorded::Recorded;
pub use sampling::SamplingConfig;
pub use session::{Event, Session, Turns};
