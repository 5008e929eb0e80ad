//! One micro-batch forward and backward, for whatever is to be done with its tokens.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::{
    batch::MicroBatch,
    head::{Chunk, HeadConfig},
    streams::{ByFunction, Streams, Upstream},
};
use crate::{
    compute::{Compute, HeadOutput, tape::Tape, with_compute},
    model::{
        Activations, Parameters, Routing, Transformer,
        gradients::{Gradients, SequenceBalance},
        transformer::Forward,
    },
    parallel::in_parallel,
};

/// How gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GradientConfig {
    /// The vocabulary head.
    pub head: HeadConfig,
    /// What is kept of the forward pass.
    pub activations: Activations,
    /// Whether the loss has to see all tokens of a micro-batch at once. The head is then computed
    /// twice: before the loss is asked, and for the gradient.
    pub whole: bool,
    /// Weight of the loss that spreads the tokens of each sequence over experts (arXiv 2412.19437, eq. 17 to 20), for one
    /// sequence; 0 leaves it out. It is not part of [`MicroOutput::loss`].
    pub balance: f32,
}

/// What a forward and backward pass saw, token by token, in the order of
/// [`MicroBatch::targets`].
#[derive(Debug, Clone, Default)]
pub struct MicroOutput<S = ()> {
    /// Value of the loss.
    pub loss: f64,
    /// Log-probability of each completion token under the current policy, in nats.
    pub logprobs: Vec<f32>,
    /// Entropy of each of their distributions, in nats.
    pub entropy: Vec<f32>,
    /// What the loss left behind for the log.
    pub seen: S,
    /// What routers did with the rows of the micro-batch, each prompt once; nothing where no gradient went through it.
    pub routing: Routing,
}

/// [`stream_gradients`] of a loss that is a function of log-probabilities and entropies.
pub fn batch_gradients(
    model: &Transformer,
    batches: &[MicroBatch],
    config: GradientConfig,
    workers: usize,
    zeros: Parameters,
    loss: impl Fn(&MicroBatch, Range<usize>, &[f32], &[f32]) -> Upstream + Sync,
) -> (Parameters, Vec<MicroOutput>) {
    let streams = ByFunction(loss);
    stream_gradients(model, batches, config, workers, zeros, &streams)
}

/// The gradient of a whole batch, and what was seen of each micro-batch, in their order.
///
/// `workers` threads share the micro-batches, and the cores. Each sums its own in order, and these
/// sums are added in order, so the result depends on `workers` but not on which was faster.
/// `zeros` is memory for the sums: gradients of an earlier step, set to zero, or nothing.
pub fn stream_gradients<S: Streams>(
    model: &Transformer,
    batches: &[MicroBatch],
    config: GradientConfig,
    workers: usize,
    zeros: Parameters,
    streams: &S,
) -> (Parameters, Vec<MicroOutput<S::Seen>>) {
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
        let outputs: Vec<MicroOutput<S::Seen>> = mine
            .map(|batch| accumulate(model, batch, config, &mut gradients, streams))
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

/// Runs a micro-batch through `model` and adds the gradient of `loss` to `gradients`.
///
/// `loss` gets the log-probabilities and entropies of a range of the completion tokens, and returns
/// their share of the loss with its derivatives. The range is a chunk of the head, unless the config
/// says that the loss has to see the whole micro-batch at once. A micro-batch that has its forward
/// pass from sampling goes through the model backward only.
pub fn accumulate_gradients(
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Parameters,
    loss: impl Fn(Range<usize>, &[f32], &[f32]) -> Upstream + Sync,
) -> MicroOutput {
    let loss = |_: &MicroBatch, range: Range<usize>, logprobs: &[f32], entropy: &[f32]| {
        loss(range, logprobs, entropy)
    };
    accumulate(model, batch, config, gradients, &ByFunction(loss))
}

fn accumulate<S: Streams>(
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Parameters,
    streams: &S,
) -> MicroOutput<S::Seen> {
    let gradients = &mut Gradients::new(gradients, model.trained());
    gradients.balance = (config.balance > 0.0).then(|| SequenceBalance {
        weight: config.balance,
        sequences: batch
            .packing
            .trees
            .iter()
            .map(|tree| tree.rows.clone())
            .collect(),
    });
    let mut output = with_compute!(model, |c| {
        forward_and_backward(&c, model, batch, config, gradients, streams)
    });
    output.routing = std::mem::take(&mut gradients.routing);
    output
}

fn forward_and_backward<C: Compute, S: Streams>(
    c: &C,
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Gradients,
    streams: &S,
) -> MicroOutput<S::Seen> {
    let recall = batch.recall.as_ref();
    let Some(tokens) = recall.and_then(|recall| recall.tokens::<C>()) else {
        let pass = Pass {
            forward: model.forward(c, &batch.packing, config.activations),
            outputs: None,
        };
        return accumulate_on(c, model, batch, config, gradients, pass, streams);
    };
    let drawn = recall.and_then(|recall| recall.drawn::<C>(config.head.temperature));
    let outputs = drawn.as_ref().map(|drawn| {
        |range: Range<usize>| <C::Tape as Tape<C>>::gather_distributions(&drawn[range])
    });
    let pass = Pass {
        forward: model.recall(c, &batch.packing, &tokens),
        outputs: outputs.as_ref().map(|outputs| outputs as &Outputs<C>),
    };
    accumulate_on(c, model, batch, config, gradients, pass, streams)
}

/// What the head says of a range of the targets.
type Outputs<'a, C> = dyn Fn(Range<usize>) -> HeadOutput<<C as Compute>::Distribution> + 'a;

/// A forward pass, with what the head makes of it where that is known.
struct Pass<'a, C: Compute> {
    forward: Forward<'a, C>,
    outputs: Option<&'a Outputs<'a, C>>,
}

