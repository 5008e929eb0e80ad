//! What a measurement found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::statistics::Interval;

/// What a measurement found. Accuracies are shares, from 0 to 1. Intervals are 95 % by a bootstrap over the problems (see
/// [`crate::statistics`]).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    /// Problems posed.
    pub problems: usize,
    /// Share answered right by taking the likeliest token each time; absent when nothing could be
    /// judged.
    pub greedy_accuracy: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greedy_accuracy_interval: Option<Interval>,
    /// Mean length of the greedy completions, in tokens.
    pub greedy_length_mean: f64,
    /// Share of greedy completions cut off.
    pub greedy_truncated: f64,
    /// Completions sampled for each problem; 0: greedy only.
    #[serde(default)]
    pub samples: usize,
    /// Share answered right by sampling; absent when nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_accuracy: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_accuracy_interval: Option<Interval>,
    /// Mean length of the sampled completions, in tokens; absent when nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_length_mean: Option<f64>,
    /// Share of sampled completions cut off; absent when nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_truncated: Option<f64>,
    /// Probability that one of k samples is right, by k (see [`crate::statistics::pass_at_k`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pass_at: BTreeMap<usize, f64>,
    /// Their intervals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pass_at_intervals: BTreeMap<usize, Interval>,
    /// Probability that the majority of k samples is right, by k (see [`super::Evaluation`]); empty when the component compares
    /// no answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cons_at: BTreeMap<usize, f64>,
    /// Their intervals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cons_at_intervals: BTreeMap<usize, Interval>,
    /// Sampled completions in which no answer was found: they cast no vote. Absent as `cons_at` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_without_answer: Option<usize>,
    /// Completions without a verdict because a judge failed; they are left out of every share.
    pub failed_judgements: usize,
    /// Completions of which a judge could tell neither right nor wrong; left out too.
    #[serde(default)]
    pub undecided_judgements: usize,
    /// Completions without a verdict, by whose doing that was: `host`, `task` or `completion`; empty where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unjudged_by: BTreeMap<String, usize>,
    /// Completions to which the component does not apply; left out too.
    #[serde(default)]
    pub not_applicable: usize,
    /// Resamples behind each interval.
    #[serde(default)]
    pub bootstrap_resamples: usize,
}

/// The numbers of samples that are reported of `samples`: powers of two, and all of them.
pub(super) fn sample_counts(samples: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |k| Some(k * 2));
    let mut counts: Vec<usize> = powers.take_while(|k| *k <= samples).collect();
    if counts.last().is_some_and(|last| *last < samples) {
        counts.push(samples);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_report_can_be_read() {
        let text = r#"{"problems":5,"greedy_accuracy":0.2,"greedy_length_mean":3.0,"greedy_truncated":0.0,"failed_judgements":1}"#;
        let report: EvalReport = serde_json::from_str(text).unwrap();
        assert_eq!((report.problems, report.failed_judgements), (5, 1));
        assert_eq!(report.greedy_accuracy_interval, None);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<EvalReport>(&text).unwrap(), report);
    }

    #[test]
    fn counts_are_powers_of_two_and_all() {
        assert_eq!(sample_counts(0), [0; 0]);
        assert_eq!(sample_counts(1), [1]);
        assert_eq!(sample_counts(8), [1, 2, 4, 8]);
        assert_eq!(sample_counts(11), [1, 2, 4, 8, 11]);
    }
}
