//! What is kept of measurements: a line of `evaluation.jsonl`, what `dunwu eval` prints, a line for each problem.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
};

use dunwu_datasets::{Task, fingerprint};
use dunwu_rewards::Answers;
use serde::{Deserialize, Serialize};

use super::{
    EvalReport, Measurement, Verdicts,
    measurement::{answer, verdict},
};
use crate::{
    generation::Finish,
    rollout::{Completion, RolloutGroup, thought::thinking},
};

/// When a run was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before the first GRPO stage.
    Before,
    /// As `evaluation.every` says.
    During,
    /// At the end of a stage.
    After,
}

/// One line of `evaluation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationLine {
    /// Updates made before the measurement, since the start of the run.
    pub step: u64,
    /// Index of the stage in the config, from 0.
    pub stage: usize,
    /// When it was.
    pub moment: Moment,
    /// What was asked: see [`problem_set`].
    pub problem_set: String,
    /// The verdict on the greedy answer of each problem.
    pub greedy: Verdicts,
    /// Those on the samples of each problem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<Verdicts>,
    /// The figures.
    pub report: EvalReport,
}

/// How many held-out problems [`HeldoutLine`]s are kept of, from the first on.
pub const TEXTS: usize = 16;

/// One line of `heldout.jsonl`: what was answered to one of the first held-out problems when it was measured, so that the same
/// problem can be read at every measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeldoutLine {
    /// Updates made before the measurement, since the start of the run.
    pub step: u64,
    /// Index of the stage in the config, from 0.
    pub stage: usize,
    /// When it was.
    pub moment: Moment,
    /// The problem's place among those that are held out, from 0.
    pub problem: usize,
    /// The task's id.
    pub task: String,
    /// The prompt as the model saw it.
    pub prompt: String,
    /// The right answer.
    pub answer: String,
    /// What was said, the likeliest token each time, over all turns.
    pub completion: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Why its last turn ended.
    pub finish: Finish,
    /// Which bytes of it are its first thought, from and to; null where it has none.
    pub thinking: Option<[usize; 2]>,
    /// Whether it is right; null without a verdict.
    pub right: Option<bool>,
    /// The total reward; null without a verdict.
    pub reward: Option<f64>,
}

/// The lines of `heldout.jsonl` for a measurement that has `line` in `evaluation.jsonl`.
pub fn heldout_lines(line: &EvaluationLine, groups: &[RolloutGroup]) -> Vec<HeldoutLine> {
    let shown = groups.iter().take(TEXTS).enumerate();
    let shown = shown.filter_map(|(problem, group)| {
        let completion = group.completions.first()?;
        let transcript = completion.trajectory.transcript();
        let thinking = thinking(&group.prompt_text, &transcript);
        Some(HeldoutLine {
            step: line.step,
            stage: line.stage,
            moment: line.moment,
            problem,
            task: group.task.id.clone(),
            prompt: group.prompt_text.clone(),
            answer: group.task.answer.clone(),
            tokens: completion.sampled_tokens(),
            finish: completion.finish(),
            thinking: thinking.map(|range| [range.start, range.end]),
            right: line.greedy.0.get(problem).copied().flatten(),
            reward: completion.reward(),
            completion: transcript,
        })
    });
    shown.collect()
}

/// What `dunwu eval` prints: a report, and the verdicts that `dunwu compare` needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalOutput {
    /// The figures.
    #[serde(flatten)]
    pub report: EvalReport,
    /// What was asked: see [`problem_set`].
    pub problem_set: String,
    /// The verdict on the greedy answer of each problem.
    pub greedy: Verdicts,
    /// Those on the samples of each problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<Verdicts>,
}

impl EvalOutput {
    /// The output for a measurement on `tasks`.
    pub fn new(measurement: &Measurement, tasks: &[Task]) -> Self {
        Self {
            report: measurement.report.clone(),
            problem_set: problem_set(tasks),
            greedy: measurement.greedy.clone(),
            sampled: measurement.sampled.clone(),
        }
    }
}

