//! Figures of completions that are made up, so that each can be worked out by hand.

use std::time::Duration;

use dunwu_datasets::Prompt;
use dunwu_rewards::math::{MathConfig, Undecided};
use dunwu_rewards::{ComponentConfig, RewardError, Rubric, RubricConfig};

use super::*;
use crate::{
    bundle::PromptEncoder,
    generation::Finish,
    rollout::{Judge, JudgeError, SampledTurn},
    tokenizer::Tokenizer,
};

fn rubric() -> Rubric {
    Rubric::from_config(&RubricConfig::new(vec![
        ComponentConfig::Math(MathConfig {
            undecided: Undecided::Exclude,
            ..MathConfig::default()
        }),
        ComponentConfig::Format(Default::default()),
    ]))
    .unwrap()
}

/// A problem with the answer 1/2 and these completions, judged for real.
fn group(rubric: &Rubric, texts: &[&str]) -> RolloutGroup {
    let task = Task::new("t", Prompt::Text("?".to_owned()), "1/2");
    let completion = |text: &&str| {
        let (text, finish) = match text.strip_suffix('…') {
            Some(cut) => (cut, Finish::Length),
            None => (*text, Finish::Eos),
        };
        let sample = Sample::new(&task, text)
            .truncated(finish == Finish::Length)
            .tokens(text.len());
        let outcome = match text {
            "broken" => Err(JudgeError::Deadline { seconds: 1.0 }),
            _ => rubric.score(&sample).map_err(JudgeError::from),
        };
        let turn = SampledTurn {
            tokens: vec![0; text.len()].into(),
            logprobs: Vec::new().into(),
            text: text.to_owned(),
            finish,
        };
        Completion::of_one_turn([1], turn, outcome)
    };
    RolloutGroup {
        completions: texts.iter().map(completion).collect(),
        prompt_text: "?".to_owned(),
        prompt: [1].into(),
        task: task.clone(),
    }
}

fn measured(greedy: &[&str], sampled: &[&[&str]], correct: &str) -> Measurement {
    let rubric = rubric();
    let judge = Judge::new(self::rubric(), Duration::from_secs(1)).unwrap();
    let encoder = PromptEncoder {
        tokenizer: Tokenizer::characters("?", &["<eos>"]).unwrap(),
        template: None,
        origin: "a test".to_owned(),
    };
    let sampling = SamplingConfig::default();
    let evaluation = Evaluation {
        collector: RolloutCollector::new(&encoder, &judge, &[]),
        sampling: &sampling,
        correct,
        samples: sampled.first().map_or(0, |texts| texts.len()),
        seed: 7,
    };
    let greedy = greedy.iter().map(|text| group(&rubric, &[*text])).collect();
    let sampled = sampled.iter().map(|texts| group(&rubric, texts)).collect();
    evaluation.measured(greedy, sampled, rubric.answers(correct))
}

#[test]
fn verdicts_that_are_none_are_counted_apart_and_left_out() {
    let undecided = r"\boxed{5^{5^{5^5}}}";
    let found = measured(
        &[
            r"\boxed{0.5}",
            r"\boxed{3}",
            undecided,
            "broken",
            r"it is 1/2…",
        ],
        &[],
        "math",
    );
    let report = &found.report;
    assert_eq!(
        serde_json::to_string(&found.greedy).unwrap(),
        "\"10--0\"",
        "a cut-off answer without an end is wrong"
    );
    assert_eq!(report.greedy_accuracy, Some(1.0 / 3.0));
    assert_eq!(
        (report.failed_judgements, report.undecided_judgements),
        (1, 1)
    );
    let by = [("completion".to_owned(), 1), ("host".to_owned(), 1)];
    assert_eq!(report.unjudged_by, by.into());
    assert_eq!((report.problems, report.samples), (5, 0));
    assert!((report.greedy_truncated - 0.2).abs() < 1e-12);
    let interval = report.greedy_accuracy_interval.unwrap();
    assert_eq!((interval.low, interval.high), (0.0, 1.0));
    assert_eq!(report.sampled_accuracy, None);
    assert!(report.pass_at.is_empty() && report.cons_at.is_empty());
    let reason = found.greedy_groups[2].completions[0].outcome.as_ref();
    assert!(matches!(
        reason,
        Err(JudgeError::Reward(RewardError::Undecided { .. }))
    ));
}

#[test]
fn the_majority_decides() {
    let (half, other, third) = (r"\boxed{0.5}", r"\boxed{2}", r"\boxed{3}");
    // Equal answers in three ways of writing outvote two that are the same in one.
    let first: &[&str] = &[
        half,
        r"\boxed{1/2}",
        other,
        other,
        r"\boxed{\frac12}",
        "none",
    ];
    // Right and wrong are level: half a point. What has no verdict has no vote.
    let second: &[&str] = &[half, other, "broken", "broken", "none", "none"];
    // One vote, for a wrong answer; in the first two blocks of two nobody votes.
    let third: &[&str] = &["none", "none", "none", "none", "none", third];
    let found = measured(&[half, half, half], &[first, second, third], "math");
    let report = &found.report;
    assert_eq!(report.samples, 6);
    assert_eq!(
        report.cons_at.keys().copied().collect::<Vec<_>>(),
        [1, 2, 4, 6]
    );
    assert!((report.cons_at[&6] - (1.0 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
    // Blocks of two of the first: right, wrong, right; of the second: level, not judged, nobody.
    let two = ((2.0 / 3.0) + (0.5 + 0.0) / 2.0 + 0.0) / 3.0;
    assert!((report.cons_at[&2] - two).abs() < 1e-12);
    assert_eq!(report.samples_without_answer, Some(1 + 4 + 5));
    // 3 of 6, 1 of 4, 0 of 6 are right.
    assert_eq!(report.sampled_accuracy, Some(4.0 / 16.0));
    assert!((report.pass_at[&1] - (0.5 + 0.25 + 0.0) / 3.0).abs() < 1e-12);
    assert!((report.pass_at[&4] - (1.0 + 1.0 + 0.0) / 3.0).abs() < 1e-12);
    assert_eq!(report.failed_judgements, 2);
    for (k, interval) in &report.cons_at_intervals {
        assert!(interval.contains(report.cons_at[k]), "{k}: {interval:?}");
    }
    // The second has four verdicts, too few for pass@6.
    assert!(report.pass_at.contains_key(&6));
}

#[test]
fn a_component_without_answers_has_no_vote() {
    let found = measured(&["a"], &[&["<think>a</think><answer>b</answer>"]], "format");
    assert_eq!(found.report.sampled_accuracy, Some(1.0));
    assert!(found.report.cons_at.is_empty());
    assert_eq!(found.report.samples_without_answer, None);
    assert_eq!(found.report.pass_at[&1], 1.0);
}
