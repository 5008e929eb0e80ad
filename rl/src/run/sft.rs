//! The loop around every supervised step.

use dunwu_datasets::{Demonstration, derive_seed, read_demonstrations};

use super::{RunDirectory, RunError, console::Console, interrupt, seeds::Purpose, train::Run};
use crate::{
    metrics::StageMetrics,
    policy::{GradientConfig, HeadConfig, Sequence},
    sft::{self, SftConfig},
};

impl Run<'_> {
    pub(super) fn sft(
        &mut self,
        stage: &SftConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        let demonstrations = match &stage.file {
            Some(file) => Some(read_demonstrations(file)?),
            None => None,
        };
        let bar = console.stage("sft", stage.steps, self.state.stage_step);
        let gradient = GradientConfig {
            head: HeadConfig {
                temperature: 1.0,
                chunk_bytes: self.head_chunk_bytes(),
            },
            activations: self.config.memory.activations(),
            whole: false,
        };
        for step in self.state.stage_step..stage.steps {
            let sequences = self.demonstrations(stage, demonstrations.as_deref(), step)?;
            let memory = &self.config.memory;
            let metrics = sft::step(stage, &mut self.learner, &sequences, step, memory, gradient)?;
            bar.sft(step + 1, &metrics);
            self.after_step(
                StageMetrics::Sft(metrics),
                None,
                step + 1 == stage.steps,
                || Ok(Vec::new()),
                directory,
            )?;
            if interrupt::asked() && step + 1 < stage.steps {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// The demonstrations of one step: those of a file in a seeded order, or generated ones.
    fn demonstrations(
        &self,
        stage: &SftConfig,
        file: Option<&[Demonstration]>,
        step: u64,
    ) -> Result<Vec<Sequence>, RunError> {
        let seed = self.seed(Purpose::Demonstrations);
        let mix = stage.traces.clone().unwrap_or_default();
        let first = step * stage.batch as u64;
        let mut sequences = Vec::with_capacity(stage.batch);
        for index in first..first + stage.batch as u64 {
            let demonstration = match (file, &self.tasks.generator) {
                (Some(all), _) => {
                    let place = derive_seed(seed, &[index]) % all.len() as u64;
                    all[place as usize].clone()
                }
                (None, Some(generator)) => generator.demonstration(seed, index, &mix)?,
                (None, None) => return Err(RunError::Config("no demonstrations".to_owned())),
            };
            let (_, prompt) = self.codec.encoder.encode(&demonstration.prompt)?;
            let tokenizer = &self.codec.encoder.tokenizer;
            let mut completion = tokenizer.encode(&demonstration.completion)?;
            completion.extend(self.codec.end());
            sequences.push(Sequence { prompt, completion });
        }
        Ok(sequences)
    }
}
