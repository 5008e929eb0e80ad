//! `dunwu score`.

use clap::Args;
use dunwu::{
    learner::{HeadConfig, Sequence, token_logprobs},
    machine::peak_memory_bytes,
};
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    model::{ModelArguments, json_lines, print_json},
    terminal::tell,
};

/// Log-probabilities of given completions.
///
/// Reads JSON lines {"prompt", "completion"}: raw text, no template. The text begins with what the
/// tokenizer puts before a raw text, such as BOS. The prompt has the tokens that it has alone, and the
/// completion those that it has behind it. Writes a line {"token_ids", "logprobs"} for each, of
/// the completion's tokens, in nats.
#[derive(Debug, Args)]
pub(crate) struct Score {
    #[command(flatten)]
    model: ModelArguments,
    /// The JSON-lines file; - is standard input
    #[arg(default_value = "-")]
    input: String,
    /// Logits are divided by this
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Put no BOS before the prompts
    #[arg(long)]
    no_special_tokens: bool,
    /// Tokens in a batch, padding included
    #[arg(long, default_value_t = 2048)]
    token_budget: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    prompt: String,
    completion: String,
}

#[derive(Serialize)]
struct Scored {
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
}

/// Rows scored between two lines of output.
const CHUNK: usize = 64;

impl Score {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(super::usage(format!(
                "--temperature {} must be above 0",
                self.temperature
            )));
        }
        let rows = json_lines::<Row>(&self.input)?;
        let bundle = self.model.open()?;
        let mut tokenizer = bundle.codec.encoder.tokenizer.clone();
        if self.no_special_tokens {
            tokenizer = tokenizer.without_special_tokens();
        }
        let mut sequences = Vec::with_capacity(rows.len());
        for (line, row) in &rows {
            let (prompt, completion) = tokenizer.encode_raw_pair(&row.prompt, &row.completion)?;
            let sequence = Sequence::new(prompt, completion);
            if sequence.prompt.is_empty() {
                return Err(anyhow::anyhow!(
                    "line {line}: the prompt is empty, so nothing predicts the first token"
                )
                .into());
            }
            sequences.push(sequence);
        }
        let head = HeadConfig {
            temperature: self.temperature,
            ..HeadConfig::default()
        };
        for chunk in sequences.chunks(CHUNK) {
            let longest = chunk.iter().map(Sequence::len).max().unwrap_or(0);
            let budget = self.token_budget.max(longest);
            let scores = token_logprobs(&bundle.model, chunk, budget, head)
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            for (sequence, scores) in chunk.iter().zip(scores) {
                print_json(&Scored {
                    token_ids: sequence.targets().collect(),
                    logprobs: scores.logprobs,
                })?;
            }
        }
        if let Some(bytes) = peak_memory_bytes() {
            tell!("peak memory {:.2} GiB", bytes as f64 / (1u64 << 30) as f64);
        }
        Ok(())
    }
}
