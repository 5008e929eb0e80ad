//! Sampling and updating without a run's directory: the loop is yours.
//!
//!     cargo run --release --example own_loop
#![allow(clippy::print_stdout)] // what an example is for

use std::{sync::Arc, time::Duration};

use dunwu::{
    bundle::Bundle,
    config::RunConfig,
    device,
    learner::{AdamW, Learner},
    rollout::{Judge, OneTurn},
    stages::grpo::{Feed, GrpoConfig, Sampler, Trainer},
};
use dunwu_datasets::{Generator, GeneratorConfig, GeneratorSource, Split};
use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = RunConfig::from_toml(include_str!("../../configs/quickstart.toml"))?;
    let device = device::choose(config.device)?.device;
    let Bundle { model, codec } = Bundle::from_section(&config.model, config.seed, &device)?;
    let rubric = RubricConfig::new(vec![ComponentConfig::Format(Default::default())]);
    let judge = Arc::new(Judge::new(
        Rubric::from_config(&rubric)?,
        Duration::from_secs(10),
    )?);
    let grpo = GrpoConfig {
        steps: 4,
        prompts: 4,
        group: 8,
        learning_rate: 1e-3,
        ..Default::default()
    };

    let sums = Generator::from_config(&GeneratorConfig::ChainSum(Default::default()))?;
    let sampler = Sampler {
        config: grpo.clone(),
        sampling: config.sampling.clone(),
        memory: config.memory.clone(),
        codec: Arc::new(codec),
        judge: judge.clone(),
        environment: Arc::new(OneTurn),
        correct: "format".to_owned(),
        prompts: Default::default(),
        seed: 1,
        recorded_tokens: 0,
    };
    let mut feed = Feed::in_turn(
        sampler,
        Box::new(GeneratorSource::new(sums, 1, Split::Train)),
    );
    let trainer = Trainer {
        config: &grpo,
        sampling: &config.sampling,
        judge: &judge,
        reference: None,
        scoring: config.memory.scoring(&config.sampling),
        workers: config.memory.workers,
        activations: config.memory.activations(),
        objective: None,
    };
    let mut learner = Learner::new(model, AdamW::new(grpo.optimizer), 0);
    for step in 0..grpo.steps {
        let outcome = trainer.step(&mut learner, &mut feed, step)?;
        println!(
            "step {}: reward {:.3}",
            step + 1,
            outcome.metrics.reward_mean
        );
    }
    Ok(())
}
