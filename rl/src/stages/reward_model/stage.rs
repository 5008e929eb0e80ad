//! A stage that trains a reward model, from its first step or a checkpoint to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dunwu_datasets::{Part, Preferences, derive_seed, rng};
use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

use super::{
    HeadInit, Measured, Question, RewardModelConfig,
    measure::measure,
    questions::{common_end, questions},
    train::{evaluate, scores, step},
};
use crate::{
    bundle::{
        Bundle, Codec,
        checkpoints::{ADAPTER, MODEL},
        fingerprint,
    },
    learner::{
        AdamW, AdamWConfig, Head, Learner, ScalarHead,
        saved::{load_head, load_moments, save_moments, sync},
    },
    model::{ModelConfig, Precision, Transformer, lora::load_adapter, parameters::from_host},
    rollout::reward_model::{Card, RewardModel, save_parts},
    seeds::Purpose,
    stages::{
        Context, Demand, Measuring, Rehearsal, Saved, SecondModel, Settings, Stage, StageError,
        StepReport, Surroundings,
        examples::Epochs,
        pair_set,
        pairs_data::{PreferenceSet, Reading},
        stage::reward_model,
    },
    tasks::files,
};

/// The part of a checkpoint that the reward model has for itself.
const FILES: &str = "reward-model";

/// Why there is nothing to learn from, or to measure, or no reward model to leave.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(super) enum RewardModelStageError {
    #[error(
        "stage {stage} (reward-model): nothing is left to {what}: {dropped} preferences were left out because a side is longer than {most} tokens; hint: raise max_length and memory.token_budget, change heldout_fraction, or give more data"
    )]
    Nothing {
        stage: usize,
        what: &'static str,
        dropped: usize,
        most: usize,
    },
    #[error(
        "stage {stage} (reward-model): an answer ends with {found} and one before it with {before}: what is read last has to be the same token everywhere; hint: the chat template ends turns in two ways; give the rows one form"
    )]
    Ends {
        stage: usize,
        found: String,
        before: String,
    },
    #[error(
        "stage {stage} (reward-model): answers end with {found}, which does not end a turn of the model; these do: {ends}"
    )]
    NoEnd {
        stage: usize,
        found: String,
        ends: String,
    },
    #[error(
        "stage {stage} (reward-model): scores of the answers are not finite: mean {mean}, deviation {deviation}; hint: lower learning_rate"
    )]
    NotFinite {
        stage: usize,
        mean: f64,
        deviation: f64,
    },
}

impl From<RewardModelStageError> for StageError {
    fn from(error: RewardModelStageError) -> Self {
        own(error)
    }
}

fn own(error: impl std::error::Error + Send + Sync + 'static) -> StageError {
    StageError::Own(Box::new(error))
}

impl Settings for RewardModelConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        RewardModelConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        self.steps
    }

    fn optimizer(&self) -> AdamWConfig {
        self.optimizer
    }

    fn demand(&self, around: &Surroundings, _model: &ModelConfig) -> Demand {
        // Gradients and moments are its own, in the place of the policy's, which has none meanwhile.
        Demand {
            reference: if around.lora.is_some() {
                SecondModel::Adapters
            } else {
                SecondModel::Whole
            },
            ..Demand::default()
        }
    }

    fn describe(&self, _around: &Surroundings) -> String {
        let duration = match (self.steps, self.epochs) {
            (Some(steps), _) => format!("{steps} steps"),
            (None, epochs) => format!("{} epochs in steps", epochs.unwrap_or(0)),
        };
        format!("{duration} of {} prompts", self.batch)
    }

    fn measuring(&self) -> Measuring {
        Measuring::Unchanged
    }

    fn leaves_reward_model(&self) -> bool {
        true
    }

    fn asks(&self) -> bool {
        false
    }

    fn warmup_steps(&self) -> u64 {
        self.warmup_steps
    }

    fn rehearse(&self, rehearsal: &Rehearsal) -> Result<Vec<String>, StageError> {
        let part = Part::new(self.subset.clone(), self.split.clone());
        let files = self.file.iter();
        files
            .map(|file| rehearse(self, rehearsal, file, &part))
            .collect()
    }

    fn begin(
        &self,
        context: &mut Context,
        saved: Option<Saved>,
    ) -> Result<Box<dyn Stage>, StageError> {
        let data = Data::read(self, context)?;
        for line in &data.found {
            context.note("reward", line);
        }
        let order = Epochs {
            len: data.train.len(),
            batch: self.batch,
            seed: context.seed(Purpose::Demonstrations),
        };
        let steps = match (self.steps, self.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => order.steps(epochs.unwrap_or(0)),
        };
        let line = format!(
            "{} prompts with {} comparisons, {} prompts held out, {} comparisons left out because a side is too long; {steps} steps",
            data.train.len(),
            comparisons(&data.train),
            data.heldout.len(),
            data.dropped,
        );
        context.note("reward", &line);
        let learner = match &saved {
            Some(saved) => resumed(self, context, saved)?,
            None => begun(self, context),
        };
        // What the policy holds beside its adapters to be quick is not needed until this is over.
        context.learner.model = context.learner.model.apart();
        Ok(Box::new(RewardModelStage {
            config: self.clone(),
            codec: context.codec.clone(),
            learner,
            data,
            order,
            steps,
            last: saved.map_or(Value::Null, |saved| saved.state["heldout"].clone()),
        }))
    }
}

