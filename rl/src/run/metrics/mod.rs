//! What is logged of every step, what it means, and when it is bad.
//!
//! | file | subject |
//! |---|---|
//! | [`glossary`] | how a metric is declared: once, for the log and for its explanation |
//! | `grpo`, `sft`, `rejection` | the figures of a step of each kind |
//! | [`page`] | the tables of `rl/docs/metrics.md`, and what `dunwu metrics` prints |
//! | [`alarms`] | when a run goes bad |
//! | `memory` | what the system says of memory |
//!
//! Keys that end in `_s` or `_bytes` measure the machine; everything else is a function of config
//! and seed.

pub mod page;

use serde::Serialize;

use crate::{glossary::{metrics, Metric}, stages::{grpo::GrpoMetrics, rejection::RejectionMetrics, sft::SftMetrics}, statistics::Interval};

metrics! {
    /// One line of `metrics.jsonl`.
    #[derive(Debug, Clone, Serialize)]
    pub struct MetricsLine {
        "step" {
            step: u64 {
                unit: "steps",
                formula: "steps of the whole run, this one included: counts from 1, over all stages",
            }
            stage: usize {
                formula: "index of the stage in the config, from 0",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracy: Option<f64> {
                unit: "share",
                formula: "greedy accuracy on held-out problems after this step; only where it was measured",
                healthy: "rises",
                otherwise: "falls while `reward_mean` rises: the reward is being gamed, or training problems are learnt by heart",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracy_interval: Option<Interval> {
                unit: "share",
                formula: "its 95 % interval, `low` and `high`, by a bootstrap over the problems",
                healthy: "narrow beside what is to be seen",
                otherwise: "raise `evaluation.problems`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            peak_memory_bytes: Option<u64> {
                unit: "bytes",
                formula: "largest resident memory of this sitting so far; absent where the system does not say",
                healthy: "constant after the first steps",
                otherwise: "grows: lower `memory.token_budget` or `memory.batch_rows`",
            }
            #[serde(skip_serializing_if = "Vec::is_empty")]
            alarms: Vec<String> {
                formula: "what went bad, see Alarms; only where something did",
                healthy: "absent",
                otherwise: "read it: it names the figures and a way out",
            }
        }
        also {
            /// The stage's own figures.
            #[serde(flatten)]
            metrics: StageMetrics,
        }
    }
}

/// The figures of one step, by kind of stage.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant)] // one a step
pub enum StageMetrics {
    /// Supervised fine-tuning.
    Sft(SftMetrics),
    /// Group relative policy optimisation.
    Grpo(GrpoMetrics),
    /// Rejection sampling.
    RejectionSampling(RejectionMetrics),
}

impl StageMetrics {
    /// The key that says which it is.
    pub const KIND: Metric = Metric {
        key: "kind",
        type_name: "String",
        unit: "",
        formula: "`sft`, `grpo` or `rejection-sampling`",
        healthy: "",
        otherwise: "",
    };
}
