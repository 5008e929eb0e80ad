//! `dunwu data`.

use clap::{Args, ValueEnum};
use dunwu_datasets::{Generator, GeneratorConfig, Split, TraceMix};

use super::{Failure, model::print_json, usage};

/// Write tasks of a generator as JSON lines.
///
/// The i-th task depends on the seed and on i alone: a longer list begins with the shorter one.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// Which generator: chain-sum, addition, countdown, program
    generator: String,
    /// Tasks to write
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// Seeds the tasks
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which side of the split: problems for training, or those it never sees
    #[arg(long, value_enum, default_value_t = Side::Train)]
    split: Side,
    /// Share of training done, 0 to 1, for generators with a curriculum
    #[arg(long, default_value_t = 0.0)]
    progress: f64,
    /// Write demonstrations {"prompt", "completion"} instead of tasks
    #[arg(long)]
    demonstrations: bool,
    /// Override a setting of the generator: --set terms_max=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    Train,
    Heldout,
}

impl Data {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = format!("generator = {:?}", self.generator);
        let config: GeneratorConfig = dunwu::config::load::table(&text, &self.overrides)?;
        let generator = Generator::from_config(&config).map_err(usage)?;
        let split = match self.split {
            Side::Train => Split::Train,
            Side::Heldout => Split::Heldout,
        };
        for index in 0..self.count {
            match self.demonstrations {
                true => print_json(
                    &generator
                        .demonstration(self.seed, index, &TraceMix::default())
                        .map_err(usage)?,
                )?,
                false => print_json(
                    &generator
                        .task(self.seed, index, self.progress, split)
                        .map_err(usage)?,
                )?,
            }
        }
        Ok(())
    }
}
