//! Saving and going on: a checkpoint is complete or it is not there.
//!
//! `checkpoints/step-NNNNNN/` holds `model/` (a Hugging Face directory), `optimizer.safetensors`,
//! `config.toml` (the run's) and `state.json`; of an asynchronous run also `rollouts.json`, what it
//! has sampled and not yet trained on; with low-rank adapters also `adapter/`, in PEFT's format, and
//! then `model/` has them added to its weights. It is written under another name, flushed to the disk, and renamed.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor};
use dunwu_datasets::Cursor;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::{alarms::Monitor, bundle::Codec, eval::EvalReport, learner::{AdamW, Learner}, model::{lora::{save_adapter, LoraError}, parameters::{from_host, to_host}, weights::{writer::{save_pretrained, Export, DEFAULT_SHARD_BYTES}, HostTensor, WeightError}, ModelConfig, ParameterVisitor, Parameters, Transformer}, run::{Showcase, StageReport}, stages::grpo::{saved::SavedRollouts, StepRollouts}};

/// The model's place in a checkpoint.
pub const MODEL: &str = "model";
/// The adapters' place in a checkpoint of a run that trains adapters.
pub const ADAPTER: &str = "adapter";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const PENDING: &str = "rollouts.json";
/// The run's config, as it lies in the run's directory too.
pub const CONFIG: &str = "config.toml";
/// Version of this layout.
const FORMAT: u32 = 2;

/// Where a run stood: everything but weights and moments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the layout.
    pub format: u32,
    /// Updates of the whole run.
    pub step: u64,
    /// Index of the stage under way.
    pub stage: usize,
    /// Steps made in it.
    pub stage_step: u64,
    /// Updates the optimiser has made in this stage.
    pub optimizer_steps: u64,
    /// Version of the policy.
    pub policy_version: u64,
    /// Place in the tasks of the stage.
    pub cursor: Cursor,
    /// Seconds spent so far.
    pub elapsed_s: f64,
    /// Held-out measurements so far: before the first GRPO stage, after the last.
    pub before: Option<EvalReport>,
    /// See `before`.
    pub after: Option<EvalReport>,
    /// The stages that have ended.
    #[serde(default)]
    pub stages: Vec<StageReport>,
    /// The problems shown before and after.
    pub showcase: Vec<Showcase>,
    /// The shape of the model that was saved.
    #[serde(default)]
    pub model: BTreeMap<String, usize>,
    /// What alarms remember.
    #[serde(default)]
    pub alarms: Monitor,
}

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
        let directory = run_dir.join("checkpoints");
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

    /// From now on removes no older checkpoint: it may be the last good one.
    pub fn keep_all(&mut self) {
        self.keep = usize::MAX;
    }

    /// Writes a checkpoint, then removes the oldest beyond those kept.
    ///
    /// # Errors
    /// When the disk does not take it; the last good checkpoint is then still there.
    pub fn save(
        &self,
        learner: &Learner,
        codec: &Codec,
        state: &State,
        pending: &[&StepRollouts],
    ) -> Result<PathBuf, CheckpointError> {
        let target = self.directory.join(format!("step-{:06}", state.step));
        let partial = self
            .directory
            .join(format!(".partial-step-{:06}", state.step));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(CheckpointError::io(&partial))?;
        let written = self.write(&partial, learner, codec, state, pending);
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&partial); // the first error is the one to tell
            return Err(error);
        }
        remove(&target)?;
        fs::rename(&partial, &target).map_err(CheckpointError::io(&target))?;
        sync(&self.directory)?;
        let all = list(&self.directory)?;
        for old in &all[..all.len().saturating_sub(self.keep)] {
            // Under another name first: half removed, it must not be taken for a whole one.
            let doomed = old.with_file_name(".old");
            fs::rename(old, &doomed).map_err(CheckpointError::io(old))?;
            remove(&doomed)?;
        }
        Ok(target)
    }

    /// The step of the oldest one that is kept; `None` when there is none.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn oldest_step(&self) -> Result<Option<u64>, CheckpointError> {
        let all = list(&self.directory)?;
        let step = |path: &PathBuf| {
            path.file_name()?
                .to_str()?
                .strip_prefix("step-")?
                .parse()
                .ok()
        };
        Ok(all.first().and_then(step))
    }

    fn write(
        &self,
        partial: &Path,
        learner: &Learner,
        codec: &Codec,
        state: &State,
        pending: &[&StepRollouts],
    ) -> Result<(), CheckpointError> {
        match learner.model.lora() {
            Some(_) => {
                let base = &codec.encoder.origin;
                save_adapter(&partial.join(ADAPTER), &learner.model, base)?;
                let model = &learner.model;
                save_tensors(&partial.join(MODEL), model, codec, model.merged_tensors())?;
            }
            None => save_model(&partial.join(MODEL), &learner.model, codec)?,
        }
        let path = partial.join(OPTIMIZER);
        save_moments(&path, &learner.optimizer)?;
        sync(&path)?;
        if !pending.is_empty() {
            let path = partial.join(PENDING);
            let pending: Vec<SavedRollouts> = pending.iter().map(|&p| p.into()).collect();
            let text =
                serde_json::to_string(&pending).map_err(|e| CheckpointError::invalid(&path, e))?;
            fs::write(&path, text).map_err(CheckpointError::io(&path))?;
            sync(&path)?;
        }
        let path = partial.join(CONFIG);
        let run = self.directory.with_file_name(CONFIG);
        fs::copy(&run, &path).map_err(CheckpointError::io(&run))?;
        sync(&path)?;
        let path = partial.join(STATE);
        let state = State {
            format: FORMAT,
            model: shape(learner.model.config()),
            ..state.clone()
        };
        let text =
            serde_json::to_string_pretty(&state).map_err(|e| CheckpointError::invalid(&path, e))?;
        fs::write(&path, text).map_err(CheckpointError::io(&path))?;
        sync(&path)?;
        sync(partial)
    }
}

