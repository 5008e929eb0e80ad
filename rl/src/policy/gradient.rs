//! One micro-batch forward and backward, for any loss that is a function of log-probabilities.

use burn::tensor::{Gradients, Tensor};

use super::{
    batch::MicroBatch,
    head::{self, HeadChunk, HeadConfig},
    scoring::completion_hidden,
};
use crate::model::{
    ParameterVisitor, Parameters, Transformer,
    parameters::{from_host, to_host},
};

/// The gradient of a whole batch, and what was seen of each micro-batch, in their order.
///
/// `workers` threads share the micro-batches. Each sums its own in order, and these sums are added
/// in order, so the result depends on `workers` but not on which thread was faster.
pub fn batch_gradients(
    model: &Transformer,
    batches: &[MicroBatch],
    config: HeadConfig,
    workers: usize,
    loss: impl Fn(&MicroBatch, Tensor<1>) -> Tensor<1> + Sync,
) -> (Parameters, Vec<MicroOutput>) {
    let workers = workers.clamp(1, batches.len().max(1));
    let work = &|worker: usize| {
        let tracked = model.tracked();
        let mut gradients = Parameters::default();
        let mine = batches.iter().skip(worker).step_by(workers);
        let outputs: Vec<MicroOutput> = mine
            .map(|batch| {
                let loss = |logprobs| loss(batch, logprobs);
                accumulate_gradients(&tracked, batch, config, &mut gradients, loss)
            })
            .collect();
        (gradients, outputs)
    };
    let parts: Vec<(Parameters, Vec<MicroOutput>)> = match workers {
        1 => vec![work(0)],
        _ => std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|worker| scope.spawn(move || work(worker)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        }),
    };
    let mut sum = Parameters::default();
    let mut seen = Vec::with_capacity(parts.len());
    for (gradients, outputs) in parts {
        sum.merge(gradients);
        seen.push(outputs.into_iter());
    }
    let outputs = (0..batches.len()).filter_map(|i| seen[i % workers].next());
    (sum, outputs.collect())
}

/// What a forward and backward pass saw, token by token, in the order of
/// [`MicroBatch::targets`].
#[derive(Debug, Clone)]
pub struct MicroOutput {
    /// Value of the loss.
    pub loss: f64,
    /// Log-probability of each completion token under the current policy, in nats.
    pub logprobs: Vec<f32>,
    /// Entropy of each of their distributions, in nats.
    pub entropy: Vec<f32>,
}

/// Runs a micro-batch through `tracked` (see [`Transformer::tracked`]) and adds the gradient of
/// `loss` to `gradients`.
///
/// `loss` gets the log-probabilities of the completion tokens, `[tokens]`, tracked by autodiff,
/// and returns a scalar. The head's gradient is computed in chunks; the body's backward pass
/// starts from the gradient by its hidden states, as that of `Σ hidden · ∂hidden`.
pub fn accumulate_gradients(
    tracked: &Transformer,
    batch: &MicroBatch,
    config: HeadConfig,
    gradients: &mut Parameters,
    loss: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> MicroOutput {
    let hidden = completion_hidden(tracked, batch); // [completion tokens, hidden], tracked
    let values = hidden.clone().inner();
    let weight = tracked.head_weight().inner();
    let chunks: Vec<Chunk> = Chunk::split(batch, tracked.config().vocab_size, config);

    let (mut logprobs, mut entropy, mut kept) = (Vec::new(), Vec::new(), None);
    for chunk in &chunks {
        let output = chunk.forward(&values, &weight, config);
        logprobs.extend(to_host(output.logprobs.clone()));
        entropy.extend(to_host(output.entropy.clone()));
        // A single chunk is kept for the backward pass; several are computed again.
        kept = (chunks.len() == 1).then_some(output);
    }

    let count = logprobs.len();
    let leaf = from_host::<1>(logprobs.clone(), [count], &values.device())
        .autodiff()
        .require_grad();
    let value = loss(leaf.clone());
    let upstream = leaf
        .grad(&value.backward())
        .expect("the loss depends on the log-probabilities");

    let mut by_hidden = Vec::with_capacity(chunks.len());
    for chunk in &chunks {
        let output = match kept.take() {
            Some(output) => output,
            None => chunk.forward(&values, &weight, config),
        };
        let upstream = upstream.clone().narrow(0, chunk.start, chunk.targets.len());
        let (part, by_weight) = chunk.backward(output, &values, &weight, upstream, config);
        by_hidden.push(part);
        gradients.add(tracked.head_name(), flat(by_weight));
    }
    let surrogate = hidden.mul(Tensor::cat(by_hidden, 0)).sum();
    collect(tracked, surrogate.backward(), gradients);
    MicroOutput {
        loss: f64::from(value.into_scalar::<f32>()),
        logprobs,
        entropy,
    }
}

/// A run of completion tokens whose logits fit in one chunk.
struct Chunk<'a> {
    start: usize,
    targets: &'a [u32],
}

impl<'a> Chunk<'a> {
    fn split(batch: &'a MicroBatch, vocab_size: usize, config: HeadConfig) -> Vec<Self> {
        let size = config.chunk_tokens(vocab_size);
        let chunks = batch.targets.chunks(size).enumerate();
        chunks
            .map(|(i, targets)| Self {
                start: i * size,
                targets,
            })
            .collect()
    }

    fn rows(&self, hidden: &Tensor<2>) -> Tensor<2> {
        hidden.clone().narrow(0, self.start, self.targets.len())
    }

    fn forward(&self, hidden: &Tensor<2>, weight: &Tensor<2>, config: HeadConfig) -> HeadChunk {
        let targets = head::index(self.targets.iter().map(|&id| id as usize), hidden);
        head::forward(
            self.rows(hidden),
            weight.clone(),
            targets,
            config.temperature,
        )
    }

    fn backward(
        &self,
        output: HeadChunk,
        hidden: &Tensor<2>,
        weight: &Tensor<2>,
        upstream: Tensor<1>,
        config: HeadConfig,
    ) -> (Tensor<2>, Tensor<2>) {
        let targets = head::index(self.targets.iter().map(|&id| id as usize), hidden);
        head::backward(
            output,
            self.rows(hidden),
            weight.clone(),
            targets,
            upstream,
            config.temperature,
        )
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// Adds what a backward pass found for every weight.
fn collect(tracked: &Transformer, found: Gradients, into: &mut Parameters) {
    struct Collect<'a> {
        found: Gradients,
        into: &'a mut Parameters,
    }
    impl ParameterVisitor for Collect<'_> {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
            if let Some(gradient) = tensor.grad_remove(&mut self.found) {
                self.into.add(name, flat(gradient));
            }
        }
    }
    tracked.clone().visit(&mut Collect { found, into });
}
