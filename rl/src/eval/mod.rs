//! How good a policy is on problems that training never sees.

use std::collections::BTreeMap;

use dunwu_datasets::Task;
use serde::{Deserialize, Serialize};

use crate::{
    generation::SamplingConfig,
    metrics::mean,
    model::Transformer,
    rollout::{Completion, PromptError, RolloutCollector, RolloutGroup},
};

/// What a measurement found. Accuracies are shares, from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalReport {
    /// Problems posed.
    pub problems: usize,
    /// Share answered right by taking the likeliest token each time; absent when nothing could be
    /// judged.
    pub greedy_accuracy: Option<f64>,
    /// Mean length of the greedy completions, in tokens.
    pub greedy_length_mean: f64,
    /// Share of greedy completions cut off.
    pub greedy_truncated: f64,
    /// Share answered right by sampling; absent when nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_accuracy: Option<f64>,
    /// Probability that one of k samples is right, by k (see [`pass_at_k`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pass_at: BTreeMap<usize, f64>,
    /// Completions without a verdict; they are left out of every share.
    pub failed_judgements: usize,
}

/// What to measure.
pub struct Evaluation<'a> {
    /// Samples and judges.
    pub collector: RolloutCollector<'a>,
    /// How completions are drawn when they are sampled.
    pub sampling: &'a SamplingConfig,
    /// The reward component that says whether an answer is right.
    pub correct: &'a str,
    /// Completions sampled for each problem; 0: none.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
}

impl Evaluation<'_> {
    /// Measures `model` on `tasks`; `progress` is told how many completions are done.
    ///
    /// # Errors
    /// When a prompt cannot be encoded.
    pub fn run(
        &self,
        model: &Transformer,
        tasks: &[Task],
        mut progress: impl FnMut(usize) + Send,
    ) -> Result<(EvalReport, Vec<RolloutGroup>), PromptError> {
        let greedy = self.sampling.greedy();
        let groups = self
            .collector
            .collect(model, &greedy, tasks.to_vec(), 1, self.seed, &mut progress)?
            .groups;
        let completions: Vec<&Completion> = groups.iter().flat_map(|g| &g.completions).collect();
        let verdicts: Vec<f64> = completions.iter().filter_map(|c| self.verdict(c)).collect();
        let lengths: Vec<f64> = completions.iter().map(|c| c.tokens.len() as f64).collect();
        let truncated = completions.iter().filter(|c| c.truncated()).count();
        let mut report = EvalReport {
            problems: tasks.len(),
            greedy_accuracy: (!verdicts.is_empty()).then(|| mean(&verdicts)),
            greedy_length_mean: mean(&lengths),
            greedy_truncated: truncated as f64 / completions.len().max(1) as f64,
            failed_judgements: completions.iter().filter(|c| c.outcome.is_err()).count(),
            ..EvalReport::default()
        };
        if self.samples > 0 {
            self.sample(model, tasks, &mut report, |done| {
                progress(tasks.len() + done)
            })?;
        }
        Ok((report, groups))
    }

    fn sample(
        &self,
        model: &Transformer,
        tasks: &[Task],
        report: &mut EvalReport,
        progress: impl FnMut(usize) + Send,
    ) -> Result<(), PromptError> {
        let groups = self
            .collector
            .collect(
                model,
                self.sampling,
                tasks.to_vec(),
                self.samples,
                self.seed,
                progress,
            )?
            .groups;
        let mut verdicts = Vec::new();
        let mut counts = Vec::new();
        for group in &groups {
            let known: Vec<f64> = group
                .completions
                .iter()
                .filter_map(|c| self.verdict(c))
                .collect();
            report.failed_judgements += group.completions.len() - known.len();
            counts.push((known.len(), known.iter().sum::<f64>() as usize));
            verdicts.extend(known);
        }
        report.sampled_accuracy = (!verdicts.is_empty()).then(|| mean(&verdicts));
        let powers = std::iter::successors(Some(1), |k| Some(k * 2));
        for k in powers.take_while(|&k| k <= self.samples) {
            let known = counts.iter().filter(|(n, _)| *n >= k);
            let values: Vec<f64> = known.map(|&(n, c)| pass_at_k(n, c, k)).collect();
            if !values.is_empty() {
                report.pass_at.insert(k, mean(&values));
            }
        }
        Ok(())
    }

    /// 1 when right, 0 when wrong, `None` without a verdict or where the component does not apply.
    fn verdict(&self, completion: &Completion) -> Option<f64> {
        let value = completion.component(self.correct)?;
        Some(f64::from(u8::from(value > 0.5)))
    }
}

/// The probability that at least one of `k` samples is right, estimated without bias from `n`
/// samples of which `c` are: `1 − C(n − c, k) / C(n, k)` (Chen et al., arXiv 2107.03374, eq. 1).
///
/// # Panics
/// When `k > n` or `c > n`.
pub fn pass_at_k(n: usize, c: usize, k: usize) -> f64 {
    assert!(k <= n && c <= n, "pass@{k} of {n} samples with {c} right");
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n)
        .map(|i| 1.0 - k as f64 / i as f64)
        .product::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_at_k_counts_subsets() {
        // n = 4, c = 1: of the 6 pairs, 3 hold the right one.
        assert!((pass_at_k(4, 1, 2) - 0.5).abs() < 1e-12);
        assert_eq!(pass_at_k(4, 0, 2), 0.0);
        assert_eq!(pass_at_k(4, 3, 2), 1.0);
        assert!((pass_at_k(10, 3, 1) - 0.3).abs() < 1e-12);
    }
}
