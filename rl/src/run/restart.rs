//! Stages that begin with other weights than the stage before left: those are kept for them.

use std::{fs, path::Path};

use super::{console::Console, train::{open, Run}, RunError};
use crate::{learner::{AdamW, Learner}, model::lora::save_adapter, run::checkpoint, stages::{sft::{Restart, SftConfig}, StageConfig}};

impl Run<'_> {
    /// Goes back to the weights that a stage asks for, before its first step.
    ///
    /// # Errors
    /// When they are not there.
    pub(super) fn restart(
        &mut self,
        stage: &SftConfig,
        directory: &Path,
        console: &Console,
    ) -> Result<(), RunError> {
        let Some(restart) = stage.restart.filter(|_| self.state.stage_step == 0) else {
            return Ok(());
        };
        let (bundle, whose) = match restart {
            Restart::RunStart => (
                open(self.config, None, &self.learner.model.device())?,
                "the run began with".to_owned(),
            ),
            Restart::AfterStage(index) => {
                let kept = directory.join(name(index));
                let whose = format!("stage {index} ended with");
                (
                    open(self.config, Some(&kept), &self.learner.model.device())?,
                    whose,
                )
            }
        };
        console.line(&format!("restart  with the weights that {whose}"));
        let optimizer = AdamW::new(stage.optimizer);
        self.learner = Learner::new(bundle.model, optimizer, self.learner.version);
        Ok(())
    }

    /// Keeps the weights at the end of the stage under way, where a later one asks for them.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub(super) fn keep_for_restart(&self, directory: &Path) -> Result<(), RunError> {
        let index = self.state.stage;
        let asks = |stage: &StageConfig| matches!(stage, StageConfig::Sft(sft) if sft.restart == Some(Restart::AfterStage(index)));
        if !self.config.stages.iter().any(asks) {
            return Ok(());
        }
        let kept = directory.join(name(index));
        let partial = directory.join(format!(".{}", name(index)));
        // What is there is of a sitting that was killed before its checkpoint.
        for path in [&kept, &partial] {
            if path.exists() {
                fs::remove_dir_all(path).map_err(RunError::file(path))?;
            }
        }
        fs::create_dir_all(&partial).map_err(RunError::file(&partial))?;
        let model = &self.learner.model;
        match model.lora() {
            Some(_) => {
                let base = &self.codec.encoder.origin;
                save_adapter(&partial.join(checkpoint::ADAPTER), model, base)?;
            }
            None => {
                checkpoint::save_model(&partial.join(checkpoint::MODEL), model, &self.codec)?;
            }
        }
        fs::rename(&partial, &kept).map_err(RunError::file(&kept))
    }
}

/// Laid out as a checkpoint: `model/`, or `adapter/`.
fn name(stage: usize) -> String {
    format!("after-stage-{stage}")
}
