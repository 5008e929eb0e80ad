//! What will end a run, or spoil it, found before it costs anything: `dunwu check`.
//!
//! | file | subject |
//! |---|---|
//! | this one | everything that is looked at, and what was found |
//! | [`judges`] | whether the rubric finds anything to judge |

pub mod judges;

use dunwu_rewards::Rubric;
use serde::Serialize;

pub use super::sample::SAMPLE;
use super::{
    estimate::{self, Estimate},
    preflight,
    sample::looked_at,
    seats,
};
use crate::{
    bundle::{ModelSection, Outline},
    config::RunConfig,
    device,
    model::Engine,
    seeds::evaluation_seed,
    stages::{PromptLengths, PromptLimit, Rehearsal, prompts},
    tasks::Tasks,
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The run would end, or not begin.
    Error,
    /// The run would go on, but not as one would like.
    Warning,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The section or key that it is about.
    pub about: String,
    /// What it is, with a way out.
    pub message: String,
}

impl Finding {
    fn error(about: impl Into<String>, message: impl ToString) -> Self {
        Self {
            level: Level::Error,
            about: about.into(),
            message: message.to_string(),
        }
    }

    fn warning(about: impl Into<String>, message: impl ToString) -> Self {
        Self {
            level: Level::Warning,
            about: about.into(),
            message: message.to_string(),
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// In the order in which it was looked for.
    pub findings: Vec<Finding>,
    /// Lengths of prompts, where there is a model to count them.
    pub prompts: Option<PromptLengths>,
    /// Problems that are read from files, on the training side.
    pub written_problems: usize,
    /// Problems that are held out.
    pub heldout_problems: usize,
    /// What the stages say of their files, by index and line.
    pub files: Vec<(usize, String)>,
    /// What the run takes, where there is a model to count.
    pub estimate: Option<Estimate>,
}

impl Report {
    /// Whether the run would end, or not begin.
    pub fn ends(&self) -> bool {
        self.findings.iter().any(|f| f.level == Level::Error)
    }

    /// Findings of this level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }
}

/// Looks at everything that a run of `config` will need: its device and memory, its model, tokenizer and template, its data
/// and its judges, and the files of every stage; a sample of the rows, or `all`. Nothing is sampled or trained, no judge
/// that runs programs is asked, and of a model on the hub the files are fetched if they are not there.
pub fn look(config: &RunConfig, all: bool) -> Report {
    let mut report = Report::default();
    schedules(config, &mut report);
    let outline = match Outline::of(&config.model) {
        Ok(outline) => Some(outline),
        Err(error) => {
            report.findings.push(Finding::error("model", &error));
            None
        }
    };
    adapter(config, &mut report);
    if let Some(outline) = &outline {
        report.estimate = Some(estimate::of_shape(config, &outline.config));
    }
    if let Ok(rubric) = Rubric::from_config(&config.reward.rubric) {
        let codec = outline.as_ref().map(|outline| &outline.codec);
        for (name, error) in seats::look(&rubric, codec, config.lora.is_some()) {
            let about = format!("reward.rubric ({name})");
            report.findings.push(Finding::error(about, error));
        }
    }
    machine(config, report.estimate.as_ref(), &mut report.findings);
    if config.has_problems() {
        problems(config, outline.as_ref(), all, &mut report);
    }
    let codec = outline
        .as_ref()
        .map(|outline| (&outline.codec, outline.config.max_position_embeddings));
    let rehearsal = Rehearsal::new(codec, &config.memory, (!all).then_some(SAMPLE));
    for (index, stage) in config.stages.iter().enumerate() {
        match stage.settings().rehearse(&rehearsal) {
            Ok(lines) => {
                let lines = lines.into_iter().map(|line| (index, line));
                report.files.extend(lines);
            }
            Err(error) => {
                let about = format!("stages.{index} ({})", stage.kind());
                report.findings.push(Finding::error(about, &error));
            }
        }
    }
    report
}

/// A warm-up that never ends.
fn schedules(config: &RunConfig, report: &mut Report) {
    for (index, stage) in config.stages.iter().enumerate() {
        let settings = stage.settings();
        let (warmup, steps) = (settings.warmup_steps(), settings.steps());
        if let Some(steps) = steps.filter(|&steps| warmup > steps) {
            let message = format!(
                "warmup_steps = {warmup} is more than steps = {steps}: the learning rate never gets to the top; hint: lower the one or raise the other"
            );
            let about = format!("stages.{index} ({})", stage.kind());
            report.findings.push(Finding::warning(about, message));
        }
    }
}

/// The adapters that the run begins with.
fn adapter(config: &RunConfig, report: &mut Report) {
    let ModelSection::Pretrained(model) = &config.model else {
        return;
    };
    let Some(directory) = &model.adapter else {
        return;
    };
    for file in [crate::model::lora::CONFIG, crate::model::lora::WEIGHTS] {
        let path = directory.join(file);
        if !path.is_file() {
            let message = format!(
                "{}: no such file; hint: model.adapter names a directory in PEFT's format, with {file}",
                path.display()
            );
            report
                .findings
                .push(Finding::error("model.adapter", message));
            return;
        }
    }
}

/// The device, and whether the run fits into memory.
fn machine(config: &RunConfig, estimate: Option<&Estimate>, findings: &mut Vec<Finding>) {
    let chosen = match device::choose(config.device) {
        Ok(chosen) => chosen,
        Err(error) => {
            findings.push(Finding::error("device", &error));
            return;
        }
    };
    let Some(estimate) = estimate else { return };
    if let Err(error) = preflight::fits(estimate, Engine::on(&chosen.device)) {
        findings.push(Finding::error("memory", &error));
    }
}

/// The problems of the run: whether there are any, whether they fit, and whether they can be judged.
fn problems(config: &RunConfig, outline: Option<&Outline>, all: bool, report: &mut Report) {
    let seed = evaluation_seed(config.seed);
    let tasks = match Tasks::new(&config.data, config.evaluation.problems, seed) {
        Ok(tasks) => tasks,
        Err(error) => {
            report.findings.push(Finding::error("data", &error));
            return;
        }
    };
    report.written_problems = tasks.written_count();
    report.heldout_problems = tasks.heldout.len();
    let asks = config.stages.iter().any(|stage| stage.settings().asks());
    let looked_at = if asks {
        looked_at(config, &tasks, (!all).then_some(SAMPLE))
    } else {
        Ok(tasks.heldout.clone()) // no stage draws the others
    };
    let looked_at = match looked_at {
        Ok(looked_at) => looked_at,
        Err(error) => {
            report.findings.push(Finding::error("data", &error));
            return;
        }
    };
    if let Some(outline) = outline {
        let context = outline.config.max_position_embeddings;
        let limit = PromptLimit::new(tasks.prompts, &config.sampling, context);
        let found = prompts::measure(&outline.codec.encoder, &limit, &looked_at);
        lengths(config, &limit, &found, &mut report.findings);
        report.prompts = Some(found);
    }
    let found = judges::look(
        &config.reward.rubric,
        &config.evaluation.correct,
        &looked_at,
    );
    report.findings.extend(found);
}

/// What is wrong with prompts.
fn lengths(
    config: &RunConfig,
    limit: &PromptLimit,
    found: &PromptLengths,
    findings: &mut Vec<Finding>,
) {
    for (message, (first, count)) in &found.unusable {
        let message = format!(
            "{count} of {} prompts cannot be made into tokens, the first is that of task {first}: {message}",
            found.prompts
        );
        findings.push(Finding::error("data", message));
    }
    if let Some((task, tokens)) = &found.first_too_long {
        let (count, prompts) = (found.too_long, found.prompts);
        let counted = format!(
            "{count} of {prompts} prompts have more than the {} tokens that they may have, the first is that of task {task} with {tokens}",
            limit.tokens
        );
        findings.push(if !limit.drops() {
            let hint = "hint: data.too_long = \"drop\" skips such problems; or lower sampling.max_tokens, or shorten the prompts";
            Finding::error("data.too_long", format!("{counted}; {hint}"))
        } else if count == prompts {
            Finding::error("data.too_long", format!("{counted}: none is left; hint: lower sampling.max_tokens"))
        } else {
            Finding::warning("data.too_long", format!("{counted}: they will be skipped"))
        });
    }
    if let Err(error) = preflight::budget(config, found) {
        findings.push(Finding::error("memory.token_budget", error));
    }
}
