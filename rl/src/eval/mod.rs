//! How good a policy is on problems that training never sees.
//!
//! | file | subject |
//! |---|---|
//! | [`measurement`] | greedy and sampled answers, their verdicts |
//! | [`report`] | what a measurement found: accuracies, pass@k, cons@k, lengths |
//! | [`verdicts`] | who answered what right, small enough to keep |
//! | [`record`] | `evaluation.jsonl` of a run, what `dunwu eval` prints, details |
//! | [`suite`] | benchmarks from files: which judge, which sampling |

pub mod measurement;
pub mod record;
pub mod report;
pub mod section;
#[cfg(feature = "code")]
pub mod suite;
pub mod verdicts;

pub use measurement::{Evaluation, Measurement};
pub use record::{EvalOutput, EvaluationLine, Moment};
pub use report::EvalReport;
pub use section::EvaluationSection;
pub use verdicts::Verdicts;
