use dunwu_datasets::Task;
use dunwu_rewards::RewardOutcome;

use super::*;
use crate::{
    generation::Finish,
    rollout::{JudgeError, SampledTurn},
};

/// A completion that is worth `worth` and has so many tokens; without a verdict when `worth` is none.
fn completion(text: &str, tokens: usize, worth: Option<f64>, finish: Finish) -> Completion {
    let turn = SampledTurn {
        tokens: vec![1; tokens].into(),
        logprobs: vec![0.0; tokens].into(),
        text: text.to_owned(),
        finish,
    };
    let outcome = match worth {
        Some(total) => Ok(RewardOutcome {
            total,
            components: vec![("exact".to_owned(), Some(total))],
            parts: Vec::new(),
            notes: Vec::new(),
        }),
        None => Err(JudgeError::Deadline { seconds: 1.0 }),
    };
    Completion::of_one_turn([1], turn, outcome)
}

fn group(completions: Vec<Completion>) -> RolloutGroup {
    RolloutGroup {
        task: Task::new("a", Prompt::Text("a=".to_owned()), ""),
        prompt_text: String::new(),
        prompt: [0].into(),
        completions,
    }
}

fn mixed() -> RolloutGroup {
    let ended = |text: &str, tokens, worth| completion(text, tokens, worth, Finish::Eos);
    group(vec![
        ended("right and long", 9, Some(1.1)),
        ended("wrong and short", 2, Some(0.1)),
        ended("unjudged", 2, None),
        ended("right and short", 3, Some(1.1)),
        ended("right and short", 3, Some(1.1)),
        completion("wrong and cut", 12, Some(0.0), Finish::Length),
        ended("wrong and long", 8, Some(0.0)),
        ended(" ", 1, Some(0.0)),
    ])
}

fn sides(config: &PairsConfig) -> Vec<(String, String)> {
    let (rows, _) = select(config, &[mixed()]);
    rows.into_iter()
        .map(|row| (row.chosen, row.rejected))
        .collect()
}

#[test]
fn what_is_right_is_paired_with_what_is_wrong_each_once() {
    let mut config = PairsConfig {
        pairs_per_task: 3,
        ..PairsConfig::default()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [
        pair("right and long", "wrong and short"),
        pair("right and short", "wrong and long"),
    ];
    assert_eq!(sides(&config), expected);
    let (rows, counts) = select(&config, &[mixed()]);
    assert_eq!((rows[0].reward_chosen, rows[0].reward_rejected), (1.1, 0.1));
    assert!((rows[0].margin - 1.0).abs() < 1e-12);
    let expected = Counts {
        tasks: 1,
        tasks_paired: 1,
        completions: 8,
        tokens: 40,
        judged: 7,
        right: 3,
        pairs: 2,
        chosen_tokens: 12,
        rejected_tokens: 10,
        truncated: 1,
        empty: 1,
        duplicates: 1,
        failed_judgements: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    config.pairs_per_task = 1;
    assert_eq!(sides(&config).len(), 1);
}

#[test]
fn lengths_can_be_matched_and_small_differences_left_out() {
    let config = PairsConfig {
        match_length: true,
        pairs_per_task: 2,
        ..PairsConfig::default()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [
        pair("right and long", "wrong and long"),
        pair("right and short", "wrong and short"),
    ];
    assert_eq!(sides(&config), expected);
    let config = PairsConfig {
        min_difference: 1.05,
        ..config
    };
    assert_eq!(sides(&config), [pair("right and long", "wrong and long")]);
}

#[test]
fn a_task_with_one_side_only_makes_no_pair() {
    let one = |worth| group(vec![completion("x", 1, Some(worth), Finish::Eos)]);
    let (rows, counts) = select(&PairsConfig::default(), &[one(1.0), one(0.0)]);
    assert!(rows.is_empty());
    assert_eq!((counts.tasks_all_right, counts.tasks_all_wrong), (1, 1));
}
