//! `dunwu reward`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use clap::{Args, Subcommand};
use dunwu::{config, device, run::seats};
use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::math::{
    self, Form, MathOptions, PercentPolicy, Tolerance, gold_fault, judge_any, right_answers,
};
use dunwu_rewards::{ComponentConfig, RewardError, Rubric, Sample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Failure, terminal::tell};

/// Lines that are judged between two writes.
const CHUNK: usize = 1024;

/// Judge answers: of a mathematical pair, or by a config's rubric.
///
/// dunwu reward math         reads {"gold", "pred"} and says whether they are the same.
/// dunwu reward CONFIG.toml  reads {"prompt", "completion", "answer"} and shows what each component of the config's
///                           rubric says, which answer it found and how it reads, and the total. Only [reward.rubric] of
///                           the config is read, and with a component `model` also what its model stands on.
///
/// Both read JSON lines and write one line for each, in their order. A line that cannot be read becomes {"error": …}, the
/// others are judged all the same, and the exit status is 1. It is 1 too where no line of a rubric's has a total.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Reward {
    #[command(subcommand)]
    math: Option<Kind>,
    /// The run's config, a TOML file
    #[arg(required = true)]
    config: Option<PathBuf>,
    /// The JSON-lines file; - is standard input
    #[arg(default_value = "-")]
    input: String,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Math(Math),
}

/// Whether two mathematical answers are the same.
///
/// Reads JSON lines {"gold", "pred"}: gold a text, a number or a list of several right answers, pred a bare answer or a whole
/// completion. Writes {"verdict", "why", "gold_parsed", "pred_parsed"} for each, the verdict one of equal, different,
/// undecided; an undecided one has {"fault"}: gold or pred. Other keys of a line are ignored, but for "opts": {"precision": n}
/// allows half a unit of the n-th decimal on this line.
#[derive(Debug, Args)]
struct Math {
    /// The JSON-lines file; - is standard input
    #[arg(default_value = "-")]
    input: String,
    /// Take the settings of this config's component `math`; every pred is a completion, as it is in training
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    overrides: Vec<String>,
    /// Take every pred for a completion, in which the answer has to be found
    #[arg(long)]
    completion: bool,
    /// Search the thoughts of completions too
    #[arg(long)]
    thoughts: bool,
    /// Allow half a unit of this decimal between numbers
    #[arg(long, value_name = "DECIMALS", value_parser = clap::value_parser!(u32).range(..=300))]
    decimals: Option<u32>,
    /// What a percent sign means where only one answer has one [default: either, or what the config says]
    #[arg(long, value_enum)]
    percent: Option<Percent>,
    /// Want units and brackets to be there
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Percent {
    /// 28% is 0.28, and also 28
    Either,
    /// 28% is 0.28
    Hundredths,
    /// 28% is 28
    Unit,
}

/// An answer as people write it into JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(serde_json::Number),
}

impl Written {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A right answer, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Golds {
    One(Written),
    Several(Vec<Written>),
}

impl Golds {
    fn texts(self) -> Vec<String> {
        match self {
            Self::One(answer) => right_answers(&answer.text()),
            Self::Several(answers) => answers.into_iter().map(Written::text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Pair {
    gold: Golds,
    pred: Written,
    #[serde(default)]
    opts: Map<String, Value>,
}

#[derive(Serialize)]
struct Verdict {
    verdict: &'static str,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    gold_parsed: Option<String>,
    pred_parsed: Option<String>,
}

/// A completion to be judged by a rubric. Keys that are not named here are columns of the task.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Option<String>,
    prompt: Prompt,
    completion: String,
    #[serde(default)]
    answer: Option<Golds>,
    #[serde(default)]
    truncated: bool,
    /// Length in tokens; the config's tokenizer is not loaded for this.
    #[serde(default)]
    tokens: Option<usize>,
    #[serde(default)]
    columns: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Serialize)]
struct Judged {
    total: Option<f64>,
    components: Map<String, Value>,
    /// By component: the answer that was found, and what it says if it reads as mathematics.
    #[serde(skip_serializing_if = "Map::is_empty")]
    answers: Map<String, Value>,
    /// As `component/part`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    parts: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whose doing the error is: host, task or completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undecided: bool,
}

impl Reward {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(Kind::Math(math)) = self.math {
            return math.run();
        }
        let path = self.config.context("a config")?;
        let config = config::load_rubric(&path, &self.overrides)?;
        super::sandbox::prepare_for(&config)?;
        let rubric = Rubric::from_config(&config).context("reward.rubric")?;
        seat_models(&rubric, &path, &self.overrides)?;
        let seen = Seen::default();
        let result = for_each_line(&self.input, |row: Row| judged(&rubric, &seen, row));
        seen.warn(&rubric);
        result?;
        seen.expect_one()
    }
}

/// Opens the reward models that a rubric names. Adapters among them stand on the model of the config at `path`.
pub(super) fn seat_models(
    rubric: &Rubric,
    path: &Path,
    overrides: &[String],
) -> Result<(), Failure> {
    if rubric.seats().is_empty() {
        return Ok(());
    }
    let run = config::load(path, overrides)?;
    let device = device::choose(run.device)?.device;
    for line in seats::fill_alone(rubric, &run, &device)? {
        tell!("reward   {line}");
    }
    Ok(())
}

/// What is counted over all lines.
#[derive(Default)]
struct Seen {
    lines: AtomicUsize,
    without_answer: AtomicUsize,
    /// Lines without a total, because judges failed or none applies.
    failed: AtomicUsize,
    /// Components that had something to say, or failed, on a line.
    spoke: Mutex<HashSet<String>>,
}

impl Seen {
    /// Fails where no line has a total: whoever pipes this on has nothing.
    fn expect_one(&self) -> Result<(), Failure> {
        let lines = self.lines.load(Ordering::Relaxed);
        if lines == 0 || self.failed.load(Ordering::Relaxed) < lines {
            return Ok(());
        }
        let message = format!(
            "none of {lines} lines has a total; hint: their \"error\" and \"components\" say why"
        );
        Err(anyhow::anyhow!(message).into())
    }

