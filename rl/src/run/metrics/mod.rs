//! What is logged of every step, what it means, and when it is bad.
//!
//! | file | subject |
//! |---|---|
//! | this one | a line of `metrics.jsonl` |
//! | [`page`] | the tables of `rl/docs/metrics.md`, and what `dunwu metrics` prints |
//!
//! Keys that end in `_s` or `_bytes` measure the machine; everything else is a function of config
//! and seed.

pub mod page;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    glossary::{Metric, metrics},
    stages::StageKind,
    statistics::Interval,
};

metrics! {
    /// One line of `metrics.jsonl`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct MetricsLine {
        "step" {
            step: u64 {
                unit: "steps",
                formula: "steps of the whole run, this one included: counts from 1, over all stages",
            }
            stage: usize {
                formula: "index of the stage in the config, from 0",
            }
            #[serde(default, skip_serializing_if = "Option::is_none")]
            heldout_accuracy: Option<f64> {
                unit: "share",
                formula: "greedy accuracy on held-out problems after this step; only where it was measured",
                healthy: "rises",
                otherwise: "falls while `reward_mean` rises: the reward is being gamed, or training problems are learnt by heart",
            }
            #[serde(default, skip_serializing_if = "Option::is_none")]
            heldout_accuracy_interval: Option<Interval> {
                unit: "share",
                formula: "its 95 % interval, `low` and `high`, by a bootstrap over the problems",
                healthy: "narrow beside what is to be seen",
                otherwise: "raise `evaluation.problems`",
            }
            #[serde(default, skip_serializing_if = "Option::is_none")]
            peak_memory_bytes: Option<u64> {
                unit: "bytes",
                formula: "largest resident memory of this session so far; absent where the system does not say",
                healthy: "constant after the first steps",
                otherwise: "grows: lower `memory.token_budget` or `memory.batch_rows`",
            }
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            alarms: Vec<String> {
                formula: "what went bad, see Alarms; only where something did",
                healthy: "absent",
                otherwise: "read it: it names the figures and a way out",
            }
        }
        also {
            /// Which kind of stage made the step.
            kind: StageKind,
            /// The stage's own figures, by name.
            #[serde(flatten)]
            metrics: Map<String, Value>,
        }
    }
}

/// The key that says which kind of stage made the step.
pub const KIND: Metric = Metric {
    key: "kind",
    type_name: "String",
    unit: "",
    formula: "`sft`, `grpo`, `rejection-sampling`, `pairs`, `preference` or `reward-model`",
    healthy: "",
    otherwise: "",
};
