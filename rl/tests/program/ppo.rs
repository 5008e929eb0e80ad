//! PPO with a value function: a run that goes on exactly, and settings that cannot be.

use std::fs;

use tempfile::TempDir;

use super::{
    config,
    exactness::{VARIED, killed_again_and_again},
    fails, json_lines, succeeds, timeless, train,
};

/// A critic with a trunk of its own: alone at first, more updates than the policy, ends that are worth something, and a weight
/// of the KL penalty that follows the divergence.
const WHOLE: &[&str] = &[
    VARIED,
    "stages.sft.steps=20",
    "stages.grpo.steps=12",
    "stages.grpo.learning_rate=1e-3",
    "stages.grpo.beta=0.05",
    "stages.grpo.kl_in=reward",
    "stages.grpo.kl_estimator=k1",
    "stages.grpo.adaptive_kl.target_kl=0.01",
    "stages.grpo.adaptive_kl.horizon=50",
    "stages.grpo.critic.learning_rate=1e-3",
    "stages.grpo.critic.warmup_steps=2",
    "stages.grpo.critic.iterations=2",
    "stages.grpo.critic.bootstrap_truncated=true",
];

/// Adapters of the critic's own on the base of the policy's, sampling ahead, several updates a batch, groups sampled again.
const ADAPTERS: &[&str] = &[
    VARIED,
    "lora.rank=2",
    "stages.sft.steps=10",
    "stages.grpo.steps=12",
    "stages.grpo.max_staleness=2",
    "stages.grpo.mini_batches=2",
    "stages.grpo.correction.high=2.0",
    "stages.grpo.dynamic_sampling.max_batches=2",
    "stages.grpo.critic.learning_rate=1e-3",
    "stages.grpo.critic.lam_critic=1.0",
];

#[test]
fn a_run_with_a_critic_that_was_killed_is_the_run_never_stopped() {
    killed_again_and_again("quickstart.toml", WHOLE);
}

#[test]
fn a_critic_with_adapters_of_its_own_too() {
    killed_again_and_again("quickstart.toml", ADAPTERS);
}

fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|set| ["--set", set]).collect()
}

/// While the critic learns alone the policy stays as it is; groups of one are enough; the critic's figures are logged, and the
/// memory that it takes is in the estimate.
#[test]
fn a_critic_learns_alone_first_and_needs_no_group() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let settings = [
        WHOLE,
        &[
            "stages.grpo.group=1",
            "stages.grpo.prompts=8",
            "stages.grpo.steps=4",
            "checkpoint.keep=99",
        ],
    ]
    .concat();
    let settings = set(&settings);
    succeeds(dir.path(), &train(quickstart, "run", &settings));
    let weights = |step: usize| {
        let model = format!("run/checkpoints/step-{step:06}/model/model.safetensors");
        fs::read(dir.path().join(model)).unwrap()
    };
    let head = |step: usize| {
        let head = format!("run/checkpoints/step-{step:06}/stage/critic/head.safetensors");
        fs::read(dir.path().join(head)).unwrap()
    };
    assert!(weights(20) == weights(22), "the policy waits for two steps");
    assert!(head(21) != head(22), "the critic does not");
    assert!(weights(22) != weights(23));
    let lines = json_lines(&dir.path().join("run/metrics.jsonl"));
    let step = lines.last().unwrap();
    for key in [
        "value_loss",
        "value_mean",
        "return_mean",
        "explained_variance",
    ] {
        assert!(step[key].as_f64().is_some(), "{key} of {step}");
    }
    let weight = |step: usize| lines[step]["kl_coef"].as_f64().unwrap();
    assert!(weight(20) == 0.05 && weight(23) != weight(22));
    assert_eq!(lines[20]["learning_rate"].as_f64(), Some(0.0));

    let words = |settings: &[&str]| {
        let mut arguments = vec!["check", quickstart];
        arguments.extend(settings);
        let output = succeeds(dir.path(), &arguments);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let with = words(&["--set", "stages.grpo.critic.warmup_steps=2"]);
    assert!(
        with.contains("a critic with weights of its own, alone for 2 steps"),
        "{with}"
    );
}

