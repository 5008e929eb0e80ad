//! A reward in Rust: what a completion is worth is a function of yours.
//!
//!     cargo run --release --example own_reward
#![allow(clippy::print_stdout)] // what an example is for

use dunwu::{
    config::RunConfig,
    run::{Event, Run},
};
use dunwu_rewards::{Component, Reward, RewardError, Sample};

/// Worth the share of digits in the completion.
struct Digits;

impl Reward for Digits {
    fn name(&self) -> &str {
        "digits"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let digits = sample.completion.chars().filter(char::is_ascii_digit);
        let length = sample.completion.chars().count().max(1);
        Ok(Some(digits.count() as f64 / length as f64))
    }
}

const CONFIG: &str = r#"
name = "digits"
device = "flex"
model = { source = "scratch", alphabet = "0123456789+=,", hidden_size = 32, intermediate_size = 64, layers = 2, heads = 2, kv_heads = 1, context = 64, special_tokens = ["<think>", "</think>", "<answer>", "</answer>"] }
data = { task = { generator = "chain-sum", terms_min = 2, terms_max = 3 } }
sampling = { max_tokens = 12 }
evaluation = { correct = "digits", problems = 20 }
stages = [{ kind = "grpo", steps = 6, prompts = 4, group = 8, learning_rate = 3e-3 }]
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    Run::builder(RunConfig::from_toml(CONFIG)?)
        .directory(directory.path().join("run"))
        .reward(Component::new(Box::new(Digits)))
        .preflight(false) // an untrained model seldom ends a completion
        .observer(|event: &Event| {
            if let Event::Step { line, .. } = event {
                println!(
                    "step {}: digits {:.3}",
                    line.step, line.metrics["reward_mean"]
                );
            }
        })
        .train()?;
    Ok(())
}
