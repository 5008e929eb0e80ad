//! `[memory]`: what the run may use, and how much goes through a model at a time.

use serde::{Deserialize, Serialize};

use super::HeadConfig;
use crate::{
    checks::positive,
    generation::SamplingConfig,
    model::{Activations, Precision},
};

/// What the run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySection {
    /// Tokens of a training micro-batch: prompts once, completions each.
    pub token_budget: usize,
    /// Completions decoded at a time.
    pub batch_rows: usize,
    /// Threads that share micro-batches, and decode requests of their own, with a share of the
    /// cores each. More than one pays on the CPU for models whose matrices are too small to be
    /// shared among cores; it multiplies the memory of activations and gradients.
    pub workers: usize,
    /// Activations of at most so many tokens of a step are kept while they are sampled, so that
    /// training on them needs no forward pass of its own; the completions that there is no room for are
    /// computed again. The default is twice what training holds at a time, [`Self::token_budget`] for
    /// each worker; 0 turns it off. Only the CPU keeps any, and not where sampling is ahead of
    /// training, batches are cut into mini-batches, or activations are checkpointed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_tokens: Option<usize>,
    /// MiB of one chunk of logits.
    pub head_chunk_mib: usize,
    /// Keep only the input of each block and compute the rest a second time in the backward pass:
    /// a fraction of the memory for a third more arithmetic.
    pub checkpoint_activations: bool,
    /// How weights that are not trained are stored: the base of adapters, the reference of a KL
    /// penalty.
    pub frozen: Precision,
}

impl MemorySection {
    /// What is kept of a forward pass.
    pub fn activations(&self) -> Activations {
        if self.checkpoint_activations {
            Activations::Inputs
        } else {
            Activations::All
        }
    }

    /// How much goes through a model at a time where log-probabilities are asked for.
    pub fn scoring(&self, sampling: &SamplingConfig) -> Scoring {
        Scoring {
            token_budget: self.token_budget,
            head: HeadConfig {
                temperature: sampling.scoring_temperature(),
                chunk_bytes: self.head_chunk_mib << 20,
            },
        }
    }

    /// Tokens whose activations are kept from sampling for training, in a stage whose batches are sampled and then trained
    /// on `at_once`: neither ahead of training nor in several parts.
    pub fn recorded_tokens(&self, at_once: bool) -> usize {
        if !at_once || self.checkpoint_activations {
            return 0;
        }
        let held = 2 * self.token_budget * self.workers;
        self.recorded_tokens.unwrap_or(held)
    }
}

impl Default for MemorySection {
    fn default() -> Self {
        Self {
            token_budget: 1024,
            batch_rows: 64,
            workers: 1,
            head_chunk_mib: 64,
            checkpoint_activations: false,
            recorded_tokens: None,
            frozen: Precision::F32,
        }
    }
}

impl MemorySection {
    /// # Errors
    /// When a number is 0 or absurd.
    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("memory.token_budget", self.token_budget)?;
        positive("memory.batch_rows", self.batch_rows)?;
        positive("memory.workers", self.workers)?;
        positive("memory.head_chunk_mib", self.head_chunk_mib)
    }
}

/// How the model is asked for log-probabilities.
#[derive(Debug, Clone, Copy)]
pub struct Scoring {
    /// Tokens of a micro-batch.
    pub token_budget: usize,
    /// The vocabulary head.
    pub head: HeadConfig,
}