/// Without a critic nothing is as it is with one, and a stage without is what it was.
#[test]
fn no_critic_no_figures_of_one() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    succeeds(dir.path(), &train(quickstart, "run", &[]));
    let lines = timeless(&dir.path().join("run/metrics.jsonl"));
    let step = lines.last().unwrap();
    assert!(step.get("value_loss").is_none() && step.get("kl_coef").is_none());
}

#[test]
fn settings_of_a_critic_that_cannot_be_name_both_sides() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let refused = |settings: &[&str], code: i32, parts: &[&str]| {
        let settings = set(settings);
        fails(
            dir.path(),
            &train(quickstart, "none", &settings),
            code,
            parts,
        );
    };
    refused(
        &["stages.grpo.critic.lam=1.5"],
        2,
        &["critic.lam = 1.5", "between 0 and 1"],
    );
    refused(
        &["stages.grpo.critic.gamma=-0.1"],
        2,
        &["critic.gamma = -0.1", "between 0 and 1"],
    );
    refused(
        &["stages.grpo.critic.warmup_steps=4"],
        2,
        &["critic.warmup_steps = 4", "steps = 4"],
    );
    refused(
        &["stages.grpo.adaptive_kl.target_kl=0.1"],
        2,
        &["adaptive_kl", "beta = 0", "kl_in = \"loss\""],
    );
    let critic = "stages.grpo.critic.lam=0.9";
    refused(
        &[critic, "stages.grpo.loss=gspo"],
        2,
        &[
            "critic",
            "loss = \"gspo\"",
            "importance_level = \"sequence\"",
        ],
    );
    refused(&[critic, "stages.grpo.loss=gmpo"], 2, &["critic", "gmpo"]);
    refused(
        &[critic, "stages.grpo.baseline=group"],
        2,
        &["baseline = \"group\"", "critic"],
    );
    refused(
        &["stages.grpo.critic.trunk=adapter"],
        2,
        &["critic.trunk = \"adapter\"", "[lora]"],
    );
    refused(
        &[
            critic,
            "stages.grpo.group=1",
            "stages.grpo.dynamic_sampling.max_batches=2",
        ],
        2,
        &["dynamic_sampling", "group of 1"],
    );
    refused(
        &["stages.grpo.critic.from.path=nothing"],
        2,
        &["critic.from.path = \"nothing\"", "head.safetensors"],
    );
}

/// What one run's critic has learnt is what another's begins with, as a reward model would be; of another base or vocabulary it
/// is refused.
#[test]
fn a_critic_begins_with_what_another_has_learnt() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let learn = "stages.grpo.critic.learning_rate=1e-3";
    succeeds(
        dir.path(),
        &train(quickstart, "first", &set(&[VARIED, learn])),
    );
    let left = "first/checkpoints/step-000007/stage/critic";
    let from = format!("stages.grpo.critic.from.path={left}");
    succeeds(
        dir.path(),
        &train(quickstart, "second", &set(&[VARIED, learn, &from])),
    );
    let lines = json_lines(&dir.path().join("second/metrics.jsonl"));
    assert!(
        lines[3]["value_mean"].as_f64().unwrap() != 0.0,
        "it has an opinion before its first update"
    );
    let other = [VARIED, learn, &from, "model.alphabet=0123456789+=,-"];
    fails(
        dir.path(),
        &train(quickstart, "third", &set(&other)),
        2,
        &["critic.from.path", "another vocabulary", "id "],
    );
    let lora = [VARIED, learn, &from, "lora.rank=2"];
    fails(
        dir.path(),
        &train(quickstart, "fourth", &set(&lora)),
        2,
        &["critic.from.path", "adapter/", "whole"],
    );
}
