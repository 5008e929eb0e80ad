//! `dunwu data`.

mod report;
mod show;

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use dunwu::{
    config::{self},
    seeds::{Purpose, evaluation_seed, stage_seed},
    stages::StageConfig,
    tasks::Tasks,
};
use dunwu_datasets::{Generator, GeneratorConfig, Split, TraceMix};

use super::{Failure, data_check::DataCheck, model::print_json, usage};

/// Write tasks of a generator, or of a config, as JSON lines.
///
/// The i-th task of a generator depends on the seed and on i alone: a longer list begins with the shorter one. Tasks of a config
/// are put by its template and come in the order of a first GRPO stage to which nobody reports results.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Data {
    #[command(subcommand)]
    action: Option<Action>,
    /// Which generator: chain-sum, addition, countdown, program; or the config of a run
    #[arg(required = true)]
    generator: Option<String>,
    /// Tasks to write
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Seeds the tasks; those of a config have its seed
    #[arg(long)]
    seed: Option<u64>,
    /// Which side of the split: problems for training, or those it never sees
    #[arg(long, value_enum, default_value_t = Side::Train)]
    split: Side,
    /// Share of training done, 0 to 1, for generators with a curriculum
    #[arg(long, default_value_t = 0.0)]
    progress: f64,
    /// Write demonstrations {"prompt", "completion"} instead of tasks
    #[arg(long)]
    demonstrations: bool,
    /// Override a setting of the generator or the config: --set terms_max=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Show),
    Check(DataCheck),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Train,
    Heldout,
}

impl Data {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Some(Action::Show(show)) => return show.run(),
            Some(Action::Check(check)) => return check.run(),
            None => {}
        }
        match self
            .generator
            .as_deref()
            .and_then(|name| Path::new(name).extension())
        {
            Some(_) => self.of_config(),
            None => self.of_generator(),
        }
    }

    fn of_generator(self) -> Result<(), Failure> {
        let name = self.generator.as_deref().unwrap_or_default();
        let text = format!("generator = {name:?}");
        let config: GeneratorConfig = config::load::table(&text, &self.overrides)?;
        let generator = Generator::from_config(&config).map_err(usage)?;
        let seed = self.seed.unwrap_or(0);
        let split = match self.split {
            Side::Train => Split::Train,
            Side::Heldout => Split::Heldout,
        };
        for index in 0..self.count {
            if self.demonstrations {
                print_json(
                    &generator
                        .demonstration(seed, index, &TraceMix::default())
                        .map_err(usage)?,
                )?
            } else {
                print_json(
                    &generator
                        .task(seed, index, self.progress, split)
                        .map_err(usage)?,
                )?
            }
        }
        Ok(())
    }

    fn of_config(self) -> Result<(), Failure> {
        if self.demonstrations {
            return Err(usage(
                "--demonstrations goes with a generator's name, not with a config",
            ));
        }
        let mut overrides = self.overrides;
        overrides.extend(self.seed.map(|seed| format!("seed={seed}")));
        let path = self.generator.as_deref().unwrap_or_default();
        let config = config::load(Path::new(path), &overrides)?;
        let (data, problems) = (&config.data, config.evaluation.problems);
        let tasks = Tasks::new(data, problems, evaluation_seed(config.seed))?;
        if self.split == Side::Heldout {
            for task in tasks.heldout.iter().take(self.count as usize) {
                print_json(task)?;
            }
            return Ok(());
        }
        let stages = config.stages.iter().enumerate();
        let (stage, prompts) = stages
            .filter_map(|(index, stage)| match stage {
                StageConfig::Grpo(grpo) => Some((index, grpo.prompts)),
                _ => None,
            })
            .next()
            .unwrap_or((0, 1));
        let mut source = tasks.source(stage_seed(config.seed, Purpose::Tasks, stage))?;
        let mut left = self.count as usize;
        while left > 0 {
            for task in source
                .next_batch(prompts.min(left), self.progress)
                .map_err(usage)?
            {
                print_json(&task)?;
                left -= 1;
            }
        }
        Ok(())
    }
}
