//! The text of a config, section by section.

use std::path::{Path, PathBuf};

use dunwu_datasets::{DataFormat, read_benchmark};
use serde_json::{Map, Value};

use super::{Failure, Task, usage};

/// What to write.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) task: Task,
    pub(super) task_name: String,
    /// None: a tiny one from nothing.
    pub(super) model: Option<String>,
    /// The file of problems.
    pub(super) data: Option<PathBuf>,
    pub(super) lora: bool,
    /// Whether problems are put as plain text.
    pub(super) base: bool,
    /// Where the config goes.
    pub(super) out: String,
}

/// A config for `plan`.
///
/// # Errors
/// When the file of problems has fields that cannot be told.
pub(super) fn config(plan: &Plan) -> Result<String, Failure> {
    match &plan.model {
        None => Ok(from_nothing(plan)),
        Some(model) => of_model(plan, model),
    }
}

/// One of the configs that come with the program, under another name.
fn from_nothing(plan: &Plan) -> String {
    let text = match plan.task {
        Task::Countdown => include_str!("../../../../configs/presets/mini/tinyzero-countdown.toml"),
        Task::Program => include_str!("../../../../configs/programs.toml"),
        Task::ChainSum | Task::Addition | Task::Gsm8k | Task::File => {
            include_str!("../../../../configs/quickstart.toml")
        }
    };
    // What stands before the name speaks of the file that it comes from.
    let body = text.find("\nname = ").map_or(text, |at| &text[at + 1..]);
    let rest = body.split_once('\n').map_or("", |(_, rest)| rest);
    format!("{}name = {}\n{rest}", head(plan), quoted(&plan.name))
}

fn head(plan: &Plan) -> String {
    let mut made_by = format!("dunwu init --task {}", plan.task_name);
    if let Some(model) = &plan.model {
        made_by += &format!(" --model {model}");
    }
    for (flag, set) in [("--lora", plan.lora), ("--base", plan.base)] {
        if set {
            made_by += &format!(" {flag}");
        }
    }
    let out = &plan.out;
    format!(
        "# Written by `{made_by}`.\n\
         #\n\
         #     dunwu check {out}              what will end the run, before it costs anything\n\
         #     dunwu train {out}\n\
         #     dunwu train {out} --resume     after an interruption; --set stages.grpo.steps=… makes it longer\n\
         #\n\
         # `dunwu check` prints every key there is with its default.\n\n"
    )
}

fn of_model(plan: &Plan, model: &str) -> Result<String, Failure> {
    let model_section = format!(
        "[model]\n\
         source = \"pretrained\"\n\
         path = {}  # a directory, a .gguf file, or owner/name on the hub\n\
         # adapter = \"…\"       # begin with these adapters, a directory in PEFT's format\n\n",
        quoted(model)
    );
    let lora = if plan.lora {
        "[lora]                  # adapters are trained, the model stays\nrank = 16\nalpha = 32.0\n\n"
    } else {
        "# [lora]                # train adapters instead of all weights: a third of the memory or less\n# rank = 16\n# alpha = 32.0\n\n"
    };
    let rate = if plan.lora { "2e-5" } else { "1e-6" };
    let sizes = Sizes::of(plan.task);
    Ok(format!(
        "{}name = {}\nseed = 1\ndevice = \"auto\"         # auto, wgpu, or flex: the CPU\n\n{model_section}{lora}{}{}{}",
        head(plan),
        quoted(&plan.name),
        data(plan)?,
        reward(plan.task),
        sizes.rest(rate)
    ))
}

/// `[data]`.
fn data(plan: &Plan) -> Result<String, Failure> {
    let style = if plan.base { "text" } else { "chat" };
    let answer_in = "Think step by step and put the final answer in \\\\boxed{}.";
    let generated = |settings: &str, text: &str| {
        format!(
            "[data.task]             # problems are made on the spot, and some held out\n{settings}\n\
             [data.template]         # how they are put to the model; style = \"text\" for a base model\n\
             text = \"{text}\"\nstyle = \"{style}\"\n\n"
        )
    };
    Ok(match plan.task {
        Task::ChainSum => generated(
            "generator = \"chain-sum\"\nterms_min = 3\nterms_max = 5\n",
            &format!("Compute {{question}} {answer_in}"),
        ),
        Task::Addition => generated(
            "generator = \"addition\"\ntemplate = \"What is {a}+{b}?\"\nheldout_fraction = 0.1\nstages = [{ min = 0, max = 9 }, { min = 10, max = 99 }]\n",
            "{question} Answer with the sum only.",
        ),
        Task::Countdown => generated(
            "generator = \"countdown\"\nnumbers_min = 3\nnumbers_max = 4\n",
            &format!(
                "Make {{target}} out of the numbers {{numbers}}, each used at most once, with + - * / and parentheses. {answer_in}"
            ),
        ),
        Task::Program => generated(
            "generator = \"program\"\nsteps_min = 1\nsteps_max = 3\n",
            "{question}\\n\\nAnswer with one Python code block that holds the whole function.",
        ),
        Task::Gsm8k | Task::File => {
            let file = plan.data.as_deref().unwrap_or(Path::new("problems.jsonl"));
            let read = read_as(plan, file)?;
            format!(
                "[data]\n\
                 file = {}  # one problem a line; a path is looked for beside this file, then where the program is started\n\
                 {}\
                 heldout_fraction = 0.05 # problems that training never sees\n\
                 too_long = \"drop\"       # or error: what is done about prompts that leave no room for an answer\n\n{}",
                quoted(&file.display().to_string()),
                read.format,
                read.tables
            )
        }
    })
}

