//! The model that a run, a checkpoint or a stage begins with.

use std::{collections::BTreeSet, fs, path::Path};

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
                agrees(lora, &bundle.model, adapter)?;
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

/// Whether `[lora]` says rank, alpha and targets of the adapters that were read. What their file says besides (patterns, rsLoRA,
/// some layers only) is kept: it has no words in `[lora]`. Targets that this model has no map for are nobody's.
fn agrees(described: &Lora, model: &Transformer, adapter: &Path) -> Result<(), RunError> {
    let Some(read) = model.lora() else {
        return Ok(());
    };
    let maps: BTreeSet<String> = model.adapter_names().into_iter().map(|map| map.1).collect();
    let of_model = |lora: &Lora| Lora {
        targets: maps
            .iter()
            .filter(|map| lora.targets.contains(map))
            .cloned()
            .collect(),
        ..lora.clone()
    };
    let (described, read) = (of_model(described), of_model(read));
    let form = |lora: &Lora| (lora.rank, lora.alpha);
    if form(&described) == form(&read) && described.targets == read.targets {
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
        shown(&described),
        shown(&read)
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, weights::WeightSource};

    /// The tiny Llama of the golden numbers with an adapter of PEFT's.
    fn adapted(adapter: &str) -> Transformer {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
        let dir = golden.join("tiny/llama");
        let text = fs::read_to_string(dir.join("config.json")).unwrap();
        let json = serde_json::from_str(&text).unwrap();
        let config = ModelConfig::from_hf_json(&json, "config.json").unwrap();
        let weights = WeightSource::open_dir(&dir).unwrap();
        let mut model = Transformer::load(config, &weights, &Device::flex()).unwrap();
        load_adapter(&golden.join("peft").join(adapter), &mut model).unwrap();
        model
    }

    // PEFT's defaults name seven maps, ours those of every family: both are all maps of a Llama.
    #[test]
    fn adapters_with_patterns_are_described_by_what_lora_can_say() {
        let all = Lora {
            rank: 2,
            alpha: 4.0,
            ..Lora::default()
        };
        let path = Path::new("adapter");
        for adapter in ["plain", "alpha_pattern", "rank_pattern", "all_linear"] {
            agrees(&all, &adapted(adapter), path).unwrap();
        }
        let two = Lora {
            targets: vec!["down_proj".to_owned(), "q_proj".to_owned()],
            ..all.clone()
        };
        agrees(&two, &adapted("layers"), path).unwrap();
        let refused = |lora: &Lora, adapter: &str| {
            let error = agrees(lora, &adapted(adapter), path).unwrap_err();
            error.to_string()
        };
        let message = refused(&all, "layers");
        assert!(message.contains("[\"down_proj\", \"q_proj\"]"), "{message}");
        assert!(!message.contains("kv_b_proj"), "{message}");
        let message = refused(&two, "plain");
        assert!(message.contains("\"gate_proj\"") && message.contains("hint:"));
        let message = refused(&Lora { rank: 3, ..two }, "rank_pattern");
        assert!(message.contains("rank = 3") && message.contains("rank = 2"));
    }
}
