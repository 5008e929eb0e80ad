//! Greedy and sampled answers to held-out problems, and what is made of their verdicts.

use dunwu_datasets::Task;
use dunwu_rewards::{Answers, Sample, majority};

use super::{
    report::{EvalReport, sample_counts},
    verdicts::Verdicts,
};
use crate::{
    bundle::PromptError,
    generation::SamplingConfig,
    model::Transformer,
    rollout::{Completion, RolloutCollector, RolloutGroup, count_by_fault},
    statistics::{Interval, Item, RESAMPLES, bootstrap, mean, pass_at_k, ratio},
};

/// What to measure.
///
/// **cons@k**, the majority vote (self-consistency, arXiv 2203.11171): the answers of k samples vote, and the problem counts
/// as right when the answer with the most votes is. Answers are read and compared as the component `correct` does it, so that
/// `1/2` and `0.5` are one vote for `math` and two for `exact`. A completion without an answer casts no vote, and neither does
/// one without a verdict; when nobody votes the problem is wrong. Where several answers have the most votes, the problem
/// counts as the share of them that is right: what drawing lots would come to. For k below the number of samples it is the
/// mean over the samples in blocks of k.
pub struct Evaluation<'a> {
    /// Samples and judges.
    pub collector: RolloutCollector<'a>,
    /// How completions are drawn when they are sampled.
    pub sampling: &'a SamplingConfig,
    /// The reward component that says whether an answer is right.
    pub correct: &'a str,
    /// Completions sampled for each problem; 0: none.
    pub samples: usize,
    /// Seed of the samples, and of the intervals.
    pub seed: u64,
}

/// Everything that a measurement came to.
#[derive(Debug, Default)]
pub struct Measurement {
    /// The figures.
    pub report: EvalReport,
    /// The verdict on the greedy answer of each problem.
    pub greedy: Verdicts,
    /// Those on the samples of each problem; empty when nothing was sampled.
    pub sampled: Vec<Verdicts>,
    /// The greedy completions, one a problem.
    pub greedy_groups: Vec<RolloutGroup>,
    /// The sampled ones; empty when nothing was sampled.
    pub sampled_groups: Vec<RolloutGroup>,
}

/// Which draw of intervals a figure has: pass@k and cons@k add k to theirs.
const GREEDY: u64 = 0;
const SAMPLED: u64 = 1;
const PASS: u64 = 1 << 32;
const CONS: u64 = 2 << 32;

