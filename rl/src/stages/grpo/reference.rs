//! The frozen policy of the KL penalty, and where it is kept.
//!
//! A resumed run has to find the reference that it had. It lies beside the checkpoints, in a
//! directory that names the step of the stage before which it was the policy: a checkpoint of a
//! later step tells which one that is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;

use super::{GrpoConfig, trainer};
use crate::{
    bundle::{Bundle, Codec, save::save_model},
    model::{Precision, Transformer},
    stages::StageError,
};

/// Where the reference of a stage is kept, and how.
#[derive(Clone)]
pub(super) struct Place {
    /// The run's directory.
    pub(super) directory: PathBuf,
    /// The text side of the model.
    pub(super) codec: Arc<Codec>,
    /// Where the model lives.
    pub(super) device: Device,
    /// Index of the stage.
    pub(super) stage: usize,
    /// How its weights are stored.
    pub(super) precision: Precision,
}

/// The reference of a stage, if it has one.
pub(super) struct Reference {
    place: Place,
    every: u64,
    /// The model, and the step before which it was the policy.
    frozen: Option<(Transformer, u64)>,
}

impl Reference {
    /// The reference as it was before step `step` of a stage whose policy is now `model`; for a
    /// stage without a KL penalty nothing.
    ///
    /// # Errors
    /// When one that should have been kept is not there.
    pub(super) fn open(
        config: &GrpoConfig,
        place: Place,
        step: u64,
        model: &Transformer,
    ) -> Result<Self, StageError> {
        let mut reference = Self {
            place,
            every: config.reference_every,
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
                let kept = Bundle::open(&path, &reference.place.device)?;
                reference.frozen = Some((kept.model.stored_as(reference.place.precision)?, since));
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
    ) -> Result<(), StageError> {
        let due = self.frozen.is_none() || (self.every > 0 && self.since(step) == step);
        if config.beta == 0.0 || !due {
            return Ok(());
        }
        // One that is there was left by a session that was killed before its checkpoint.
        remove(&self.path(step))?;
        let frozen = match model.lora() {
            Some(_) => model.merged(),
            None => model.clone(),
        };
        save_model(&self.path(step), &frozen, &self.place.codec)?;
        self.frozen = Some((frozen.stored_as(self.place.precision)?, step));
        Ok(())
    }

    /// Removes what no checkpoint needs any more, when `step` is the step of the stage before which the
    /// oldest one was saved.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn forget_before(&self, step: u64) -> Result<(), StageError> {
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
        let stage = self.place.stage;
        let name = if since == 0 {
            format!("reference-{stage}")
        } else {
            format!("reference-{stage}-{since}")
        };
        self.place.directory.join(name)
    }
}

fn remove(path: &Path) -> Result<(), StageError> {
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(StageError::file(path))?;
    }
    Ok(())
}
