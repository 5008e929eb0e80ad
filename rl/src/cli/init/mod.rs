//! `dunwu init`.
//!
//! | file | subject |
//! |---|---|
//! | this one | what is asked, and where the config goes |
//! | `compose` | the text of a config |

mod compose;

use std::{
    io::{BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use dunwu::config;

use super::{
    Failure,
    terminal::{say, tell},
    usage,
};
use compose::Plan;

/// Write a commented config to begin with.
///
/// What is not given by an option is asked for, if there is somebody at the terminal, and has its default otherwise. Without a
/// model the config makes a tiny one from nothing, which learns in minutes on a CPU.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What the model is to learn
    #[arg(long, value_enum)]
    task: Option<Task>,
    /// A Hugging Face directory, a .gguf file, or owner/name on the hub; none: a tiny model from nothing
    #[arg(long)]
    model: Option<String>,
    /// The file with the problems, for --task gsm8k and file
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Train low-rank adapters instead of all weights
    #[arg(long)]
    lora: bool,
    /// The model is a base model without a chat template: problems are put to it as plain text
    #[arg(long)]
    base: bool,
    /// Where the config goes
    #[arg(long, value_name = "FILE", default_value = "run.toml")]
    out: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// What the model is to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Task {
    /// Sums of several numbers, made on the spot
    ChainSum,
    /// Sums of two numbers, growing, made on the spot; with a model only
    Addition,
    /// An expression that makes a number out of others, made on the spot
    Countdown,
    /// Small Python functions, made on the spot; hidden tests decide
    Program,
    /// Grade school math, from its file
    Gsm8k,
    /// Problems with answers from a JSON-lines file of yours
    File,
}

impl Task {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether its problems are in a file.
    fn reads(self) -> bool {
        matches!(self, Self::Gsm8k | Self::File)
    }
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.out.exists() && !self.force {
            return Err(usage(format!(
                "{} is there already; hint: --out another file, or --force",
                self.out.display()
            )));
        }
        let plan = self.plan()?;
        let text = compose::config(&plan)?;
        std::fs::write(&self.out, text).with_context(|| self.out.display().to_string())?;
        // What is written is a config, or this is a bug.
        config::load(&self.out, &[])?;
        let out = self.out.display();
        tell!("wrote {out}");
        if let Some(data) = plan.data.as_deref().filter(|data| !data.is_file()) {
            tell!("{} is not there yet", data.display());
            if plan.task == Task::Gsm8k {
                say(
                    "hint: its authors keep it at github.com/openai/grade-school-math, grade_school_math/data/train.jsonl",
                );
            }
        }
        tell!("next: dunwu check {out}");
        tell!("then: dunwu train {out}");
        Ok(())
    }

    /// What to write, by the options, by asking, or by default.
    fn plan(&self) -> Result<Plan, Failure> {
        let asks = self.task.is_none() && std::io::stdin().is_terminal();
        let task = match self.task {
            Some(task) => task,
            None if asks => ask_task()?,
            None => Task::ChainSum,
        };
        let model = match &self.model {
            Some(model) => Some(model.clone()),
            None if asks => {
                ask("model (directory, .gguf file or owner/name; empty: a tiny one from nothing)")?
            }
            None => None,
        };
        let data = match (&self.data, task.reads()) {
            (Some(data), true) => Some(data.clone()),
            (Some(data), false) => {
                return Err(usage(format!(
                    "--data {}: --task {} makes its problems itself; hint: --task file",
                    data.display(),
                    task.name()
                )));
            }
            (None, true) => Some(self.file(task, asks)?),
            (None, false) => None,
        };
        let lora = self.lora
            || (asks
                && model.is_some()
                && ask_yes("train adapters only, which takes less memory")?);
        if model.is_none() && (task.reads() || task == Task::Addition) {
            return Err(usage(format!(
                "--task {} is for a model that can read; hint: --model, such as HuggingFaceTB/SmolLM2-135M-Instruct",
                task.name()
            )));
        }
        if model.is_none() && lora {
            return Err(usage("--lora trains adapters of a model; hint: --model"));
        }
        let name = self.out.file_stem().and_then(|stem| stem.to_str());
        Ok(Plan {
            name: name
                .filter(|name| !name.starts_with('.'))
                .unwrap_or("run")
                .to_owned(),
            task,
            task_name: task.name(),
            model,
            data: data.map(|data| self.named_in_config(data)),
            lora,
            base: self.base,
            out: self.out.display().to_string(),
        })
    }

    /// The file of a task whose problems are read.
    fn file(&self, task: Task, asks: bool) -> Result<PathBuf, Failure> {
        if task == Task::File && asks {
            let file = ask("file of problems (JSON lines)")?;
            return file
                .map(PathBuf::from)
                .ok_or_else(|| usage("a file is needed"));
        }
        if task == Task::File {
            return Err(usage("--task file needs --data FILE"));
        }
        let usual = ["gsm8k_train.jsonl", "gsm8k.jsonl", "train.jsonl"];
        let there = usual.iter().find(|name| Path::new(name).is_file());
        Ok(PathBuf::from(there.unwrap_or(&usual[0])))
    }

    /// A path as the config names it: files lie beside it, or the path is whole.
    fn named_in_config(&self, data: PathBuf) -> PathBuf {
        let here = self
            .out
            .parent()
            .is_none_or(|dir| dir.as_os_str().is_empty());
        if here || data.is_absolute() {
            return data;
        }
        std::path::absolute(&data).unwrap_or(data)
    }
}

/// Asks for a line; `None` when it is empty.
fn ask(what: &str) -> Result<Option<String>, Failure> {
    let mut err = std::io::stderr();
    let _ = write!(err, "{what}: ").and_then(|()| err.flush());
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input.read_line(&mut line).context("standard input")?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

fn ask_yes(what: &str) -> Result<bool, Failure> {
    let answer = ask(&format!("{what}? [y/N]"))?;
    Ok(answer.is_some_and(|answer| answer.to_lowercase().starts_with('y')))
}

fn ask_task() -> Result<Task, Failure> {
    for task in Task::value_variants() {
        if let Some(value) = task.to_possible_value() {
            let help = value.get_help().map(ToString::to_string);
            tell!("  {:10} {}", value.get_name(), help.unwrap_or_default());
        }
    }
    let Some(name) = ask("task [chain-sum]")? else {
        return Ok(Task::ChainSum);
    };
    Task::from_str(&name, true).map_err(|_| usage(format!("there is no task {name:?}")))
}
