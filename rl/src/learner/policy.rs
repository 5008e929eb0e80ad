//! A policy that learns.

use burn::tensor::Tensor;

use super::{AdamW, Head};
use crate::model::{ParameterVisitor, Parameters, Transformer, names::HEAD};

/// A policy that learns: its weights, what reads them, their optimiser, and how often they changed.
#[derive(Debug)]
pub struct Learner {
    /// The weights.
    pub model: Transformer,
    /// What reads its hidden states.
    pub head: Head,
    /// Their optimiser.
    pub optimizer: AdamW,
    /// Updates made since the start of the run.
    pub version: u64,
    /// Gradients of the last update, set to zero: memory for those of the next.
    zeros: Parameters,
}

impl Learner {
    /// A policy that has been updated `version` times, read by the model's own head.
    pub fn new(mut model: Transformer, optimizer: AdamW, version: u64) -> Self {
        model.merge_adapters();
        Self {
            model,
            head: Head::Vocabulary,
            optimizer,
            version,
            zeros: Parameters::default(),
        }
    }

    /// The same read by another head.
    #[must_use]
    pub fn with_head(mut self, head: Head) -> Self {
        self.head = head;
        self
    }

    /// Memory to sum gradients in, all zero.
    pub fn zeros(&mut self) -> Parameters {
        std::mem::take(&mut self.zeros)
    }

    /// One update; returns the global norm of the gradient before clipping. When that is NaN
    /// or infinite, nothing is changed, and no update is counted.
    pub fn update(&mut self, mut gradients: Parameters, learning_rate: f64) -> f64 {
        let (model, head) = (&mut self.model, &mut self.head);
        let norm = self
            .optimizer
            .step(model, head, &mut gradients, learning_rate);
        if norm.is_finite() {
            self.version += 1;
            self.zeros = gradients;
        }
        self.model.merge_adapters();
        norm
    }
}

/// Shows what is trained of `model` and `head` to `f`: the adapters or all weights, and a head that is not the model's, in
/// whose place a vocabulary head of its own is not read.
pub fn visit_trained(model: &mut Transformer, head: &mut Head, f: &mut impl ParameterVisitor) {
    if model.lora().is_some() {
        model.visit_adapters(f);
    } else if head.scalar().is_some() {
        model.visit(&mut AllButHead(f));
    } else {
        model.visit(f);
    }
    head.visit(f);
}

/// Shows all weights but those of a vocabulary head of its own.
struct AllButHead<'a, V>(&'a mut V);

impl<V: ParameterVisitor> ParameterVisitor for AllButHead<'_, V> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if name != HEAD {
            self.0.visit(name, tensor);
        }
    }
}
