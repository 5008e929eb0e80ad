//! The model that a run, a checkpoint or a stage begins with.

use std::{fs, path::Path};

use burn::tensor::Device;
use dunwu_datasets::derive_seed;

use super::{
    RunError,
    checkpoint::{CheckpointError, save_policy},
};
use crate::{
    bundle::{
        Bundle, Codec, ModelSection,
        checkpoints::{ADAPTER, MODEL},
    },
    config::RunConfig,
    learner::{Head, Learner, saved::load_head},
    model::{
        Transformer,
        lora::{Lora, load_adapter},
    },
    seeds::weights_seed,
    stages::{StageConfig, Weights, stage::stage_weights},
};

/// The model at the start of a run, or of a checkpoint. Adapters are put on the config's model
/// again, so that what was trained and what was not stay apart; `base` is shown that model before.
///
/// # Errors
/// When it cannot be opened, or the adapters do not fit it.
pub(super) fn open(
    config: &RunConfig,
    last: Option<&Path>,
    device: &Device,
    mut base: impl FnMut(&Transformer) -> Result<(), RunError>,
) -> Result<Bundle, RunError> {
    let seed = weights_seed(config.seed);
    let Some(lora) = &config.lora else {
        return Ok(match last {
            Some(last) => Bundle::open(&last.join(MODEL).display().to_string(), device)?,
            None => {
                let mut bundle = Bundle::from_section(&config.model, seed, device)?;
                base(&bundle.model)?;
                if let Some(adapter) = adapter(config) {
                    load_adapter(adapter, &mut bundle.model)?;
                    bundle.model = bundle.model.merged();
                }
                bundle
            }
        });
    };
    let mut bundle = Bundle::from_section(&config.model, seed, device)?;
    base(&bundle.model)?;
    match last {
        Some(last) => load_adapter(&last.join(ADAPTER), &mut bundle.model)?,
        None => match adapter(config) {
            Some(adapter) => {
                load_adapter(adapter, &mut bundle.model)?;
                agrees(lora, bundle.model.lora(), adapter)?;
            }
            None => lora.apply(&mut bundle.model, derive_seed(seed, &[1]))?,
        },
    }
    bundle.model = bundle.model.stored_as(config.memory.frozen)?;
    Ok(bundle)
}

/// The adapters that the run begins with.
fn adapter(config: &RunConfig) -> Option<&Path> {
    match &config.model {
        ModelSection::Pretrained(model) => model.adapter.as_deref(),
        ModelSection::Scratch(_) => None,
    }
}

/// Whether `[lora]` describes the adapters that were read, as everything that is counted by it does.
fn agrees(described: &Lora, read: Option<&Lora>, adapter: &Path) -> Result<(), RunError> {
    let Some(read) = read else { return Ok(()) };
    let targets = |lora: &Lora| {
        let mut targets = lora.targets.clone();
        targets.sort();
        targets
    };
    let same = (described.rank, described.alpha) == (read.rank, read.alpha);
    if same && targets(described) == targets(read) {
        return Ok(());
    }
    let shown = |lora: &Lora| {
        format!(
            "rank = {}, alpha = {:?}, targets = {:?}",
            lora.rank, lora.alpha, lora.targets
        )
    };
    Err(RunError::Config(format!(
        "[lora] has {}, and the adapters of model.adapter = {adapter:?} have {}; hint: write these into [lora] to train them further, or leave [lora] out to add them to the weights",
        shown(described),
        shown(read)
    )))
}

/// The weights that a stage begins with, when they are not those that the stage before left, and what reads them.
///
/// # Errors
/// When they are not there.
pub(super) fn weights(
    config: &RunConfig,
    weights: Weights,
    directory: &Path,
    device: &Device,
    base: impl FnMut(&Transformer) -> Result<(), RunError>,
) -> Result<(Transformer, Head), RunError> {
    let kept = match weights {
        Weights::AfterStage(index) => Some(stage_weights(directory, index)),
        Weights::OfTheRun | Weights::AsTheyAre => None,
    };
    let model = open(config, kept.as_deref(), device, base)?.model;
    let head = match &kept {
        Some(kept) => load_head(kept, &model).map_err(CheckpointError::from)?,
        None => Head::Vocabulary,
    };
    Ok((model, head))
}

/// Keeps the weights at the end of a stage, where a later one asks for them.
///
/// # Errors
/// When the disk does not take them.
pub(super) fn keep(
    config: &RunConfig,
    stage: usize,
    learner: &Learner,
    codec: &Codec,
    directory: &Path,
) -> Result<(), RunError> {
    let mut stages = config.stages.iter().map(StageConfig::settings);
    let asked = stages.any(|other| {
        other.begins_with() == Weights::AfterStage(stage) || other.looks_at_stage() == Some(stage)
    });
    if !asked {
        return Ok(());
    }
    let kept = stage_weights(directory, stage);
    let partial = directory.join(format!(".after-stage-{stage}"));
    // What is there is of a session that was killed before its checkpoint.
    for path in [&kept, &partial] {
        if path.exists() {
            fs::remove_dir_all(path).map_err(RunError::file(path))?;
        }
    }
    fs::create_dir_all(&partial).map_err(RunError::file(&partial))?;
    save_policy(&partial, learner, codec)?;
    fs::rename(&partial, &kept).map_err(RunError::file(&kept))
}
