//! A step: what the policy thinks of its answers, what the losses make of that, and the gradient.

use std::{ops::Range, time::Instant};

use super::{
    JudgedScores, LossType, PairScores, PreferenceConfig, PreferenceMetrics, Side,
    kto::divergence,
    metrics::{Mean, judged_metrics, pair_metrics},
    reference::{Scored, Sums, sums},
};
use crate::{
    learner::{
        GradientConfig, Learner, MemorySection, MicroBatch, Sequence, Streams, Upstream, pack,
        stream_gradients,
    },
    model::{Transformer, routing::is_router},
    stages::{
        StageError,
        pairs_data::{EncodedJudged, EncodedPair},
    },
};

/// What a step learns from, with what the reference thinks of it.
#[derive(Debug, Clone)]
pub enum Lesson {
    /// Pairs, and the sums of both sides.
    Pairs(Vec<(EncodedPair, [Sums; 2])>),
    /// Answers by themselves, each with the same prompt before an answer to another one, and the sums of both.
    Judged(Vec<(EncodedJudged, Sequence, [Sums; 2])>),
}

/// A lesson as the losses see it, with the derivative of each sequence.
struct Weighed {
    metrics: PreferenceMetrics,
    /// The sequences that are learnt from, each with its weights.
    sequences: Vec<Sequence>,
    weights: Vec<TokenWeights>,
}

/// What the log-probability of each token of an answer is multiplied by in the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TokenWeights {
    /// Tokens with the first weight.
    shared: usize,
    first: f64,
    rest: f64,
}

/// Answers whose log-probabilities have fixed weights.
struct Weights(Vec<TokenWeights>);

impl Streams for Weights {
    type Seen = ();

    fn upstream(
        &self,
        batch: &MicroBatch,
        range: Range<usize>,
        logprobs: &[f32],
        _: &[f32],
        (): &mut (),
    ) -> Upstream {
        let mut derivatives = vec![0.0; range.len()];
        let mut value = 0.0;
        for (member, targets) in batch.parts() {
            let weights = self.0[member];
            for target in targets.start.max(range.start)..targets.end.min(range.end) {
                let is_shared = target - targets.start < weights.shared;
                let weight = if is_shared {
                    weights.first
                } else {
                    weights.rest
                };
                derivatives[target - range.start] = weight as f32;
                value += weight * f64::from(logprobs[target - range.start]);
            }
        }
        Upstream::of_logprobs(value, derivatives)
    }
}

/// One update. `steps` is the length of the stage, for the schedule.
///
/// # Errors
/// When a sequence does not fit into a micro-batch.
pub fn step(
    config: &PreferenceConfig,
    learner: &mut Learner,
    lesson: &Lesson,
    (step, steps): (u64, u64),
    memory: &MemorySection,
    gradient: GradientConfig,
) -> Result<PreferenceMetrics, StageError> {
    let start = Instant::now();
    let Weighed {
        mut metrics,
        sequences,
        weights,
    } = weigh(
        config,
        &learner.model,
        lesson,
        memory.token_budget,
        gradient,
    )?;
    let rate = config.learning_rate * config.schedule.factor(step, steps, config.warmup_steps);
    // NaN moves nothing; the figures say so, and an alarm.
    metrics.grad_norm = f64::NAN;
    if metrics.loss.is_finite() {
        let batches = pack(&sequences, memory.token_budget)?;
        let zeros = learner.zeros();
        let weights = Weights(weights);
        let (model, workers) = (&learner.model, memory.workers);
        let (mut gradients, outputs) =
            stream_gradients(model, &batches, gradient, workers, zeros, &weights);
        let entropy = Mean::of(
            outputs
                .iter()
                .flat_map(|output| &output.entropy)
                .map(|&e| f64::from(e)),
        );
        metrics.entropy = entropy.unwrap_or(f64::NAN);
        if config.freeze_router {
            gradients.retain(|name| !is_router(name));
        }
        metrics.grad_norm = learner.update(gradients, rate);
    }
    metrics.learning_rate = rate;
    metrics.trained_tokens = sequences.iter().map(Sequence::sampled).sum();
    metrics.step_s = start.elapsed().as_secs_f64();
    metrics.trained_tokens_per_s = metrics.trained_tokens as f64 / metrics.step_s;
    Ok(metrics)
}

/// The figures of what is held out, without an update.
///
/// # Errors
/// When a sequence does not fit into a micro-batch.
pub fn measure(
    config: &PreferenceConfig,
    model: &Transformer,
    lesson: &Lesson,
    memory: &MemorySection,
    gradient: GradientConfig,
) -> Result<PreferenceMetrics, StageError> {
    Ok(weigh(config, model, lesson, memory.token_budget, gradient)?.metrics)
}

