//! The arguments that choose a model, shared by the commands that use one.

use std::{
    io::{BufRead, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use dunwu::{
    bundle::Bundle,
    device::{self, DeviceChoice},
    generation::SamplingConfig,
    model::lora::load_adapter,
};

use super::{Failure, terminal::tell, usage};

/// Which model, and where.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// A Hugging Face directory, a .gguf file, owner/name on the hub, or a run's directory
    #[arg(long)]
    pub(crate) model: String,
    /// A directory of low-rank adapters in PEFT's format, to be added to the model
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// Where tensors live
    #[arg(long, default_value_t)]
    pub(crate) device: DeviceChoice,
}

impl ModelArguments {
    pub(crate) fn open(&self) -> Result<Bundle, Failure> {
        let chosen = device::choose(self.device)?;
        tell!("device   {}", chosen.reason);
        let mut bundle = Bundle::open(&self.model, &chosen.device)?;
        tell!("model    {}", bundle.codec.encoder.origin);
        if let Some(adapter) = &self.adapter {
            load_adapter(adapter, &mut bundle.model)?;
            bundle.model = bundle.model.merged();
            tell!("adapter  {}", adapter.display());
        }
        Ok(bundle)
    }
}

/// How completions are drawn.
#[derive(Debug, Args)]
pub(crate) struct SamplingArguments {
    /// Logits are divided by this; 0 takes the likeliest token
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Only the k likeliest tokens; 0 keeps all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Only the likeliest tokens that together reach this probability
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Only tokens with at least this share of the likeliest token's probability
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Longest completion, in tokens
    #[arg(long, default_value_t = 256)]
    max_tokens: usize,
    /// A text that ends a completion; may be given several times
    #[arg(long)]
    stop: Vec<String>,
    /// Seeds every draw
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl SamplingArguments {
    pub(crate) fn config(&self) -> Result<SamplingConfig, Failure> {
        let config = SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
        };
        config.validate().map_err(usage)?;
        Ok(config)
    }
}

/// The lines of a JSON-lines file, or of standard input for `-`, with their numbers from 1.
pub(crate) fn json_lines<T: serde::de::DeserializeOwned>(
    path: &str,
) -> Result<Vec<(usize, T)>, Failure> {
    let text = match path {
        "-" => std::io::read_to_string(std::io::stdin().lock()).context("standard input")?,
        _ => std::fs::read_to_string(path).with_context(|| path.to_owned())?,
    };
    let name = if path == "-" { "standard input" } else { path };
    let mut rows = Vec::new();
    for (index, line) in text.as_bytes().lines().enumerate() {
        let line = line.context(name.to_owned())?;
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(&line).with_context(|| format!("{name}:{}", index + 1))?;
        rows.push((index + 1, row));
    }
    if rows.is_empty() {
        Err(anyhow::anyhow!("{name}: no lines").into())
    } else {
        Ok(rows)
    }
}

/// Writes one JSON object as a line of standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)
        .map_err(std::io::Error::from)
        .context("standard output")?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .context("standard output")?;
    Ok(())
}
