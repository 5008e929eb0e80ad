//! What the reference thinks of the answers of a stage: asked once, before the first step, and kept beside the run.
//!
//! `preference-N.reference.safetensors` holds two sums for each sequence, in `f64`, and says of which data they are. A
//! resumed stage reads it and never sees the reference again, so no second model is held while the policy learns.

use std::{collections::HashMap, fs, path::Path, path::PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::PreferenceConfig;
use crate::{
    learner::{BudgetError, HeadConfig, Sequence, token_logprobs},
    model::Transformer,
    stages::{
        Context, StageError,
        second::{RefModel, Second},
    },
};

/// Name of the tensor.
const SUMS: &str = "sums";

/// Log-probability of an answer, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// The sum over its tokens, those beyond the shorter side weighted by `ld_alpha`.
    pub weighted: f64,
    /// The sum over its tokens.
    pub plain: f64,
}

/// A sequence, and how many of its sampled tokens count in full: as many as both sides of its pair have.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The prompt and the answer.
    pub sequence: Sequence,
    /// Tokens that count in full.
    pub shared: usize,
}

impl Scored {
    /// An answer all of which counts in full.
    pub fn whole(sequence: Sequence) -> Self {
        let shared = sequence.sampled();
        Self { sequence, shared }
    }

    /// The two sides of a pair.
    pub fn pair(chosen: &Sequence, rejected: &Sequence) -> [Self; 2] {
        let shared = chosen.sampled().min(rejected.sampled());
        [chosen, rejected].map(|side| Self {
            sequence: side.clone(),
            shared,
        })
    }
}

/// What a model thinks of some answers; tokens beyond those that count in full are weighted by `ld_alpha`.
///
/// # Errors
/// When a sequence has more tokens than the budget.
pub fn sums(
    model: &Transformer,
    scored: &[Scored],
    ld_alpha: f64,
    token_budget: usize,
    head: HeadConfig,
) -> Result<Vec<Sums>, BudgetError> {
    let sequences: Vec<Sequence> = scored.iter().map(|s| s.sequence.clone()).collect();
    let scores = token_logprobs(model, &sequences, token_budget, head)?;
    let sum = |logprobs: &[f32]| logprobs.iter().map(|&x| f64::from(x)).sum::<f64>();
    let both = scores.iter().zip(scored);
    Ok(both
        .map(|(scores, scored)| {
            let (first, rest) = scores
                .logprobs
                .split_at(scored.shared.min(scores.logprobs.len()));
            let (first, rest) = (sum(first), sum(rest));
            Sums {
                weighted: first + ld_alpha * rest,
                plain: first + rest,
            }
        })
        .collect())
}

/// What the reference of a stage thinks of `scored`, whose tokens are known by `data`: asked at the beginning of the stage,
/// and read where it goes on from a checkpoint.
///
/// # Errors
/// When the reference cannot be had; when what was kept is missing, or of other data.
pub(super) fn reference(
    config: &PreferenceConfig,
    context: &Context,
    scored: &[Scored],
    data: &str,
    head: HeadConfig,
    resumed: bool,
) -> Result<Vec<Sums>, StageError> {
    if !config.loss_type.has_reference() {
        return Ok(vec![Sums::default(); scored.len()]);
    }
    let path = path(context.directory, context.stage);
    let about = HashMap::from([
        ("data_sha256".to_owned(), data.to_owned()),
        ("ld_alpha".to_owned(), format!("{:?}", config.ld_alpha)),
    ]);
    if resumed {
        return kept(&path, scored.len(), &about).map_err(|reason| StageError::State {
            stage: context.stage,
            reason: format!("{}: {reason}", path.display()),
        });
    }
    let alpha = config.ld_alpha.unwrap_or(1.0);
    let budget = context.memory.token_budget;
    let model = &context.learner.model;
    let (asked, whose) = match &config.ref_model {
        RefModel::StageStart => (
            sums(model, scored, alpha, budget, head)?,
            "stage-start".to_owned(),
        ),
        RefModel::Base => (
            sums(&model.base(), scored, alpha, budget, head)?,
            "base".to_owned(),
        ),
        RefModel::Path(path) => {
            let key = "ref_model.path";
            let second = Second::open(context.stage, key, path, &model.device())?;
            second.same_vocabulary(
                context.codec,
                "log-probabilities are compared token by token, so both need the same tokenizer",
            )?;
            let whose = second.identified("the reference", None)?;
            let frozen = second.frozen(context.memory.frozen)?;
            (sums(&frozen, scored, alpha, budget, head)?, whose)
        }
    };
    if let Some(bad) = asked.iter().position(|sums| !sums.plain.is_finite()) {
        return Err(StageError::Config(format!(
            "the reference gives answer {bad} (from 0) of the stage's data the log-probability {}; hint: its weights are not those of a working model",
            asked[bad].plain
        )));
    }
    let about = about.into_iter().chain([("reference".to_owned(), whose)]);
    keep(&path, &asked, about.collect()).map_err(StageError::file(&path))?;
    Ok(asked)
}

