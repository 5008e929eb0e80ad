//! A policy that learns.

use super::AdamW;
use crate::model::{Parameters, Transformer};

/// A policy that learns: its weights, their optimiser, and how often they changed.
#[derive(Debug)]
pub struct Learner {
    /// The weights.
    pub model: Transformer,
    /// Their optimiser.
    pub optimizer: AdamW,
    /// Updates made since the start of the run.
    pub version: u64,
    /// Gradients of the last update, set to zero: memory for those of the next.
    zeros: Parameters,
}

impl Learner {
    /// A policy that has been updated `version` times.
    pub fn new(mut model: Transformer, optimizer: AdamW, version: u64) -> Self {
        model.merge_adapters();
        Self {
            model,
            optimizer,
            version,
            zeros: Parameters::default(),
        }
    }

    /// Memory to sum gradients in, all zero.
    pub fn zeros(&mut self) -> Parameters {
        std::mem::take(&mut self.zeros)
    }

    /// One update; returns the global norm of the gradient before clipping. When that is no
    /// number, nothing is changed, and no update is counted.
    pub fn update(&mut self, mut gradients: Parameters, learning_rate: f64) -> f64 {
        let norm = self
            .optimizer
            .step(&mut self.model, &mut gradients, learning_rate);
        if norm.is_finite() {
            self.version += 1;
            self.zeros = gradients;
        }
        self.model.merge_adapters();
        norm
    }
}
