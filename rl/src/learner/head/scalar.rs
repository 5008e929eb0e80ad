//! A head that reads one number off a hidden state: the value of a state, the worth of an answer.
//!
//! `v = w · norm(h) + b`, as transformers' sequence classifiers with one label. A loss of the values, with its
//! derivatives, is all that is asked for; its normaliser is the caller's, counted over the step.

use burn::tensor::Tensor;

use crate::{
    compute::{Compute, with_compute},
    learner::{
        Segment, Sequence,
        batch::{BudgetError, MicroBatch, pack},
    },
    model::{Activations, ParameterVisitor, Parameters, Transformer, gradients::Gradients},
};

/// The name of the weight of a [`ScalarHead`] among gradients, and in checkpoints of sequence classifiers.
pub const SCALAR_WEIGHT: &str = "score.weight";

/// The name of its bias.
pub const SCALAR_BIAS: &str = "score.bias";

/// A linear map from a hidden state to a number.
#[derive(Debug, Clone)]
pub struct ScalarHead {
    /// `[1, hidden]`.
    pub weight: Tensor<2>,
    /// `[1]`.
    pub bias: Tensor<1>,
}

impl ScalarHead {
    /// One that says 0 of everything, for a model.
    pub fn zeros(model: &Transformer) -> Self {
        let device = model.device();
        Self {
            weight: Tensor::zeros([1, model.config().hidden_size], &device),
            bias: Tensor::zeros([1], &device),
        }
    }

    /// Shows its weights to `f`.
    pub fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit(SCALAR_WEIGHT, &mut self.weight);
        f.visit(SCALAR_BIAS, &mut self.bias);
    }
}

/// Packs sequences so that the hidden state of the last token of each is read, whoever wrote it.
/// [`pack`] reads the state before each sampled token instead: that of a value function.
///
/// # Errors
/// When a single sequence has more tokens than the budget.
///
/// # Panics
/// When a sequence has no prompt.
pub fn pack_ends(
    sequences: &[Sequence],
    token_budget: usize,
) -> Result<Vec<MicroBatch>, BudgetError> {
    // The state of the last token is what would predict one more.
    let with_next = |sequence: &Sequence| {
        let given = sequence
            .segments
            .iter()
            .map(|s| Segment::given(s.tokens.clone()));
        let segments = given.chain([Segment::sampled([0])]).collect();
        Sequence::of_segments(sequence.prompt.clone(), segments)
    };
    let sequences: Vec<Sequence> = sequences.iter().map(with_next).collect();
    let mut batches = pack(&sequences, token_budget)?;
    for batch in &mut batches {
        batch.targets.clear();
    }
    Ok(batches)
}

/// The value at each of [`MicroBatch::rows`].
pub fn scalar_values(model: &Transformer, head: &ScalarHead, batch: &MicroBatch) -> Vec<f32> {
    with_compute!(model, |c| {
        let stream = model.stream_packed(&c, &batch.packing, |_, _| {});
        let rows = c.select(&stream, &batch.rows);
        let hidden = model.last_norm().forward(&c, &rows);
        let values = c.add_bias(c.project(&hidden, &head.weight), &head.bias);
        c.values_of(&values)
    })
}

/// Runs a micro-batch through `model` and adds the gradient of `loss` to `gradients`: that by the head's weight and bias
/// as [`SCALAR_WEIGHT`] and [`SCALAR_BIAS`], and that by whatever of the model is trained. `loss` gets the value at each
/// of [`MicroBatch::rows`] and returns the loss with its derivative by each. The values and the loss come back.
pub fn accumulate_scalar_gradients(
    model: &Transformer,
    head: &ScalarHead,
    batch: &MicroBatch,
    activations: Activations,
    gradients: &mut Parameters,
    loss: impl FnOnce(&[f32]) -> (f64, Vec<f32>),
) -> (Vec<f32>, f64) {
    let gradients = &mut Gradients::new(gradients, model.trained());
    with_compute!(model, |c| {
        let forward = model.forward(&c, &batch.packing, activations);
        let stream = c.select(&forward.stream, &batch.rows);
        let hidden = model.last_norm().forward(&c, &stream);
        let values = c.values_of(&c.add_bias(c.project(&hidden, &head.weight), &head.bias));
        let (value, by_values) = loss(&values);
        let by_values = c.rows_of(by_values, 1);
        gradients.sums.change(SCALAR_WEIGHT, &head.weight, |sum| {
            c.outer_onto(sum, &by_values, &hidden, 1.0)
        });
        gradients.sums.change(SCALAR_BIAS, &head.bias, |sum| {
            c.column_sums_onto(sum, &by_values)
        });
        let by_hidden = c.project_back(&by_values, &head.weight);
        let zeros = c.zeros_like(&stream);
        let part = model
            .last_norm()
            .backward(&c, zeros, &stream, &by_hidden, gradients);
        let by_stream = c.select_backward_onto(None, &part, &batch.rows, batch.packing.len());
        model.backward(&c, &batch.packing, forward, by_stream, gradients);
        (values, value)
    })
}
