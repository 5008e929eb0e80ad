//! Batched decoding with a key-value cache. Token ids only: it knows no text and no reward.
//!
//! | file | subject |
//! |---|---|
//! | [`sampling`] | which token comes next: temperature, top-k, top-p, min-p, seeds |
//! | [`generator`] | prefill, decode loop, compaction of finished rows |

pub mod generator;
pub mod sampling;

pub use generator::{Finish, Generated, Generator, Hooks, Request};
pub use sampling::SamplingConfig;
