//! The step: what each token is drawn towards, the gradient of that, and what was seen on the way.
//!
//! Neither the teacher's distributions nor the student's are ever there for more than a chunk of the head's tokens; of the
//! teacher a micro-batch leaves its hidden states, until its gradient has been made.

use std::{borrow::Cow, ops::Range};

use crate::{
    generation::Recorded,
    learner::{
        BudgetError, Distance, Divergence, GradientConfig, HeadConfig, HiddenStates, Learner,
        MicroBatch, Sequence, Streams, TokenDistribution, Upstream, batch_logprobs, pack,
        stream_gradients,
    },
    model::Transformer,
};

/// A sequence to learn from.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// Its tokens; those that are sampled are learnt from.
    pub sequence: Sequence,
    /// The forward pass of sampling, where it was kept and the student is still the one that sampled.
    pub recorded: Option<Recorded>,
}

/// What is known of a teacher at one token.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The log-probability of the token that stands there, in nats.
    pub logprob: f32,
    /// The tokens that it finds likeliest.
    pub top: TokenDistribution,
}

/// Where the teacher's distributions come from.
#[derive(Debug, Clone, Copy)]
pub enum Taught<'a> {
    /// A model that is asked about each micro-batch.
    By(&'a Transformer),
    /// What was asked before: for each lesson, one of each token that is learnt from.
    Known(&'a [Vec<Known>]),
}

/// How a step is made.
#[derive(Debug, Clone, Copy)]
pub struct StepConfig {
    /// The divergence; `None` for the policy gradient of the sampled token.
    pub divergence: Option<Divergence>,
    /// Tokens of a teacher in the process that are told apart; `None`: all.
    pub top_k: Option<usize>,
    /// How gradients are computed; its temperature is that of both models.
    pub gradient: GradientConfig,
    /// Rows of a micro-batch.
    pub token_budget: usize,
    /// Threads that share the micro-batches.
    pub workers: usize,
    /// Of the update.
    pub learning_rate: f64,
}

/// Sums over the tokens of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Tokens.
    pub tokens: usize,
    /// The student's log-probabilities.
    pub student: f64,
    /// Those of the teacher.
    pub teacher: f64,
    /// Entropies of the student.
    pub entropy: f64,
    /// `KL(student ‖ teacher)` of tokens whose distribution was compared.
    pub reverse: f64,
    /// How many these are.
    pub compared: usize,
    /// How many of these have the same likeliest token.
    pub agreed: usize,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.student += other.student;
        self.teacher += other.teacher;
        self.entropy += other.entropy;
        self.reverse += other.reverse;
        self.compared += other.compared;
        self.agreed += other.agreed;
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.tokens as f64
    }

    /// Mean log-probability that the student gives the tokens, in nats.
    pub fn student_logprob(&self) -> f64 {
        self.mean(self.student)
    }

    /// The same of the teacher.
    pub fn teacher_logprob(&self) -> f64 {
        self.mean(self.teacher)
    }

    /// Mean entropy of the student, in nats.
    pub fn mean_entropy(&self) -> f64 {
        self.mean(self.entropy)
    }

    /// Mean divergence from the teacher, in nats: of the distributions, or where none was compared as the sampled tokens
    /// tell.
    pub fn reverse_kl(&self) -> f64 {
        if self.compared > 0 {
            return self.reverse / self.compared as f64;
        }
        self.mean(self.student - self.teacher)
    }

    /// Share of the tokens with the same likeliest token; `None` where no distributions were compared.
    pub fn agreement(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.agreed as f64 / self.compared as f64)
    }
}

/// What an update was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The mean loss before it.
    pub loss: f64,
    /// What was seen, before it.
    pub sums: Sums,
    /// Global norm of the gradient.
    pub grad_norm: f64,
}

/// One update of the student by the mean over all tokens of the lessons that are learnt from.
///
/// # Errors
/// When a lesson does not fit into a micro-batch.
pub fn step(
    config: &StepConfig,
    learner: &mut Learner,
    lessons: &[Lesson],
    taught: Taught,
) -> Result<Outcome, BudgetError> {
    let sequences: Vec<Sequence> = lessons.iter().map(|l| l.sequence.clone()).collect();
    let mut batches = pack(&sequences, config.token_budget)?;
    for batch in &mut batches {
        batch.recall(|member| lessons[member].recorded.as_ref());
    }
    let tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
    let towards = Towards {
        taught,
        divergence: config.divergence,
        top_k: config.top_k,
        head: config.gradient.head,
        vocabulary: learner.model.config().vocab_size,
        weight: 1.0 / tokens.max(1) as f64,
    };
    let zeros = learner.zeros();
    let (gradients, outputs) = stream_gradients(
        &learner.model,
        &batches,
        config.gradient,
        config.workers,
        zeros,
        &towards,
    );
    let mut sums = Sums::default();
    outputs
        .iter()
        .for_each(|output| sums.add(&output.seen.sums));
    let loss: f64 = outputs.iter().map(|output| output.loss).sum();
    // NaN moves nothing; the figures say so, and an alarm.
    let grad_norm = if loss.is_finite() {
        learner.update(gradients, config.learning_rate)
    } else {
        f64::NAN
    };
    Ok(Outcome {
        loss,
        sums,
        grad_norm,
    })
}

/// What the learner is to do with each token.
struct Towards<'a> {
    taught: Taught<'a>,
    divergence: Option<Divergence>,
    top_k: Option<usize>,
    head: HeadConfig,
    /// Tokens of the student.
    vocabulary: usize,
    weight: f64,
}

