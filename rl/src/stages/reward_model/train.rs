//! One update of a reward model, and its scores without one.

use std::time::Instant;

use burn::tensor::Tensor;

use super::{
    Measured, PairAverage, Question, RewardModelConfig, RewardModelMetrics,
    loss::{bradley_terry, pointwise},
    measure::measure,
};
use crate::{
    learner::{
        BudgetError, Learner, MemorySection, MicroBatch, ScalarHead, Sequence,
        accumulate_scalar_gradients, head::scalar::SCALAR_BIAS, pack_ends, scalar_values,
    },
    model::{Activations, Parameters, Transformer, routing::is_router},
    stages::StageError,
};

/// How much each comparison and each opinion of a step counts.
#[derive(Debug, Clone, Copy)]
struct Weights {
    average: PairAverage,
    center: f64,
    questions: usize,
    judgements: usize,
}

impl Weights {
    fn of(config: &RewardModelConfig, questions: &[&Question]) -> Self {
        let judgements = questions
            .iter()
            .map(|q| q.comparisons.len() + q.opinions.len());
        Self {
            average: config.average,
            center: config.center_rewards_coefficient,
            questions: questions.len(),
            judgements: judgements.sum(),
        }
    }

    /// The share of `question` in the loss of the step, and its derivative by each of its scores.
    fn loss(self, question: &Question, scores: &[f32]) -> (f64, Vec<f64>) {
        let mut by = vec![0.0; scores.len()];
        let own = question.comparisons.len() + question.opinions.len();
        let weight = match self.average {
            PairAverage::Prompt => 1.0 / (self.questions * own.max(1)) as f64,
            PairAverage::Pair => 1.0 / self.judgements.max(1) as f64,
        };
        let (comparisons, center) = (&question.comparisons, self.center);
        let loss = bradley_terry(scores, comparisons, center, weight, &mut by)
            + pointwise(scores, &question.opinions, weight, &mut by);
        (loss, by)
    }
}

/// Questions whose answers are read together.
struct Part<'a> {
    questions: &'a [&'a Question],
    /// More than one where a single question does not fit into one.
    batches: Vec<MicroBatch>,
}

impl<'a> Part<'a> {
    /// Divides questions into parts of at most `token_budget` rows, all answers of a question in the same.
    fn all(questions: &'a [&'a Question], token_budget: usize) -> Result<Vec<Self>, BudgetError> {
        let mut parts = Vec::new();
        let (mut start, mut rows) = (0, 0);
        for (place, question) in questions.iter().enumerate() {
            let own = question.rows();
            if place > start && rows + own > token_budget {
                parts.push(Self::new(&questions[start..place], token_budget)?);
                (start, rows) = (place, 0);
            }
            rows += own;
        }
        if start < questions.len() {
            parts.push(Self::new(&questions[start..], token_budget)?);
        }
        Ok(parts)
    }

    fn new(questions: &'a [&'a Question], token_budget: usize) -> Result<Self, BudgetError> {
        let answers = questions.iter().flat_map(|question| &question.answers);
        let sequences: Vec<Sequence> = answers.cloned().collect();
        let batches = pack_ends(&sequences, token_budget)?;
        Ok(Self { questions, batches })
    }

    /// Scores as they come, in the order of `batch`, put into their places among all answers of the part.
    fn place(batch: &MicroBatch, scores: &[f32], all: &mut [f32]) {
        for (&member, &score) in batch.members.iter().zip(scores) {
            all[member] = score;
        }
    }

    fn answers(&self) -> usize {
        self.questions.iter().map(|q| q.answers.len()).sum()
    }

    /// Scores of all answers, by question.
    fn by_question(&self, all: &[f32]) -> Vec<Vec<f32>> {
        let mut rest = all;
        let own = self.questions.iter().map(|question| {
            let (own, others) = rest.split_at(question.answers.len());
            rest = others;
            own.to_vec()
        });
        own.collect()
    }

    /// The loss of the part and its derivative by each score of its answers.
    fn loss(&self, all: &[f32], weights: Weights) -> (f64, Vec<f64>) {
        let scores = self.by_question(all);
        let (mut loss, mut by) = (0.0, Vec::with_capacity(all.len()));
        for (question, scores) in self.questions.iter().zip(&scores) {
            let (own, derivatives) = weights.loss(question, scores);
            loss += own;
            by.extend(derivatives);
        }
        (loss, by)
    }

    /// The scores of all answers.
    fn scores(&self, model: &Transformer, head: &ScalarHead) -> Vec<f32> {
        let mut all = vec![f32::NAN; self.answers()];
        for batch in &self.batches {
            Self::place(batch, &scalar_values(model, head, batch), &mut all);
        }
        all
    }

    /// Adds the gradient of the part's loss to `gradients`; its scores and its loss come back.
    fn accumulate(
        &self,
        model: &Transformer,
        head: &ScalarHead,
        activations: Activations,
        weights: Weights,
        gradients: &mut Parameters,
    ) -> (Vec<f32>, f64) {
        let derivatives = |by: &[f64], batch: &MicroBatch| -> Vec<f32> {
            batch.members.iter().map(|&m| by[m] as f32).collect()
        };
        if let [batch] = &self.batches[..] {
            let mut all = vec![f32::NAN; self.answers()];
            let (_, loss) =
                accumulate_scalar_gradients(model, head, batch, activations, gradients, |scores| {
                    Self::place(batch, scores, &mut all);
                    let (loss, by) = self.loss(&all, weights);
                    (loss, derivatives(&by, batch))
                });
            return (all, loss);
        }
        // A comparison may be of answers in two micro-batches: all scores first, then the gradient by each.
        let all = self.scores(model, head);
        let (loss, by) = self.loss(&all, weights);
        for batch in &self.batches {
            accumulate_scalar_gradients(model, head, batch, activations, gradients, |_| {
                (0.0, derivatives(&by, batch))
            });
        }
        (all, loss)
    }
}

