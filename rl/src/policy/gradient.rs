//! One micro-batch forward and backward, for any loss that is a sum over tokens.

use std::{
    ops::Range,
    sync::{Mutex, OnceLock, PoisonError},
};

use burn::tensor::{Device, Gradients as Graph, Tensor};

use super::{
    batch::MicroBatch,
    head::{self, HeadConfig},
};
use crate::{
    compute::Compute,
    model::{
        Activations, Parameters, Transformer,
        layers::Gradients,
        parameters::{from_host, to_host},
        transformer::with_compute,
    },
};

/// How gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GradientConfig {
    /// The vocabulary head.
    pub head: HeadConfig,
    /// What is kept of the forward pass.
    pub activations: Activations,
}

/// What a forward and backward pass saw, token by token, in the order of
/// [`MicroBatch::targets`].
#[derive(Debug, Clone, Default)]
pub struct MicroOutput {
    /// Value of the loss.
    pub loss: f64,
    /// Log-probability of each completion token under the current policy, in nats.
    pub logprobs: Vec<f32>,
    /// Entropy of each of their distributions, in nats.
    pub entropy: Vec<f32>,
}

/// The gradient of a whole batch, and what was seen of each micro-batch, in their order.
///
/// `workers` threads share the micro-batches, and the cores. Each sums its own in order, and these
/// sums are added in order, so the result depends on `workers` but not on which was faster.
/// `zeros` is memory for the sums: gradients of an earlier step, set to zero, or nothing.
pub fn batch_gradients(
    model: &Transformer,
    batches: &[MicroBatch],
    config: GradientConfig,
    workers: usize,
    zeros: Parameters,
    loss: impl Fn(&MicroBatch, Range<usize>, Tensor<1>) -> Tensor<1> + Sync,
) -> (Parameters, Vec<MicroOutput>) {
    if batches.is_empty() {
        return (Parameters::default(), Vec::new());
    }
    let workers = workers.clamp(1, batches.len());
    let zeros = Mutex::new(zeros);
    let parts = in_parallel(workers, |worker| {
        let mut gradients = match worker {
            0 => std::mem::take(&mut *zeros.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => Parameters::default(),
        };
        let mine = batches.iter().skip(worker).step_by(workers);
        let outputs: Vec<MicroOutput> = mine
            .map(|batch| {
                let loss = |range, logprobs| loss(batch, range, logprobs);
                accumulate_gradients(model, batch, config, &mut gradients, loss)
            })
            .collect();
        (gradients, outputs)
    });
    let mut sum = Parameters::default();
    let mut seen = Vec::with_capacity(parts.len());
    for (gradients, outputs) in parts {
        sum.merge(gradients);
        seen.push(outputs.into_iter());
    }
    let outputs = (0..batches.len()).filter_map(|i| seen[i % workers].next());
    (sum, outputs.collect())
}

/// Calls `work` with 0, 1, … on as many threads. Each has its share of the cores to itself: with a
/// worker a core, nothing inside is split further, which pays for models whose matrices are small.
pub(crate) fn in_parallel<R: Send>(workers: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    if workers == 1 {
        return vec![work(0)];
    }
    let cores = rayon::current_num_threads().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build();
                scope.spawn(move || match pool {
                    Ok(pool) => pool.install(|| work(worker)),
                    Err(_) => work(worker), // no more threads: the common pool then
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    })
}

/// Runs a micro-batch through `model` and adds the gradient of `loss` to `gradients`.
///
/// `loss` gets the log-probabilities of a range of the completion tokens, tracked by autodiff, and
/// returns their share of the loss. The head's log-probabilities and gradient are computed a chunk
/// at a time, and so is the loss: it must be a sum over tokens.
pub fn accumulate_gradients(
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Parameters,
    loss: impl Fn(Range<usize>, Tensor<1>) -> Tensor<1>,
) -> MicroOutput {
    let gradients = &mut Gradients {
        sums: gradients,
        trained: model.trained(),
    };
    with_compute!(model, |c| accumulate(
        &c, model, batch, config, gradients, loss
    ))
}

fn accumulate<C: Compute>(
    c: &C,
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Gradients,
    loss: impl Fn(Range<usize>, Tensor<1>) -> Tensor<1>,
) -> MicroOutput {
    let forward = model.forward(c, &batch.packing, config.activations);
    let mut output = MicroOutput::default();
    let mut by_stream: Option<C::Rows> = None;
    for range in config
        .head
        .chunks(batch.targets.len(), model.config().vocab_size)
    {
        let rows = &batch.rows[range.clone()];
        let targets = &batch.targets[range.clone()];
        let stream = c.select(&forward.stream, rows);
        let hidden = model.last_norm().forward(c, &stream);
        let mut value = 0.0;
        let upstream = |logprobs: &[f32]| {
            let (loss, upstream) = derivative(logprobs, |leaf| loss(range.clone(), leaf));
            value = loss;
            upstream
        };
        let (logprobs, entropy, by_hidden) = head::chunk(
            c,
            model,
            &hidden,
            targets,
            config.head,
            Some(gradients),
            upstream,
        );
        output.loss += value;
        output.logprobs.extend(logprobs);
        output.entropy.extend(entropy);
        let by_hidden = by_hidden.expect("gradients were asked for");
        let zeros = c.zeros_like(&stream);
        let part = model
            .last_norm()
            .backward(c, zeros, &stream, &by_hidden, gradients);
        by_stream = Some(c.select_backward_onto(by_stream, &part, rows, batch.packing.len()));
    }
    if let Some(by_stream) = by_stream {
        model.backward(c, &batch.packing, forward, by_stream, gradients);
    }
    output
}

/// The value of a loss and its derivative by each log-probability, by autodiff.
fn derivative(logprobs: &[f32], loss: impl FnOnce(Tensor<1>) -> Tensor<1>) -> (f64, Vec<f32>) {
    let leaf = from_host::<1>(logprobs.to_vec(), [logprobs.len()], loss_device())
        .autodiff()
        .require_grad();
    let value = loss(leaf.clone());
    let graph: Graph = value.backward();
    let upstream = leaf
        .grad(&graph)
        .expect("the loss depends on the log-probabilities");
    (f64::from(value.into_scalar::<f32>()), to_host(upstream))
}

/// Where losses are computed: a few numbers a token, which are on the host anyway.
pub fn loss_device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    #[cfg(feature = "flex")]
    let make = Device::flex;
    #[cfg(not(feature = "flex"))]
    let make = Device::default;
    DEVICE.get_or_init(make)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
