//! Puts reward models into the seats that a rubric has for them.

use std::{path::Path, sync::Arc};

use burn::tensor::Device;
use dunwu_datasets::derive_seed;
use dunwu_rewards::{Rubric, Seated};

use super::RunError;
use crate::{
    bundle::{Bundle, Codec},
    config::RunConfig,
    model::Transformer,
    rollout::{RewardModel, RewardModelError, reward_model::Shared},
    seeds::weights_seed,
    stages::stage::reward_model,
};

/// Fills the seats of models that are there: those with a path, and those of stages before `stage` of the run in
/// `directory`. What was put there comes back, a line each.
///
/// # Errors
/// When one is missing, damaged, or does not fit the policy.
pub(super) fn fill(
    rubric: &Rubric,
    policy: &Transformer,
    codec: &Arc<Codec>,
    directory: &Path,
    stage: usize,
) -> Result<Vec<String>, RunError> {
    let mut opened: Vec<(std::path::PathBuf, Arc<RewardModel>)> = Vec::new();
    let mut lines = Vec::new();
    for seat in rubric.seats() {
        if seat.model().is_some() {
            continue;
        }
        let path = match seat.seated() {
            Seated::Path(path) => path.clone(),
            Seated::Stage(of) if *of < stage => reward_model(directory, *of),
            Seated::Stage(_) => continue,
        };
        let known = opened.iter().find(|(known, _)| *known == path);
        let model = match known {
            Some((_, model)) => model.clone(),
            None => {
                let shared = Shared { policy, codec };
                let model = RewardModel::open(&path, Some(shared), &policy.device())?;
                let model = Arc::new(model);
                opened.push((path.clone(), model.clone()));
                model
            }
        };
        model.seat(seat, &path)?;
        let what = if model.card.base.is_some() {
            "adapters on the run's base"
        } else {
            "a model of its own"
        };
        let (name, place) = (seat.component(), path.display());
        lines.push(format!("{name}: {place}, {what}"));
    }
    Ok(lines)
}

/// Looks at the models with a path, without reading weights: what is wrong with each, by the name of its component.
/// `codec` is the text side of the policy, where it is known.
pub(super) fn look(
    rubric: &Rubric,
    codec: Option<&Codec>,
    lora: bool,
) -> Vec<(String, RewardModelError)> {
    let seats = rubric.seats().into_iter();
    let wrong = seats.filter_map(|seat| {
        let error = RewardModel::look(seat.path()?, codec, lora).err()?;
        Some((seat.component().to_owned(), error))
    });
    wrong.collect()
}

/// Fills the seats of a rubric outside a run. Models that earlier stages leave are looked for in the run's directory, and
/// the base of adapters is the model of the config.
///
/// # Errors
/// When one is missing, damaged, or does not fit the config's model.
pub fn fill_alone(
    rubric: &Rubric,
    config: &RunConfig,
    device: &Device,
) -> Result<Vec<String>, RunError> {
    if rubric.seats().is_empty() {
        return Ok(Vec::new());
    }
    let seed = weights_seed(config.seed);
    let Bundle { mut model, codec } = Bundle::from_section(&config.model, seed, device)?;
    if let Some(lora) = &config.lora {
        lora.apply(&mut model, derive_seed(seed, &[1]))?;
        model = model.stored_as(config.memory.frozen)?;
    }
    let codec = Arc::new(codec);
    let directory = config.default_run_dir();
    fill(rubric, &model, &codec, &directory, config.stages.len())
}
