//! Another model than the policy, which a stage's config names: what the policy is compared with, or learns from.
//!
//! It is frozen, stored as `memory.frozen` says, and known by its weights, so that a resumed run finds the one that it had.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::StageError;
use crate::{
    bundle::{Bundle, Codec, expand, fingerprint},
    model::{Precision, Transformer},
};

/// What a policy is held near to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefModel {
    /// The policy at the start of the stage, with its adapters as they were then; in GRPO with `reference_every` an earlier
    /// self from then on.
    #[default]
    StageStart,
    /// The policy with its adapters off: the model that they were put on.
    Base,
    /// Another model of the same vocabulary: whatever `model.path` can name.
    Path(String),
}

/// A model that a stage's config names, as it was read.
pub struct Second {
    /// Its weights, as they are stored in files.
    pub model: Transformer,
    /// Its text side.
    pub codec: Codec,
    /// Where it was found.
    pub path: String,
    /// The key that names it, such as `stages.1.ref_model.path`.
    pub key: String,
    stage: usize,
}

impl Second {
    /// Opens the model that `stages.{stage}.{key} = path` names; `~` and variables are filled in.
    ///
    /// # Errors
    /// When the path cannot be filled in, or is no model.
    pub fn open(stage: usize, key: &str, path: &str, device: &Device) -> Result<Self, StageError> {
        let key = format!("stages.{stage}.{key}");
        let path = expand(&key, path).map_err(|error| StageError::Config(error.to_string()))?;
        let Bundle { model, codec } = Bundle::open(&path, device)?;
        Ok(Self {
            model,
            codec,
            path,
            key,
            stage,
        })
    }

    /// Refuses one whose vocabulary is not that of the policy: the same id has to be the same token. `purpose` says why,
    /// behind `hint:`.
    ///
    /// # Errors
    /// The first token that differs.
    pub fn same_vocabulary(&self, policy: &Codec, purpose: &str) -> Result<(), StageError> {
        let Some(difference) = first_difference(policy, &self.codec) else {
            return Ok(());
        };
        let (key, path) = (&self.key, &self.path);
        Err(StageError::Config(format!(
            "{key} = {path:?} has another vocabulary than the policy: {difference}; hint: {purpose}"
        )))
    }

    /// What its weights are known by (SHA-256); `known` is what they were known by in the session before. `role` is what
    /// the stage calls it, such as "the reference".
    ///
    /// # Errors
    /// When they are others than they were.
    pub fn identified(&self, role: &str, known: Option<&str>) -> Result<String, StageError> {
        let found = fingerprint(&self.model);
        let (key, path) = (&self.key, &self.path);
        match known.filter(|known| *known != found) {
            Some(known) => Err(StageError::State {
                stage: self.stage,
                reason: format!(
                    "the weights at {key} = {path:?} were {known} (SHA-256) and are {found}; hint: bring {role} back as it was, or begin a new run"
                ),
            }),
            None => Ok(found),
        }
    }

    /// The model, to be asked and never trained, its weights stored at `precision`.
    ///
    /// # Errors
    /// When they cannot be stored so.
    pub fn frozen(self, precision: Precision) -> Result<Transformer, StageError> {
        Ok(self.model.stored_as(precision)?)
    }
}

/// The first token that two vocabularies do not share, in words: the other's against the policy's.
pub fn first_difference(policy: &Codec, other: &Codec) -> Option<String> {
    let (ours, theirs) = (&policy.encoder.tokenizer, &other.encoder.tokenizer);
    let size = ours.vocab_size().max(theirs.vocab_size()) as u32;
    let id = (0..size).find(|&id| ours.token(id) != theirs.token(id))?;
    let named = |token: Option<String>| match token {
        Some(token) => format!("{token:?}"),
        None => "nothing".to_owned(),
    };
    let (ours, theirs) = (named(ours.token(id)), named(theirs.token(id)));
    Some(format!(
        "id {id} is {theirs} there and {ours} in the policy's"
    ))
}
