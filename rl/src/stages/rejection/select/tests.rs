use dunwu_datasets::Task;
use dunwu_rewards::{RewardError, RewardOutcome};

use super::*;
use crate::{
    generation::Finish,
    rollout::{JudgeError, SampledTurn},
};

/// A completion that is worth `exact` and has so many tokens; without a verdict when `exact` is none.
fn completion(text: &str, tokens: usize, exact: Option<f64>) -> Completion {
    ended(text, tokens, exact, Finish::Eos)
}

fn ended(text: &str, tokens: usize, exact: Option<f64>, finish: Finish) -> Completion {
    let turn = SampledTurn {
        tokens: vec![1; tokens].into(),
        logprobs: vec![0.0; tokens].into(),
        text: text.to_owned(),
        finish,
    };
    let outcome = match exact {
        Some(exact) => Ok(RewardOutcome {
            total: exact + 0.1,
            components: vec![("exact".to_owned(), Some(exact))],
            parts: Vec::new(),
            notes: Vec::new(),
        }),
        None => Err(JudgeError::Deadline { seconds: 1.0 }),
    };
    Completion::of_one_turn([1], turn, outcome)
}

fn group(id: &str, completions: Vec<Completion>) -> RolloutGroup {
    RolloutGroup {
        task: Task::new(id, Prompt::Text(format!("{id}=")), ""),
        prompt_text: String::new(),
        prompt: [0].into(),
        completions,
    }
}

fn config() -> RejectionConfig {
    RejectionConfig {
        component: Some("exact".to_owned()),
        keep: 2,
        ..RejectionConfig::default()
    }
}

fn texts(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.completion.as_str()).collect()
}

fn mixed() -> RolloutGroup {
    let cut = ended("cut", 9, Some(1.0), Finish::Length);
    let all = vec![
        completion("wrong", 3, Some(0.0)),
        completion("long", 8, Some(1.0)),
        cut,
        completion("long", 8, Some(1.0)),
        completion("unjudged", 1, None),
        completion("short", 2, Some(1.0)),
        completion("middle", 5, Some(1.0)),
    ];
    group("a", all)
}

#[test]
fn verified_completions_are_kept_once_in_order() {
    let (rows, counts) = select(&config(), &[mixed()]);
    assert_eq!(texts(&rows), ["long", "short"]);
    let row = &rows[0];
    assert_eq!((row.task.as_str(), row.reward, row.tokens), ("a", 1.1, 8));
    assert_eq!(row.prompt, Prompt::Text("a=".to_owned()));
    assert!((row.pass_rate - 5.0 / 6.0).abs() < 1e-12);
    let expected = Counts {
        tasks: 1,
        tasks_kept: 1,
        completions: 7,
        tokens: 36,
        judged: 6,
        verified: 5,
        kept: 2,
        kept_tokens: 10,
        truncated: 1,
        duplicates: 1,
        failed_judgements: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    assert_eq!(counts.kept_length_mean(), Some(5.0));
}

#[test]
fn which_are_kept_can_be_chosen() {
    let kept = |change: &dyn Fn(&mut RejectionConfig)| {
        let mut config = config();
        change(&mut config);
        let (rows, _) = select(&config, &[mixed()]);
        rows.into_iter()
            .map(|row| row.completion)
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&|c| c.pick = Pick::Shortest), ["short", "middle"]);
    assert_eq!(kept(&|c| c.pick = Pick::Longest), ["long", "middle"]);
    assert_eq!(kept(&|c| c.distinct = false), ["long", "long"]);
    assert_eq!(kept(&|c| c.keep_truncated = true), ["long", "cut"]);
    assert_eq!(kept(&|c| c.keep = 1), ["long"]);
    assert!(kept(&|c| c.threshold = 1.05).is_empty(), "by the component");
    let total = |c: &mut RejectionConfig| {
        (c.component, c.threshold) = (None, 1.05);
    };
    assert_eq!(kept(&total), ["long", "short"], "by the total");
}

#[test]
fn tasks_are_kept_by_their_pass_rate() {
    let half = group(
        "half",
        vec![completion("a", 1, Some(1.0)), completion("b", 1, Some(0.0))],
    );
    let all = group(
        "all",
        vec![completion("c", 1, Some(1.0)), completion("d", 1, None)],
    );
    let none = group("none", vec![completion("e", 1, Some(0.0))]);
    let unknown = group("unknown", vec![completion("f", 1, None)]);
    let groups = [half, all, none, unknown];
    let kept = |low, high| {
        let config = RejectionConfig {
            pass_rate_min: low,
            pass_rate_max: high,
            ..config()
        };
        let (rows, counts) = select(&config, &groups);
        (
            texts(&rows)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            counts.tasks_out_of_range,
        )
    };
    assert_eq!(kept(0.0, 1.0), (vec!["a".to_owned(), "c".to_owned()], 0));
    assert_eq!(kept(0.1, 0.9), (vec!["a".to_owned()], 2));
    // A completion without a verdict is not a wrong one: "all" has a rate of 1.
    assert_eq!(kept(1.0, 1.0), (vec!["c".to_owned()], 2));
}

#[test]
fn an_undecided_judge_is_counted_apart() {
    let mut undecided = completion("?", 1, None);
    undecided.outcome = Err(JudgeError::Reward(RewardError::Undecided {
        fault: dunwu_rewards::Fault::Completion,
        task: "a".to_owned(),
        name: "math".to_owned(),
        reason: "budget".to_owned(),
    }));
    let (rows, counts) = select(&config(), &[group("a", vec![undecided])]);
    assert!(rows.is_empty());
    assert_eq!(
        (counts.undecided_judgements, counts.failed_judgements),
        (1, 0)
    );
    assert_eq!(counts.pass_rate(), None);
}