fn weigh(
    config: &PreferenceConfig,
    model: &Transformer,
    lesson: &Lesson,
    token_budget: usize,
    gradient: GradientConfig,
) -> Result<Weighed, StageError> {
    let alpha = config.ld_alpha.unwrap_or(1.0);
    let ask = |scored: &[Scored]| sums(model, scored, alpha, token_budget, gradient.head);
    match lesson {
        Lesson::Pairs(pairs) => {
            let both = pairs.iter();
            let scored: Vec<Scored> = both
                .flat_map(|(pair, _)| Scored::pair(&pair.chosen, &pair.rejected))
                .collect();
            let asked = ask(&scored)?;
            Ok(weigh_pairs(config, pairs, scored, &asked, alpha))
        }
        Lesson::Judged(judged) => {
            let own = judged.iter().map(|(own, _, _)| own.sequence.clone());
            let other = judged.iter().map(|(_, other, _)| other.clone());
            let scored: Vec<Scored> = own.chain(other).map(Scored::whole).collect();
            let asked = ask(&scored)?;
            Ok(weigh_judged(config, judged, scored, &asked))
        }
    }
}

fn weigh_pairs(
    config: &PreferenceConfig,
    pairs: &[(EncodedPair, [Sums; 2])],
    scored: Vec<Scored>,
    asked: &[Sums],
    alpha: f64,
) -> Weighed {
    let loss = config.loss();
    let side = |place: usize, reference: Sums| {
        let tokens = scored[place].sequence.sampled();
        Side::new(asked[place].weighted, reference.weighted, tokens)
    };
    let scores: Vec<PairScores> = pairs
        .iter()
        .enumerate()
        .map(|(i, (pair, [chosen, rejected]))| PairScores {
            label: pair.label,
            ..PairScores::new(side(2 * i, *chosen), side(2 * i + 1, *rejected))
        })
        .collect();
    let derived = loss.of_pairs(&scores);
    let chosen_tokens: usize = scores.iter().map(|pair| pair.chosen.tokens).sum();
    let likelihood = config.likelihood() / chosen_tokens.max(1) as f64;
    let weight = |place: usize, by: f64, likelihood: f64| TokenWeights {
        shared: scored[place].shared,
        first: by - likelihood,
        rest: alpha * by - likelihood,
    };
    let weights = derived.iter().enumerate().flat_map(|(i, derived)| {
        [
            weight(2 * i, derived.by_chosen, likelihood),
            weight(2 * i + 1, derived.by_rejected, 0.0),
        ]
    });
    let weights = weights.collect();
    let references = pairs.iter().map(|(_, references)| *references);
    let mut metrics = pair_metrics(&loss, &scores, asked, references);
    let said: f64 = asked.iter().step_by(2).map(|sums| sums.plain).sum();
    let nll = -said / chosen_tokens.max(1) as f64;
    metrics.loss = derived.iter().map(|derived| derived.value).sum();
    if config.likelihood() > 0.0 {
        metrics.sft_loss = Some(nll);
        metrics.loss += config.likelihood() * nll;
    }
    Weighed {
        metrics,
        sequences: scored.into_iter().map(|scored| scored.sequence).collect(),
        weights,
    }
}

fn weigh_judged(
    config: &PreferenceConfig,
    judged: &[(EncodedJudged, Sequence, [Sums; 2])],
    scored: Vec<Scored>,
    asked: &[Sums],
) -> Weighed {
    let count = judged.len();
    let others = judged.iter().zip(&asked[count..]);
    let kl =
        divergence(others.map(|((_, _, [_, reference]), other)| other.plain - reference.plain));
    let scores: Vec<JudgedScores> = judged
        .iter()
        .enumerate()
        .map(|(i, (own, _, [reference, _]))| JudgedScores {
            side: Side::new(asked[i].plain, reference.plain, own.sequence.sampled()),
            good: own.good,
        })
        .collect();
    let derived = config.kto().of(&scores, kl);
    let good = scores.iter().filter(|scores| scores.good);
    let (tokens, said) = good.fold((0, 0.0), |(tokens, said), scores| {
        (tokens + scores.side.tokens, said + scores.side.policy)
    });
    let likelihood = config.likelihood() / tokens.max(1) as f64;
    let weights = derived.iter().zip(&scores).map(|(&(_, by), scores)| {
        let by = by - if scores.good { likelihood } else { 0.0 };
        TokenWeights {
            shared: scores.side.tokens,
            first: by,
            rest: by,
        }
    });
    let weights = weights.collect();
    let mut metrics = judged_metrics(config.beta, &scores);
    debug_assert_eq!(config.loss_type, LossType::Kto);
    metrics.kl = Some(kl);
    metrics.loss = derived.iter().map(|(value, _)| value).sum();
    if config.likelihood() > 0.0 && tokens > 0 {
        let nll = -said / tokens as f64;
        metrics.sft_loss = Some(nll);
        metrics.loss += config.likelihood() * nll;
    }
    let mut sequences: Vec<Sequence> = scored.into_iter().map(|scored| scored.sequence).collect();
    sequences.truncate(count);
    Weighed {
        metrics,
        sequences,
        weights,
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