fn accumulate_on<C: Compute, S: Streams>(
    c: &C,
    model: &Transformer,
    batch: &MicroBatch,
    config: GradientConfig,
    gradients: &mut Gradients,
    pass: Pass<C>,
    streams: &S,
) -> MicroOutput<S::Seen> {
    let Pass { forward, outputs } = pass;
    let mut output = MicroOutput::default();
    let whole = config.whole.then(|| {
        let (logprobs, entropy) = match outputs {
            Some(outputs) => all_scores(batch, config.head, model, outputs),
            None => head_scores(c, model, batch, &forward.stream, config.head),
        };
        let all = 0..batch.targets.len();
        streams.upstream(batch, all, &logprobs, &entropy, &mut output.seen)
    });
    if let Some(whole) = &whole {
        output.loss = whole.value;
    }
    let mut by_stream: Option<C::Rows> = None;
    for range in config
        .head
        .chunks(batch.targets.len(), model.config().vocab_size)
    {
        let rows = &batch.rows[range.clone()];
        let stream = c.select(&forward.stream, rows);
        let chunk = Chunk {
            model,
            hidden: &model.last_norm().forward(c, &stream),
            targets: &batch.targets[range.clone()],
            config: config.head,
        };
        let said = match outputs {
            Some(outputs) => outputs(range.clone()),
            None => chunk.output(c),
        };
        output.logprobs.extend(&said.logprobs);
        output.entropy.extend(&said.entropy);
        let upstream = match &whole {
            Some(whole) => whole.part(range.clone()),
            None => {
                let (logprobs, entropy) = (&said.logprobs, &said.entropy);
                let seen = &mut output.seen;
                let upstream = streams.upstream(batch, range.clone(), logprobs, entropy, seen);
                output.loss += upstream.value;
                upstream.derivatives
            }
        };
        let start = range.start;
        let seen = &mut output.seen;
        let distances = streams.distances(batch, range, seen);
        let (value, by_logits) =
            chunk.distances(c, &said, &distances, |place, p, distance, value| {
                streams.measured(start + place, p, distance, value, seen);
            });
        output.loss += value;
        let by_hidden = chunk.backward(c, said, &upstream, by_logits, gradients);
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

/// Log-probabilities and entropies of the completion tokens, from the stream after the last block.
pub(super) fn head_scores<C: Compute>(
    c: &C,
    model: &Transformer,
    batch: &MicroBatch,
    stream: &C::Rows,
    config: HeadConfig,
) -> (Vec<f32>, Vec<f32>) {
    all_scores(batch, config, model, |range| {
        let rows = c.select(stream, &batch.rows[range.clone()]);
        let chunk = Chunk {
            model,
            hidden: &model.last_norm().forward(c, &rows),
            targets: &batch.targets[range],
            config,
        };
        chunk.output(c)
    })
}

/// The log-probabilities and entropies of all targets, a chunk at a time.
fn all_scores<D>(
    batch: &MicroBatch,
    config: HeadConfig,
    model: &Transformer,
    output: impl Fn(Range<usize>) -> HeadOutput<D>,
) -> (Vec<f32>, Vec<f32>) {
    let (mut logprobs, mut entropy) = (Vec::new(), Vec::new());
    for range in config.chunks(batch.targets.len(), model.config().vocab_size) {
        let said = output(range);
        logprobs.extend(said.logprobs);
        entropy.extend(said.entropy);
    }
    (logprobs, entropy)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
