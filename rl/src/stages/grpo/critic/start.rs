//! What a critic begins with, and how a checkpoint keeps it.
//!
//! A checkpoint of the stage has `critic/`: `adapter/` (PEFT's format) where it trains adapters on the run's base, else
//! `model/` (a Hugging Face directory), and beside it `head.safetensors` and `optimizer.safetensors`. A reward model lies in
//! a directory of the same form, but for the moments; its `reward_model.json` says on which base its adapters stand, and
//! what mean and deviation its scores have: the head is brought to the scale that the score has as a reward.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{Critic, CriticConfig, CriticStart, Trunk};
use crate::{
    bundle::{
        Bundle, Codec,
        checkpoints::{ADAPTER, MODEL},
        expand, fingerprint,
        save::save_model,
    },
    learner::{
        AdamW, Head, Learner, MemorySection, SavedError, ScalarHead,
        saved::{HEAD, load_head, load_moments, save_head, save_moments, sync},
    },
    model::{
        Precision, Transformer,
        lora::{load_adapter, save_adapter},
    },
    stages::{StageError, second::first_difference},
};

/// What a reward model says of itself.
const CARD: &str = "reward_model.json";

/// What a critic has to know of it.
#[derive(Debug, Deserialize)]
struct Card {
    /// Mean of its scores.
    mean: f64,
    /// Their standard deviation.
    deviation: f64,
    /// SHA-256 of the weights that its adapters stand on.
    base: Option<String>,
}

impl Card {
    /// That of the reward model in `directory`, if it has one.
    fn read(directory: &Path) -> Result<Option<Self>, StageError> {
        let path = directory.join(CARD);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(StageError::file(&path))?;
        let invalid = |error| StageError::Config(format!("{}: {error}", path.display()));
        Ok(Some(serde_json::from_str(&text).map_err(invalid)?))
    }

    /// A head whose values are scores less their mean, divided by their deviation.
    fn scaled(&self, head: ScalarHead) -> ScalarHead {
        if !(self.deviation > 0.0 && self.deviation.is_finite() && self.mean.is_finite()) {
            return head;
        }
        ScalarHead {
            weight: head.weight.div_scalar(self.deviation),
            bias: head.bias.sub_scalar(self.mean).div_scalar(self.deviation),
        }
    }
}

/// The part of a checkpoint that a critic has for itself.
const CRITIC: &str = "critic";

/// What surrounds a critic in its run.
#[derive(Clone)]
pub(in crate::stages::grpo) struct Place {
    /// The text side of the policy.
    pub(in crate::stages::grpo) codec: Arc<Codec>,
    /// What the run may use.
    pub(in crate::stages::grpo) memory: MemorySection,
    /// Index of the stage.
    pub(in crate::stages::grpo) stage: usize,
}

impl Critic {
    /// The critic that a stage begins with, whose policy is `policy`.
    ///
    /// # Errors
    /// When the model that it is to begin with is of another shape, base or vocabulary than the policy, or has no scalar
    /// head.
    pub(in crate::stages::grpo) fn begin(
        config: &CriticConfig,
        place: &Place,
        policy: &Transformer,
    ) -> Result<Self, StageError> {
        let trunk = config.trunk(policy.lora().is_some());
        let (model, head) = match &config.from {
            CriticStart::Zero => {
                let model = match trunk {
                    Trunk::Adapter => policy.apart(),
                    Trunk::Whole => whole(policy)?,
                };
                let head = Head::from(ScalarHead::zeros(&model));
                (model, head)
            }
            CriticStart::Path(path) => named(path, trunk, place, policy)?,
        };
        let optimizer = AdamW::new(config.optimizer);
        let learner = Learner::new(model, optimizer, 0).with_head(head);
        Ok(Self::new(learner, place.memory.clone()))
    }

    /// The critic as [`Self::save`] left it after `updates` updates in the directory `files`, beside the policy `policy`.
    ///
    /// # Errors
    /// When it is not there, damaged, or of another model.
    pub(in crate::stages::grpo) fn resume(
        config: &CriticConfig,
        place: &Place,
        policy: &Transformer,
        files: &Path,
        updates: u64,
    ) -> Result<Self, StageError> {
        let directory = files.join(CRITIC);
        let trunk = config.trunk(policy.lora().is_some());
        let model = read(&directory, trunk, policy)?;
        let head = load_head(&directory, &model).map_err(saved)?;
        if head.scalar().is_none() {
            return Err(StageError::State {
                stage: place.stage,
                reason: format!(
                    "{} is not there, and the critic's values are read by it",
                    directory.join(HEAD).display()
                ),
            });
        }
        let optimizer = AdamW {
            steps: updates,
            ..AdamW::new(config.optimizer)
        };
        let mut learner = Learner::new(model, optimizer, updates).with_head(head);
        load_moments(&directory, &mut learner).map_err(saved)?;
        Ok(Self::new(learner, place.memory.clone()))
    }