/// What is kept of a micro-batch.
#[derive(Debug, Default)]
struct Seen {
    sums: Sums,
    /// What the teacher has made of it, until its last chunk.
    hidden: Option<HiddenStates>,
    /// The teacher's log-probability of each target, where they were asked for at once.
    logprobs: Vec<f32>,
    /// The lesson of each target, and its place there.
    places: Vec<(usize, usize)>,
    /// The first target of the chunk under way, and the token that the teacher finds likeliest at each.
    likeliest: (usize, Vec<Option<u32>>),
}

impl Streams for Towards<'_> {
    type Seen = Seen;

    fn upstream(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        entropy: &[f32],
        seen: &mut Seen,
    ) -> Upstream {
        if range.start == 0 {
            self.begin(batch, seen);
        }
        let sum = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>();
        seen.sums.tokens += range.len();
        seen.sums.student += sum(logprobs);
        seen.sums.entropy += sum(entropy);
        if self.divergence.is_some() {
            return Upstream::of_logprobs(0.0, vec![0.0; range.len()]);
        }
        // A = log t − log s of the sampled token, a number: −A ∇ log s is what is descended.
        let teacher = &seen.logprobs[range];
        seen.sums.teacher += sum(teacher);
        let distances = logprobs.iter().zip(teacher);
        let distances: Vec<f64> = distances
            .map(|(s, t)| self.weight * (f64::from(*s) - f64::from(*t)))
            .collect();
        let by = distances.iter().map(|&x| x as f32).collect();
        Upstream::of_logprobs(distances.iter().sum(), by)
    }

    fn distances(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        seen: &mut Seen,
    ) -> Vec<(usize, Distance<'_>)> {
        let Some(divergence) = self.divergence else {
            return Vec::new();
        };
        let last = range.end == batch.targets.len();
        let start = range.start;
        let known = self.distributions(batch, range, seen);
        if last {
            seen.hidden = None;
        }
        let mut distances = Vec::with_capacity(known.len());
        let mut likeliest = Vec::with_capacity(known.len());
        for (place, (logprob, to)) in known.into_iter().enumerate() {
            seen.sums.teacher += f64::from(logprob);
            likeliest.push(to.likeliest());
            let distance = Distance {
                to,
                divergence,
                weight: self.weight,
            };
            distances.push((place, distance));
        }
        seen.likeliest = (start, likeliest);
        distances
    }

    fn measured(
        &self,
        target: usize,
        probabilities: &[f32],
        distance: &Distance,
        value: f64,
        seen: &mut Seen,
    ) {
        let sums = &mut seen.sums;
        sums.compared += 1;
        sums.reverse += if distance.divergence == Divergence::Reverse {
            value / distance.weight
        } else {
            distance.value(Divergence::Reverse, probabilities)
        };
        let (start, likeliest) = &seen.likeliest;
        let ours = argmax(probabilities);
        sums.agreed += usize::from(ours.is_some() && likeliest[target - start] == ours);
    }
}

impl Towards<'_> {
    /// Lets the teacher read a micro-batch.
    fn begin(&self, batch: &MicroBatch, seen: &mut Seen) {
        match self.taught {
            Taught::By(model) if self.divergence.is_some() => {
                seen.hidden = Some(HiddenStates::of(model, batch));
            }
            Taught::By(model) => seen.logprobs = batch_logprobs(model, batch, self.head).logprobs,
            Taught::Known(lessons) => {
                for (member, range) in batch.parts() {
                    seen.places
                        .extend((0..range.len()).map(|place| (member, place)));
                }
                let logprob = |&(member, place): &(usize, usize)| lessons[member][place].logprob;
                seen.logprobs = seen.places.iter().map(logprob).collect();
            }
        }
    }

    /// The teacher's log-probability of some targets, and what each is drawn towards.
    fn distributions(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        seen: &Seen,
    ) -> Vec<(f32, Cow<'_, TokenDistribution>)> {
        match (self.taught, &seen.hidden) {
            (Taught::Known(lessons), _) => {
                let places = seen.places[range].iter();
                places
                    .map(|&(member, place)| {
                        let known = &lessons[member][place];
                        (known.logprob, Cow::Borrowed(&known.top))
                    })
                    .collect()
            }
            (Taught::By(model), Some(hidden)) => {
                let targets = &batch.targets[range.clone()];
                let rows = hidden.logprobs(model, batch, range, self.head.temperature);
                rows.into_iter()
                    .zip(targets)
                    .map(|(row, &target)| self.towards(row, target))
                    .collect()
            }
            (Taught::By(_), None) => Vec::new(),
        }
    }

    fn towards(&self, row: Vec<f32>, target: u32) -> (f32, Cow<'static, TokenDistribution>) {
        let whole = TokenDistribution::Whole(fitted(row, self.vocabulary));
        let logprob = whole.logprob(target).unwrap_or(f32::NEG_INFINITY);
        let to = match self.top_k {
            Some(k) => whole.top(k),
            None => whole,
        };
        (logprob, Cow::Owned(to))
    }
}

/// A distribution over as many tokens: a vocabulary may be filled up with tokens that do not exist, to one size for one
/// model and another for the other.
pub(super) fn fitted(mut logprobs: Vec<f32>, size: usize) -> Vec<f32> {
    if logprobs.len() > size {
        logprobs.truncate(size);
        let sum: f64 = logprobs.iter().map(|&x| f64::from(x).exp()).sum();
        logprobs.iter_mut().for_each(|x| *x -= sum.ln() as f32);
    }
    logprobs.resize(size, f32::NEG_INFINITY);
    logprobs
}

/// The place of the largest; the first of several.
fn argmax(probabilities: &[f32]) -> Option<u32> {
    let larger = |best: (usize, f32), next: (usize, f32)| {
        if next.1 > best.1 { next } else { best }
    };
    let all = probabilities.iter().copied().enumerate();
    all.reduce(larger).map(|(place, _)| place as u32)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