/// A name for a list of problems: two measurements with the same one answered the same problems, in the same order.
pub fn problem_set(tasks: &[Task]) -> String {
    format!("{:016x}", fingerprint(tasks))
}

/// Adds `line` to the file at `path`, in the place of an earlier one of the same step and moment: a run that was killed after
/// a measurement, before its next checkpoint, makes it again.
///
/// # Errors
/// When the file cannot be read or written.
pub fn keep(path: &Path, line: &EvaluationLine) -> std::io::Result<()> {
    let mut text = Vec::new();
    if path.exists() {
        for kept in BufReader::new(fs::File::open(path)?).split(b'\n') {
            let kept = kept?;
            // What a kill cut off is dropped.
            let Ok(earlier) = serde_json::from_slice::<EvaluationLine>(&kept) else {
                continue;
            };
            if (earlier.step, earlier.moment) != (line.step, line.moment) {
                text.extend(kept);
                text.push(b'\n');
            }
        }
    }
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}"));
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

/// One problem, as `dunwu eval --details` writes it down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// The problem's name.
    pub id: String,
    /// The prompt as the model saw it.
    pub prompt: String,
    /// The right answer.
    pub answer: String,
    /// What was said when the likeliest token was taken each time.
    pub greedy: DetailAnswer,
    /// What was said by sampling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<DetailAnswer>,
}

/// One completion of a [`Detail`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailAnswer {
    /// The text.
    pub completion: String,
    /// Its length in tokens.
    pub tokens: usize,
    /// Whether it was cut off.
    pub truncated: bool,
    /// The answer that was read in it; absent when there is none, or the judge compares none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted: Option<String>,
    /// Whether it is right; null without a verdict.
    pub right: Option<bool>,
    /// Why there is no verdict, or what a judge has to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A line for each problem of a measurement. `answers` is what the component `correct` knows of answers.
pub fn details(
    measurement: &Measurement,
    correct: &str,
    answers: Option<&dyn Answers>,
) -> Vec<Detail> {
    let shown = |group: &RolloutGroup, completion: &Completion| DetailAnswer {
        completion: completion.text().to_owned(),
        tokens: completion.sampled_tokens(),
        truncated: completion.truncated(),
        extracted: answers.and_then(|judge| answer(group, completion, judge)),
        right: verdict(completion, correct),
        note: match &completion.outcome {
            Ok(outcome) => (!outcome.notes.is_empty()).then(|| outcome.notes.join("; ")),
            Err(error) => Some(error.to_string()),
        },
    };
    let Measurement {
        greedy_groups,
        sampled_groups,
        ..
    } = measurement;
    greedy_groups
        .iter()
        .enumerate()
        .filter_map(|(index, group)| {
            let sampled = sampled_groups.get(index);
            Some(Detail {
                id: group.task.id.clone(),
                prompt: group.prompt_text.clone(),
                answer: group.task.answer.clone(),
                greedy: shown(group, group.completions.first()?),
                sampled: sampled.map_or(Vec::new(), |group| {
                    group.completions.iter().map(|c| shown(group, c)).collect()
                }),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, moment: Moment, right: bool) -> EvaluationLine {
        EvaluationLine {
            step,
            stage: 1,
            moment,
            problem_set: "0".to_owned(),
            greedy: Verdicts(vec![Some(right), None]),
            sampled: Vec::new(),
            report: EvalReport::default(),
        }
    }

    #[test]
    fn a_measurement_made_again_takes_the_place_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evaluation.jsonl");
        keep(&path, &line(3, Moment::Before, false)).unwrap();
        keep(&path, &line(3, Moment::During, false)).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\":4,\"cut of");
        fs::write(&path, text).unwrap();
        keep(&path, &line(3, Moment::Before, true)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<EvaluationLine> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                line(3, Moment::During, false),
                line(3, Moment::Before, true)
            ]
        );
    }
}