/// The copy of the policy that a stage begins with, and its head.
fn begun(config: &RewardModelConfig, context: &Context) -> Learner {
    let model = context.learner.model.apart();
    let head = match config.head {
        HeadInit::Zeros => ScalarHead::zeros(&model),
        HeadInit::Normal => {
            let seed = derive_seed(context.seed(Purpose::Weights), &[0]);
            normal(&model, seed)
        }
    };
    Learner::new(model, AdamW::new(config.optimizer), 0).with_head(Head::from(head))
}

/// A head of weights that are normal with deviation `1 / (hidden + 1)`.
fn normal(model: &Transformer, seed: u64) -> ScalarHead {
    let width = model.config().hidden_size;
    let mut rng = rng(seed);
    let deviation = 1.0 / (width + 1) as f64;
    let weights = (0..width).map(|_| (deviation * gaussian(&mut rng)) as f32);
    ScalarHead {
        weight: from_host(weights.collect(), [1, width], &model.device()),
        ..ScalarHead::zeros(model)
    }
}

/// A draw of the standard normal distribution (Box and Muller).
fn gaussian(rng: &mut impl Rng) -> f64 {
    let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// The learner that a checkpoint has.
fn resumed(
    config: &RewardModelConfig,
    context: &Context,
    saved: &Saved,
) -> Result<Learner, StageError> {
    let directory = saved.files.join(FILES);
    let missing = |reason: String| StageError::State {
        stage: context.stage,
        reason,
    };
    let policy = &context.learner.model;
    let model = if policy.lora().is_some() {
        let mut model = policy.base();
        load_adapter(&directory.join(ADAPTER), &mut model)?;
        model
    } else {
        let place = directory.join(MODEL).display().to_string();
        let Bundle { model, .. } = Bundle::open(&place, &policy.device())?;
        model.stored_as(Precision::F32)?
    };
    let head = load_head(&directory, &model).map_err(own)?;
    if head.scalar().is_none() {
        let place = directory.display();
        return Err(missing(format!("{place} has no scalar head")));
    }
    let updates = saved.state["updates"].as_u64();
    let updates = updates.ok_or_else(|| missing("updates is missing in state.json".to_owned()))?;
    let optimizer = AdamW {
        steps: updates,
        ..AdamW::new(config.optimizer)
    };
    let mut learner = Learner::new(model, optimizer, updates).with_head(head);
    load_moments(&directory, &mut learner).map_err(own)?;
    Ok(learner)
}

fn comparisons(questions: &[Question]) -> usize {
    let own = questions
        .iter()
        .map(|q| q.comparisons.len() + q.opinions.len());
    own.sum()
}

/// Reads a file of preferences, makes some of them into tokens, and says what it found.
fn rehearse(
    config: &RewardModelConfig,
    rehearsal: &Rehearsal,
    file: &Path,
    part: &Part,
) -> Result<String, StageError> {
    let files = files::find(file, part)?;
    let mut all = Preferences::of(&files, config.tie);
    let mut count = 0usize;
    for row in all.by_ref() {
        row?;
        count += 1;
    }
    let found = format!("{}: {}", file.display(), all.report());
    let Some((codec, context)) = rehearsal.codec else {
        return Ok(found);
    };
    let how = Reading {
        codec,
        tie: config.tie,
        most: config.limit(context, rehearsal.memory.token_budget),
        heldout_fraction: 0.0,
    };
    let stride = rehearsal.rows.map_or(1, |most| count.div_ceil(most.max(1)));
    let mut set = PreferenceSet::default();
    for row in Preferences::of(&files, config.tie).step_by(stride.max(1)) {
        let (place, preference) = row?;
        set.push(&|| place.to_string(), &preference, how)?;
    }
    let fit = set.pairs.train.len() + set.judged.train.len();
    let (most, dropped) = (how.most, set.dropped);
    Ok(format!(
        "{found}; of {} made into tokens {dropped} are too long for {most} tokens and left out",
        fit + dropped
    ))
}

/// What a stage learns from and measures.
struct Data {
    train: Vec<Question>,
    heldout: Vec<Question>,
    /// The token that every answer ends with.
    end: u32,
    dropped: usize,
    fingerprint: String,
    /// What was found in each data set, in words.
    found: Vec<String>,
}

impl Data {
    /// Reads the preferences of a stage, and puts those of a prompt together.
    fn read(config: &RewardModelConfig, context: &Context) -> Result<Self, StageError> {
        let (stage, codec) = (context.stage, context.codec.as_ref());
        let longest = context.learner.model.config().context();
        let how = Reading {
            codec,
            tie: config.tie,
            most: config.limit(longest, context.memory.token_budget),
            heldout_fraction: config.heldout_fraction,
        };
        let mut set = PreferenceSet::default();
        if let Some(file) = &config.file {
            let part = Part::new(config.subset.clone(), config.split.clone());
            set.read(file, &part, how)?;
        }
        if let Some(from) = config.from_stage {
            set.read(&pair_set(context.directory, from), &Part::default(), how)?;
        }
        if config.unpair {
            set.unpair();
        }
        let fingerprint = set.fingerprint();
        let margin = config.margin_weight;
        let train = questions(&set.pairs.train, &set.judged.train, margin);
        let heldout = questions(&set.pairs.heldout, &set.judged.heldout, margin);
        let nothing = |what| RewardModelStageError::Nothing {
            stage,
            what,
            dropped: set.dropped,
            most: how.most,
        };
        if train.is_empty() {
            return Err(nothing("learn from").into());
        }
        if heldout.is_empty() && config.heldout_fraction > 0.0 {
            return Err(nothing("hold out").into());
        }
        let end = end_of(stage, codec, &train, &heldout)?;
        Ok(Self {
            train,
            heldout,
            end,
            dropped: set.dropped,
            fingerprint,
            found: set.found,
        })
    }

    /// What scores are measured on: what is held out, or all there is.
    fn measured(&self) -> Vec<&Question> {
        if self.heldout.is_empty() {
            self.train.iter().collect()
        } else {
            self.heldout.iter().collect()
        }
    }
}

/// The token that every answer ends with; it has to be one that ends a turn.
fn end_of(
    stage: usize,
    codec: &Codec,
    train: &[Question],
    heldout: &[Question],
) -> Result<u32, StageError> {
    let shown = |id: u32| {
        let text = codec.encoder.tokenizer.token(id).unwrap_or_default();
        format!("{text:?} ({id})")
    };
    let differs = |(found, before): (u32, u32)| RewardModelStageError::Ends {
        stage,
        found: shown(found),
        before: shown(before),
    };
    let mut ends = Vec::new();
    for part in [train, heldout] {
        ends.extend(common_end(part).map_err(differs)?);
    }
    if let [first, second] = ends[..]
        && first != second
    {
        return Err(differs((second, first)).into());
    }
    match ends.first() {
        Some(&end) if codec.ends(end) => Ok(end),
        last => {
            let found = last.map_or("nothing".to_owned(), |&id| shown(id));
            let all: Vec<String> = codec.eos.iter().map(|&id| shown(id)).collect();
            Err(RewardModelStageError::NoEnd {
                stage,
                found,
                ends: all.join(", "),
            }
            .into())
        }
    }
}

/// A stage under way. What a step learns from follows from its number.
struct RewardModelStage {
    config: RewardModelConfig,
    codec: Arc<Codec>,
    /// The reward model; the policy is the run's.
    learner: Learner,
    data: Data,
    order: Epochs,
    steps: u64,
    /// The held-out figures measured last.
    last: Value,
}

impl Stage for RewardModelStage {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&mut self, context: &mut Context, index: u64) -> Result<StepReport, StageError> {
        let places = self.order.step(index, self.config.epochs);
        let lesson: Vec<&Question> = places.iter().map(|&i| &self.data.train[i]).collect();
        let place = (index, self.steps);
        let mut metrics = step(
            &self.config,
            &mut self.learner,
            &lesson,
            place,
            context.memory,
        )?;
        let every = self.config.heldout_every;
        let due = index + 1 == self.steps || (every > 0 && (index + 1).is_multiple_of(every));
        if due && !self.data.heldout.is_empty() {
            let heldout: Vec<&Question> = self.data.heldout.iter().collect();
            let budget = context.memory.token_budget;
            let head = head_of(&self.learner)?;
            let model = &self.learner.model;
            let (loss, measured) = evaluate(&self.config, model, head, &heldout, budget)?;
            metrics.set_heldout(loss, &measured);
            self.last = json!({
                "heldout_loss": loss,
                "heldout_accuracy_pairs": measured.accuracy,
                "heldout_accuracy_longer_chosen": measured.longer_chosen,
                "heldout_accuracy_shorter_chosen": measured.shorter_chosen,
                "heldout_calibration_error": measured.calibration_error,
                "heldout_comparisons": comparisons(&self.data.heldout),
            });
        }
        Ok(StepReport::of(metrics))
    }

    fn save(&mut self, files: &Path) -> Result<Value, StageError> {
        let directory = files.join(FILES);
        fs::create_dir_all(&directory).map_err(StageError::file(&directory))?;
        let Learner {
            model,
            head,
            optimizer,
            ..
        } = &self.learner;
        save_parts(&directory, model, head, &self.codec).map_err(own)?;
        let moments = save_moments(&directory, optimizer).map_err(own)?;
        sync(&moments).map_err(own)?;
        Ok(json!({ "updates": optimizer.steps, "heldout": self.last }))
    }

    /// Measures the scale of the scores, and leaves the reward model.
    fn end(&mut self, context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let measured = self.measure(context)?;
        let policy = &context.learner.model;
        let base = policy.lora().map(|_| fingerprint(&policy.base()));
        let data = self.data.fingerprint.clone();
        let mut card = Card::new(&self.codec, self.data.end, data, base);
        card.mean = measured.mean;
        card.deviation = measured.deviation;
        card.count = measured.scores;
        card.heldout_accuracy = self.last["heldout_accuracy_pairs"].as_f64();
        let path: PathBuf = reward_model(context.directory, context.stage);
        let Learner { model, head, .. } = &self.learner;
        RewardModel::save(&path, model, head, &self.codec, &card).map_err(own)?;
        let line = format!(
            "scores of {} answers have mean {:.4} and deviation {:.4}: {}",
            card.count,
            card.mean,
            card.deviation,
            path.display()
        );
        context.note("reward", &line);
        context.learner.model.merge_adapters();
        let mut report = Map::new();
        if let Value::Object(last) = &self.last {
            report.extend(last.clone());
        }
        report.insert("prompts".to_owned(), json!(self.data.train.len()));
        report.insert(
            "comparisons".to_owned(),
            json!(comparisons(&self.data.train)),
        );
        report.insert("too_long".to_owned(), json!(self.data.dropped));
        report.insert("score_mean".to_owned(), json!(card.mean));
        report.insert("score_deviation".to_owned(), json!(card.deviation));
        report.insert("score_count".to_owned(), json!(card.count));
        Ok(report)
    }
}

impl RewardModelStage {
    /// The scale of the scores.
    fn measure(&self, context: &Context) -> Result<Measured, StageError> {
        let asked = self.data.measured();
        let (model, head) = (&self.learner.model, head_of(&self.learner)?);
        let scores = scores(model, head, &asked, context.memory.token_budget)?;
        let measured = measure(asked, &scores);
        let (mean, deviation) = (measured.mean, measured.deviation);
        if mean.is_finite() && deviation.is_finite() {
            return Ok(measured);
        }
        Err(RewardModelStageError::NotFinite {
            stage: context.stage,
            mean,
            deviation,
        }
        .into())
    }
}

fn head_of(learner: &Learner) -> Result<&ScalarHead, StageError> {
    let none = || StageError::Config("reward-model: the model has no scalar head".to_owned());
    learner.head.scalar().ok_or_else(none)
}
