//! `dunwu eval`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use dunwu::{
    config,
    device::{self, DeviceChoice},
    eval::Evaluation,
    generation::SamplingConfig,
    rollout::{Judge, RolloutCollector},
    run::{Bundle, console::Console, seeds, tasks},
};
use dunwu_rewards::Rubric;

use super::{Failure, model::print_json, usage};

/// Measure a model on a config's held-out problems: greedy accuracy, sampled accuracy, pass@k.
///
/// Writes one JSON object to standard output.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The config whose task, reward and sampling are used
    config: PathBuf,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Measure this model instead of the config's: a run's directory, a Hugging Face directory, a
    /// .gguf file, owner/name on the hub
    #[arg(long)]
    model: Option<String>,
    /// Where tensors live
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Held-out problems [default: the config's]
    #[arg(long)]
    problems: Option<usize>,
    /// Completions sampled for each problem besides the greedy one [default: the config's]
    #[arg(long)]
    samples: Option<usize>,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut config = config::load(&self.config, &self.overrides)?;
        super::sandbox::prepare_for(&config.reward.rubric)?;
        config.evaluation.problems = self.problems.unwrap_or(config.evaluation.problems);
        if config.evaluation.problems == 0 {
            return Err(usage("--problems 0: there is nothing to measure"));
        }
        let chosen = device::choose(self.device.unwrap_or(config.device))?;
        eprintln!("device   {}", chosen.reason);
        let bundle = match &self.model {
            Some(model) => Bundle::open(model, &chosen.device)?,
            None => {
                Bundle::from_section(&config.model, seeds::weights_seed(&config), &chosen.device)?
            }
        };
        let rubric = Rubric::from_config(&config.reward.rubric).map_err(usage)?;
        let judge = Judge::new(rubric, Duration::from_secs_f64(config.reward.deadline_s))?;
        let tasks = tasks::heldout(&config)?;
        if let Some(task) = tasks.first() {
            eprintln!("prompt   {:?}", bundle.codec.encoder.text(&task.prompt)?);
        }
        let sampling: &SamplingConfig = &config.sampling;
        let evaluation = Evaluation {
            collector: RolloutCollector {
                encoder: &bundle.codec.encoder,
                judge: &judge,
                eos: &bundle.codec.eos,
                batch_rows: config.memory.batch_rows,
                workers: config.memory.workers,
            },
            sampling,
            correct: &config.evaluation.correct,
            samples: self.samples.unwrap_or(config.evaluation.samples),
            seed: seeds::evaluation_seed(&config),
        };
        let bar = Console::new().counter(
            "held-out",
            tasks.len() * (1 + usize::from(evaluation.samples > 0)),
        );
        let (report, _) = evaluation.run(&bundle.model, &tasks, |done| bar.set(done))?;
        bar.finish();
        print_json(&report)
    }
}
