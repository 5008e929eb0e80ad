//! The frozen policy of the KL penalty, and where it is kept.
//!
//! A resumed run has to find the reference that it had. It lies beside the checkpoints, in a
//! directory that names the step of the stage before which it was the policy: a checkpoint of a
//! later step tells which one that is.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{Bundle, Codec, RunError};
use crate::{
    checkpoint,
    grpo::{GrpoConfig, trainer},
    model::{Precision, Transformer},
};

/// The reference of a stage, if it has one.
pub(super) struct Reference<'a> {
    directory: &'a Path,
    codec: &'a Codec,
    device: Device,
    stage: usize,
    every: u64,
    /// How it is stored.
    precision: Precision,
    /// The model, and the step before which it was the policy.
    frozen: Option<(Transformer, u64)>,
}

impl<'a> Reference<'a> {
    /// The reference as it was before step `step` of a stage whose policy is now `model`; for a
    /// stage without a KL penalty nothing.
    ///
    /// # Errors
    /// When one that should have been kept is not there.
    pub(super) fn open(
        config: &GrpoConfig,
        directory: &'a Path,
        codec: &'a Codec,
        stage: usize,
        step: u64,
        model: &Transformer,
        precision: Precision,
    ) -> Result<Self, RunError> {
        let mut reference = Self {
            directory,
            codec,
            device: model.device(),
            stage,
            every: config.reference_every,
            precision,
            frozen: None,
        };
        if config.beta == 0.0 {
            return Ok(reference);
        }
        if model.lora().is_some() && reference.every == 0 {
            // The base with the adapters off, which costs nothing.
            reference.frozen = Some((model.base(), 0));
        } else if step > 0 {
            let since = reference.since(step);
            // Where the step renews it, the policy of the checkpoint is the reference.
            if since < step {
                let path = reference.path(since).display().to_string();
                let kept = Bundle::open(&path, &reference.device)?;
                reference.frozen = Some((kept.model.stored_as(precision)?, since));
            }
        }
        Ok(reference)
    }

    /// Makes the policy the reference where step `step` begins with that, and keeps it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn renew(
        &mut self,
        config: &GrpoConfig,
        step: u64,
        model: &Transformer,
    ) -> Result<(), RunError> {
        let due = self.frozen.is_none() || (self.every > 0 && self.since(step) == step);
        if config.beta == 0.0 || !due {
            return Ok(());
        }
        // One that is there is of a sitting that was killed before it came this far.
        remove(&self.path(step))?;
        let frozen = match model.lora() {
            Some(_) => model.merged(),
            None => model.clone(),
        };
        checkpoint::save_model(&self.path(step), &frozen, self.codec)?;
        self.frozen = Some((frozen.stored_as(self.precision)?, step));
        Ok(())
    }

    /// Removes what no checkpoint needs any more, once one has been saved before step `step`.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn forget_before(&self, step: u64) -> Result<(), RunError> {
        if self.every == 0 {
            return Ok(());
        }
        // A checkpoint before a step that renews the reference needs none.
        let mut old = self.since(step).checked_sub(self.every);
        while let Some(since) = old.filter(|&since| self.path(since).exists()) {
            remove(&self.path(since))?;
            old = since.checked_sub(self.every);
        }
        Ok(())
    }

    /// What the trainer is shown.
    pub(super) fn get(&self) -> Option<trainer::Reference<'_>> {
        let (model, since) = self.frozen.as_ref()?;
        Some(trainer::Reference {
            model,
            since: *since,
        })
    }

    fn since(&self, step: u64) -> u64 {
        match self.every {
            0 => 0,
            every => step / every * every,
        }
    }

    fn path(&self, since: u64) -> PathBuf {
        let name = match since {
            0 => format!("reference-{}", self.stage),
            _ => format!("reference-{}-{since}", self.stage),
        };
        self.directory.join(name)
    }
}

fn remove(path: &Path) -> Result<(), RunError> {
    match path.exists() {
        true => std::fs::remove_dir_all(path).map_err(RunError::file(path)),
        false => Ok(()),
    }
}
