//! `dunwu bench`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dunwu::{
    bench::{
        Bench, Shape, StepReport,
        growth::{self, Axis, Point},
        median, work,
    },
    bundle::Bundle,
    device::{self, DeviceChoice},
    learner::MemorySection,
    model::{Precision, lora::Lora},
};
use serde::Serialize;

use super::{Failure, model::print_json, terminal::tell, usage};

/// Measure what a GRPO step costs on a model, and how far that is from what the machine can do.
///
/// Writes one JSON object to standard output: medians over the steps, after one that warms up.
/// `generation_share` and `training_share` are the useful floating-point operations per second,
/// divided by those of the fastest matrix product, measured in the same run.
#[derive(Debug, Args)]
pub(crate) struct BenchCommand {
    /// A Hugging Face directory, a .gguf file, owner/name on the hub, or a run's directory
    #[arg(long, default_value = "HuggingFaceTB/SmolLM2-135M-Instruct")]
    model: String,
    /// Where tensors live
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Prompts a step; 4, or 2 with --growth
    #[arg(long)]
    prompts: Option<usize>,
    /// Completions a prompt
    #[arg(long, default_value_t = 8)]
    group: usize,
    /// Longest completion, in tokens; 64, or 32 with --growth
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Words put before each question, to make prompts longer
    #[arg(long, default_value_t = 0)]
    padding: usize,
    /// Let every completion run to --max-tokens
    #[arg(long)]
    ignore_eos: bool,
    /// Steps that are measured, after one that warms up; 3, or 2 with --growth
    #[arg(long)]
    steps: Option<usize>,
    /// Leave out the shares of the machine's speed, and the time that measuring it takes
    #[arg(long)]
    no_matmul: bool,
    /// Train low-rank adapters instead of the model
    #[arg(long)]
    lora: bool,
    /// Rank of the adapters
    #[arg(long, default_value_t = Lora::default().rank, requires = "lora")]
    lora_rank: usize,
    /// Tokens of a training micro-batch
    #[arg(long, default_value_t = MemorySection::default().token_budget)]
    token_budget: usize,
    /// Completions decoded at a time
    #[arg(long, default_value_t = MemorySection::default().batch_rows)]
    batch_rows: usize,
    /// Threads that share micro-batches and requests; more than one pays for small models only
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// MiB of one chunk of logits
    #[arg(long, default_value_t = MemorySection::default().head_chunk_mib)]
    head_chunk_mib: usize,
    /// Keep only the input of each block for the backward pass
    #[arg(long)]
    checkpoint_activations: bool,
    /// Tokens whose activations are kept from sampling for training; 0 computes them again there, and
    /// the default is twice the token budget
    #[arg(long)]
    recorded_tokens: Option<usize>,
    /// How the base of the adapters is stored
    #[arg(long, default_value = "f32", requires = "lora")]
    frozen: Precision,
    /// Double and redouble prompts, group, completion and prompt length instead, and write growth.md,
    /// growth.json and growth.svg into this directory
    #[arg(long, value_name = "DIR")]
    growth: Option<PathBuf>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Output {
    model: String,
    device: String,
    prompts: usize,
    group: usize,
    max_tokens: usize,
    lora: bool,
    frozen: Precision,
    /// Tokens whose activations training took from sampling.
    recorded_tokens: usize,
    steps: usize,
    step_s: f64,
    /// Fastest and slowest step.
    step_s_range: [f64; 2],
    generation_s: f64,
    reward_s: f64,
    training_s: f64,
    completion_tokens: usize,
    total_tokens: usize,
    /// Rows through the model, a prompt once for all its completions.
    rows: usize,
    generated_tokens_per_s: f64,
    trained_tokens_per_s: f64,
    /// Floating-point operations that the step needs; see `bench/work.rs`.
    generation_flops: f64,
    training_flops: f64,
    /// Null with --no-matmul, as the shares are then.
    matmul_flops_per_s: f64,
    generation_share: f64,
    training_share: f64,
    /// Kernels launched while sampling for each token that a completion got, and values waited
    /// for; 0 on the CPU.
    launches_per_token: f64,
    read_backs_per_token: f64,
    /// The same of the training part of a step.
    launches_per_training_step: f64,
    read_backs_per_training_step: f64,
    peak_memory_bytes: Option<u64>,
}

impl BenchCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shape = self.shape();
        let positive = [
            ("--prompts", shape.prompts),
            ("--max-tokens", shape.max_tokens),
            ("--steps", self.steps()),
            ("--token-budget", self.token_budget),
            ("--batch-rows", self.batch_rows),
            ("--workers", self.workers),
            ("--head-chunk-mib", self.head_chunk_mib),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(usage(format!("{name} 0: must be at least 1")));
        }
        if self.group < 2 {
            return Err(usage("--group: advantages compare at least 2 completions"));
        }
        let chosen = device::choose(self.device)?;
        tell!("device   {}", chosen.reason);
        if let Some(directory) = &self.growth {
            return self.growth(directory);
        }
        let mut bench = self.bench(shape.clone(), &chosen.device)?;
        tell!("model    {}", bench.origin());
        let config = bench.config().clone();
        let matmul = || {
            if self.no_matmul {
                f64::NAN
            } else {
                work::matmul_flops_per_s(&config, &chosen.device)
            }
        };
        let before = matmul();
        let mut reports = Vec::with_capacity(self.steps());
        for step in 0..=self.steps() as u64 {
            let report = bench.step(step)?;
            let kind = if step == 0 { "warm-up" } else { "step" };
            tell!(
                "{kind} {step}: {:.2} s (generation {:.2}, training {:.2}), {} completion tokens",
                report.step_s,
                report.generation_s,
                report.training_s,
                report.completion_tokens
            );
            if step > 0 {
                reports.push(report);
            }
        }
        // Other work on the machine may have slowed one of the two.
        let matmul = before.max(matmul());
        let middle = |value: fn(&StepReport) -> f64| median(reports.iter().map(value).collect());
        let times = reports.iter().map(|r| r.step_s);
        print_json(&Output {
            model: self.model.clone(),
            device: chosen.reason,
            prompts: shape.prompts,
            group: shape.group,
            max_tokens: shape.max_tokens,
            lora: self.lora,
            frozen: self.frozen,
            recorded_tokens: middle(|r| r.recorded_tokens as f64) as usize,
            steps: self.steps(),
            step_s: middle(|r| r.step_s),
            step_s_range: [
                times.clone().fold(f64::INFINITY, f64::min),
                times.fold(0.0, f64::max),
            ],
            generation_s: middle(|r| r.generation_s),
            reward_s: middle(|r| r.reward_s),
            training_s: middle(|r| r.training_s),
            completion_tokens: middle(|r| r.completion_tokens as f64) as usize,
            total_tokens: middle(|r| r.total_tokens as f64) as usize,
            rows: middle(|r| r.rows as f64) as usize,
            generated_tokens_per_s: middle(|r| r.generated_tokens_per_s),
            trained_tokens_per_s: middle(|r| r.trained_tokens_per_s),
            generation_flops: middle(|r| r.generation_flops),
            training_flops: middle(|r| r.training_flops),
            matmul_flops_per_s: matmul,
            generation_share: middle(|r| r.generation_flops / r.generation_s) / matmul,
            training_share: middle(|r| r.training_flops / r.training_s) / matmul,
            launches_per_token: middle(|r| per_token(r, r.generation_traffic.launches)),
            read_backs_per_token: middle(|r| per_token(r, r.generation_traffic.read_backs)),
            launches_per_training_step: middle(|r| r.training_traffic.launches as f64),
            read_backs_per_training_step: middle(|r| r.training_traffic.read_backs as f64),
            peak_memory_bytes: Bench::peak_memory_bytes(),
        })
    }

    fn steps(&self) -> usize {
        self.steps
            .unwrap_or(if self.growth.is_some() { 2 } else { 3 })
    }

    fn shape(&self) -> Shape {
        let (prompts, max_tokens) = match self.growth {
            Some(_) => (2, 32),
            None => (4, 64),
        };
        Shape {
            prompts: self.prompts.unwrap_or(prompts),
            group: self.group,
            max_tokens: self.max_tokens.unwrap_or(max_tokens),
            padding: self.padding,
            ignore_eos: self.ignore_eos,
        }
    }

    fn bench(&self, shape: Shape, device: &burn::tensor::Device) -> Result<Bench, Failure> {
        let bundle = Bundle::open(&self.model, device)?;
        let memory = MemorySection {
            token_budget: self.token_budget,
            batch_rows: self.batch_rows,
            workers: self.workers,
            head_chunk_mib: self.head_chunk_mib,
            checkpoint_activations: self.checkpoint_activations,
            recorded_tokens: self.recorded_tokens,
            frozen: self.frozen,
        };
        let lora = Lora {
            rank: self.lora_rank,
            alpha: 2.0 * self.lora_rank as f64,
            ..Lora::default()
        };
        let lora = self.lora.then_some(&lora);
        Ok(Bench::new(bundle, shape, memory, lora)?)
    }

    /// Measures each shape in a process of its own, since peak memory is a process's.
    fn growth(&self, directory: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let program = std::env::current_exe().context("this program's own path")?;
        let base = Shape {
            ignore_eos: true,
            ..self.shape()
        };
        let mut points = Vec::new();
        let mut first = None;
        for axis in Axis::ALL {
            for shape in axis.shapes(&base) {
                let (report, peak) = match &first {
                    Some(first) if shape == base => first,
                    _ => &self.measure(&program, &shape)?,
                };
                let prompt = (report.total_tokens - report.completion_tokens)
                    / (shape.prompts * shape.group).max(1);
                let point = Point {
                    axis,
                    value: axis.value(&shape, prompt),
                    report: report.clone(),
                    peak_memory_bytes: *peak,
                };
                tell!("{axis:?} {}: {:.2} s", point.value, point.report.step_s);
                first.get_or_insert_with(|| (point.report.clone(), point.peak_memory_bytes));
                points.push(point);
            }
        }
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())
        };
        write("growth.md", growth::table(&points))?;
        write("growth.json", serde_json::to_string_pretty(&points)? + "\n")?;
        growth::plot(&points, &directory.join("growth.svg")).map_err(|e| anyhow::anyhow!(e))?;
        Ok(())
    }

    /// What a step of a shape takes, and the bytes held at most.
    fn measure(&self, program: &Path, shape: &Shape) -> Result<(StepReport, u64), Failure> {
        let mut command = std::process::Command::new(program);
        let numbers = [
            ("--prompts", shape.prompts),
            ("--group", shape.group),
            ("--max-tokens", shape.max_tokens),
            ("--padding", shape.padding),
            ("--steps", self.steps()),
            ("--token-budget", self.token_budget),
            ("--batch-rows", self.batch_rows),
            ("--workers", self.workers),
            ("--head-chunk-mib", self.head_chunk_mib),
        ];
        command.args([
            "bench",
            "--ignore-eos",
            "--no-matmul",
            "--model",
            &self.model,
        ]);
        command.args(["--device", &self.device.to_string()]);
        for (name, value) in numbers {
            command.args([name, &value.to_string()]);
        }
        if self.lora {
            command.args(["--lora", "--lora-rank", &self.lora_rank.to_string()]);
            command.args(["--frozen", self.frozen.name()]);
        }
        if self.checkpoint_activations {
            command.arg("--checkpoint-activations");
        }
        if let Some(tokens) = self.recorded_tokens {
            command.args(["--recorded-tokens", &tokens.to_string()]);
        }
        let output = command.output().context("a process of this program")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(anyhow::anyhow!("{shape:?}: {}", said.trim()).into());
        }
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let number = |key: &str| value[key].as_f64().unwrap_or(f64::NAN);
        let report = StepReport {
            step_s: number("step_s"),
            generation_s: number("generation_s"),
            reward_s: number("reward_s"),
            training_s: number("training_s"),
            completion_tokens: number("completion_tokens") as usize,
            total_tokens: number("total_tokens") as usize,
            rows: number("rows") as usize,
            generated_tokens_per_s: number("generated_tokens_per_s"),
            trained_tokens_per_s: number("trained_tokens_per_s"),
            generation_flops: number("generation_flops"),
            training_flops: number("training_flops"),
            recorded_tokens: number("recorded_tokens") as usize,
            generation_traffic: Default::default(),
            training_traffic: Default::default(),
        };
        Ok((report, number("peak_memory_bytes") as u64))
    }
}

fn per_token(report: &StepReport, count: u64) -> f64 {
    count as f64 / report.completion_tokens.max(1) as f64
}
