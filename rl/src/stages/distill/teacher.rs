//! Who teaches: a model in the process, frozen, or a server; and how a later session finds the same.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    DistillConfig, TeacherConfig,
    agreement::{Named, compare, compare_context},
    server::{Server, Spent},
};
use crate::{
    bundle::{
        Bundle, Codec,
        checkpoints::{ADAPTER, MODEL},
        save::save_model,
    },
    model::{
        Transformer,
        lora::{load_adapter, save_adapter},
    },
    stages::{Context, StageError, second::Second, stage::stage_weights},
};

/// A teacher that is ready to be asked.
pub enum Teacher {
    /// A model in the process, never trained; of one that the config names by a path, its fingerprint.
    Model(Box<Transformer>, Option<String>),
    /// A server.
    Server(Box<Server>),
}

/// What a checkpoint knows of the teacher.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Before {
    /// Whether the stage has made steps.
    pub begun: bool,
    /// The fingerprint of the weights.
    pub fingerprint: Option<String>,
    /// What was asked of a server.
    pub spent: Spent,
}

impl Teacher {
    /// The teacher of a stage. `most` is the longest sequence that it will be shown, in tokens.
    ///
    /// # Errors
    /// When there is none, it is not the one that it was, or it does not mean the same as the student by the same ids.
    pub fn open(
        config: &DistillConfig,
        context: &Context,
        before: &Before,
        most: usize,
    ) -> Result<Self, StageError> {
        let model = &context.learner.model;
        let (model, fingerprint) = match &config.teacher {
            None => return Err(StageError::Config("distill: nobody teaches".to_owned())),
            Some(TeacherConfig::Url(url)) => {
                let server = Server::new(url, &config.server, before.spent)?;
                return Ok(Self::Server(Box::new(server)));
            }
            Some(TeacherConfig::Path(path)) => {
                let (model, known) = named(config, context, path, before, most)?;
                (model, Some(known))
            }
            Some(TeacherConfig::Base) => (model.base(), None),
            Some(TeacherConfig::StageStart) => {
                let place = start(context.directory, context.stage);
                if !before.begun {
                    keep(&place, context)?;
                }
                (kept(&place, context)?, None)
            }
            Some(TeacherConfig::AfterStage(stage)) => {
                let place = stage_weights(context.directory, *stage);
                (kept(&place, context)?, None)
            }
        };
        Ok(Self::Model(Box::new(model), fingerprint))
    }

    /// What a checkpoint has to know.
    pub fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Model(_, fingerprint) => fingerprint.as_deref(),
            Self::Server(_) => None,
        }
    }
}

/// Compares a teacher that is named by a path with the student, without its weights.
///
/// # Errors
/// When there is none, or it does not mean the same by the same ids.
pub fn look_at(
    config: &DistillConfig,
    key: &str,
    path: &str,
    student: &Codec,
) -> Result<(), StageError> {
    let (codec, _) = Codec::open(path).map_err(|error| absent(key, path, &error))?;
    let named = Named { key, value: path };
    compare(named, student, &codec, config.other_template)
}

/// What is said where there is no teacher.
fn absent(key: &str, path: &str, error: &dyn std::fmt::Display) -> StageError {
    StageError::Config(format!(
        "{key} = {path:?} is no teacher: {error}; hint: it is a model's directory, a GGUF file, a name on the hub, or the directory of a run, as `dunwu train configs/quickstart.toml` leaves in runs/quickstart; --set {key}=… names another"
    ))
}

/// Opens the model that the config names.
fn named(
    config: &DistillConfig,
    context: &Context,
    path: &str,
    before: &Before,
    most: usize,
) -> Result<(Transformer, String), StageError> {
    let device = context.learner.model.device();
    let key = format!("stages.{}.teacher.path", context.stage);
    let second =
        Second::open(context.stage, "teacher.path", path, &device).map_err(
            |error| match error {
                StageError::Bundle(error) => absent(&key, path, &error),
                other => other,
            },
        )?;
    let named = Named {
        key: &second.key,
        value: &second.path,
    };
    compare(named, context.codec, &second.codec, config.other_template)?;
    compare_context(named, most, second.model.config().context())?;
    let known = second.identified("the teacher", before.fingerprint.as_deref())?;
    Ok((second.frozen(context.memory.frozen)?, known))
}

/// Where the policy at the start of a stage is kept.
pub(super) fn start(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("teacher-{stage}"))
}

/// Keeps the policy as it is, laid out as a checkpoint.
fn keep(place: &Path, context: &Context) -> Result<(), StageError> {
    // One that is there was left by a session that was killed before its checkpoint.
    if place.exists() {
        fs::remove_dir_all(place).map_err(StageError::file(place))?;
    }
    fs::create_dir_all(place).map_err(StageError::file(place))?;
    let model = &context.learner.model;
    if model.lora().is_some() {
        save_adapter(&place.join(ADAPTER), model, &context.codec.encoder.origin)?;
    } else {
        save_model(&place.join(MODEL), model, context.codec)?;
    }
    Ok(())
}

/// The weights that were kept at `place`; of adapters, on the run's base.
fn kept(place: &Path, context: &Context) -> Result<Transformer, StageError> {
    let model = &context.learner.model;
    if model.lora().is_some() {
        let mut kept = model.base();
        load_adapter(&place.join(ADAPTER), &mut kept)?;
        return Ok(kept);
    }
    let path = place.join(MODEL).display().to_string();
    let kept = Bundle::open(&path, &model.device())?;
    Ok(kept.model.stored_as(context.memory.frozen)?)
}