    /// Says on standard error what is most likely missing in the lines.
    fn warn(&self, rubric: &Rubric) {
        let lines = self.lines.load(Ordering::Relaxed);
        if lines == 0 {
            return;
        }
        let missing = self.without_answer.load(Ordering::Relaxed);
        if missing > 0 {
            tell!(
                "warning: {missing} of {lines} lines have no \"answer\": judges that compare answers do not apply to them"
            );
        }
        let spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        for name in rubric.component_names() {
            if !spoke.contains(name) {
                tell!(
                    "warning: the component {name} applies to none of {lines} lines; hint: does a column that it reads miss?"
                );
            }
        }
    }
}

impl Math {
    fn run(self) -> Result<(), Failure> {
        let options = self.options()?;
        for_each_line(&self.input, |pair: Pair| {
            let precision = pair.opts.get("precision").and_then(Value::as_u64);
            let decimals = precision.and_then(|decimals| u32::try_from(decimals).ok());
            let options = MathOptions {
                tolerance: match decimals {
                    Some(decimals) => Some(Tolerance::Decimals(decimals.min(300))),
                    None => options.tolerance,
                },
                ..options.clone()
            };
            let golds = pair.gold.texts();
            let judgement = judge_any(&golds, &pair.pred.text(), &options);
            let undecided = matches!(judgement.verdict, math::Verdict::Undecided { .. });
            let broken = || {
                golds
                    .iter()
                    .any(|gold| gold_fault(gold, &options).is_some())
            };
            let fault = undecided.then(|| {
                if golds.is_empty() || broken() {
                    "gold"
                } else {
                    "pred"
                }
            });
            Verdict {
                verdict: judgement.verdict.name(),
                gold_parsed: judgement.gold_parsed(),
                pred_parsed: judgement.pred_parsed(),
                why: judgement.why.into_owned(),
                fault,
            }
        })
    }