/// Reads what had been sampled and not yet trained on, oldest first.
///
/// # Errors
/// When it is not what this version writes.
pub fn load_pending(checkpoint: &Path) -> Result<Vec<StepRollouts>, CheckpointError> {
    let path = checkpoint.join(PENDING);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(CheckpointError::io(&path))?;
    let saved: Vec<SavedRollouts> =
        serde_json::from_str(&text).map_err(|e| CheckpointError::invalid(&path, e))?;
    Ok(saved.into_iter().map(Into::into).collect())
}

/// Reads a checkpoint's state.
///
/// # Errors
/// When it is missing, damaged, of another version, or not what the directory's name says.
pub fn load_state(checkpoint: &Path) -> Result<State, CheckpointError> {
    let path = checkpoint.join(STATE);
    let text = fs::read_to_string(&path).map_err(CheckpointError::io(&path))?;
    let state: State =
        serde_json::from_str(&text).map_err(|e| CheckpointError::invalid(&path, e))?;
    if state.format != FORMAT {
        let other = state.format;
        return Err(CheckpointError::invalid(
            &path,
            format!("format {other}, this program reads {FORMAT}"),
        ));
    }
    let (name, step) = (format!("step-{:06}", state.step), state.step);
    match checkpoint.file_name().and_then(|name| name.to_str()) {
        Some(named) if named != name => Err(CheckpointError::invalid(
            &path,
            format!("it is of step {step}, the directory is {named}"),
        )),
        _ => Ok(state),
    }
}

/// Checks that `model`, read for this checkpoint, is of the shape that was saved with `state`.
///
/// # Errors
/// [`CheckpointError::OtherModel`] with all that differs.
pub fn check_model(
    checkpoint: &Path,
    state: &State,
    model: &Transformer,
) -> Result<(), CheckpointError> {
    let found = shape(model.config());
    let differs = |key: &&String| state.model.get(*key) != found.get(*key);
    let keys: Vec<&String> = found.keys().filter(differs).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let told = |shape: &BTreeMap<String, usize>| {
        let of_key = |key: &&String| match shape.get(*key) {
            Some(value) => format!("{key} = {value}"),
            None => format!("no {key}"),
        };
        keys.iter().map(of_key).collect::<Vec<_>>().join(", ")
    };
    Err(CheckpointError::OtherModel {
        path: checkpoint.to_owned(),
        saved: told(&state.model),
        found: told(&found),
    })
}

