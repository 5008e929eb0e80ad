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
    rollout::Judge,
    stages::grpo::{Feed, GrpoConfig, Sampler, Trainer},
};
use dunwu_datasets::{Generator, GeneratorConfig, GeneratorSource, Split};
use dunwu_rewards::{ComponentConfig, Rubric, RubricConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = RunConfig::from_toml(include_str!("../../configs/quickstart.toml"))?;
    let (sampling, memory) = (&config.sampling, &config.memory);
    let device = device::choose(config.device)?.device;
    let Bundle { model, codec } = Bundle::from_section(&config.model, config.seed, &device)?;
    let sums = Generator::from_config(&GeneratorConfig::ChainSum(Default::default()))?;
    let tasks = GeneratorSource::new(sums, 1, Split::Train);
    let rubric = RubricConfig::new(vec![ComponentConfig::Format(Default::default())]);
    let rubric = Rubric::from_config(&rubric)?;
    let judge = Arc::new(Judge::new(rubric, Duration::from_secs(10))?);
    let grpo = GrpoConfig {
        steps: 4,
        prompts: 4,
        group: 8,
        learning_rate: 1e-3,
        ..Default::default()
    };

    let sampler = Sampler {
        sampling: sampling.clone(),
        memory: memory.clone(),
        correct: "format".to_owned(),
        ..Sampler::new(grpo.clone(), Arc::new(codec), judge.clone())
    };
    let mut feed = Feed::in_turn(sampler, Box::new(tasks));
    let trainer = Trainer::new(&grpo, sampling, &judge, memory);
    let mut learner = Learner::new(model, AdamW::new(grpo.optimizer), 0);
    for step in 0..grpo.steps {
        let metrics = trainer.step(&mut learner, &mut feed, step)?.metrics;
        println!("step {}: reward {:.3}", step + 1, metrics.reward_mean);
    }
    Ok(())
}