    /// The config's settings, or the defaults, with what the command line says.
    fn options(&self) -> Result<MathOptions, Failure> {
        let mut options = MathOptions::default();
        if let Some(path) = &self.config {
            let rubric = config::load_rubric(path, &self.overrides)?;
            let found = rubric
                .components
                .iter()
                .find_map(|component| match component {
                    ComponentConfig::Math(config) => Some(config),
                    _ => None,
                });
            let Some(found) = found else {
                let message = format!(
                    "{}: no component of reward.rubric is of kind math; hint: leave --config out",
                    path.display()
                );
                return Err(anyhow::anyhow!(message).into());
            };
            options = dunwu_rewards::math::Math::from_config(found)
                .with_context(|| path.display().to_string())?
                .options()
                .clone();
        }
        if self.completion {
            options.form = Form::Completion;
        }
        options.search_thoughts |= self.thoughts;
        options.strict |= self.strict;
        options.tolerance = self.decimals.map(Tolerance::Decimals).or(options.tolerance);
        options.percent = match self.percent {
            Some(Percent::Either) => PercentPolicy::Either,
            Some(Percent::Hundredths) => PercentPolicy::Hundredths,
            Some(Percent::Unit) => PercentPolicy::Unit,
            None => options.percent,
        };
        Ok(options)
    }
}

/// What a rubric says of one line. Each component is asked once.
fn judged(rubric: &Rubric, seen: &Seen, row: Row) -> Judged {
    let mut columns = row.columns;
    columns.extend(row.rest);
    let answer = match row.answer.map(Golds::texts) {
        None => String::new(),
        Some(answers) if answers.len() == 1 => answers.into_iter().next().unwrap_or_default(),
        // Several are kept as the list that the judge reads.
        Some(answers) => Value::from(answers).to_string(),
    };
    seen.lines.fetch_add(1, Ordering::Relaxed);
    let unanswered = usize::from(answer.trim().is_empty());
    seen.without_answer.fetch_add(unanswered, Ordering::Relaxed);
    let id = row.id.unwrap_or_else(|| "line".to_owned());
    let task = Task::new(id, row.prompt, answer).with_columns(columns);
    // Without a tokenizer four bytes are taken for a token.
    let tokens = row.tokens.unwrap_or(row.completion.len().div_ceil(4));
    let sample = Sample::new(&task, &row.completion)
        .truncated(row.truncated)
        .tokens(tokens);
    let (verdicts, outcome) = rubric.explain(&sample);
    let mut judged = Judged {
        total: None,
        components: Map::new(),
        answers: answers_of(rubric, &sample),
        parts: Map::new(),
        notes: Vec::new(),
        error: None,
        fault: None,
        undecided: false,
    };
    for (name, verdict) in verdicts {
        if !matches!(verdict, Ok(None)) {
            let mut spoke = seen.spoke.lock().unwrap_or_else(PoisonError::into_inner);
            spoke.insert(name.to_owned());
        }
        let shown = match verdict {
            Ok(None) => Value::Null,
            Ok(Some(score)) => {
                for (part, value) in &score.parts {
                    judged
                        .parts
                        .insert(format!("{name}/{part}"), Value::from(*value));
                }
                judged
                    .notes
                    .extend(score.note.map(|note| format!("{name}: {note}")));
                Value::from(score.value)
            }
            Err(error) => {
                let shown = serde_json::json!({ "error": error.to_string() });
                if judged.error.is_none() {
                    judged.note_error(&error);
                }
                shown
            }
        };
        judged.components.insert(name.to_owned(), shown);
    }
    match outcome {
        Some(Ok(outcome)) => judged.total = Some(outcome.total),
        Some(Err(error)) => judged.note_error(&error),
        None => {}
    }
    let failed = usize::from(judged.total.is_none());
    seen.failed.fetch_add(failed, Ordering::Relaxed);
    judged
}

impl Judged {
    fn note_error(&mut self, error: &RewardError) {
        self.undecided = error.is_undecided();
        self.fault = Some(error.fault().name());
        self.error = Some(error.to_string());
    }
}

/// Which answer each component that compares answers has found, and how it reads.
fn answers_of(rubric: &Rubric, sample: &Sample) -> Map<String, Value> {
    let mut found = Map::new();
    for name in rubric.component_names() {
        let Some(answers) = rubric.answers(name) else {
            continue;
        };
        let shown = match answers.answer(sample) {
            None => Value::Null,
            Some(text) => {
                let read = math::parse(&text).ok().map(|read| read.to_string());
                serde_json::json!({ "text": text, "read": read })
            }
        };
        found.insert(name.to_owned(), shown);
    }
    found
}

/// Reads JSON lines and writes what `work` makes of each, in order, on all cores; a chunk at a time, so that neither the input
/// nor the output has to fit into memory.
fn for_each_line<T, U>(path: &str, work: impl Fn(T) -> U + Sync) -> Result<(), Failure>
where
    T: serde::de::DeserializeOwned,
    U: Serialize,
{
    let (name, reader): (&str, Box<dyn Read>) = match path {
        "-" => ("standard input", Box::new(std::io::stdin().lock())),
        _ => (
            path,
            Box::new(std::fs::File::open(path).with_context(|| path.to_owned())?),
        ),
    };
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut number = 0;
    let mut bad: Vec<String> = Vec::new();
    loop {
        let mut chunk: Vec<(usize, String)> = Vec::new();
        // Up to what has arrived: someone who types or pipes slowly is answered at once.
        while chunk.len() < CHUNK && (chunk.is_empty() || reader.buffer().contains(&b'\n')) {
            let mut line = String::new();
            let read = reader
                .read_line(&mut line)
                .with_context(|| format!("{name}:{}", number + 1))?;
            if read == 0 {
                break;
            }
            number += 1;
            if !line.trim().is_empty() {
                chunk.push((number, line));
            }
        }
        if chunk.is_empty() {
            break;
        }
        let judge_line = |(number, line): &(usize, String)| -> anyhow::Result<String> {
            let row = serde_json::from_str(line).with_context(|| format!("{name}:{number}"))?;
            Ok(serde_json::to_string(&work(row))?)
        };
        let answers: Vec<_> = chunk.par_iter().map(judge_line).collect();
        for answer in answers {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    // One bad line keeps its place, and the others from nothing.
                    let message = format!("{error:#}");
                    let line = serde_json::json!({ "error": message }).to_string();
                    bad.push(message);
                    line
                }
            };
            out.write_all(answer.as_bytes())
                .context("standard output")?;
            out.write_all(b"\n").context("standard output")?;
        }
        out.flush().context("standard output")?;
    }
    match (number, bad.first()) {
        (0, _) => Err(anyhow::anyhow!("{name}: no lines").into()),
        (_, None) => Ok(()),
        (_, Some(first)) => {
            let count = bad.len();
            let lines = if count == 1 { "line" } else { "lines" };
            Err(anyhow::anyhow!("{count} {lines} could not be read; the first: {first}").into())
        }
    }
}