fn path(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("preference-{stage}.reference.safetensors"))
}

/// Writes sums; the file is whole or not there.
fn keep(path: &Path, sums: &[Sums], about: HashMap<String, String>) -> std::io::Result<()> {
    let numbers = sums.iter().flat_map(|sums| [sums.weighted, sums.plain]);
    let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
    let wrong = |error: safetensors::SafeTensorError| std::io::Error::other(error.to_string());
    let view = TensorView::new(Dtype::F64, vec![sums.len(), 2], &bytes).map_err(wrong)?;
    let unnamed = path.with_extension("partial");
    safetensors::serialize_to_file([(SUMS, view)], Some(about), &unnamed).map_err(wrong)?;
    fs::rename(&unnamed, path)
}

/// Reads sums of `count` sequences that were kept for the data that `about` says.
fn kept(path: &Path, count: usize, about: &HashMap<String, String>) -> Result<Vec<Sums>, String> {
    let missing = "hint: it must stay where it is while the run is under way; bring it back, or begin a new run";
    let bytes = fs::read(path).map_err(|error| format!("{error}; {missing}"))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| error.to_string())?;
    let said = metadata.metadata().clone().unwrap_or_default();
    for (key, now) in about {
        let then = said.get(key).map_or("nothing", String::as_str);
        if then != now {
            return Err(format!(
                "what the reference thinks was kept for {key} = {then}, and it is {now} now; hint: bring the data back as they were, or begin a new run"
            ));
        }
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    let tensor = tensors.tensor(SUMS).map_err(|error| error.to_string())?;
    if tensor.dtype() != Dtype::F64 || tensor.shape() != [count, 2] {
        return Err(format!(
            "has {:?} numbers of {:?}, expected [{count}, 2] of F64; {missing}",
            tensor.shape(),
            tensor.dtype()
        ));
    }
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let rows = tensor.data().chunks_exact(16);
    Ok(rows
        .map(|row| Sums {
            weighted: number(&row[..8]),
            plain: number(&row[8..]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_to_the_bit_and_only_for_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), 2);
        let sums = [(-1.0 / 3.0, -f64::MIN_POSITIVE), (-1e300, -7.0)];
        let sums = sums.map(|(weighted, plain)| Sums { weighted, plain });
        let about = HashMap::from([("data_sha256".to_owned(), "ab".to_owned())]);
        keep(&path, &sums, about.clone()).unwrap();
        assert_eq!(kept(&path, 2, &about).unwrap(), sums);
        let error = kept(&path, 3, &about).unwrap_err();
        assert!(error.contains("expected [3, 2]"), "{error}");
        let other = HashMap::from([("data_sha256".to_owned(), "cd".to_owned())]);
        let error = kept(&path, 2, &other).unwrap_err();
        assert!(
            error.contains("data_sha256 = ab, and it is cd now"),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
        assert!(kept(&path, 2, &about).unwrap_err().contains("hint:"));
    }
}
