//! Watches a run and stops it when it has seen enough.
//!
//!     cargo run --release --example watch_a_run
#![allow(clippy::print_stdout)] // what an example is for

use dunwu::{
    config::RunConfig,
    run::{Controls, Event, Run},
};

const CONFIG: &str = r#"
name = "watched"
device = "flex"
model = { source = "scratch", alphabet = "0123456789+=,", hidden_size = 32, intermediate_size = 64, layers = 2, heads = 2, kv_heads = 1, context = 64, special_tokens = ["<think>", "</think>", "<answer>", "</answer>"] }
data = { task = { generator = "chain-sum", terms_min = 2, terms_max = 3 } }
evaluation = { problems = 20 }
sampling = { max_tokens = 32 }
stages = [{ kind = "sft", steps = 400, batch = 16, learning_rate = 4e-3 }]

[reward.rubric]
components = [{ kind = "exact", extraction = ["answer-tag"] }]
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let controls = Controls::default();
    let enough = controls.clone();
    let watch = move |event: &Event| match event {
        Event::Step {
            line, done, steps, ..
        } => {
            let loss = line.metrics["loss"].as_f64().unwrap_or(f64::NAN);
            println!("step {done} of {steps}: loss {loss:.3}");
            if *done == 10 {
                enough.stop(); // after the step under way, and saved
            }
        }
        Event::Saved { checkpoint, .. } => println!("saved to {}", checkpoint.display()),
        _ => {}
    };
    let summary = Run::builder(RunConfig::from_toml(CONFIG)?)
        .directory(directory.path().join("run"))
        .controls(controls)
        .observer(watch)
        .train()?;
    println!("{} steps, finished: {}", summary.steps, summary.finished);
    Ok(())
}