impl Evaluation<'_> {
    /// Measures `model` on `tasks`; `progress` is told how many problems are done, greedily first.
    ///
    /// # Errors
    /// When a prompt cannot be encoded.
    pub fn run(
        &self,
        model: &Transformer,
        tasks: &[Task],
        mut progress: impl FnMut(usize) + Send,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Measurement, PromptError> {
        let collector = RolloutCollector {
            cancelled: Some(cancelled),
            ..self.collector
        };
        let collect = |sampling, count, progress: &mut (dyn FnMut(usize) + Send)| {
            collector
                .collect(model, sampling, tasks.to_vec(), count, self.seed, progress)
                .map(|collected| collected.groups)
        };
        let likeliest = self.sampling.greedy();
        let greedy = collect(&likeliest, 1, &mut progress)?;
        let sampled = match self.samples {
            0 => Vec::new(),
            samples => {
                let mut further = |done| progress(tasks.len() + done);
                collect(self.sampling, samples, &mut further)?
            }
        };
        let answers = self.collector.judge.rubric().answers(self.correct);
        Ok(self.measured(greedy, sampled, answers))
    }

    fn measured(
        &self,
        greedy_groups: Vec<RolloutGroup>,
        sampled_groups: Vec<RolloutGroup>,
        answers: Option<&dyn Answers>,
    ) -> Measurement {
        let verdicts = |group: &RolloutGroup| -> Verdicts {
            let verdict = |completion| verdict(completion, self.correct);
            group.completions.iter().map(verdict).collect()
        };
        let greedy: Verdicts = greedy_groups
            .iter()
            .map(|group| verdicts(group).0.first().copied().flatten())
            .collect();
        let sampled: Vec<Verdicts> = sampled_groups.iter().map(verdicts).collect();

        let mut report = EvalReport {
            problems: greedy_groups.len(),
            samples: self.samples,
            bootstrap_resamples: RESAMPLES,
            ..EvalReport::default()
        };
        let figures = self.figures(&greedy.items(), GREEDY);
        (report.greedy_accuracy, report.greedy_accuracy_interval) = figures;
        let of_greedy = shape(&greedy_groups);
        report.greedy_length_mean = of_greedy.map_or(0.0, |(length, _)| length);
        report.greedy_truncated = of_greedy.map_or(0.0, |(_, truncated)| truncated);
        for group in greedy_groups.iter().chain(&sampled_groups) {
            for completion in &group.completions {
                report.undecided_judgements += usize::from(completion.undecided());
                report.failed_judgements += usize::from(completion.failed());
                let judged = completion.outcome.is_ok();
                let applies = completion.component(self.correct).is_some();
                report.not_applicable += usize::from(judged && !applies);
            }
        }
        let groups = greedy_groups.iter().chain(&sampled_groups);
        report.unjudged_by = count_by_fault(groups.flat_map(|group| &group.completions));
        if self.samples > 0 {
            let of_sampled = shape(&sampled_groups);
            report.sampled_length_mean = of_sampled.map(|(length, _)| length);
            report.sampled_truncated = of_sampled.map(|(_, truncated)| truncated);
            self.sampled(&mut report, &sampled);
            if let Some(answers) = answers {
                self.consensus(&mut report, &sampled_groups, &sampled, answers);
            }
        }
        Measurement {
            report,
            greedy,
            sampled,
            greedy_groups,
            sampled_groups,
        }
    }

    /// The accuracy of samples, and pass@k over the problems with at least k verdicts.
    fn sampled(&self, report: &mut EvalReport, sampled: &[Verdicts]) {
        let items: Vec<Item> = sampled.iter().map(Verdicts::item).collect();
        let figures = self.figures(&items, SAMPLED);
        (report.sampled_accuracy, report.sampled_accuracy_interval) = figures;
        for k in sample_counts(self.samples) {
            let known = sampled.iter().map(Verdicts::counts);
            let items: Vec<Item> = known
                .filter(|(judged, _)| *judged >= k)
                .map(|(judged, right)| (pass_at_k(judged, right, k), 1.0))
                .collect();
            if let (Some(value), Some(interval)) = self.figures(&items, PASS + k as u64) {
                report.pass_at.insert(k, value);
                report.pass_at_intervals.insert(k, interval);
            }
        }
    }

    /// The majority vote.
    fn consensus(
        &self,
        report: &mut EvalReport,
        groups: &[RolloutGroup],
        sampled: &[Verdicts],
        judge: &dyn Answers,
    ) {
        let ballots: Vec<Vec<Option<String>>> = groups
            .iter()
            .map(|group| {
                let answer = |completion| answer(group, completion, judge);
                group.completions.iter().map(answer).collect()
            })
            .collect();
        let silent = |ballot: &Vec<Option<String>>| ballot.iter().filter(|a| a.is_none()).count();
        report.samples_without_answer = Some(ballots.iter().map(silent).sum());
        for k in sample_counts(self.samples) {
            let vote = |(ballot, verdicts): (&Vec<Option<String>>, &Verdicts)| {
                let blocks = ballot.chunks_exact(k).zip(verdicts.0.chunks_exact(k));
                let values: Vec<f64> = blocks
                    .filter_map(|(ballot, verdicts)| elected(ballot, verdicts, judge))
                    .collect();
                (!values.is_empty()).then(|| (mean(&values), 1.0))
            };
            let items: Vec<Item> = ballots.iter().zip(sampled).filter_map(vote).collect();
            if let (Some(value), Some(interval)) = self.figures(&items, CONS + k as u64) {
                report.cons_at.insert(k, value);
                report.cons_at_intervals.insert(k, interval);
            }
        }
    }

    fn figures(&self, items: &[Item], figure: u64) -> (Option<f64>, Option<Interval>) {
        (ratio(items), bootstrap(items, self.seed, figure))
    }
}

/// Right, wrong, or no verdict, which is also so where the component does not apply.
pub fn verdict(completion: &Completion, correct: &str) -> Option<bool> {
    completion.component(correct).map(|value| value > 0.5)
}

/// The answer that a judge reads in a completion.
pub fn answer(
    group: &RolloutGroup,
    completion: &Completion,
    judge: &dyn Answers,
) -> Option<String> {
    let sample = Sample::new(&group.task, completion.text())
        .truncated(completion.truncated())
        .tokens(completion.sampled_tokens());
    judge.answer(&sample)
}

/// Mean length and share cut off; `None` of nothing.
fn shape(groups: &[RolloutGroup]) -> Option<(f64, f64)> {
    let completions: Vec<&Completion> = groups.iter().flat_map(|g| &g.completions).collect();
    let lengths: Vec<f64> = completions
        .iter()
        .map(|c| c.sampled_tokens() as f64)
        .collect();
    let truncated = completions.iter().filter(|c| c.truncated()).count();
    let count = completions.len();
    (count > 0).then(|| (mean(&lengths), truncated as f64 / count as f64))
}

/// How far the winner of a vote is right, from 0 to 1; `None` when nothing was judged.
fn elected(
    ballot: &[Option<String>],
    verdicts: &[Option<bool>],
    judge: &dyn Answers,
) -> Option<f64> {
    verdicts.iter().flatten().next()?;
    let votes: Vec<(&str, bool)> = ballot
        .iter()
        .zip(verdicts)
        .filter_map(|(answer, verdict)| Some((answer.as_deref()?, (*verdict)?)))
        .collect();
    let answers: Vec<&str> = votes.iter().map(|(answer, _)| *answer).collect();
    let winners = majority(&answers, judge);
    let right = winners.iter().filter(|group| votes[group[0]].1).count();
    Some(right as f64 / winners.len().max(1) as f64)
}

#[cfg(test)]
mod tests;
