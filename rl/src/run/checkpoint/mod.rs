//! Saving and going on: a checkpoint is complete or it is not there.
//!
//! | file | subject |
//! |---|---|
//! | this one | writing checkpoints and removing old ones |
//! | [`state`] | where a run stood: `state.json` |
//!
//! `checkpoints/step-NNNNNN/` holds `model/` (a Hugging Face directory), `optimizer.safetensors`, `config.toml` (the run's) and
//! `state.json`; in `stage/` what the stage under way keeps, such as what an asynchronous run has sampled and not yet trained
//! on; with low-rank adapters also `adapter/`, in PEFT's format, and then `model/` has them added to its weights; with a scalar head
//! also `head.safetensors`. It is written under another name, flushed to the disk, and renamed.

pub mod state;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    bundle::{
        Codec, ListError,
        checkpoints::{self, ADAPTER, MODEL, STATE},
        save::{save_model, save_tensors},
    },
    learner::{
        Learner, SavedError,
        saved::{save_head, save_moments, sync},
    },
    model::{
        lora::{LoraError, save_adapter},
        weights::WeightError,
    },
    stages::{Stage, StageError},
};

use state::{FORMAT, shape};
pub use state::{State, check_model, load_state};

/// The run's config, as it lies in the run's directory too.
pub const CONFIG: &str = "config.toml";
/// What the stage under way keeps.
pub const STAGE: &str = "stage";

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CheckpointError {
    #[error("checkpoint: {}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Adapter(#[from] LoraError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Stage(#[from] Box<StageError>),
    #[error("{}: not a whole checkpoint of this version: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
    #[error(
        "{}: saved by a run of another config: there `{saved}`, in this run `{run}`; hint: remove it, or copy the whole directory of the other run", path.display()
    )]
    Foreign {
        path: PathBuf,
        saved: String,
        run: String,
    },
    #[error(
        "{}: of another model: {STATE} says {saved}; the model read has {found}", path.display()
    )]
    OtherModel {
        path: PathBuf,
        saved: String,
        found: String,
    },
}

impl From<SavedError> for CheckpointError {
    fn from(error: SavedError) -> Self {
        match error {
            SavedError::Io { path, source } => Self::Io { path, source },
            SavedError::Invalid { path, message } => Self::Invalid { path, message },
        }
    }
}

impl CheckpointError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    fn invalid(path: &Path, message: impl ToString) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}

/// The checkpoints of one run.
#[derive(Debug)]
pub struct Checkpointer {
    directory: PathBuf,
    keep: usize,
}

impl Checkpointer {
    /// Those below `run_dir`, of which the newest `keep` are kept. What a killed run left half
    /// written is removed.
    ///
    /// # Errors
    /// When the directory cannot be listed or cleaned.
    pub fn new(run_dir: &Path, keep: usize) -> Result<Self, CheckpointError> {
        let directory = checkpoints::directory(run_dir);
        if directory.is_dir() {
            for entry in fs::read_dir(&directory).map_err(CheckpointError::io(&directory))? {
                let path = entry.map_err(CheckpointError::io(&directory))?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_some_and(|name| name.starts_with('.')) {
                    remove(&path)?;
                }
            }
        }
        Ok(Self { directory, keep })
    }

    /// Where the checkpoint after `step` is.
    pub fn path(&self, step: u64) -> PathBuf {
        self.directory.join(checkpoints::name(step))
    }

    /// From now on removes no older checkpoint: it may be the last good one.
    pub fn keep_all(&mut self) {
        self.keep = usize::MAX;
    }

