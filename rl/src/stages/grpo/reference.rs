//! The frozen policy of the KL penalty, and where it is kept.
//!
//! A resumed run has to find the reference that it had. One that was the policy lies beside the checkpoints, in a
//! directory that names the step of the stage before which it was: a checkpoint of a later step tells which one that is.
//! With adapters only these are kept: the base under them is the run's, and shared. A model that the config names is read
//! again, and known by its weights.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;

use super::{GrpoConfig, RefModel, trainer};
use crate::{
    bundle::{Bundle, Codec, save::save_model},
    model::{
        Precision, Transformer,
        lora::{load_adapter, save_adapter},
    },
    stages::{StageError, second::Second},
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
    /// The model, and the step before which it was the policy; 0 for one that never was.
    frozen: Option<(Transformer, u64)>,
    /// The fingerprint of a model that the config names.
    fingerprint: Option<String>,
}

impl Reference {
    /// The reference as it was before step `step` of a stage whose policy is now `model`; for a stage without a KL
    /// penalty nothing. `known` is what [`Self::fingerprint`] was in the session before.
    ///
    /// # Errors
    /// When one that should have been kept is not there; when one that the config names has another vocabulary, or is
    /// not the one that it was.
    pub(super) fn open(
        config: &GrpoConfig,
        place: Place,
        step: u64,
        model: &Transformer,
        known: Option<&str>,
    ) -> Result<Self, StageError> {
        let mut reference = Self {
            place,
            every: config.reference_every,
            frozen: None,
            fingerprint: None,
        };
        if config.beta == 0.0 {
            return Ok(reference);
        }
        match &config.ref_model {
            RefModel::Base => reference.frozen = Some((model.base(), 0)),
            RefModel::Path(path) => reference.read(path, known)?,
            RefModel::StageStart => {
                let since = reference.since(step);
                // Where the step renews it, the policy of the checkpoint is the reference.
                if since < step {
                    reference.frozen = Some((reference.kept(since, model)?, since));
                }
            }
        }
        Ok(reference)
    }

    /// Reads the model that the config names.
    fn read(&mut self, path: &str, known: Option<&str>) -> Result<(), StageError> {
        let place = &self.place;
        let second = Second::open(place.stage, "ref_model.path", path, &place.device)?;
        second.same_vocabulary(
            &place.codec,
            "a KL penalty compares token by token, so both need the same tokenizer",
        )?;
        self.fingerprint = Some(second.identified("the reference", known)?);
        self.frozen = Some((second.frozen(place.precision)?, 0));
        Ok(())
    }

    /// The policy as it was kept before step `since`; `model` is what it has become.
    fn kept(&self, since: u64, model: &Transformer) -> Result<Transformer, StageError> {
        let path = self.path(since);
        if model.lora().is_some() {
            let mut kept = model.base();
            load_adapter(&path, &mut kept)?;
            return Ok(kept);
        }
        let kept = Bundle::open(&path.display().to_string(), &self.place.device)?;
        Ok(kept.model.stored_as(self.place.precision)?)
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
        let path = self.path(step);
        remove(&path)?;
        let frozen = if model.lora().is_some() {
            save_adapter(&path, model, &self.place.codec.encoder.origin)?;
            model.apart()
        } else {
            save_model(&path, model, &self.place.codec)?;
            model.clone().stored_as(self.place.precision)?
        };
        self.frozen = Some((frozen, step));
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

    /// By which a later session knows the weights of a model that the config names.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The step before which the reference of `step` was the policy.
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