/// The numbers that weights depend on.
fn shape(config: &ModelConfig) -> BTreeMap<String, usize> {
    [
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("num_hidden_layers", config.num_hidden_layers),
        ("num_attention_heads", config.num_attention_heads),
        ("num_key_value_heads", config.num_key_value_heads),
        ("head_dim", config.head_dim),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Reads the optimiser's moments into `optimizer`, whose settings and steps stay. When it has made
/// steps there have to be moments of every weight that is trained.
///
/// # Errors
/// When the file is missing, damaged, or of another model.
pub fn load_moments(
    checkpoint: &Path,
    optimizer: &mut AdamW,
    model: &Transformer,
    device: &Device,
) -> Result<(), CheckpointError> {
    let path = checkpoint.join(OPTIMIZER);
    let bytes = fs::read(&path).map_err(CheckpointError::io(&path))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|e| CheckpointError::invalid(&path, e))?;
    let mut sizes = Sizes::default();
    let mut model = model.clone();
    model.visit(&mut sizes);
    model.visit_adapters(&mut sizes);
    let Sizes(sizes) = sizes;
    // With adapters only these are trained.
    let mut trained = Sizes::default();
    match model.lora() {
        Some(_) => model.visit_adapters(&mut trained),
        None => model.visit(&mut trained),
    }
    for (key, view) in tensors.tensors() {
        if view.dtype() != Dtype::F32 {
            let message = format!("{key} is {:?}, not F32", view.dtype());
            return Err(CheckpointError::invalid(&path, message));
        }
        let values: Vec<f32> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let count = values.len();
        let known = |name: &str| sizes.get(name) == Some(&count);
        let (moments, name) = match key.split_once('/') {
            Some(("mean", name)) if known(name) => (&mut optimizer.mean, name),
            Some(("square", name)) if known(name) => (&mut optimizer.square, name),
            _ => {
                let weight = key.split_once('/').and_then(|(_, name)| sizes.get(name));
                let message = match weight {
                    Some(size) => format!("{key} has {count} values, the model's weight {size}"),
                    None => format!("{key} fits no weight of the model"),
                };
                return Err(CheckpointError::invalid(&path, message));
            }
        };
        moments.insert(name, from_host(values, [count], device));
    }
    let missing = |moments: &Parameters| {
        let name = trained.0.keys().find(|name| moments.get(name).is_none());
        name.cloned()
    };
    match missing(&optimizer.mean).or_else(|| missing(&optimizer.square)) {
        Some(name) if optimizer.steps > 0 => Err(CheckpointError::invalid(
            &path,
            format!("it has nothing for the model's weight {name}"),
        )),
        _ => Ok(()),
    }
}

/// How many values each weight has.
#[derive(Default)]
struct Sizes(BTreeMap<String, usize>);

impl ParameterVisitor for Sizes {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        self.0
            .insert(name.to_owned(), tensor.dims().iter().product());
    }
}

fn save_moments(path: &Path, optimizer: &AdamW) -> Result<(), CheckpointError> {
    let named = |moments: &Parameters, prefix: &str| -> Vec<(String, Moment)> {
        let one = |(name, tensor): (&str, &Tensor<1>)| {
            let (tensor, shape) = (tensor.clone(), tensor.dims());
            (format!("{prefix}/{name}"), Moment { tensor, shape })
        };
        moments.iter().map(one).collect()
    };
    let mut views = named(&optimizer.mean, "mean");
    views.extend(named(&optimizer.square, "square"));
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => CheckpointError::Io {
            path: path.to_owned(),
            source,
        },
        other => CheckpointError::invalid(path, other),
    })
}

/// A moment of one weight, read when it is written: there is never a second copy of all.
struct Moment {
    tensor: Tensor<1>,
    shape: [usize; 1],
}

impl safetensors::View for Moment {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = to_host(self.tensor.clone());
        Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.shape[0]
    }
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match path.exists() {
        true => fs::remove_dir_all(path).map_err(CheckpointError::io(path)),
        false => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), CheckpointError> {
    if path.is_dir() && !cfg!(unix) {
        return Ok(()); // only Unix opens directories as files
    }
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(CheckpointError::io(path))
}