    /// Writes a checkpoint, then removes the oldest beyond those kept. `stage` is the one under way, if there is one: its
    /// state goes into `state`.
    ///
    /// # Errors
    /// When the disk does not take it; the last good checkpoint is then still there.
    pub fn save(
        &self,
        learner: &Learner,
        codec: &Codec,
        state: &mut State,
        stage: Option<&mut (dyn Stage + 'static)>,
    ) -> Result<PathBuf, CheckpointError> {
        let name = checkpoints::name(state.step);
        let target = self.directory.join(&name);
        let partial = self.directory.join(format!(".partial-{name}"));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(CheckpointError::io(&partial))?;
        let written = self.write(&partial, learner, codec, state, stage);
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&partial); // the first error is the one to tell
            return Err(error);
        }
        remove(&target)?;
        fs::rename(&partial, &target).map_err(CheckpointError::io(&target))?;
        sync(&self.directory)?;
        let all = checkpoints::list(&self.directory)?;
        for old in &all[..all.len().saturating_sub(self.keep)] {
            // Under another name first: half removed, it must not be taken for a whole one.
            let doomed = old.with_file_name(".old");
            fs::rename(old, &doomed).map_err(CheckpointError::io(old))?;
            remove(&doomed)?;
        }
        Ok(target)
    }

    /// Writes the state anew into the checkpoint of its step, whose weights it shares.
    ///
    /// # Errors
    /// When the disk does not take it; the state that was there is then still there.
    pub fn save_state(&self, learner: &Learner, state: &State) -> Result<(), CheckpointError> {
        let checkpoint = self.directory.join(checkpoints::name(state.step));
        let partial = write_state(&checkpoint, &format!(".{STATE}"), learner, state)?;
        let path = checkpoint.join(STATE);
        fs::rename(&partial, &path).map_err(CheckpointError::io(&path))?;
        Ok(sync(&checkpoint)?)
    }

    /// The step of the oldest one that is kept; `None` when there is none.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn oldest_step(&self) -> Result<Option<u64>, CheckpointError> {
        let all = checkpoints::list(&self.directory)?;
        Ok(all.first().and_then(|path| checkpoints::step(path)))
    }

    fn write(
        &self,
        partial: &Path,
        learner: &Learner,
        codec: &Codec,
        state: &mut State,
        stage: Option<&mut (dyn Stage + 'static)>,
    ) -> Result<(), CheckpointError> {
        save_policy(partial, learner, codec)?;
        sync(&save_moments(partial, &learner.optimizer)?)?;
        state.stage_state = serde_json::Value::Null;
        if let Some(stage) = stage {
            let files = partial.join(STAGE);
            fs::create_dir_all(&files).map_err(CheckpointError::io(&files))?;
            state.stage_state = stage.save(&files).map_err(Box::new)?;
            sync_all(&files)?;
        }
        let path = partial.join(CONFIG);
        let run = self.directory.with_file_name(CONFIG);
        fs::copy(&run, &path).map_err(CheckpointError::io(&run))?;
        sync(&path)?;
        write_state(partial, STATE, learner, state)?;
        Ok(sync(partial)?)
    }
}

/// Writes the weights of `learner` into a checkpoint, or what is to begin as one: `model/`, `adapter/` where there are
/// adapters, and a head that is not the model's.
///
/// # Errors
/// When the disk does not take them.
pub fn save_policy(
    directory: &Path,
    learner: &Learner,
    codec: &Codec,
) -> Result<(), CheckpointError> {
    let (model, place) = (&learner.model, directory.join(MODEL));
    save_head(directory, &learner.head)?;
    if model.lora().is_none() {
        return Ok(save_model(&place, model, codec)?);
    }
    save_adapter(&directory.join(ADAPTER), model, &codec.encoder.origin)?;
    Ok(save_tensors(&place, model, codec, model.merged_tensors())?)
}

/// Writes `state` to a file of this `name` in `directory`, and waits until it is on the disk.
fn write_state(
    directory: &Path,
    name: &str,
    learner: &Learner,
    state: &State,
) -> Result<PathBuf, CheckpointError> {
    let path = directory.join(name);
    let state = State {
        format: FORMAT,
        model: shape(learner.model.config()),
        ..state.clone()
    };
    let text =
        serde_json::to_string_pretty(&state).map_err(|e| CheckpointError::invalid(&path, e))?;
    fs::write(&path, text).map_err(CheckpointError::io(&path))?;
    sync(&path)?;
    Ok(path)
}

/// Waits until a directory and all below it are on the disk.
fn sync_all(directory: &Path) -> Result<(), CheckpointError> {
    for entry in fs::read_dir(directory).map_err(CheckpointError::io(directory))? {
        let path = entry.map_err(CheckpointError::io(directory))?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            sync(&path)?;
        }
    }
    Ok(sync(directory)?)
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(CheckpointError::io(path))?;
    }
    Ok(())
}

#[cfg(all(test, feature = "flex"))]
mod tests;
