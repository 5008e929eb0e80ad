//! Batched decoding with a key-value cache. Token ids only: it knows no text and no reward.
//!
//! | file | subject |
//! |---|---|
//! | [`sampling`] | which token comes next: temperature, top-k, top-p, min-p, seeds |
//! | [`generator`] | continuous batching: which completion is in which slot |
//! | `decoder` | drawing the next tokens of all slots, by any arithmetic |
//! | [`recorded`] | activations of sampled tokens, kept for training |

mod decoder;
pub mod generator;
pub mod recorded;
pub mod sampling;

pub use generator::{Finish, Generated, Generator, Hooks, Request};
pub use recorded::Recorded;
pub use sampling::SamplingConfig;