    /// Writes the critic into the directory `files` of a checkpoint. What [`Self::resume`] has to know besides comes back:
    /// its updates.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::stages::grpo) fn save(
        &self,
        files: &Path,
        codec: &Codec,
    ) -> Result<u64, StageError> {
        let directory = files.join(CRITIC);
        fs::create_dir_all(&directory).map_err(StageError::file(&directory))?;
        let model = &self.learner().model;
        if model.lora().is_some() {
            let path = directory.join(ADAPTER);
            save_adapter(&path, model, &codec.encoder.origin)?;
            sync_all(&path)?;
        } else {
            let path = directory.join(MODEL);
            save_model(&path, model, codec)?;
            sync_all(&path)?;
        }
        save_head(&directory, &self.learner().head).map_err(saved)?;
        let moments = save_moments(&directory, &self.learner().optimizer).map_err(saved)?;
        sync(&moments).map_err(saved)?;
        sync(&directory).map_err(saved)?;
        Ok(self.learner().optimizer.steps)
    }
}

/// All weights of `policy`, its adapters added, as weights of one's own that can be trained.
fn whole(policy: &Transformer) -> Result<Transformer, StageError> {
    let model = if policy.lora().is_some() {
        policy.merged()
    } else {
        policy.clone()
    };
    Ok(model.stored_as(Precision::F32)?)
}

/// The trunk in a directory of this form: adapters on the policy's base, or a model.
fn read(directory: &Path, trunk: Trunk, policy: &Transformer) -> Result<Transformer, StageError> {
    match trunk {
        Trunk::Adapter => {
            let mut model = policy.base();
            load_adapter(&directory.join(ADAPTER), &mut model)?;
            Ok(model)
        }
        Trunk::Whole => {
            let path = directory.join(MODEL).display().to_string();
            let Bundle { model, .. } = Bundle::open(&path, &policy.device())?;
            Ok(model.stored_as(Precision::F32)?)
        }
    }
}

/// Trunk and head of the reward model that the config names.
fn named(
    path: &str,
    trunk: Trunk,
    place: &Place,
    policy: &Transformer,
) -> Result<(Transformer, Head), StageError> {
    let key = format!("stages.{}.critic.from.path", place.stage);
    let refused = |why: String| StageError::Config(format!("{key} = {path:?} {why}"));
    let path: PathBuf = expand(&key, path)
        .map_err(|error| StageError::Config(error.to_string()))?
        .into();
    if !path.join(HEAD).is_file() {
        return Err(refused(format!(
            "has no {HEAD}; hint: name the directory that a reward-model stage has left, with {HEAD} in it"
        )));
    }
    let (needed, other) = match trunk {
        Trunk::Adapter => (
            ADAPTER,
            "critic.trunk = \"whole\" trains all of its weights",
        ),
        Trunk::Whole => (
            MODEL,
            "with [lora], critic.trunk = \"adapter\" puts its adapters on the run's base",
        ),
    };
    if !path.join(needed).is_dir() {
        return Err(refused(format!(
            "has no {needed}/, which critic.trunk = {trunk:?} begins with; hint: {other}"
        )));
    }
    let described = path.join(MODEL);
    if described.is_dir() {
        let (codec, _) = Codec::open(&described.display().to_string())?;
        if let Some(difference) = first_difference(&place.codec, &codec) {
            return Err(refused(format!(
                "has another vocabulary than the policy: {difference}; hint: a critic reads the policy's tokens, so both need the same tokenizer"
            )));
        }
    }
    let card = Card::read(&path)?;
    let base = card.as_ref().and_then(|card| card.base.as_deref());
    if let Some(base) = base.filter(|_| trunk == Trunk::Adapter) {
        let ours = fingerprint(&policy.base());
        if ours != base {
            return Err(refused(format!(
                "has adapters on another base: there {base} (SHA-256 of the weights), in this run {ours}; hint: adapters are good on the weights that they were trained on only: use that model with the same memory.frozen, or a reward model of all weights"
            )));
        }
    }
    let model = read(&path, trunk, policy)?;
    let head = match (load_head(&path, &model).map_err(saved)?, card) {
        (Head::Scalar(head), Some(card)) => Head::from(card.scaled(*head)),
        (head, _) => head,
    };
    Ok((model, head))
}

/// Waits until the files of a directory are on the disk.
fn sync_all(directory: &Path) -> Result<(), StageError> {
    for entry in fs::read_dir(directory).map_err(StageError::file(directory))? {
        let path = entry.map_err(StageError::file(directory))?.path();
        sync(&path).map_err(saved)?;
    }
    sync(directory).map_err(saved)
}

fn saved(error: SavedError) -> StageError {
    StageError::Own(Box::new(error))
}