/// How a file of problems is read.
struct Read {
    /// Keys of `[data]`.
    format: String,
    /// Tables below it.
    tables: String,
}

/// How the file of a plan is read, by its first lines where it is there.
fn read_as(plan: &Plan, file: &Path) -> Result<Read, Failure> {
    let style = if plan.base { "text" } else { "chat" };
    let template = format!(
        "[data.template]         # style = \"text\" for a base model\n\
         text = \"{{question}}\\n\\nThink step by step and put the final answer in \\\\boxed{{}}.\"\n\
         style = \"{style}\"\n\n"
    );
    let of_format = |format: DataFormat| Read {
        format: format!(
            "format = {:?}        # fields and words of a well-known file\n",
            format.name()
        ),
        tables: if plan.base {
            template.clone()
        } else {
            String::new()
        },
    };
    if plan.task == Task::Gsm8k {
        return Ok(of_format(DataFormat::Gsm8k));
    }
    if let Ok(benchmark) = read_benchmark(file, None)
        && !benchmark.format.is_code()
    {
        return Ok(of_format(benchmark.format));
    }
    let fields = first_row(file)?;
    let named = |names: &[&'static str]| {
        names
            .iter()
            .copied()
            .find(|name| fields.contains_key(*name))
    };
    let prompt = named(&[
        "prompt",
        "question",
        "problem",
        "instruction",
        "input",
        "query",
    ]);
    let answer = named(&[
        "answer",
        "final_answer",
        "target",
        "label",
        "expected_answer",
        "solution",
        "output",
    ]);
    let (Some(prompt), Some(answer)) = (prompt, answer) else {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(usage(format!(
            "{}: cannot tell which fields are question and answer; there are: {}; hint: rename them to prompt and answer",
            file.display(),
            known.join(", ")
        )));
    };
    let hashes = fields
        .get(answer)
        .and_then(Value::as_str)
        .is_some_and(|text| text.contains("####"));
    let after = if hashes {
        "answer_format = \"after-hashes\"\n"
    } else {
        ""
    };
    Ok(Read {
        format: String::new(),
        tables: format!(
            "[data.fields]           # which fields of a line are what\nprompt_field = {prompt:?}\nanswer_field = {answer:?}\n{after}\n{template}"
        ),
    })
}

/// The fields of a file's first line.
fn first_row(file: &Path) -> Result<Map<String, Value>, Failure> {
    let wrong = |reason: String| {
        usage(format!(
            "{}: {reason}; hint: --data names a file with a JSON object a line",
            file.display()
        ))
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let line = text.lines().find(|line| !line.trim().is_empty());
    let line = line.ok_or_else(|| wrong("it is empty".to_owned()))?;
    serde_json::from_str(line).map_err(|error| wrong(error.to_string()))
}

/// `[reward.rubric]`.
fn reward(task: Task) -> String {
    let component = match task {
        Task::ChainSum | Task::Addition => {
            "    { kind = \"exact\" },      # the final answer is the problem's\n"
        }
        Task::Countdown => {
            "    { kind = \"countdown\" },  # the expression makes the target out of the numbers\n"
        }
        Task::Program => {
            "    { kind = \"code\" },       # the program passes the problem's tests, in a sandbox\n"
        }
        Task::Gsm8k | Task::File => {
            "    { kind = \"math\" },       # the final answer is mathematically the problem's\n"
        }
    };
    format!("[reward.rubric]\ncomponents = [\n{component}]\n\n")
}

/// How much is sampled, and how much memory that takes.
struct Sizes {
    correct: &'static str,
    max_tokens: usize,
    token_budget: usize,
}

impl Sizes {
    fn of(task: Task) -> Self {
        let (correct, max_tokens) = match task {
            Task::Addition => ("exact", 32),
            Task::ChainSum => ("exact", 256),
            Task::Countdown => ("countdown", 512),
            Task::Program => ("code", 256),
            Task::Gsm8k | Task::File => ("math", 512),
        };
        Self {
            correct,
            max_tokens,
            token_budget: 2 * max_tokens.max(512),
        }
    }

    fn rest(&self, rate: &str) -> String {
        let Self {
            correct,
            max_tokens,
            token_budget,
        } = self;
        format!(
            "[sampling]\n\
             temperature = 1.0\n\
             max_tokens = {max_tokens}        # longest completion\n\n\
             [evaluation]\n\
             problems = 100\n\
             every = 25              # steps between measurements\n\
             correct = \"{correct}\"\n\n\
             [memory]                # `dunwu check` says what it comes to\n\
             token_budget = {token_budget}     # tokens of a training micro-batch\n\
             batch_rows = 32         # completions decoded at a time\n\n\
             [checkpoint]\n\
             every = 25\n\n\
             [[stages]]\n\
             kind = \"grpo\"\n\
             steps = 200\n\
             prompts = 8             # problems a step …\n\
             group = 8               # … and completions of each, which are compared with each other\n\
             learning_rate = {rate}\n\
             warmup_steps = 5\n"
        )
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
