//! A reward model: what it is on the disk, and how it judges.
//!
//! | file | subject |
//! |---|---|
//! | this one | reading and writing one: `model/` or `adapter/`, `head.safetensors`, `reward_model.json` |
//! | [`card`] | what it was made from, and the scale of its scores |
//! | [`judge`] | a completion in, its worth out |
//!
//! One of all weights is a model of its own, with its own tokenizer and template. One of adapters stands on the base that it
//! was trained on, and shares it with the policy: in memory it is adapters and a head.

pub mod card;
pub mod judge;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;

use crate::{
    bundle::{
        Bundle, BundleError, Codec,
        checkpoints::{ADAPTER, MODEL},
        fingerprint,
        save::save_model,
    },
    learner::{
        Head, SavedError, ScalarHead,
        saved::{HEAD, load_head, save_head, sync},
    },
    model::{
        Transformer,
        lora::{LoraError, load_adapter, save_adapter},
        weights::WeightError,
    },
};

pub use card::{CARD, Card, End};
pub use judge::{Judging, encode};

/// Why a reward model cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RewardModelError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
    #[error(
        "{} is no reward model: {missing} is missing; hint: name the directory reward-model-N that a stage of kind reward-model leaves in its run", path.display()
    )]
    NoRewardModel { path: PathBuf, missing: String },
    /// Adapters, and no model to put them on.
    #[error(
        "{} is adapters on {origin}, and the run's model has no [lora] to share its base with; hint: train the policy with [lora] on that base, or train the reward model without [lora]", path.display()
    )]
    NoBase { path: PathBuf, origin: String },
    #[error(
        "{}: of another {what}: there {saved}, in this run {run}; hint: {hint}", path.display()
    )]
    Other {
        path: PathBuf,
        what: &'static str,
        saved: String,
        run: String,
        hint: &'static str,
    },
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Adapter(#[from] LoraError),
    #[error(transparent)]
    Saved(#[from] SavedError),
}

impl RewardModelError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// What a run has that a reward model may share.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// The policy; without adapters it has no base to share.
    pub policy: &'a Transformer,
    /// Its text.
    pub codec: &'a Arc<Codec>,
}

/// A reward model in memory.
#[derive(Debug)]
pub struct RewardModel {
    /// The weights; where they are adapters, the base under them is shared.
    pub model: Transformer,
    /// What reads their last hidden state.
    pub head: ScalarHead,
    /// Text to its tokens.
    pub codec: Arc<Codec>,
    /// What it was made from.
    pub card: Card,
}

impl RewardModel {
    /// Reads the reward model in `path`, on the base of the policy that `shared` has where it is adapters.
    ///
    /// # Errors
    /// When it is not there, damaged, or of another base, template or end token than the run's.
    pub fn open(
        path: &Path,
        shared: Option<Shared>,
        device: &Device,
    ) -> Result<Self, RewardModelError> {
        let card = Card::read(path)?;
        if !path.join(HEAD).is_file() {
            return Err(RewardModelError::NoRewardModel {
                path: path.to_owned(),
                missing: HEAD.to_owned(),
            });
        }
        let (model, codec) = if path.join(ADAPTER).is_dir() {
            on_base(path, &card, shared)?
        } else {
            let place = path.join(MODEL).display().to_string();
            let Bundle { model, codec } = Bundle::open(&place, device)?;
            let codec = Arc::new(codec);
            card.check_text(path, &codec)?;
            (model, codec)
        };
        let head = match load_head(path, &model)? {
            Head::Scalar(head) => *head,
            Head::Vocabulary => {
                return Err(RewardModelError::NoRewardModel {
                    path: path.to_owned(),
                    missing: HEAD.to_owned(),
                });
            }
        };
        Ok(Self {
            model,
            head,
            codec,
            card,
        })
    }

    /// Looks at the reward model in `path` without reading weights: whether it is one, and whether its text is the run's.
    ///
    /// # Errors
    /// As for [`Self::open`], but for what only weights tell.
    pub fn look(path: &Path, codec: Option<&Codec>, lora: bool) -> Result<Card, RewardModelError> {
        let card = Card::read(path)?;
        for (there, missing) in [
            (path.join(HEAD).is_file(), HEAD),
            (
                path.join(ADAPTER).is_dir() || path.join(MODEL).is_dir(),
                MODEL,
            ),
        ] {
            if !there {
                return Err(RewardModelError::NoRewardModel {
                    path: path.to_owned(),
                    missing: missing.to_owned(),
                });
            }
        }
        if path.join(ADAPTER).is_dir() {
            if !lora {
                return Err(card.no_base(path));
            }
            if let Some(codec) = codec {
                card.check_text(path, codec)?;
            }
        } else {
            let (codec, _) = Codec::open(&path.join(MODEL).display().to_string())?;
            card.check_text(path, &codec)?;
        }
        Ok(card)
    }

    /// Writes trunk, head and card into `path`, in the place of what is there.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn save(
        path: &Path,
        model: &Transformer,
        head: &Head,
        codec: &Codec,
        card: &Card,
    ) -> Result<(), RewardModelError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}"));
        for old in [&partial, path] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(RewardModelError::io(old))?;
            }
        }
        fs::create_dir_all(&partial).map_err(RewardModelError::io(&partial))?;
        save_parts(&partial, model, head, codec)?;
        card.write(&partial)?;
        sync(&partial)?;
        fs::rename(&partial, path).map_err(RewardModelError::io(path))
    }
}

/// Adapters on the base of the run's policy.
fn on_base(
    path: &Path,
    card: &Card,
    shared: Option<Shared>,
) -> Result<(Transformer, Arc<Codec>), RewardModelError> {
    let shared = shared.filter(|shared| shared.policy.lora().is_some());
    let Some(Shared { policy, codec }) = shared else {
        return Err(card.no_base(path));
    };
    card.check_text(path, codec)?;
    let mut model = policy.base();
    card.check_base(path, &fingerprint(&model), &codec.encoder.origin)?;
    load_adapter(&path.join(ADAPTER), &mut model)?;
    Ok((model, codec.clone()))
}

/// Writes `model/` or `adapter/`, and `head.safetensors`, into a directory.
///
/// # Errors
/// When the disk does not take it.
pub fn save_parts(
    directory: &Path,
    model: &Transformer,
    head: &Head,
    codec: &Codec,
) -> Result<(), RewardModelError> {
    if model.lora().is_some() {
        save_adapter(&directory.join(ADAPTER), model, &codec.encoder.origin)?;
    } else {
        save_model(&directory.join(MODEL), model, codec)?;
    }
    Ok(save_head(directory, head)?)
}
