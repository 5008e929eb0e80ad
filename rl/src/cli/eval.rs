//! `dunwu eval`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use dunwu::{
    bundle::Bundle,
    config,
    device::{self, DeviceChoice},
    eval::{EvalOutput, Evaluation, record, suite},
    generation::SamplingConfig,
    rollout::{Judge, RolloutCollector},
    seeds,
    tasks::Tasks,
};
use dunwu_datasets::{DataFormat, PromptStyle, Task, Template, TemplateConfig, read_benchmark};
use dunwu_rewards::{Rubric, RubricConfig};

use super::{
    Failure,
    console::{Bar, found},
    model::print_json,
    terminal::tell,
    usage,
};

/// Measure a model: on a config's held-out problems, or on a benchmark's file.
///
/// dunwu eval CONFIG.toml                      the config's task, reward and sampling; its model, or --model
/// dunwu eval --model MODEL --data FILE.jsonl  GSM8K, MATH, SVAMP, AIME, HumanEval or MBPP, told by the file's fields
///
/// Greedy accuracy, and with --samples also sampled accuracy, pass@k and the majority vote cons@k, with 95 % intervals.
/// Writes one JSON object to standard output, and to standard error how the problems were put to the model.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Eval {
    /// The config whose task, reward and sampling are used
    #[arg(conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "data")]
    overrides: Vec<String>,
    /// Measure this model instead of the config's: a run's directory, a Hugging Face directory, a
    /// .gguf file, owner/name on the hub
    #[arg(long)]
    model: Option<String>,
    /// A benchmark's JSON-lines file
    #[arg(long, value_name = "FILE", requires = "model")]
    data: Option<PathBuf>,
    /// Its format
    #[arg(long, value_enum, default_value_t = Format::Auto, requires = "data")]
    format: Format,
    /// How its problems are put to the model: a text with {question} in it, or other columns such as {tests};
    /// @FILE reads it from a file [default: the format's]
    #[arg(long, value_name = "TEXT", requires = "data")]
    prompt_template: Option<String>,
    /// Whether the model is asked by its chat template or continues raw text
    #[arg(long, value_enum, default_value_t = Style::Auto, requires = "data")]
    prompt_style: Style,
    /// A system message before each problem
    #[arg(long, value_name = "TEXT", requires = "data")]
    system: Option<String>,
    /// Where tensors live
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Problems: the first of the file, or held-out ones [default: all of the file; the config's]
    #[arg(long)]
    problems: Option<usize>,
    /// Completions sampled for each problem besides the greedy one [default: 0; the config's]
    #[arg(long)]
    samples: Option<usize>,
    /// Longest completion, in tokens [default: 512; the config's]
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Temperature of the samples [default: 1; the config's]
    #[arg(long)]
    temperature: Option<f64>,
    /// A text that ends a completion; may be given several times [default: the format's; the config's]
    #[arg(long)]
    stop: Vec<String>,
    /// Seeds the samples and the intervals [default: 0; the config's]
    #[arg(long)]
    seed: Option<u64>,
    /// Completions decoded at a time [default: 64; the config's]
    #[arg(long)]
    batch_rows: Option<usize>,
    /// Write a JSON line for each problem to this file: prompt, completions, verdicts
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What the fields of all lines fit
    Auto,
    Gsm8k,
    Math,
    Svamp,
    Aime,
    Humaneval,
    Mbpp,
    Code,
}

impl Format {
    fn named(self) -> Option<DataFormat> {
        match self {
            Self::Auto => None,
            Self::Gsm8k => Some(DataFormat::Gsm8k),
            Self::Math => Some(DataFormat::Math),
            Self::Svamp => Some(DataFormat::Svamp),
            Self::Aime => Some(DataFormat::Aime),
            Self::Humaneval => Some(DataFormat::Humaneval),
            Self::Mbpp => Some(DataFormat::Mbpp),
            Self::Code => Some(DataFormat::Code),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// The chat template where the model has one
    Auto,
    Chat,
    Text,
}

/// What is measured, and by whom it is judged.
struct Subject {
    bundle: Bundle,
    tasks: Vec<Task>,
    rubric: RubricConfig,
    correct: String,
    sampling: SamplingConfig,
    samples: usize,
    seed: u64,
    deadline_s: f64,
    batch_rows: usize,
    workers: usize,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.problems == Some(0) {
            return Err(usage("--problems 0: there is nothing to measure"));
        }
        let subject = match (&self.config, &self.data) {
            (_, Some(data)) => self.benchmark(data)?,
            (Some(config), None) => self.heldout(config)?,
            (None, None) => {
                return Err(usage(
                    "nothing to measure on; hint: give a config, or --model MODEL with --data FILE",
                ));
            }
        };
        // Before the work that it is to keep.
        let details = match &self.details {
            Some(path) => {
                let file = File::create(path).with_context(|| path.display().to_string())?;
                Some((path, BufWriter::new(file)))
            }
            None => None,
        };
        let Subject { bundle, tasks, .. } = &subject;
        if let Some(task) = tasks.first() {
            tell!("prompt   {:?}", bundle.codec.encoder.text(&task.prompt)?);
        }
        let rubric = Rubric::from_config(&subject.rubric).map_err(usage)?;
        if let Some(config) = &self.config {
            super::reward::seat_models(&rubric, config, &self.overrides)?;
        }
        let judge = Judge::new(rubric, Duration::from_secs_f64(subject.deadline_s))?;
        let evaluation = Evaluation {
            collector: RolloutCollector {
                batch_rows: subject.batch_rows,
                workers: subject.workers,
                ..RolloutCollector::new(&bundle.codec.encoder, &judge, &bundle.codec.eos)
            },
            sampling: &subject.sampling,
            correct: &subject.correct,
            samples: subject.samples,
            seed: subject.seed,
        };
        let answers = tasks.len() * (1 + usize::from(evaluation.samples > 0));
        let bar = Bar::new("problems", answers as u64, 0);
        let never = || false;
        let measurement = evaluation.run(&bundle.model, tasks, |done| bar.set(done), &never)?;
        drop(bar);
        tell!("result: {}", found(&measurement.report));
        if let Some((path, mut file)) = details {
            let answers = judge.rubric().answers(&subject.correct);
            let mut write = || -> std::io::Result<()> {
                for detail in record::details(&measurement, &subject.correct, answers) {
                    serde_json::to_writer(&mut file, &detail)?;
                    file.write_all(b"\n")?;
                }
                file.flush()
            };
            write().with_context(|| path.display().to_string())?;
        }
        print_json(&EvalOutput::new(&measurement, tasks))
    }

    /// The held-out problems of a config.
    fn heldout(&self, path: &Path) -> Result<Subject, Failure> {
        let mut config = config::load(path, &self.overrides)?;
        super::sandbox::prepare_for(&config.reward.rubric)?;
        config.evaluation.problems = self.problems.unwrap_or(config.evaluation.problems);
        config.seed = self.seed.unwrap_or(config.seed);
        let chosen = device::choose(self.device.unwrap_or(config.device))?;
        tell!("device   {}", chosen.reason);
        let bundle = match &self.model {
            Some(model) => Bundle::open(model, &chosen.device)?,
            None => Bundle::from_section(
                &config.model,
                seeds::weights_seed(config.seed),
                &chosen.device,
            )?,
        };
        Ok(Subject {
            bundle,
            tasks: Tasks::new(
                &config.data,
                config.evaluation.problems,
                seeds::evaluation_seed(config.seed),
            )?
            .heldout,
            sampling: self.sampling(config.sampling.clone())?,
            correct: config.evaluation.correct.clone(),
            samples: self.samples.unwrap_or(config.evaluation.samples),
            seed: seeds::evaluation_seed(config.seed),
            deadline_s: config.reward.deadline_s,
            batch_rows: self.batch_rows.unwrap_or(config.memory.batch_rows),
            workers: config.memory.workers,
            rubric: config.reward.rubric,
        })
    }

    /// A benchmark from a file, which is read before the model: a mistake in it is told at once.
    fn benchmark(&self, data: &Path) -> Result<Subject, Failure> {
        let template = match &self.prompt_template {
            Some(text) => Some(match text.strip_prefix('@') {
                Some(file) => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
                None => text.clone(),
            }),
            None => None,
        };
        let benchmark = read_benchmark(data, self.format.named())?;
        let format = benchmark.format;
        let put = |style| match &template {
            Some(text) => TemplateConfig {
                text: text.clone(),
                style,
                system: self.system.clone(),
            },
            None => TemplateConfig {
                system: self.system.clone(),
                ..format.template(style)
            },
        };
        let sampling = |style| {
            self.sampling(SamplingConfig {
                max_tokens: suite::MAX_TOKENS,
                stop: suite::stop(format, style),
                ..SamplingConfig::default()
            })
        };
        // Mistakes are told before the model is loaded.
        let asked = match self.prompt_style {
            Style::Text => PromptStyle::Text,
            Style::Auto | Style::Chat => PromptStyle::Chat,
        };
        Template::from_config(&put(asked)).map_err(usage)?;
        sampling(asked)?;

        let chosen = device::choose(self.device.unwrap_or_default())?;
        tell!("device   {}", chosen.reason);
        let model = self.model.as_deref().unwrap_or_default();
        let bundle = Bundle::open(model, &chosen.device)?;
        tell!("model    {}", bundle.codec.encoder.origin);
        let style = match bundle.codec.encoder.template {
            None if self.prompt_style == Style::Auto => PromptStyle::Text,
            _ => asked,
        };
        let put = put(style);
        let template = Template::from_config(&put).map_err(usage)?;
        let how = match self.format {
            Format::Auto => "by its fields",
            _ => "as asked",
        };
        tell!(
            "format   {format}, {how}; judged by {}",
            suite::correct(format)
        );
        tell!("template {:?}", put.text);
        let rubric = suite::rubric(format, style);
        super::sandbox::prepare_for(&rubric)?;
        let mut tasks = benchmark.tasks;
        if let Some(problems) = self.problems.filter(|problems| *problems > tasks.len()) {
            return Err(usage(format!(
                "--problems {problems}: {} has {}",
                data.display(),
                tasks.len()
            )));
        }
        tasks.truncate(self.problems.unwrap_or(tasks.len()));
        let tasks = tasks.into_iter().map(|task| template.apply(task));
        let tasks = tasks.collect::<Result<_, _>>().map_err(usage)?;
        Ok(Subject {
            bundle,
            tasks,
            rubric,
            correct: suite::correct(format).to_owned(),
            sampling: sampling(style)?,
            samples: self.samples.unwrap_or(0),
            seed: self.seed.unwrap_or(0),
            deadline_s: suite::DEADLINE_S,
            batch_rows: self.batch_rows.unwrap_or(64),
            workers: 1,
        })
    }

    /// What the command line says of sampling, over `base`.
    fn sampling(&self, base: SamplingConfig) -> Result<SamplingConfig, Failure> {
        let config = SamplingConfig {
            temperature: self.temperature.unwrap_or(base.temperature),
            max_tokens: self.max_tokens.unwrap_or(base.max_tokens),
            stop: if self.stop.is_empty() {
                base.stop
            } else {
                self.stop.clone()
            },
            ..base
        };
        config.validate().map_err(usage)?;
        Ok(config)
    }
}
