//! A stage that learns from preferences, from its first step or a checkpoint to its end.

use std::path::Path;

use dunwu_datasets::{Part, Preferences};
use serde_json::{Map, Value, json};

use super::{
    LossType, PreferenceConfig,
    data::{Data, Nothing, limit, read},
    reference::reference,
    step::{measure, step},
};
use crate::{
    learner::{AdamWConfig, GradientConfig, HeadConfig},
    model::ModelConfig,
    seeds::Purpose,
    stages::{
        Context, Demand, Measuring, Rehearsal, Saved, SecondModel, Settings, Stage, StageError,
        StepReport, Surroundings,
        examples::Epochs,
        pairs_data::{PreferenceSet, Reading},
        second::RefModel,
    },
    tasks::files,
};

impl Settings for PreferenceConfig {
    fn validate(&self, around: &Surroundings) -> Result<(), String> {
        PreferenceConfig::validate(self, around)
    }

    fn steps(&self) -> Option<u64> {
        self.steps
    }

    fn optimizer(&self) -> AdamWConfig {
        self.optimizer
    }

    fn demand(&self, _around: &Surroundings, _model: &ModelConfig) -> Demand {
        let named = matches!(self.ref_model, RefModel::Path(_)) && self.loss_type.has_reference();
        Demand {
            // It is there before the first step only.
            reference: if named {
                SecondModel::Whole
            } else {
                SecondModel::None
            },
            ..Demand::default()
        }
    }

    fn describe(&self, _around: &Surroundings) -> String {
        let duration = match (self.steps, self.epochs) {
            (Some(steps), _) => format!("{steps} steps"),
            (None, epochs) => format!("{} epochs in steps", epochs.unwrap_or(0)),
        };
        let what = if self.loss_type == LossType::Kto {
            "answers"
        } else {
            "pairs"
        };
        format!(
            "{duration} of {} {what}, loss {}",
            self.batch,
            self.loss_type.name()
        )
    }

    fn measuring(&self) -> Measuring {
        Measuring::Throughout
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
        let set = read(self, context)?;
        for line in &set.found {
            context.note("preference", line);
        }
        let fingerprint = set.fingerprint();
        let (dropped, same) = (set.dropped, set.same);
        let data = Data::of(self, context, set)?;
        let head = HeadConfig {
            temperature: 1.0,
            chunk_bytes: context.memory.head_chunk_mib << 20,
        };
        let asked = data.scored();
        let sums = reference(self, context, &asked, &fingerprint, head, saved.is_some())?;
        let (train, heldout) = data.lessons(&sums);
        let order = Epochs {
            len: train.len(),
            batch: self.batch,
            seed: context.seed(Purpose::Demonstrations),
        };
        let steps = match (self.steps, self.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => order.steps(epochs.unwrap_or(0)),
        };
        let (learnt, measured) = (train.len(), heldout.as_ref().map_or(0, |h| h.len()));
        let line = format!(
            "{learnt} {}, {measured} held out, {dropped} left out because a side is too long, {same} because both sides are the same tokens; {steps} steps",
            if self.loss_type == LossType::Kto {
                "answers"
            } else {
                "pairs"
            },
        );
        context.note("preference", &line);
        Ok(Box::new(PreferenceStage {
            config: self.clone(),
            train,
            heldout,
            order,
            steps,
            dropped,
            gradient: GradientConfig {
                head,
                activations: context.memory.activations(),
                whole: false,
                balance: 0.0,
            },
            last: saved.map(|saved| saved.state).unwrap_or_default(),
        }))
    }
}

/// Reads a file of preferences, makes some of them into tokens, and says what it found.
fn rehearse(
    config: &PreferenceConfig,
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
    let most = limit(config, context, rehearsal.memory.token_budget);
    let how = Reading {
        codec,
        tie: config.tie,
        most,
        heldout_fraction: 0.0,
    };
    let stride = rehearsal.rows.map_or(1, |most| count.div_ceil(most.max(1)));
    let mut set = PreferenceSet::default();
    for row in Preferences::of(&files, config.tie).step_by(stride.max(1)) {
        let (place, preference) = row?;
        set.push(&|| place.to_string(), &preference, how)?;
    }
    let fit = set.pairs.train.len() + set.judged.train.len();
    if fit == 0 {
        return Err(Nothing::of(config, &set, most, "learn from").into());
    }
    Ok(format!(
        "{found}; of {} made into tokens {} are too long for {most} tokens and left out",
        fit + set.dropped,
        set.dropped
    ))
}

/// A stage that learns from preferences, under way. What a step learns from follows from its number.
struct PreferenceStage {
    config: PreferenceConfig,
    train: super::data::Lessons,
    heldout: Option<super::data::Lessons>,
    order: Epochs,
    steps: u64,
    dropped: usize,
    gradient: GradientConfig,
    /// The held-out figures measured last.
    last: Value,
}

impl Stage for PreferenceStage {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&mut self, context: &mut Context, index: u64) -> Result<StepReport, StageError> {
        let lesson = self.train.some(&self.order.step(index, self.config.epochs));
        let (config, memory, gradient) = (&self.config, context.memory, self.gradient);
        let place = (index, self.steps);
        lesson.count(context.spent);
        let mut metrics = step(config, context.learner, &lesson, place, memory, gradient)?;
        let every = config.heldout_every;
        let due = index + 1 == self.steps || (every > 0 && (index + 1).is_multiple_of(every));
        if let Some(heldout) = self.heldout.as_ref().filter(|_| due) {
            let model = &context.learner.model;
            let measured = measure(config, model, &heldout.all(), memory, gradient)?;
            metrics.heldout_loss = Some(measured.loss);
            metrics.heldout_accuracies = Some(measured.accuracies);
            metrics.heldout_margins = measured.margins;
            self.last = json!({
                "heldout_loss": measured.loss,
                "heldout_accuracies": measured.accuracies,
                "heldout_margins": measured.margins,
            });
        }
        Ok(StepReport::of(metrics))
    }

    fn save(&mut self, _files: &Path) -> Result<Value, StageError> {
        Ok(self.last.clone())
    }

    fn end(&mut self, _context: &mut Context) -> Result<Map<String, Value>, StageError> {
        let mut report = Map::new();
        if let Value::Object(last) = &self.last {
            report.extend(last.clone());
        }
        let what = if self.config.loss_type == LossType::Kto {
            "answers"
        } else {
            "pairs"
        };
        report.insert(what.to_owned(), json!(self.train.len()));
        report.insert("too_long".to_owned(), json!(self.dropped));
        Ok(report)
    }
}