/// The scores of the answers of each question.
///
/// # Errors
/// When an answer does not fit into a micro-batch.
pub fn scores(
    model: &Transformer,
    head: &ScalarHead,
    questions: &[&Question],
    token_budget: usize,
) -> Result<Vec<Vec<f32>>, BudgetError> {
    let parts = Part::all(questions, token_budget)?;
    Ok(parts
        .iter()
        .flat_map(|part| part.by_question(&part.scores(model, head)))
        .collect())
}

/// The loss of some questions and their figures, without an update.
///
/// # Errors
/// When an answer does not fit into a micro-batch.
pub fn evaluate(
    config: &RewardModelConfig,
    model: &Transformer,
    head: &ScalarHead,
    questions: &[&Question],
    token_budget: usize,
) -> Result<(f64, Measured), BudgetError> {
    let scores = scores(model, head, questions, token_budget)?;
    let weights = Weights::of(config, questions);
    let own = questions.iter().zip(&scores);
    let loss = own.map(|(question, scores)| weights.loss(question, scores).0);
    let loss = loss.sum();
    Ok((loss, measure(questions.iter().copied(), &scores)))
}

/// One update on `questions`. `place` is the step and how many the stage has, for the schedule.
///
/// The head has no bias, as those of transformers' sequence classifiers: its gradient is put to 0.
///
/// # Errors
/// When an answer does not fit into a micro-batch, or `learner` has no scalar head.
pub fn step(
    config: &RewardModelConfig,
    learner: &mut Learner,
    questions: &[&Question],
    (step, steps): (u64, u64),
    memory: &MemorySection,
) -> Result<RewardModelMetrics, StageError> {
    let start = Instant::now();
    let Some(head) = learner.head.scalar().cloned() else {
        let text = "reward-model: the model has no scalar head";
        return Err(StageError::Config(text.to_owned()));
    };
    let weights = Weights::of(config, questions);
    let parts = Part::all(questions, memory.token_budget)?;
    let mut gradients = learner.zeros();
    let (mut loss, mut scores) = (0.0, Vec::with_capacity(questions.len()));
    for part in &parts {
        let (model, activations) = (&learner.model, memory.activations());
        let (all, own) = part.accumulate(model, &head, activations, weights, &mut gradients);
        loss += own;
        scores.extend(part.by_question(&all));
    }
    let rate = config.learning_rate * config.schedule.factor(step, steps, config.warmup_steps);
    // NaN moves nothing; the figures say so, and an alarm.
    let grad_norm = if loss.is_finite() {
        gradients.insert(SCALAR_BIAS, Tensor::zeros([1], &head.bias.device()));
        if config.freeze_router {
            gradients.retain(|name| !is_router(name));
        }
        learner.update(gradients, rate)
    } else {
        f64::NAN
    };
    let tokens: usize = questions.iter().map(|question| question.rows()).sum();
    let measured = measure(questions.iter().copied(), &scores);
    let step_s = start.elapsed().as_secs_f64();
    Ok(RewardModelMetrics {
        loss,
        accuracy: measured.accuracy,
        margin_mean: measured.margin,
        accuracy_longer_chosen: measured.longer_chosen,
        accuracy_shorter_chosen: measured.shorter_chosen,
        score_mean: measured.mean,
        score_min: measured.min,
        score_max: measured.max,
        prompts: questions.len(),
        comparisons: weights.judgements,
        read_tokens: tokens,
        grad_norm,
        learning_rate: rate,
        step_s,
        read_tokens_per_s: tokens as f64 / step_s,
        ..RewardModelMetrics::default()
    })
}
