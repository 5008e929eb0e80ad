//! `dunwu reward`.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use dunwu::config;
use dunwu_datasets::{Prompt, Task};
use dunwu_rewards::math::{Form, MathOptions, PercentPolicy, Tolerance, judge};
use dunwu_rewards::{Rubric, Sample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Failure;

/// Lines that are judged between two writes.
const CHUNK: usize = 1024;

/// Judge answers: of a mathematical pair, or by a config's rubric.
///
/// dunwu reward math         reads {"gold", "pred"} and says whether they are the same.
/// dunwu reward CONFIG.toml  reads {"prompt", "completion", "answer"} and shows what each component of the config's
///                           rubric says, and the total.
///
/// Both read JSON lines and write one line for each, in their order.
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
/// Reads JSON lines {"gold", "pred"}, pred a bare answer or a whole completion. Writes {"verdict", "why", "gold_parsed",
/// "pred_parsed"} for each, the verdict one of equal, different, undecided. Other keys of a line are ignored, but for "opts":
/// {"precision": n} allows half a unit of the n-th decimal on this line.
#[derive(Debug, Args)]
struct Math {
    /// The JSON-lines file; - is standard input
    #[arg(default_value = "-")]
    input: String,
    /// Take every pred for a completion, in which the answer has to be found
    #[arg(long)]
    completion: bool,
    /// Search the thoughts of completions too
    #[arg(long)]
    thoughts: bool,
    /// Allow half a unit of this decimal between numbers
    #[arg(long, value_name = "DECIMALS", value_parser = clap::value_parser!(u32).range(..=300))]
    decimals: Option<u32>,
    /// What a percent sign means where only one answer has one
    #[arg(long, value_enum, default_value = "either")]
    percent: Percent,
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

#[derive(Deserialize)]
struct Pair {
    gold: String,
    pred: String,
    #[serde(default)]
    opts: Map<String, Value>,
}

#[derive(Serialize)]
struct Verdict {
    verdict: &'static str,
    why: String,
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
    answer: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undecided: bool,
}

impl Reward {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(Kind::Math(math)) = self.math {
            return math.run();
        }
        let path = self.config.context("a config")?;
        let config = config::load(&path, &self.overrides)?;
        super::sandbox::prepare_for(&config.reward.rubric)?;
        let rubric = Rubric::from_config(&config.reward.rubric).context("reward.rubric")?;
        for_each_line(&self.input, |row: Row| judged(&rubric, row))
    }
}

impl Math {
    fn run(self) -> Result<(), Failure> {
        let options = MathOptions {
            form: if self.completion {
                Form::Completion
            } else {
                Form::Auto
            },
            search_thoughts: self.thoughts,
            tolerance: self.decimals.map(Tolerance::Decimals),
            percent: match self.percent {
                Percent::Either => PercentPolicy::Either,
                Percent::Hundredths => PercentPolicy::Hundredths,
                Percent::Unit => PercentPolicy::Unit,
            },
            strict: self.strict,
            ..MathOptions::default()
        };
        for_each_line(&self.input, |pair: Pair| {
            let precision = pair.opts.get("precision").and_then(Value::as_u64);
            let judgement = match precision.and_then(|decimals| u32::try_from(decimals).ok()) {
                None => judge(&pair.gold, &pair.pred, &options),
                Some(decimals) => {
                    let options = MathOptions {
                        tolerance: Some(Tolerance::Decimals(decimals.min(300))),
                        ..options.clone()
                    };
                    judge(&pair.gold, &pair.pred, &options)
                }
            };
            Verdict {
                verdict: judgement.verdict.name(),
                gold_parsed: judgement.gold_parsed(),
                pred_parsed: judgement.pred_parsed(),
                why: judgement.why.into_owned(),
            }
        })
    }
}

fn judged(rubric: &Rubric, row: Row) -> Judged {
    let mut columns = row.columns;
    columns.extend(row.rest);
    let task = Task::new(
        row.id.unwrap_or_else(|| "line".to_owned()),
        row.prompt,
        row.answer,
    )
    .with_columns(columns);
    // Without a tokenizer four bytes are taken for a token.
    let tokens = row.tokens.unwrap_or(row.completion.len().div_ceil(4));
    let sample = Sample::new(&task, &row.completion)
        .truncated(row.truncated)
        .tokens(tokens);
    let components = rubric.inspect(&sample).into_iter().map(|(name, score)| {
        let shown = match score {
            Ok(Some(score)) => Value::from(score),
            Ok(None) => Value::Null,
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        (name.to_owned(), shown)
    });
    let components = components.collect();
    match rubric.score(&sample) {
        Ok(outcome) => Judged {
            total: Some(outcome.total),
            components,
            error: None,
            undecided: false,
        },
        Err(error) => Judged {
            total: None,
            components,
            undecided: error.is_undecided(),
            error: Some(error.to_string()),
        },
    }
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
        // In order, and up to the first line that cannot be read.
        let answers: Vec<_> = chunk.par_iter().map(judge_line).collect();
        for answer in answers {
            match answer {
                Ok(answer) => {
                    out.write_all(answer.as_bytes())
                        .context("standard output")?;
                    out.write_all(b"\n").context("standard output")?;
                }
                Err(error) => {
                    out.flush().context("standard output")?;
                    return Err(error.into());
                }
            }
        }
        out.flush().context("standard output")?;
    }
    match number {
        0 => Err(anyhow::anyhow!("{name}: no lines").into()),
        _ => Ok(()),
    }
}
