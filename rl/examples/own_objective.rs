//! An objective in Rust: REINFORCE, `−w · A · log π`, in place of the table's.
//!
//!     cargo run --release --example own_objective
#![allow(clippy::print_stdout)] // what an example is for

use dunwu::{
    config::RunConfig,
    run::{Event, Run},
    stages::grpo::loss::{CompletionTokens, TokenLosses},
};

/// The loss of a completion's tokens, and its derivative by each log-probability. `weight` is the normaliser's share.
fn reinforce(tokens: &CompletionTokens) -> TokenLosses {
    let pairs = tokens.logprobs.iter().zip(tokens.advantages);
    let value = pairs.map(|(logprob, advantage)| f64::from(logprob * advantage));
    let slope = |advantage: &f32| -(tokens.weight as f32) * advantage;
    let by_logprobs = tokens.advantages.iter().map(slope).collect();
    TokenLosses::of_logprobs(-tokens.weight * value.sum::<f64>(), by_logprobs)
}

const CONFIG: &str = r#"
name = "reinforce"
device = "flex"
model = { source = "scratch", alphabet = "0123456789+=,", hidden_size = 32, intermediate_size = 64, layers = 2, heads = 2, kv_heads = 1, context = 64, special_tokens = ["<think>", "</think>", "<answer>", "</answer>"] }
data = { task = { generator = "chain-sum", terms_min = 2, terms_max = 3 } }
sampling = { max_tokens = 24 }
evaluation = { problems = 5 }

[reward.rubric]
components = [{ kind = "exact", extraction = ["answer-tag"] }, { kind = "format", weight = 0.1 }]

[[stages]]
kind = "sft"
steps = 60
batch = 16
learning_rate = 4e-3

[[stages]]
kind = "grpo"
steps = 4
prompts = 4
group = 8
learning_rate = 1e-3
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    Run::builder(RunConfig::from_toml(CONFIG)?)
        .directory(directory.path().join("run"))
        .objective(reinforce)
        .preflight(false) // a model this small may have nothing to learn from in eight groups
        .observer(|event: &Event| {
            if let Event::Step { line, metrics, .. } = event {
                println!("step {}: {}", line.step, metrics.line());
            }
        })
        .train()?;
    Ok(())
}
